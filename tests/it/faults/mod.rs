//! What breaks: processes, connections, clocks, disks, clients, and foreign hands.

mod backlog;
mod clock_steps;
mod connections;
mod crash;
mod durability;
mod endless;
mod erased;
#[cfg(feature = "failpoints")]
mod failpoints;
#[cfg(feature = "failpoints")]
mod fencing;
mod foreign;
mod overload;
#[cfg(feature = "failpoints")]
mod planted;
#[cfg(feature = "failpoints")]
mod planted_collapse;
#[cfg(feature = "failpoints")]
mod planted_keys;
#[cfg(feature = "failpoints")]
mod planted_limits;
mod rollback;
mod slow_clients;
mod unfit;
