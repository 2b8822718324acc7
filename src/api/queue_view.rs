//! A queue as JSON: its policy, what is kept by state, and what its gates say now.

use serde_json::{Map, Value, json};

use super::view::Moment;
use super::{policy_view, sending};
use crate::config::Durability;
use crate::domain::gates::gates;
use crate::domain::state::State;
use crate::domain::window::WindowState;
use crate::store::{Counts, Queue};

/// The queue, as it is shown.
pub(super) fn view(
    queue: &Queue,
    counts: &Counts,
    achieved: Option<Durability>,
    now_ms: u64,
) -> Value {
    let policy = &queue.policy;
    let hours = policy.window.as_ref().map(|window| window.state(now_ms));
    let gates = gates(policy, &counts.snapshot(policy), Some(now_ms));
    let by_state: Map<String, Value> =
        State::ALL.iter().map(|state| (state.to_string(), counts.of(*state).into())).collect();
    json!({
        "name": policy.name.as_str(),
        "retired": queue.retired,
        "policy": policy_view::view(policy),
        "counts": by_state,
        "kept_bytes": counts.kept_bytes.map(|[delivered, dead]| json!({
            "delivered": delivered, "dead": dead,
        })),
        "oldest_ready_age_ms": counts.oldest_ready_age_ms,
        "next_due_at": counts.next_due_ms.map(Moment),
        "paused": counts.paused.as_ref().map(|paused| json!({
            "until": paused.until_ms.map(Moment),
            "reason": paused.reason,
            "by": paused.by,
        })),
        "window": window(hours),
        "rate": {
            "configured": policy.own_rate().map(|(rate, _)| rate.to_string()),
            "observed_1m": per_second(counts.calls_last_minute),
        },
        "gate": gate(counts),
        "sending": sending::view(queue, counts, &gates, hours),
        "failing": sending::failing(counts),
        "durability": achieved.map(Durability::as_str),
    })
}

/// The hours of the window. The gate shuts earlier, when too little of them is left for a call.
fn window(hours: Option<WindowState>) -> Value {
    match hours {
        None => Value::Null,
        Some(WindowState::Open { closes_at_ms }) => json!({
            "open": true, "closes_at": closes_at_ms.map(Moment), "opens_at": null,
        }),
        Some(WindowState::Closed { opens_at_ms }) => json!({
            "open": false, "closes_at": null, "opens_at": opens_at_ms.map(Moment),
        }),
    }
}

/// What the downstream's answers have shut.
fn gate(counts: &Counts) -> Value {
    match &counts.gate {
        None => json!({ "open": true, "until": null, "kind": null, "reason": null }),
        Some((until_ms, kind, reason)) => json!({
            "open": false, "until": Moment(*until_ms), "kind": kind, "reason": reason,
        }),
    }
}

/// Calls per second over the last minute, to two decimals.
#[expect(clippy::cast_precision_loss, reason = "a minute holds far fewer than 2^52 calls")]
fn per_second(calls_last_minute: u64) -> f64 {
    (calls_last_minute as f64 * 100.0 / 60.0).round() / 100.0
}
