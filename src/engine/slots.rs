//! Calls in flight on this node.
//!
//! Owns the count and the news that one has ended. Redis counts them over all nodes (see claim).

use std::sync::Arc;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::presence::Presence;

/// The slots of one queue on this node.
#[derive(Debug)]
pub(super) struct Slots {
    free: Arc<Semaphore>,
    /// Wakes the dispatcher.
    ready: Arc<Notify>,
    count: u64,
    presence: Arc<Presence>,
}

/// A place among the calls in flight; the dispatcher hears of it when it comes free.
#[derive(Debug)]
pub(super) struct Slot {
    /// Taken only by drop.
    permit: Option<OwnedSemaphorePermit>,
    ready: Arc<Notify>,
    presence: Arc<Presence>,
}

impl Slots {
    /// So many slots.
    pub(super) fn new(concurrency: u32, ready: Arc<Notify>, presence: &Arc<Presence>) -> Self {
        let count = usize::try_from(concurrency).unwrap_or(usize::MAX);
        let free = Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS)));
        let count = u64::from(concurrency);
        presence.open_slots(count);
        Self { free, ready, count, presence: Arc::clone(presence) }
    }

    /// How many are free.
    pub(super) fn free(&self) -> usize {
        self.free.available_permits()
    }

    /// Takes one, if there is one.
    pub(super) fn take(&self) -> Option<Slot> {
        let permit = Arc::clone(&self.free).try_acquire_owned().ok()?;
        self.presence.call_begins();
        let (ready, presence) = (Arc::clone(&self.ready), Arc::clone(&self.presence));
        Some(Slot { permit: Some(permit), ready, presence })
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        self.presence.close_slots(self.count);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // In this order: who is woken must find the slot free, or sleeps until the next poll.
        drop(self.permit.take());
        self.presence.call_ends();
        self.ready.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_is_woken_by_a_slot_finds_it_free() {
        let ready = Arc::new(Notify::new());
        let slots = Slots::new(1, Arc::clone(&ready), &Arc::default());
        let slot = slots.take();
        assert!(slot.is_some() && slots.take().is_none());
        drop(slot);
        ready.notified().await;
        assert_eq!(slots.free(), 1);
    }
}
