//! How long calls of a queue take, as far as this node has seen it.

use std::time::Duration;

use parking_lot::Mutex;

/// The part that the newest call has in the mean: older ones are forgotten after some hundreds.
const NEWEST_PART: f64 = 0.01;
/// So many calls are averaged plainly, until there are enough to forget any.
const PLAIN_CALLS: u32 = 100;

/// The calls that have ended.
#[derive(Debug, Default)]
pub struct CallTimes {
    // A plain mutex: held to compute, never across an await.
    mean: Mutex<(f64, u32)>,
}

impl CallTimes {
    /// A call has ended that took so long.
    pub fn note(&self, took: Duration) {
        let mut mean = self.mean.lock();
        let (mean_ms, calls) = *mean;
        let calls = calls.saturating_add(1).min(PLAIN_CALLS);
        let part = if calls < PLAIN_CALLS { 1.0 / f64::from(calls) } else { NEWEST_PART };
        *mean = (mean_ms + (took.as_secs_f64() * 1000.0 - mean_ms) * part, calls);
    }

    /// How long one takes on average, in milliseconds; `None`: this node has made none.
    #[must_use]
    pub fn mean_ms(&self) -> Option<f64> {
        let (mean_ms, calls) = *self.mean.lock();
        (calls > 0).then_some(mean_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_follows_the_calls() {
        let times = CallTimes::default();
        assert_eq!(times.mean_ms(), None);
        for ms in [100, 200, 300] {
            times.note(Duration::from_millis(ms));
        }
        assert!((times.mean_ms().unwrap() - 200.0).abs() < 1e-9);
        (0..2000).for_each(|_| times.note(Duration::from_millis(50)));
        assert!((times.mean_ms().unwrap() - 50.0).abs() < 1.0);
    }
}
