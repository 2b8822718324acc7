//! The sections of a configuration, one file each: their settings, and the checks across them.
//!
//! Owns every setting: its key, type, default, check and tests. Refuses to know what is done with it.

mod batch;
mod callback;
mod downstream;
mod headers;
pub(in crate::config) mod inbox;
mod probe;
pub(in crate::config) mod queue;
mod receipts;
pub(in crate::config) mod redis;
mod retention;
mod retry;
pub(in crate::config) mod schedule;
pub(in crate::config) mod server;
pub(in crate::config) mod token;
pub(in crate::config) mod topic;
mod window;
