//! What a producer is told whose message a queue does not take, as its backlog is full.

use std::collections::BTreeMap;

use super::Door;
use super::problem::{Code, Problem};
use crate::domain::backlog::{Full, KeyBacklog, named_value, retry_after_s};
use crate::domain::keys::KeySettings;
use crate::domain::message::Details;
use crate::domain::overrides::Override;
use crate::domain::policy::QueuePolicy;
use crate::store::{NotAccepted, Queue, StoreError};

/// Values of a key whose settings are read for one batch; those of others are taken to be the configuration's.
const OWN_SETTINGS_MAX: usize = 100;

/// What is known of a queue that is full, for those that it refuses: each reading is made once.
#[derive(Debug, Default)]
pub(super) struct FullQueue {
    /// What values of a key were given at run time.
    own: BTreeMap<String, Option<KeySettings>>,
}

/// When a message may be sent again that was refused.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Room<'a> {
    /// What the key of the message was given at run time.
    own: Option<&'a KeySettings>,
    /// For how long nothing leaves by the gates of the queue, ms; `None`: nobody can know.
    held_ms: Option<u64>,
    /// In how many seconds the next override of the queue ends.
    override_ends_s: Option<u32>,
}

impl FullQueue {
    /// When there is room for a message again, where it was refused because there is none.
    pub(super) async fn room_for(
        &mut self,
        door: &Door,
        queue: &Queue,
        refused: &NotAccepted,
    ) -> Room<'_> {
        let NotAccepted::Backlog(full) = refused else { return Room::default() };
        // It is about those that are in the queue, whoever their recipients are.
        let anybody = Details { ignores_recipient_hours: true, ..Details::default() };
        let opens_ms = queue.refusals.opens_ms(async {
            let gates = door.store().queues.gates(&queue.policy).await?;
            Ok::<_, StoreError>(gates.earliest_ms(&queue.policy, &anybody, None, 0))
        });
        let (opens_ms, now_ms) = (opens_ms.await, door.store().clock().now_ms());
        let held_ms = opens_ms.zip(now_ms).map(|(at_ms, now_ms)| at_ms.saturating_sub(now_ms));
        let ends_ms = queue.policy.overrides.iter().map(Override::end_ms).min();
        let ends_s = ends_ms.zip(now_ms).map(|(at_ms, now_ms)| {
            u32::try_from(at_ms.saturating_sub(now_ms).div_ceil(1000)).unwrap_or(u32::MAX).max(1)
        });
        Room { own: self.own_of(door, queue, full).await, held_ms, override_ends_s: ends_s }
    }

    /// What the value was given for which there is no room, where that says how fast its messages leave.
    async fn own_of(&mut self, door: &Door, queue: &Queue, full: &Full) -> Option<&KeySettings> {
        let Full::Key(value) = full else { return None };
        let per_key = queue.policy.backlog.as_ref()?.per_key.as_ref()?;
        queue.policy.key_pace(&per_key.key, None)?;
        if !self.own.contains_key(value) && self.own.len() < OWN_SETTINGS_MAX {
            // Where it cannot be read, the configuration says enough for an estimate.
            let kept = door.store().queues.key(&queue.policy.name, value).await.ok().flatten();
            self.own.insert(value.clone(), kept.map(|kept| kept.settings));
        }
        self.own.get(value)?.as_ref()
    }
}

/// 429 with the remedy, and when to try again: when one more message is likely to have left.
pub(super) fn full(what: &Full, queue: &Queue, room: Room<'_>) -> Problem {
    let policy = &queue.policy;
    let after_s = retry_after_s(pace(what, queue, room.own), room.held_ms);
    // With an override the pace ends that it sets.
    let after_s = room.override_ends_s.map_or(after_s, |ends_s| after_s.min(ends_s));
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
