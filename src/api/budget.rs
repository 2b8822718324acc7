//! A number of bytes that requests share, so that what many of them hold together is bounded.
//!
//! Owns counting, and a wait with an end for a few: who waits holds something as well. Refuses to know
//! what the bytes are.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Bytes are counted in steps of this size.
const STEP: usize = 1024;
/// How many may wait for others to leave room; who comes then is refused at once.
const WAITING_MAX: usize = 128;

/// The bytes that may be held at once; cheap to clone, clones share them.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    free: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    steps: u32,
}

/// A share of a budget; it goes back when this is dropped.
#[derive(Debug)]
pub(super) struct Share {
    budget: Budget,
    permit: Option<OwnedSemaphorePermit>,
}

impl Budget {
    pub(super) fn new(bytes: usize) -> Self {
        let steps = steps_of(bytes).min(u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX));
        let free = Semaphore::new(steps.try_into().unwrap_or(usize::MAX));
        Self { free: Arc::new(free), waiting: Arc::default(), steps }
    }

    /// A share of nothing, to begin with.
    pub(super) fn share(&self) -> Share {
        Share { budget: self.clone(), permit: None }
    }

    async fn wait_for(&self, steps: u32, patience: Duration) -> Option<OwnedSemaphorePermit> {
        let _waiting = Waiting::begin(&self.waiting)?;
        let taken = timeout(patience, Arc::clone(&self.free).acquire_many_owned(steps)).await;
        // The semaphore is never closed.
        taken.ok()?.ok()
    }

    #[cfg(test)]
    pub(super) fn bytes_free(&self) -> usize {
        self.free.available_permits() * STEP
    }
}

impl Share {
    /// Makes it a share of so many bytes; one that is larger already stays so. More than the whole budget
    /// counts as all of it. Returns whether there was room within `patience`.
    pub(super) async fn hold(&mut self, bytes: usize, patience: Duration) -> bool {
        let wanted = steps_of(bytes).min(self.budget.steps).saturating_sub(self.steps());
        if wanted == 0 {
            return true;
        }
        let taken = match Arc::clone(&self.budget.free).try_acquire_many_owned(wanted) {
            Ok(taken) => Some(taken),
            Err(_) => self.budget.wait_for(wanted, patience).await,
        };
        let Some(taken) = taken else { return false };
        match &mut self.permit {
            Some(permit) => permit.merge(taken),
            permit => *permit = Some(taken),
        }
        true
    }

    /// Gives back what is more than so many bytes.
    pub(super) fn shrink(&mut self, bytes: usize) {
        let over = self.steps().saturating_sub(steps_of(bytes));
        let over = usize::try_from(over).unwrap_or_default();
        drop(self.permit.as_mut().and_then(|permit| permit.split(over)));
    }

    /// Ties the share to bytes: it goes back when the last of them is dropped.
    pub(super) fn over(self, bytes: impl AsRef<[u8]> + Send + 'static) -> Bytes {
        Bytes::from_owner(Held { bytes, _share: self })
    }

    fn steps(&self) -> u32 {
        self.permit
            .as_ref()
            .map_or(0, |permit| u32::try_from(permit.num_permits()).unwrap_or(u32::MAX))
    }
}

fn steps_of(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(STEP)).unwrap_or(u32::MAX)
}

/// A place among those that wait.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicUsize) -> Option<Self> {
        let place = Self(count);
        (count.fetch_add(1, Ordering::AcqRel) < WAITING_MAX).then_some(place)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

struct Held<T> {
    bytes: T,
    _share: Share,
}

impl<T: AsRef<[u8]>> AsRef<[u8]> for Held<T> {
    fn as_ref(&self) -> &[u8] {
        self.bytes.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(10);

    #[tokio::test(start_paused = true)]
    async fn what_is_held_is_given_back_with_the_last_of_its_bytes() {
        let budget = Budget::new(10 * STEP);
        let (mut one, mut other) = (budget.share(), budget.share());
        assert!(one.hold(5 * STEP + 1, SOON).await);
        assert!(one.hold(6 * STEP, SOON).await, "no more than before");
        assert!(!other.hold(5 * STEP, SOON).await);
        one.shrink(STEP);
        assert!(other.hold(5 * STEP, SOON).await);
        assert_eq!(budget.bytes_free(), 4 * STEP);
        drop(other);

        let bytes = one.over(vec![1, 2, 3]);
        let part = bytes.slice(1..);
        drop(bytes);
        assert_eq!(budget.bytes_free(), 9 * STEP);
        drop(part);
        assert_eq!(budget.bytes_free(), 10 * STEP);
    }

    #[tokio::test(start_paused = true)]
    async fn only_so_many_wait() {
        let budget = Budget::new(STEP);
        let mut all = budget.share();
        assert!(all.hold(STEP, SOON).await);
        let mut waiting: Vec<_> = (0..WAITING_MAX)
            .map(|_| {
                let mut share = budget.share();
                Box::pin(async move { share.hold(STEP, SOON).await })
            })
            .collect();
        for share in &mut waiting {
            assert!(futures_util::poll!(share).is_pending());
        }
        let began = tokio::time::Instant::now();
        assert!(!budget.share().hold(STEP, SOON).await);
        assert_eq!(began.elapsed(), Duration::ZERO, "refused at once");
        drop(waiting);
        assert!(!budget.share().hold(STEP, SOON).await);
        assert_eq!(began.elapsed(), SOON, "waited for");
    }

    #[tokio::test]
    async fn what_is_larger_than_the_budget_takes_all_of_it() {
        let budget = Budget::new(4 * STEP);
        let mut share = budget.share();
        assert!(share.hold(9 * STEP, SOON).await && share.hold(99 * STEP, SOON).await);
        assert_eq!(budget.bytes_free(), 0);
    }
}
