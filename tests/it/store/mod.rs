//! The atomic core: every verb of the store on a real Redis, single and Cluster.
//!
//! Owns the promises that the scripts make. A scenario uses the store as the rooms above do and then
//! looks past it, at the bare keys (see `scan`).

mod audit;
mod claims;
mod clock;
mod collapse;
mod cost;
mod formats;
mod ground;
mod hours;
mod incoming;
mod intake;
mod keeping;
mod keyed_audit;
mod lanes;
mod limit_twin;
mod limits;
mod loading;
mod lost_replies;
mod model;
mod node;
mod probing;
mod reading;
mod receiving;
mod records;
mod retention;
mod scan;
mod schedules;
mod settling;
mod speed;
