//! The inbox: producers that only speak Redis.

#[cfg(feature = "failpoints")]
mod killed;
mod streams;
