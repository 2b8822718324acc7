//! The door on a real socket, before a real Redis of its own.

mod auth;
mod batches;
mod changes;
mod history;
mod intake;
mod limits;
mod queues;
mod reach;
mod reading;
mod stops;
pub(crate) mod support;
mod time_unknown;

pub(super) use support::policy;
