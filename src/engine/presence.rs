//! What this node does and could do, as it tells the others.
//!
//! Owns the numbers; the loops of the queues keep them, the heartbeat reads them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;

use crate::store::NodeInfo;

/// The numbers of this node.
#[derive(Debug, Default)]
pub struct Presence {
    /// Calls that its queues may have in flight here.
    slots: AtomicU64,
    in_flight: AtomicU64,
    queues: AtomicU64,
    config_hash: ArcSwap<String>,
}

impl Presence {
    /// Another configuration is in force.
    pub fn set_config(&self, hash: String, queues: usize) {
        self.config_hash.store(Arc::new(hash));
        self.queues.store(u64::try_from(queues).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(super) fn open_slots(&self, count: u64) {
        self.slots.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn close_slots(&self, count: u64) {
        self.slots.fetch_sub(count, Ordering::Relaxed);
    }

    pub(super) fn call_begins(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn call_ends(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// Writes what is true now into what the node says of itself.
    pub(crate) fn tell(&self, info: &mut NodeInfo) {
        info.slots = self.slots.load(Ordering::Relaxed);
        info.in_flight = self.in_flight.load(Ordering::Relaxed);
        info.queues = self.queues.load(Ordering::Relaxed);
        info.config_hash = self.config_hash.load().to_string();
    }
}
