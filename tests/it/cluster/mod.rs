//! Several nodes, and Redis in every topology.

mod failover;
#[cfg(feature = "failpoints")]
mod nodes;
mod topologies;
mod valkey;
