//! Calls in flight on this node.
//!
//! Owns the count and the news that one has ended. Redis counts them over all nodes (see claim).

use std::sync::Arc;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// The slots of one queue on this node.
#[derive(Debug)]
pub(super) struct Slots {
    free: Arc<Semaphore>,
    /// Wakes the dispatcher.
    ready: Arc<Notify>,
}

/// A place among the calls in flight; the dispatcher hears of it when it comes free.
#[derive(Debug)]
pub(super) struct Slot {
    /// Taken only by drop.
    permit: Option<OwnedSemaphorePermit>,
    ready: Arc<Notify>,
}

impl Slots {
    /// So many slots.
    pub(super) fn new(concurrency: u32, ready: Arc<Notify>) -> Self {
        let count = usize::try_from(concurrency).unwrap_or(usize::MAX);
        Self { free: Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS))), ready }
    }

    /// How many are free.
    pub(super) fn free(&self) -> usize {
        self.free.available_permits()
    }

    /// Takes one, if there is one.
    pub(super) fn take(&self) -> Option<Slot> {
        let permit = Arc::clone(&self.free).try_acquire_owned().ok()?;
        Some(Slot { permit: Some(permit), ready: Arc::clone(&self.ready) })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // In this order: who is woken must find the slot free, or sleeps until the next poll.
        drop(self.permit.take());
        self.ready.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_is_woken_by_a_slot_finds_it_free() {
        let ready = Arc::new(Notify::new());
        let slots = Slots::new(1, Arc::clone(&ready));
        let slot = slots.take();
        assert!(slot.is_some() && slots.take().is_none());
        drop(slot);
        ready.notified().await;
        assert_eq!(slots.free(), 1);
    }
}
