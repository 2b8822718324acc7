//! What a producer is told whose message a queue does not take, as its backlog is full.

use std::collections::BTreeMap;

use super::Door;
use super::problem::{Code, Problem};
use crate::domain::backlog::{Full, KeyBacklog, named_value, retry_after_s};
use crate::domain::gates::{Gate, GateState, Snapshot, gates};
use crate::domain::keys::KeySettings;
use crate::domain::policy::QueuePolicy;
use crate::store::{NotAccepted, Queue};

/// Values of a key whose settings are read for one batch; those of others are taken to be the configuration's.
const OWN_SETTINGS_MAX: usize = 100;

/// What values of a key were given at run time, each read once.
#[derive(Debug, Default)]
pub(super) struct OwnSettings {
    known: BTreeMap<String, Option<KeySettings>>,
}

impl OwnSettings {
    /// What the value was given for which there is no room, where that says how fast its messages leave.
    pub(super) async fn of(
        &mut self,
        door: &Door,
        queue: &Queue,
        refused: &NotAccepted,
    ) -> Option<&KeySettings> {
        let NotAccepted::Backlog(Full::Key(value)) = refused else { return None };
        let per_key = queue.policy.backlog.as_ref()?.per_key.as_ref()?;
        queue.policy.key_pace(&per_key.key, None)?;
        if !self.known.contains_key(value) && self.known.len() < OWN_SETTINGS_MAX {
            // Where it cannot be read, the configuration says enough for an estimate.
            let kept = door.store().queues.key(&queue.policy.name, value).await.ok().flatten();
            self.known.insert(value.clone(), kept.map(|kept| kept.settings));
        }
        self.known.get(value)?.as_ref()
    }
}

/// 429 with the remedy, and when to try again: when one more message is likely to have left. `own`: what the key of the message
/// was given at run time.
pub(super) fn full(
    what: &Full,
    queue: &Queue,
    own: Option<&KeySettings>,
    now_ms: Option<u64>,
) -> Problem {
    let policy = &queue.policy;
    let after_s = retry_after_s(pace(what, queue, own), held_ms(policy, now_ms));
    let detail = format!(
        "{}; the message was not stored: try again in {after_s} s, or raise the queue's backlog",
        reason(what, policy)
    );
    Problem::new(Code::BacklogFull, detail).retry_after(after_s)
}

/// What is full, with the setting and the value of the key that it is about.
pub(super) fn reason(what: &Full, policy: &QueuePolicy) -> String {
    let name = &policy.name;
    let whole = format!("the backlog of the queue \"{name}\" is full");
    // A reload may have changed it since.
    let Some(backlog) = &policy.backlog else { return whole };
    let Some(cap) = what.cap(backlog) else { return whole };
    match (what, &backlog.per_key) {
        (Full::Key(value), Some(KeyBacklog { key, .. })) => format!(
            "the queue \"{name}\" has as many messages with {} as it may have ({cap})",
            named_value(key, value)
        ),
        _ => format!("{whole} ({cap})"),
    }
}

/// Messages a second that leave: as this node has seen it, and not more than a rate of the queue allows. Where one value of a key
/// has no room, also not more than its own rates allow it.
fn pace(what: &Full, queue: &Queue, own: Option<&KeySettings>) -> Option<f64> {
    let policy = &queue.policy;
    let of_key = match (what, policy.backlog.as_ref().and_then(|it| it.per_key.as_ref())) {
        (Full::Key(_), Some(per_key)) => policy.key_pace(&per_key.key, own),
        _ => None,
    };
    let rates = policy.rates().map(|limit| 1e6 / limit.period_us()).chain(of_key);
    let rate = rates.min_by(f64::total_cmp);
    match (queue.outflow_per_second(), rate) {
        (Some(seen), Some(rate)) => Some(seen.min(rate)),
        (seen, rate) => seen.or(rate),
    }
}

/// For how long the window is closed yet.
fn held_ms(policy: &QueuePolicy, now_ms: Option<u64>) -> u64 {
    match (gates(policy, &Snapshot::default(), now_ms).of(Gate::Window), now_ms) {
        (GateState::Held { until_ms, .. }, Some(now_ms)) => {
            until_ms.map_or(u64::MAX, |until_ms| until_ms.saturating_sub(now_ms))
        }
        _ => 0,
    }
}
