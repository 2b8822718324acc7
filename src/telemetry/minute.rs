//! What this node has seen go through one queue since somebody asked last.
//!
//! Owns which events are counted as what. Counting is one addition without a lock. Refuses to know minutes: whoever takes the
//! counts says when they were.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::domain::minutes::{LATE_MS, MinuteCounts};

/// The running counts of one queue.
#[derive(Debug, Default)]
pub(super) struct RunningCounts {
    taken: AtomicU32,
    delivered: AtomicU32,
    late: AtomicU32,
    failed: AtomicU32,
}

impl RunningCounts {
    /// Messages went through a verb.
    pub(super) fn count(&self, event: &str, count: usize) {
        let counter = match event {
            "schedule" => &self.taken,
            "ack" | "receive" => &self.delivered,
            _ => return,
        };
        counter.fetch_add(u32::try_from(count).unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    /// A call came to this outcome.
    pub(super) fn attempt(&self, outcome: &str) {
        if !matches!(outcome, "delivered" | "accepted") {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A message left so late.
    pub(super) fn lateness(&self, late: Duration) {
        if late >= Duration::from_millis(LATE_MS) {
            self.late.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What was counted; from now on it is counted anew.
    pub(super) fn take(&self) -> MinuteCounts {
        let take = |counter: &AtomicU32| counter.swap(0, Ordering::Relaxed);
        MinuteCounts {
            taken: take(&self.taken),
            delivered: take(&self.delivered),
            late: take(&self.late),
            failed: take(&self.failed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_event_is_counted_once() {
        let counts = RunningCounts::default();
        for event in ["schedule", "claim", "ack", "receive", "promote"] {
            counts.count(event, 2);
        }
        counts.attempt("delivered");
        counts.attempt("retry");
        counts.lateness(Duration::from_millis(999));
        counts.lateness(Duration::from_secs(1));
        assert_eq!(counts.take(), MinuteCounts { taken: 2, delivered: 4, late: 1, failed: 1 });
        assert!(counts.take().is_empty());
    }
}
