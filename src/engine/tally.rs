//! What is counted and reported of messages whose attempts have ended.

use ulid::Ulid;

use crate::domain::id::{MessageId, QueueName};
use crate::store::{Store, Verdict};
use crate::telemetry::{Kind, ReasonLabel, VerdictLabel};

/// A message is dead. `word` is one of a few, for the metric; `reason` is for people.
pub(super) fn dead(store: &Store, queue: &QueueName, ulid: Ulid, word: &'static str, reason: &str) {
    let label = ReasonLabel { queue: queue.to_string(), reason: word };
    store.metrics().queue.dead.get_or_create(&label).inc();
    let id = || MessageId { queue: queue.clone(), ulid }.to_string();
    store.metrics().digest.note(Kind::Dead, queue.as_str(), reason, id);
}

/// An outcome came after its lease had ended.
pub(super) fn late(store: &Store, queue: &QueueName, verdict: Verdict) {
    let verdict = match verdict {
        Verdict::Ok | Verdict::Already => return,
        Verdict::Late => "late",
        Verdict::Stale | Verdict::Gone => "stale",
    };
    let label = VerdictLabel { queue: queue.to_string(), verdict };
    store.metrics().queue.late_results.get_or_create(&label).inc();
}
