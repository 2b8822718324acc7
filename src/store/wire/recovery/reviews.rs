//! One line of the log for all the reviews that follow a restart of Redis.
//!
//! Owns when all of them have ended, and what they found together. Refuses to know what a review looks at
//! (see `rollback`); what is missing it has reported itself.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Shards meet another run of a server one after the other, but within this time.
const QUIET: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
struct Sum {
    under_way: usize,
    whole: usize,
    is_lossy: bool,
    ended_at: Option<Instant>,
}

/// The reviews since the last line.
#[derive(Debug, Clone, Default)]
pub(in crate::store) struct Reviews {
    // A plain mutex: held for a sum, never across an await.
    sum: Arc<Mutex<Sum>>,
}

/// A review that is under way.
#[derive(Debug)]
pub(in crate::store) struct Review(Reviews);

impl Reviews {
    pub(in crate::store) fn begin(&self) -> Review {
        self.with(|sum| sum.under_way += 1);
        Review(self.clone())
    }

    /// A review found what it came for: whether nothing is missing.
    pub(in crate::store) fn found(&self, is_whole: bool) {
        self.with(|sum| {
            sum.whole += usize::from(is_whole);
            sum.is_lossy |= !is_whole;
        });
    }

    /// How many shards are whole, if all reviews have ended and nothing is missing anywhere.
    pub(in crate::store) fn take(&self, now: Instant) -> Option<usize> {
        let sum = self.with(|sum| {
            let is_over = sum.under_way == 0
                && sum.ended_at.is_some_and(|at| now.saturating_duration_since(at) >= QUIET);
            is_over.then(|| std::mem::take(sum))
        })?;
        (sum.whole > 0 && !sum.is_lossy).then_some(sum.whole)
    }

    fn with<T>(&self, change: impl FnOnce(&mut Sum) -> T) -> T {
        change(&mut self.sum.lock())
    }
}

impl Drop for Review {
    fn drop(&mut self) {
        self.0.with(|sum| {
            sum.under_way -= 1;
            sum.ended_at = Some(Instant::now());
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn all_reviews_of_a_restart_are_one_line_unless_something_is_missing() {
        let (reviews, later) = (Reviews::default(), || Instant::now() + QUIET);
        assert_eq!(reviews.take(later()), None);
        let (one, two) = (reviews.begin(), reviews.begin());
        reviews.found(true);
        drop(one);
        assert_eq!(reviews.take(later()), None, "one is under way");
        reviews.found(true);
        drop(two);
        assert_eq!(reviews.take(Instant::now()), None, "others may begin");
        assert_eq!(reviews.take(later()), Some(2));
        assert_eq!(reviews.take(later()), None, "it was said");
        for is_whole in [true, false] {
            let review = reviews.begin();
            reviews.found(is_whole);
            drop(review);
        }
        assert_eq!(reviews.take(later()), None);
    }
}
