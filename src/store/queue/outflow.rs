//! How fast messages leave a queue whose backlog is limited, as far as this node has seen it.
//!
//! Pure but for the lock: `now` comes in.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// What leaves within so long is one entry.
const TOGETHER: Duration = Duration::from_millis(100);
const ENTRIES_MAX: usize = 100;
/// What left before does not tell how it is now.
const REMEMBERED: Duration = Duration::from_secs(600);

/// The last messages that left.
#[derive(Debug, Default)]
pub(in crate::store) struct Outflow {
    // A plain mutex: held to compute, never across an await.
    entries: Mutex<VecDeque<(Instant, usize)>>,
}

impl Outflow {
    /// So many messages have left.
    pub(in crate::store) fn note(&self, count: usize, now: Instant) {
        let mut entries = self.entries.lock();
        match entries.back_mut() {
            Some((at, counted)) if now.saturating_duration_since(*at) < TOGETHER => {
                *counted += count;
            }
            _ => {
                entries.push_back((now, count));
                if entries.len() > ENTRIES_MAX {
                    entries.pop_front();
                }
            }
        }
    }

    /// Messages a second; `None`: too few have left to tell.
    pub(in crate::store) fn per_second(&self, now: Instant) -> Option<f64> {
        let entries = self.entries.lock();
        let is_fresh = |at: Instant| now.saturating_duration_since(at) <= REMEMBERED;
        let mut fresh = entries.iter().filter(|(at, _)| is_fresh(*at));
        // The first only says where the counting begins.
        let (from, _) = fresh.next()?;
        let counts: Vec<_> = fresh.map(|(_, count)| count).collect();
        let took_s = now.saturating_duration_since(*from).as_secs_f64();
        let count: usize = counts.iter().copied().sum();
        (count > 0 && took_s > 0.0).then(|| count as f64 / took_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_pace_is_what_left_since_the_first() {
        let (outflow, began) = (Outflow::default(), Instant::now());
        let at = |ms: u64| began + Duration::from_millis(ms);
        assert_eq!(outflow.per_second(began), None);
        outflow.note(5, at(0));
        assert_eq!(outflow.per_second(at(900)), None, "one moment shows no pace");
        for second in 1..=10 {
            outflow.note(1, at(1000 * second));
            outflow.note(1, at(1000 * second + 50));
        }
        assert_eq!(outflow.per_second(at(10_000)), Some(2.0));
        assert_eq!(outflow.per_second(at(20_000)), Some(1.0), "it has stopped since");
        assert_eq!(outflow.per_second(at(700_000)), None, "that is long ago");
        for number in 0..1000 {
            outflow.note(1, at(700_000 + 100 * number));
        }
        assert_eq!(outflow.entries.lock().len(), ENTRIES_MAX);
        assert_eq!(outflow.per_second(at(799_900)), Some(10.0));
    }
}
