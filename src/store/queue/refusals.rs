//! Messages that a queue has refused since its backlog is full: said once when it begins and once when it ends.
//!
//! Pure but for the lock and the log.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::Queue;

/// Without a refusal for so long it has ended.
const ENDS_AFTER: Duration = Duration::from_secs(60);

/// The refusals of a queue on this node.
#[derive(Debug, Default)]
pub struct Refusals {
    // A plain mutex: held to read and to write, never across an await.
    standing: Mutex<Option<StandingRefusals>>,
}

/// Refusals that have not ended.
#[derive(Debug, Clone, Copy)]
pub struct StandingRefusals {
    since: Instant,
    last: Instant,
    /// Messages that were refused.
    pub count: u64,
}

impl Refusals {
    /// A call refused so many messages; 0 is worth a look as well.
    pub(in crate::store) fn note(&self, count: usize, queue: &Queue) {
        if queue.policy.backlog.is_some() {
            self.note_at(u64::try_from(count).unwrap_or(u64::MAX), queue, Instant::now());
        }
    }

    /// Those that stand now; ends them if that is due.
    pub fn standing(&self, queue: &Queue) -> Option<StandingRefusals> {
        self.note(0, queue);
        *self.standing.lock()
    }

    fn note_at(&self, count: u64, queue: &Queue, now: Instant) {
        let name = &queue.policy.name;
        let mut standing = self.standing.lock();
        let has_ended =
            |it: &StandingRefusals| now.saturating_duration_since(it.last) >= ENDS_AFTER;
        if let Some(StandingRefusals { since, last, count }) = standing.take_if(|it| has_ended(it))
        {
            let lasted_s = last.saturating_duration_since(since).as_secs();
            tracing::info!(queue = %name, refused = count, lasted_s, "the backlog has room again");
        }
        if count == 0 {
            return;
        }
        queue.metrics.backlog_refused(count);
        let known = standing.is_some();
        let it = standing.get_or_insert(StandingRefusals { since: now, last: now, count: 0 });
        (it.last, it.count) = (now, it.count.saturating_add(count));
        if !known {
            tracing::warn!(
                queue = %name,
                "the backlog is full, and messages are refused; raise the queue's backlog, or find out with `tidegate doctor` why so little leaves"
            );
        }
    }
}
