//! The integration tests: one binary, one file per scenario.
//!
//! Owns the list of scenarios. A scenario starts its own Redis, its own downstream and its own
//! daemon from `support`, and reads before, act, after. It waits on signals, never on sleeps.

#![cfg(test)] // Always so here; said once more for clippy, which then lets helpers panic.

mod actions;
mod alerts;
mod backlog;
mod batch_answers;
mod batches;
mod callbacks;
mod calls;
mod cli;
mod cli_batch;
mod clock_steps;
mod connections;
mod crash;
mod docs;
mod doctor;
mod doors;
mod doubt;
mod durability;
mod endless;
mod erased;
mod erp;
mod events;
mod examples;
mod failing;
mod failover;
#[cfg(feature = "failpoints")]
mod failpoints;
mod faults_work;
#[cfg(feature = "failpoints")]
mod fencing;
mod first_words;
mod foreign;
mod gates;
mod hostile;
mod http;
mod idle;
mod inbox;
#[cfg(feature = "failpoints")]
mod inbox_killed;
mod input;
mod install;
mod leases;
mod load;
mod logs;
mod managed;
#[cfg(feature = "failpoints")]
mod nodes;
mod odd_answers;
mod operations;
mod operations_beside;
mod outcomes;
mod overload;
#[cfg(feature = "failpoints")]
mod planted;
#[cfg(feature = "failpoints")]
mod poison;
mod probe;
mod pull;
mod rates;
mod readings;
mod readme;
mod receipts;
mod refusals;
mod reloading;
mod retention;
mod rig;
mod rights;
mod rollback;
mod schedules;
mod search;
mod service;
mod sink;
mod slots;
mod slow_clients;
mod stopping;
mod store;
mod support;
mod support_replicas;
mod support_works;
mod tables;
mod topics;
#[cfg(feature = "failpoints")]
mod topics_killed;
mod topologies;
mod uncertain;
mod unfit;
mod valkey;
mod waiting;
mod windows;
