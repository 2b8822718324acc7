//! Messages that a queue has refused since its backlog is full: said once when it begins and once when it ends.
//!
//! Pure but for the lock and the log.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::Queue;
use crate::domain::backlog::Full;

/// Without a refusal for so long it has ended.
const ENDS_AFTER: Duration = Duration::from_secs(60);

/// The refusals of a queue on this node.
#[derive(Debug, Default)]
pub struct Refusals {
    // A plain mutex: held to read and to write, never across an await.
    standing: Mutex<Option<StandingRefusals>>,
    // Held across a reading on purpose: who is refused meanwhile goes by its result.
    opening: tokio::sync::Mutex<Option<KeptOpening>>,
}

/// When something could leave by the gates of the queue, ms by Redis, and when that was read. `None`: nobody can know.
#[derive(Debug, Clone, Copy)]
struct KeptOpening {
    read_at: Instant,
    opens_ms: Option<u64>,
}

/// How long such a reading is good enough: a flood that is refused costs one reading in this time.
const OPENING_KEPT: Duration = Duration::from_secs(1);

/// Refusals that have not ended.
#[derive(Debug, Clone)]
pub struct StandingRefusals {
    since: Instant,
    last: Instant,
    /// Messages that were refused.
    pub count: u64,
    /// What was full for the last one.
    pub full: Full,
}

impl Refusals {
    /// What was full for messages of a call; also none of them is worth a look.
    pub(in crate::store) fn note<'a>(&self, full: impl Iterator<Item = &'a Full>, queue: &Queue) {
        if queue.policy.backlog.is_some() {
            self.note_at(full, queue, Instant::now());
        }
    }

    /// Those that stand now; ends them if that is due.
    pub fn standing(&self, queue: &Queue) -> Option<StandingRefusals> {
        self.note(std::iter::empty(), queue);
        self.standing.lock().clone()
    }

    /// When something could leave by the gates of the queue, ms by Redis, as `read` says or said within the last second; `None`: nobody
    /// can know, or it could not be read.
    pub async fn opens_ms<E>(
        &self,
        read: impl Future<Output = Result<Option<u64>, E>> + Send,
    ) -> Option<u64> {
        let mut kept = self.opening.lock().await;
        if let Some(kept) = kept.filter(|kept| kept.read_at.elapsed() < OPENING_KEPT) {
            return kept.opens_ms;
        }
        let opens_ms = read.await.unwrap_or_default();
        *kept = Some(KeptOpening { read_at: Instant::now(), opens_ms });
        opens_ms
    }

    fn note_at<'a>(&self, full: impl Iterator<Item = &'a Full>, queue: &Queue, now: Instant) {
        let name = &queue.policy.name;
        let mut standing = self.standing.lock();
        let has_ended =
            |it: &StandingRefusals| now.saturating_duration_since(it.last) >= ENDS_AFTER;
        if let Some(StandingRefusals { since, last, count, .. }) =
            standing.take_if(|it| has_ended(it))
        {
            let lasted_s = last.saturating_duration_since(since).as_secs();
            tracing::info!(queue = %name, refused = count, lasted_s, "the backlog has room again");
        }
        let (count, last_full) =
            full.fold((0_u64, None), |(count, _), full| (count + 1, Some(full)));
        let Some(full) = last_full else { return };
        queue.metrics.backlog_refused(count);
        let full = full.clone();
        if let Some(it) = &mut *standing {
            (it.last, it.count, it.full) = (now, it.count.saturating_add(count), full);
            return;
        }
        let cap = queue.policy.backlog.as_ref().and_then(|backlog| full.cap(backlog));
        *standing = Some(StandingRefusals { since: now, last: now, count, full });
        tracing::warn!(
            queue = %name,
            cap = cap.unwrap_or_default(),
            "the backlog is full, and messages are refused; raise the queue's backlog, or find out with `tidegate doctor` why so little leaves"
        );
    }
}
