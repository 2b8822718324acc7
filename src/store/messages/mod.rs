//! The messages of all queues.
//!
//! Owns the handle, and who waits here for a message or holds its lease; its verbs stand in files of their own beside
//! this folder (`intake`, `claim`, `settle`, `read`, `operate` and others). Refuses to know the other families.

pub(super) mod bulk;
pub(super) mod claim;
pub(super) mod claimed;
pub(super) mod gate;
pub(super) mod grant;
mod holds;
pub(super) mod housekeeping;
pub(super) mod intake;
pub(super) mod operate;
pub(super) mod permit;
#[cfg(feature = "failpoints")]
mod planted_bugs;
mod position;
pub(super) mod probe;
pub(super) mod prune;
pub(super) mod read;
pub(super) mod receipt;
mod round;
pub(super) mod settle;
pub(super) mod shared;
mod switch;
mod trouble;
mod waiters;
mod worker_leases;

use std::sync::Arc;

use self::intake::Intake;
use self::waiters::Waiters;
use self::worker_leases::WorkerLeases;
use crate::store::wire::Wire;

/// The messages of all queues; cheap to clone.
#[derive(Debug, Clone)]
pub struct Messages {
    pub(super) wire: Wire,
    shared: Arc<NodeState>,
}

/// What every clone shares.
#[derive(Debug, Default)]
struct NodeState {
    waiters: Waiters,
    worker_leases: WorkerLeases,
    intake: Intake,
}

impl Messages {
    pub(super) fn new(wire: &Wire) -> Self {
        Self { wire: wire.clone(), shared: Arc::default() }
    }
}
