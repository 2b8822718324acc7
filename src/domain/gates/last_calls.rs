//! What the end of a window means for whoever claims while the window is still open.
//!
//! Owns from when on a batch leaves half full, because the company that it waits for would come too late, and up
//! to when nobody sleeps past one of these moments.

use std::time::Duration;

use crate::domain::policy::QueuePolicy;

/// The longest time before the end of a window at which a batch leaves half full.
const BATCH_LEAVES_EARLY_MS_MAX: u64 = 1000;

/// The last moments of a window for calls; none where the queue may send at any time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastCalls {
    batch_leaves_ms: Option<u64>,
    before_ms: Option<u64>,
}

impl LastCalls {
    /// Of calls that must start before `before_ms` and are claimed so long ahead.
    #[must_use]
    pub fn new(policy: &QueuePolicy, before_ms: Option<u64>, horizon: Duration) -> Self {
        let horizon_ms = u64::try_from(horizon.as_millis()).unwrap_or(u64::MAX);
        let wait_ms = policy.batch.map_or(0, |batch| batch.max_wait_ms);
        let early_ms = wait_ms.min(BATCH_LEAVES_EARLY_MS_MAX).saturating_add(horizon_ms);
        let batch_leaves_ms = before_ms.map(|before_ms| before_ms.saturating_sub(early_ms));
        Self { batch_leaves_ms, before_ms }
    }

    /// Whether a batch leaves as it is.
    #[must_use]
    pub fn batch_leaves(&self, now_ms: Option<u64>) -> bool {
        self.batch_leaves_ms.zip(now_ms).is_some_and(|(at_ms, now_ms)| now_ms >= at_ms)
    }

    /// How long until the next of these moments; `None`: none is to come.
    #[must_use]
    pub fn next_in(&self, now_ms: Option<u64>) -> Option<Duration> {
        let moments = [self.batch_leaves_ms, self.before_ms].into_iter().flatten();
        let left = moments.filter_map(|at_ms| at_ms.checked_sub(now_ms?));
        left.filter(|left_ms| *left_ms > 0).min().map(Duration::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::policy::BatchPolicy;

    const HORIZON: Duration = Duration::from_millis(50);
    const BEFORE_MS: u64 = 100_000;

    fn last_calls(max_wait_ms: u64) -> LastCalls {
        let mut policy = QueuePolicy::retired("q".parse().unwrap(), 1);
        policy.batch = Some(BatchPolicy { max_items: 3, max_bytes: 1, max_wait_ms });
        LastCalls::new(&policy, Some(BEFORE_MS), HORIZON)
    }

    #[test]
    fn a_batch_leaves_when_its_company_would_come_too_late() {
        for (max_wait_ms, early_ms) in [(0, 50), (200, 250), (1000, 1050), (60_000, 1050)] {
            let calls = last_calls(max_wait_ms);
            let at_ms = BEFORE_MS - early_ms;
            assert!(!calls.batch_leaves(Some(at_ms - 1)), "{max_wait_ms}");
            assert!(calls.batch_leaves(Some(at_ms)), "{max_wait_ms}");
        }
    }

    #[test]
    fn nobody_sleeps_past_one_of_the_moments() {
        let next_in = |now_ms| last_calls(200).next_in(Some(now_ms)).map(|left| left.as_millis());
        assert_eq!(next_in(BEFORE_MS - 1000), Some(750));
        assert_eq!(
            next_in(BEFORE_MS - 250),
            Some(250),
            "the batch may leave, the window may close"
        );
        assert_eq!(next_in(BEFORE_MS - 1), Some(1));
        assert_eq!(next_in(BEFORE_MS), None);
    }

    #[test]
    fn without_a_window_or_a_known_time_there_is_no_last_call() {
        let always = LastCalls::new(&QueuePolicy::retired("q".parse().unwrap(), 1), None, HORIZON);
        assert_eq!((always.batch_leaves(Some(1)), always.next_in(Some(1))), (false, None));
        let unknown = last_calls(200);
        assert_eq!((unknown.batch_leaves(None), unknown.next_in(None)), (false, None));
    }
}
