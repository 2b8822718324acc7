//! Connections to Redis, and how a script is called on one.
//!
//! Owns the connections, the names of the keys, the scripts with their arguments and replies, and the errors. Refuses
//! to know when a verb is called, and what a queue is.

pub(in crate::store) mod connect;
pub(in crate::store) mod error;
pub(in crate::store) mod keys;
pub(in crate::store) mod link;
pub(in crate::store) mod reply;
pub(in crate::store) mod script;
mod sentinels;
pub(in crate::store) mod survey;
