//! The fault rig: several daemons under load while everything around them fails, and a history that
//! a checker can judge.
//!
//! Owns the parts of the rig and the scenarios that run small in every test run and large in
//! `make torture`. Refuses to know what the daemon does inside.

mod canary;
pub(crate) mod checker;
mod drive;
mod failpoints;
mod fleet;
pub(crate) mod flow;
pub(crate) mod history;
mod journal;
mod keeping;
pub(crate) mod message;
mod met;
mod operator;
mod payload;
mod producer;
mod queues;
mod recorder;
mod recovery;
mod run;
mod scenarios;
mod schedule;
mod stage;
mod tail;
mod tally;
mod ticks;
mod torture;
