//! Whether a queue sends, as the tables show it.
//!
//! Owns the words for a shut gate and for a downstream that fails. Pure: a queue's view comes in.

use super::plain::plain;
use super::times::{Times, span};
use crate::domain::time::rfc3339;
use crate::wire::limit::LimitView;
use crate::wire::queue::{QueueView, SendingState, SendingView};

/// A queue's place in the column SENDING.
pub(crate) fn cell(queue: &QueueView, times: &Times) -> String {
    let sending = &queue.sending;
    let until = sending.until.map(|at| at.0);
    let Some(state) = sending.state.known() else { return plain(sending.state.as_str()) };
    match state {
        SendingState::Paused => {
            let until = until.map_or_else(String::new, |at| format!(" until {}", times.at(at)));
            let why = queue.paused.as_ref().map(|paused| plain(&paused.reason));
            let why = match why.as_deref() {
                None | Some("") if queue.retired => " (not in the configuration)".to_owned(),
                None | Some("") => String::new(),
                Some(why) => format!(" ({why})"),
            };
            format!("paused{until}{why}")
        }
        SendingState::Shut => {
            let until =
                until.map_or_else(String::new, |at| format!(", opens {}", times.distance(at)));
            let reason = queue.gate.reason.as_deref().map(plain).unwrap_or_default();
            format!("shut{until}: {reason}")
        }
        SendingState::Closed => match until {
            Some(at) => format!("closed, opens {}", times.distance(at)),
            None => "closed, never opens".to_owned(),
        },
        SendingState::Failing => match &queue.failing {
            Some(failing) => {
                let length = span(times.now_ms.saturating_sub(failing.since.0));
                format!("failing for {length}: {}", plain(&failing.last_error))
            }
            None => "failing".to_owned(),
        },
        SendingState::Open => {
            let closes = until.map(|at| format!(", closes {}", times.distance(at)));
            let used = used_up(queue).map(|(limit, at)| {
                format!(
                    ", limit {} used up, begins again {}",
                    plain(&limit.name),
                    times.distance(at)
                )
            });
            format!("open{}{}", closes.unwrap_or_default(), used.unwrap_or_default())
        }
    }
}

/// The used-up limit for which messages wait longest, and when it begins again.
fn used_up(queue: &QueueView) -> Option<(&LimitView, u64)> {
    let used = queue.limits.iter().filter(|limit| limit.left == Some(0) && limit.held_keys > 0);
    let each = used.filter_map(|limit| Some((limit, limit.resets_at?.0)));
    each.max_by_key(|(_, at)| *at)
}

/// The sentence on whether a queue sends, its moments as all others.
pub(crate) fn why_of(queue: &QueueView, times: &Times) -> String {
    let reason = why(&queue.sending, times);
    match used_up(queue) {
        Some((_, at)) => {
            let shown = format!("{} ({})", times.at(at), times.distance(at));
            reason.replace(&rfc3339(at), &shown)
        }
        None => reason,
    }
}

/// The same of what is known beside its limits.
pub(crate) fn why(sending: &SendingView, times: &Times) -> String {
    let reason = plain(&sending.reason);
    match sending.until {
        Some(at) => reason.replace(&rfc3339(at.0), &times.at(at.0)),
        None => reason,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::tests::answers::{limit, queue as queue_answer};

    #[test]
    fn the_cell_names_the_reason() {
        let times = Times { now_ms: 1_795_251_600_000, zone: None }; // 2026-11-21T09:00:00Z
        let at = "2026-11-21T09:05:00.000Z";
        for (queue, text) in [
            (json!({"sending": {"state": "open"}}), "open"),
            (json!({"sending": {"state": "open", "until": at}}), "open, closes in 5m"),
            (json!({"sending": {"state": "closed", "until": at}}), "closed, opens in 5m"),
            (
                json!({"sending": {"state": "paused", "until": at}, "paused": {"until": at, "reason": "deploy"}}),
                "paused until 2026-11-21 09:05:00 UTC (deploy)",
            ),
            (
                json!({"sending": {"state": "paused"}, "retired": true}),
                "paused (not in the configuration)",
            ),
            (
                json!({"sending": {"state": "shut", "until": at}, "gate": {"reason": "status 401: no"}}),
                "shut, opens in 5m: status 401: no",
            ),
            (
                json!({"sending": {"state": "failing"},
                    "failing": {"since": "2026-11-21T08:58:00.000Z", "attempts": 3, "last_error": "connection refused"}}),
                "failing for 2m: connection refused",
            ),
            (json!({"sending": {"state": "resting"}}), "resting"),
            (
                json!({"sending": {"state": "open", "reason": "Its limit \"contract\" is used up until 2026-11-21T09:05:00.000Z."},
                    "limits": [limit(&json!({"name": "contract", "kind": "quota", "used": 5, "left": 0,
                        "resets_at": at, "next_at": null, "held_keys": 1}))]}),
                "open, limit contract used up, begins again in 5m",
            ),
        ] {
            let queue: QueueView = serde_json::from_value(queue_answer(&queue)).unwrap();
            assert_eq!(cell(&queue, &times), text);
            if text.contains("contract") {
                let why = why_of(&queue, &times);
                assert!(
                    why.ends_with("is used up until 2026-11-21 09:05:00 UTC (in 5m)."),
                    "{why}"
                );
            }
        }
    }
}
