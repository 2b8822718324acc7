//! Whether a queue sends, as the tables show it.
//!
//! Owns the words for a shut gate and for a downstream that fails. Pure: a queue's view comes in.

use super::plain::plain;
use super::times::{Times, span};
use crate::domain::time::rfc3339;
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
        SendingState::Open => match until {
            Some(at) => format!("open, closes {}", times.distance(at)),
            None => "open".to_owned(),
        },
    }
}

/// The sentence on whether it sends, its moment as all others.
pub(crate) fn why(sending: &SendingView, times: &Times) -> String {
    let reason = plain(&sending.reason);
    match sending.until {
        Some(at) => reason.replace(&rfc3339(at.0), &times.at(at.0)),
        None => reason,
    }
}

/// The same for a message that waits behind it, with how far the end is.
pub(crate) fn hold(sending: &SendingView, times: &Times) -> String {
    let reason = why(sending, times);
    let reason = reason.trim_end_matches('.');
    match sending.until.map(|at| at.0) {
        Some(at) if reason.contains(&times.at(at)) => format!("{reason} ({})", times.distance(at)),
        Some(at) => {
            format!("{reason}; it ends by itself {} ({})", times.distance(at), times.at(at))
        }
        None => reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::tests::answers::queue as queue_answer;

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
        ] {
            let queue: QueueView = serde_json::from_value(queue_answer(&queue)).unwrap();
            assert_eq!(cell(&queue, &times), text);
        }
    }
}
