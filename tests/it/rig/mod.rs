//! The fault rig: several daemons under load while everything around them fails, and a history that
//! a checker can judge.
//!
//! Owns the parts of the rig and the scenarios that run small in every test run and large in
//! `make torture`. Refuses to know what the daemon does inside.

pub(crate) mod checker;
pub(crate) mod history;
