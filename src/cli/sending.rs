//! Whether a queue sends, as the tables show it, and what `doctor` finds in it.
//!
//! Owns the words for a shut gate and for a downstream that fails. Pure: a queue's view comes in.

use serde_json::Value;

use super::describe::{count, word};
use super::finding::Finding;
use super::plain::plain;
use super::times::{Times, of_answer, span};
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

/// Whether nothing keeps it from sending.
pub(crate) fn is_open(queue: &Value) -> bool {
    matches!(queue["sending"]["state"].as_str(), None | Some("open"))
}

/// What is wrong at the downstream, in `doctor`'s words. A pause does not hide it.
pub(crate) fn findings(name: &str, queue: &Value, times: &Times) -> Vec<Finding> {
    let mut findings = Vec::new();
    if queue["gate"]["open"] == false {
        findings.push(shut(name, &queue["gate"], times));
    }
    if queue["failing"].is_object() {
        findings.push(failing(name, queue, times));
    }
    findings
}

fn shut(name: &str, gate: &Value, times: &Times) -> Finding {
    let reason = word(&gate["reason"]);
    let until =
        of_answer(&gate["until"]).map_or_else(String::new, |at| format!(" until {}", times.at(at)));
    if gate["kind"] == "throttle" {
        return Finding::problem(
            name,
            format!("its gate is shut{until}: the downstream asks for fewer calls ({reason})"),
            format!(
                "it opens by itself; lower the queue's rate if this happens often; `tidegate resume {name}` opens it at once"
            ),
        )
        .section("TidegateGateShut");
    }
    Finding::problem(
        name,
        format!(
            "its gate is shut{until}: the downstream refuses our credentials or our address ({reason})"
        ),
        format!(
            "correct downstream.url or downstream.headers and reload; `tidegate try {name}` makes one test call; `tidegate resume {name}` opens the gate at once"
        ),
    )
    .section("TidegateGateShut")
}

fn failing(name: &str, queue: &Value, times: &Times) -> Finding {
    let failing = &queue["failing"];
    let attempts = count(failing["attempts"].as_u64().unwrap_or(0), "attempt");
    let since = of_answer(&failing["since"])
        .map_or_else(String::new, |at| format!(" since {}", times.at(at)));
    Finding::problem(
        name,
        format!(
            "its downstream is failing{since}: {attempts} in a row got no answer, 408 or 5xx; the last error: {}",
            word(&failing["last_error"])
        ),
        format!(
            "messages are kept and tried again; `tidegate try {name}` makes one test call; once the downstream is back, `tidegate retry {name}` makes due at once what waits for another attempt (--rate spreads it)"
        ),
    )
    .section("TidegateDownstreamFailing")
}

/// Callback hosts that take no calls, of the node that was asked.
pub(crate) fn hosts_left_alone(name: &str, hosts: f64) -> Finding {
    Finding::problem(
        name,
        format!("callbacks fail: {hosts} of their hosts get no calls, or one at a time"),
        format!(
            "they are tried again by themselves, and callbacks are kept; the daemon's log names the hosts; `tidegate list {name} --state scheduled` shows the errors"
        ),
    )
    .section("TidegateCallbacksFail")
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

    #[test]
    fn a_shut_gate_and_a_failing_downstream_have_their_remedies() {
        let queue = json!({
            "gate": {"open": false, "kind": "alarm", "reason": "status 401: bad token", "until": null},
            "failing": {"since": "2026-11-21T08:58:00.000Z", "attempts": 4, "last_error": "timeout"},
        });
        let findings = findings("sms", &queue, &Times { now_ms: 0, zone: None });
        assert!(findings[0].what.contains("status 401: bad token"));
        assert!(findings[0].remedy.contains("`tidegate resume sms` opens the gate"));
        assert!(
            findings[1].what.contains("4 attempts in a row")
                && findings[1].what.ends_with("timeout")
        );
        assert!(findings[1].remedy.contains("`tidegate retry sms`"));
    }
}
