//! The inbox: producers that only speak Redis.

#[cfg(feature = "failpoints")]
mod full_keys;
mod killed;
mod streams;
