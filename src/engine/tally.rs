//! What is counted and reported of messages whose attempts have ended.

use ulid::Ulid;

use crate::domain::id::MessageId;
use crate::store::{Queue, Store, Verdict};
use crate::telemetry::Kind;

/// A message is dead. `word` is one of a few, for the metric; `reason` is for people.
pub(super) fn dead(store: &Store, queue: &Queue, ulid: Ulid, word: &'static str, reason: &str) {
    queue.metrics.dead(word, 1);
    let name = &queue.policy.name;
    let id = || MessageId { queue: name.clone(), ulid }.to_string();
    store.metrics().digest.note(Kind::Dead, name.as_str(), reason, id);
}

/// An outcome came after its lease had ended.
pub(super) fn late(queue: &Queue, verdict: Verdict) {
    match verdict {
        Verdict::Ok | Verdict::Already => {}
        Verdict::Late => queue.metrics.late_result("late"),
        Verdict::Stale | Verdict::Gone => queue.metrics.late_result("stale"),
    }
}
