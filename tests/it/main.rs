//! The integration tests: one binary, a folder for each feature.
//!
//! Owns the list of scenarios. A scenario starts its own Redis, its own downstream and its own
//! daemon from `support`, and reads before, act, after. It waits on signals, never on sleeps.

#![cfg(test)] // Always so here; said once more for clippy, which then lets helpers panic.

mod api;
mod cli;
mod cluster;
mod collapse;
mod delivery;
mod docs;
mod faults;
mod inbox;
mod intake;
mod keys;
mod limits;
mod operations;
mod outcomes;
mod pull;
mod rig;
mod schedules;
mod service;
mod shared;
mod store;
mod support;
mod topics;
mod traces;
