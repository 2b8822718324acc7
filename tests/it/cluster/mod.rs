//! Several nodes, and Redis in every topology.

mod failover;
mod formats;
#[cfg(feature = "failpoints")]
mod nodes;
mod settling;
mod topologies;
mod upgrade;
mod valkey;
