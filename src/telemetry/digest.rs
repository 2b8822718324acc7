//! What happens to single messages, logged for many of them at once.
//!
//! Owns the words, and that each kind of event has at most one line for each queue and minute: how many, why the
//! last one, and the first ids. The clock comes in. Refuses to know when somebody looks (see
//! `workers::reporter`).

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// At most one line of a kind and queue in this time.
const QUIET: Duration = Duration::from_secs(60);
/// Ids that a line names.
const IDS_MAX: usize = 5;

/// A kind of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A message was given up.
    Dead,
    /// A dead letter was deleted before its time.
    DeletedEarly,
    /// A success came after its lease had run out, and counted.
    Late,
    /// An outcome came after its lease had run out, and changed nothing.
    Stale,
    /// An outcome could not be kept.
    NotKept,
    /// A lease could not be renewed.
    NotRenewed,
    /// No receipt came in time.
    NoReceipt,
    /// The downstream was asked what became of a message.
    Asked,
    /// A probe came when the message was decided already.
    ProbedLate,
    /// The downstream could not say what became of a message.
    Undecided,
    /// An entry of the inbox was rejected.
    Rejected,
}

#[derive(Debug, Default)]
struct Gathered {
    count: u64,
    last_reason: String,
    first_ids: Vec<String>,
    logged_at: Option<Instant>,
}

/// A line that is due.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    kind: Kind,
    queue: String,
    count: u64,
    last_reason: String,
    first_ids: String,
}

/// What was not logged yet, by kind and queue.
#[derive(Debug, Default)]
pub struct Digest {
    // A plain mutex: held for a sum, never across an await.
    gathered: Mutex<HashMap<(Kind, String), Gathered>>,
}

impl Digest {
    /// Takes down that this happened to a message; `id` is asked for the first ones alone.
    pub fn note(&self, kind: Kind, queue: &str, reason: &str, id: impl FnOnce() -> String) {
        self.with(kind, queue, 1, reason, |gathered| {
            if gathered.first_ids.len() < IDS_MAX {
                gathered.first_ids.push(id());
            }
        });
    }

    /// Takes down that this happened to so many messages whose ids are not known.
    pub fn add(&self, kind: Kind, queue: &str, count: u64, reason: &str) {
        if count > 0 {
            self.with(kind, queue, count, reason, |_| {});
        }
    }

    fn with(
        &self,
        kind: Kind,
        queue: &str,
        count: u64,
        reason: &str,
        more: impl FnOnce(&mut Gathered),
    ) {
        let mut all = self.gathered.lock();
        let gathered = all.entry((kind, queue.to_owned())).or_default();
        gathered.count += count;
        reason.clone_into(&mut gathered.last_reason);
        more(gathered);
    }

    /// Logs what is due.
    pub fn log(&self, now: Instant) {
        self.due(|at| now.saturating_duration_since(at) >= QUIET, now).iter().for_each(Line::log);
    }

    /// Logs all that is left: the daemon stops.
    pub fn log_rest(&self, now: Instant) {
        self.due(|_| true, now).iter().for_each(Line::log);
    }

    fn due(&self, is_over: impl Fn(Instant) -> bool, now: Instant) -> Vec<Line> {
        let mut all = self.gathered.lock();
        // A queue that is quiet again for so long is forgotten.
        all.retain(|_, gathered| gathered.count > 0 || !gathered.logged_at.is_none_or(&is_over));
        let due = all
            .iter_mut()
            .filter(|(_, gathered)| gathered.count > 0 && gathered.logged_at.is_none_or(&is_over));
        due.map(|((kind, queue), gathered)| {
            let Gathered { count, last_reason, first_ids, .. } = std::mem::take(gathered);
            gathered.logged_at = Some(now);
            let first_ids = first_ids.join(" ");
            Line { kind: *kind, queue: queue.clone(), count, last_reason, first_ids }
        })
        .collect()
    }
}

impl Line {
    fn log(&self) {
        let Self { kind, queue, count, .. } = self;
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let (last_reason, first_ids) = (some(&self.last_reason), some(&self.first_ids));
        let words = kind.words();
        match kind {
            Kind::NotKept => tracing::error!(queue, count, last_reason, first_ids, "{words}"),
            Kind::Asked | Kind::ProbedLate => {
                tracing::info!(queue, count, last_reason, first_ids, "{words}");
            }
            _ => tracing::warn!(queue, count, last_reason, first_ids, "{words}"),
        }
    }
}

impl Kind {
    const fn words(self) -> &'static str {
        match self {
            Self::Dead => "messages are dead; `tidegate list QUEUE --state dead` shows them",
            Self::DeletedEarly => {
                "dead letters were deleted before their time, the oldest first: the queue keeps no more of them (retention.dead_max_messages, dead_max_bytes)"
            }
            Self::Late => {
                "successes came after their leases had run out, and still settled their messages"
            }
            Self::Stale => "outcomes came after their leases had run out; they changed nothing",
            Self::NotKept => {
                "outcomes could not be written; the leases of their messages will run out"
            }
            Self::NotRenewed => "leases could not be renewed",
            Self::NoReceipt => "no receipts came in time for accepted messages",
            Self::Asked => "the downstream was asked what became of uncertain messages",
            Self::ProbedLate => "probes came too late, and changed nothing",
            Self::Undecided => {
                "the downstream could not say what became of messages; an operator has to decide (`tidegate resolve ID`)"
            }
            Self::Rejected => "entries of the inbox were rejected",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_kind_and_queue_has_one_line_a_minute_and_nothing_is_left_out() {
        let (digest, start) = (Digest::default(), Instant::now());
        let due = |at: Instant| digest.due(|was| at.saturating_duration_since(was) >= QUIET, at);
        assert!(due(start).is_empty());
        for number in 0..9 {
            digest
                .note(Kind::Dead, "sms", &format!("status 42{number}"), || format!("sms_{number}"));
        }
        let lines = due(start);
        assert_eq!(lines.len(), 1);
        assert_eq!((lines[0].count, lines[0].last_reason.as_str()), (9, "status 428"));
        assert_eq!(lines[0].first_ids, "sms_0 sms_1 sms_2 sms_3 sms_4");
        digest.add(Kind::Dead, "sms", 2, "x");
        digest.add(Kind::Dead, "erp", 1, "y");
        let early = due(start + QUIET / 2);
        assert_eq!(early.iter().map(|line| line.queue.as_str()).collect::<Vec<_>>(), ["erp"]);
        assert_eq!(due(start + QUIET).iter().map(|line| line.count).collect::<Vec<_>>(), [2]);
        digest.add(Kind::Late, "sms", 1, "");
        assert_eq!(digest.due(|_| true, start).len(), 1);
        assert!(due(start + 9 * QUIET).is_empty());
        assert!(digest.gathered.lock().is_empty(), "forgotten");
    }
}
