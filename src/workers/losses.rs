//! Dead letters that went before their time, told now and then instead of one by one.
//!
//! Owns the sums since the last word on each queue. The clock comes in.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::id::QueueName;

/// At most one word on a queue in this time.
const QUIET: Duration = Duration::from_secs(600);

#[derive(Debug, Default)]
struct Loss {
    untold: u64,
    told_at: Option<Instant>,
}

/// What was lost, by queue.
#[derive(Debug, Default)]
pub(super) struct Losses {
    // A plain mutex: held for a sum, never across an await.
    by_queue: Mutex<HashMap<QueueName, Loss>>,
}

impl Losses {
    pub(super) fn add(&self, queue: &QueueName, messages: u64) {
        if messages > 0 {
            let mut by_queue = self.by_queue.lock().unwrap_or_else(PoisonError::into_inner);
            by_queue.entry(queue.clone()).or_default().untold += messages;
        }
    }

    /// Warns of what was lost and not told yet.
    pub(super) fn tell(&self, now: Instant) {
        for (queue, messages) in self.due(now) {
            tracing::warn!(
                %queue,
                messages,
                "dead letters went before their time, the oldest first: the queue keeps no more of them (retention.dead_max_messages, dead_max_bytes)"
            );
        }
    }

    fn due(&self, now: Instant) -> Vec<(QueueName, u64)> {
        let mut by_queue = self.by_queue.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = |loss: &Loss| {
            loss.untold > 0
                && loss.told_at.is_none_or(|at| now.saturating_duration_since(at) >= QUIET)
        };
        let due = by_queue.iter_mut().filter(|(_, loss)| is_due(loss));
        due.map(|(queue, loss)| {
            loss.told_at = Some(now);
            (queue.clone(), std::mem::take(&mut loss.untold))
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_queue_is_told_of_once_in_a_while() {
        let (losses, start) = (Losses::default(), Instant::now());
        let queue: QueueName = "erp".parse().unwrap();
        assert!(losses.due(start).is_empty());
        losses.add(&queue, 2);
        losses.add(&queue, 3);
        assert_eq!(losses.due(start), [(queue.clone(), 5)]);
        losses.add(&queue, 1);
        assert!(losses.due(start + QUIET / 2).is_empty());
        losses.add(&queue, 1);
        assert_eq!(losses.due(start + QUIET), [(queue.clone(), 2)]);
        assert!(losses.due(start + 2 * QUIET).is_empty());
    }
}
