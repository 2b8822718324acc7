//! The messages of all queues.
//!
//! Owns the handle, and who waits here for a message or holds its lease; its verbs stand in files of their own beside
//! this folder (`intake`, `claim`, `settle`, `read`, `operate` and others). Refuses to know the other families.

mod hands;
mod waiters;

use std::sync::Arc;

use self::hands::Hands;
use self::waiters::Waiters;
use super::wire::Wire;

/// The messages of all queues; cheap to clone.
#[derive(Debug, Clone)]
pub struct Messages {
    pub(super) wire: Wire,
    shared: Arc<Shared>,
}

/// What every clone shares.
#[derive(Debug, Default)]
struct Shared {
    waiters: Waiters,
    hands: Hands,
}

impl Messages {
    pub(super) fn new(wire: &Wire) -> Self {
        Self { wire: wire.clone(), shared: Arc::default() }
    }
}
