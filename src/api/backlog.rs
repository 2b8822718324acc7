//! What a producer is told whose message a queue does not take, as its backlog is full.

use super::problem::{Code, Problem};
use crate::domain::backlog::{Full, retry_after_s};
use crate::domain::gates::{Gate, GateState, Snapshot, gates};
use crate::domain::policy::QueuePolicy;
use crate::domain::units::format_size;
use crate::store::Queue;

/// 429 with the remedy, and when to try again: when one more message is likely to have left.
pub(super) fn full(what: Full, queue: &Queue, now_ms: Option<u64>) -> Problem {
    let after_s = retry_after_s(pace(queue), held_ms(&queue.policy, now_ms));
    let detail = format!(
        "{}; the message was not stored: try again in {after_s} s, or raise the queue's backlog",
        reason(what, &queue.policy)
    );
    Problem::new(Code::BacklogFull, detail).retry_after(after_s)
}

fn reason(what: Full, policy: &QueuePolicy) -> String {
    let name = &policy.name;
    let full = format!("the backlog of the queue \"{name}\" is full");
    let Some(backlog) = &policy.backlog else { return full };
    let most = match (what, backlog.messages_max, backlog.bytes_max, &backlog.per_key) {
        (Full::Messages, Some(most), ..) => format!("max_messages = {most}"),
        (Full::Bytes, _, Some(most), _) => format!("max_bytes = \"{}\"", format_size(most)),
        (Full::Key, _, _, Some(per_key)) => {
            let (key, most) = (&per_key.key, per_key.messages_max);
            return format!(
                "the queue \"{name}\" has as many messages with this value of {key} as it may have (max_messages_per_key = {most})"
            );
        }
        // A reload has changed it since.
        _ => return full,
    };
    format!("{full} ({most})")
}

/// Messages a second that leave: as this node has seen it, and not more than a rate of the queue allows.
fn pace(queue: &Queue) -> Option<f64> {
    let rates = queue.policy.rates().map(|limit| 1e6 / limit.period_us());
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
