//! Answers of a daemon, whole: a test says only what it is about, the rest is filled in.
//!
//! Each is read and written by its struct of `wire`, so that a test cannot give an answer that no daemon gives.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::wire::action::{ActionList, ActionView};
use crate::wire::doctor::{DoctorAnswer, FindingView};
use crate::wire::exchange::ExchangeView;
use crate::wire::limit::LimitView;
use crate::wire::message::{MessageList, MessageView};
use crate::wire::node::{NodeList, NodeView};
use crate::wire::operation::OperationView;
use crate::wire::problem::{BatchAnswer, ProblemView};
use crate::wire::queue::{QueueList, QueueView};
use crate::wire::schedule::WholeScheduleView;
use crate::wire::topic::{EventAnswer, TopicView};
use crate::wire::window::WindowsAnswer;

/// `filled` with the fields of `given` in the place of its own; both are objects.
fn answer<T: Serialize + DeserializeOwned>(mut filled: Value, given: &Value) -> Value {
    for (name, value) in given.as_object().unwrap() {
        filled[name] = value.clone();
    }
    // By way of its text, as it comes: what is kept as it is written is not read from a value.
    let read: T = serde_json::from_str(&filled.to_string())
        .unwrap_or_else(|error| panic!("no daemon answers {filled}: {error}"));
    assert_eq!(serde_json::to_value(read).unwrap(), filled, "no daemon has such fields");
    filled
}

/// A schedule with the message that it sends.
pub(crate) fn schedule(given: &Value) -> Value {
    let filled = json!({
        "name": "n", "source": "api", "queue": "sms", "description": "in words", "catch_up": "one",
        "paused": null, "next": [], "last": null, "overdue": null, "fired": 0, "missed": 0,
        "content_type": null, "headers": {}, "labels": {}, "group": null, "priority": 0, "cost": 1, "ttl": null,
        "retry": null,
    });
    answer::<WholeScheduleView>(filled, given)
}

/// A queue; the parts that are objects are filled in too.
pub(crate) fn queue(given: &Value) -> Value {
    let filled = json!({
        "name": "sms", "retired": false, "policy": {},
        "counts": {"scheduled": 0, "ready": 0, "leased": 0, "uncertain": 0, "accepted": 0,
            "delivered": 0, "dead": 0, "expired": 0, "cancelled": 0},
        "kept_bytes": null, "oldest_ready_age_ms": null, "next_due_at": null, "paused": null,
        "window": null, "rate": {"configured": null, "observed_1m": 0.0},
        "limits": [], "backlog": null, "keys": 0, "structure": null, "gate": {"open": true, "until": null, "kind": null, "reason": null},
        "sending": {"state": "open", "reason": "Messages are sent when they are due.",
            "since": null, "until": null},
        "failing": null, "durability": "disk", "overrides": [],
    });
    let given = with_parts(
        &filled,
        given,
        &[
            ("paused", json!({"until": null, "reason": "", "by": "anonymous"})),
            ("window", json!({"open": true, "closes_at": null, "opens_at": null})),
        ],
    );
    answer::<QueueView>(filled, &given)
}

/// A limit of a queue.
pub(crate) fn limit(given: &Value) -> Value {
    let filled = json!({
        "name": "rate", "kind": "rate", "value": "20/s", "per": null, "shared": false, "used": null,
        "left": null, "resets_at": null, "next_at": null, "held_keys": 0,
    });
    answer::<LimitView>(filled, given)
}

/// Queues.
pub(crate) fn queues(queues: &[Value]) -> Value {
    answer::<QueueList>(json!({ "queues": queues }), &json!({}))
}

/// The openings of a window.
pub(crate) fn windows(time_zone: &str, windows: &Value) -> Value {
    let nothing = json!([]);
    let whole = json!({ "time_zone": time_zone, "windows": windows, "dates": nothing, "clock_changes": nothing });
    answer::<WindowsAnswer>(whole, &json!({}))
}

/// A refusal.
pub(crate) fn problem(status: u16, given: &Value) -> Value {
    let kind = format!("urn:tidegate:problem:{}", given["code"].as_str().unwrap());
    let filled = json!({ "type": kind, "title": "in words", "status": status });
    answer::<ProblemView>(filled, given)
}

/// What became of a batch.
pub(crate) fn batch(results: &Value) -> Value {
    let results = results.as_array().unwrap();
    let rejected = results.iter().filter(|result| result["problem"].is_object()).count();
    let counts = json!({ "accepted": results.len() - rejected, "rejected": rejected });
    answer::<BatchAnswer>(counts, &json!({ "results": results }))
}

/// What came of an event.
pub(crate) fn event(messages: &Value) -> Value {
    answer::<EventAnswer>(json!({ "id": "paid_01", "messages": messages }), &json!({}))
}

/// A topic.
pub(crate) fn topic(given: &Value) -> Value {
    let filled = json!({
        "topic": "paid", "queues": ["sms"], "retired": false, "pending": 0,
        "oldest_pending_age_ms": null, "waits_for": [],
    });
    answer::<TopicView>(filled, given)
}

/// `filled` with the parts of `given` laid over its own, or over these; what else is given.
fn with_parts(filled: &Value, given: &Value, parts: &[(&str, Value)]) -> Value {
    let mut given = given.clone();
    for (name, part) in given.as_object_mut().unwrap() {
        let own = parts.iter().find(|(known, _)| known == name).map(|(_, part)| part.clone());
        let own = own.or_else(|| filled.get(name).filter(|own| own.is_object()).cloned());
        let (Some(Value::Object(mut own)), Some(within)) = (own, part.as_object()) else {
            continue;
        };
        own.extend(within.clone());
        *part = own.into();
    }
    given
}

/// A page of one action.
pub(crate) fn actions(given: &Value) -> Value {
    let filled = json!({
        "id": "1", "at": "2026-11-21T08:00:00.000Z", "by": "anonymous", "user": null, "action": "pause",
        "on": "sms", "reason": null, "detail": {}, "outcome": { "done": true, "status": 200, "made": null },
    });
    let action = answer::<ActionView>(filled, given);
    answer::<ActionList>(json!({ "actions": [action], "next_cursor": null }), &json!({}))
}

/// A node.
pub(crate) fn node(given: &Value) -> Value {
    const AT: &str = "2026-11-21T08:00:00.000Z";
    let filled = json!({
        "id": "A", "host": "web1", "pid": 41, "version": "0.1.0", "listen": "127.0.0.1:7411",
        "config_hash": "x", "queues": 3, "slots": 160, "in_flight": 2, "record_version": 3, "follows": [],
        "started_at": AT, "seen_at": AT,
    });
    answer::<NodeView>(filled, given)
}

/// Nodes; the last one answers.
pub(crate) fn nodes(nodes: &[Value]) -> Value {
    let agrees = nodes.windows(2).all(|pair| pair[0]["config_hash"] == pair[1]["config_hash"]);
    let own = nodes.last().map_or(json!(""), |node| node["id"].clone());
    let filled = json!({ "nodes": nodes, "config_agrees": agrees, "answered_by": own });
    answer::<NodeList>(filled, &json!({}))
}

/// A finding of `doctor`.
pub(crate) fn finding(given: &Value) -> Value {
    let filled = json!({
        "code": "paused", "queue": null, "weight": "problem", "about": "store", "detail": "it is wrong",
        "remedy": "mend it", "runbook": null, "at": null,
    });
    answer::<FindingView>(filled, given)
}

/// What the daemon finds wrong.
pub(crate) fn doctor(findings: &[Value]) -> Value {
    answer::<DoctorAnswer>(json!({ "findings": findings, "store": null }), &json!({}))
}

/// An operation.
pub(crate) fn operation(given: &Value) -> Value {
    let filled = json!({
        "id": "op_1", "state": "done", "action": "cancel", "queue": "sms", "message_state": "ready",
        "filter": null, "to": null, "due_at": null, "rate": null, "dry_run": false, "reason": "",
        "by": "anonymous", "started_at": "2026-11-21T08:00:00.000Z", "ended_at": null, "seen": 0, "matched": 0,
        "done": 0, "skipped": 0, "remaining": 0, "sample": [], "node": null, "stopping": false,
        "stopped_by": null, "trouble": null,
    });
    answer::<OperationView>(filled, given)
}

/// A message; its last attempt and its probe are filled in too.
pub(crate) fn message(given: &Value) -> Value {
    const AT: &str = "2026-11-21T08:00:00.000Z";
    let filled = json!({
        "id": "sms_01", "queue": "sms", "state": "ready", "content_type": "application/json",
        "created_at": AT, "due_at": AT, "expires_at": null, "priority": 0, "cost": 1, "group": null, "labels": {},
        "idempotency_key": null, "attempts": 0, "throttles": 0, "window_holds": 0, "waited": null, "rescues": 0,
        "next_attempt_at": null, "last_attempt": null, "final_at": null, "reason": null, "result": null,
        "held_by": [], "blocked_by": [],
    });
    let given = with_parts(
        &filled,
        given,
        &[
            (
                "last_attempt",
                json!({ "attempt": 1, "started_at": AT, "ended_at": AT, "outcome": "retry",
                    "status_code": null, "error": null }),
            ),
            (
                "probe",
                json!({ "attempts": 0, "last_at": null, "status_code": null, "error": null,
                    "next_at": null }),
            ),
        ],
    );
    answer::<MessageView<'static>>(filled, &given)
}

/// The same, read.
pub(crate) fn message_view(given: &Value) -> MessageView<'static> {
    // By way of its text: the payload is kept as it is written.
    serde_json::from_str(&message(given).to_string()).unwrap()
}

/// A page of messages.
pub(crate) fn messages(messages: &[Value], next_cursor: &Value) -> Value {
    let count = messages.len();
    let page =
        json!({ "messages": messages, "next_cursor": next_cursor, "looked": count, "of": count });
    answer::<MessageList<'static>>(page, &json!({}))
}

/// A test call that came to this.
pub(crate) fn exchange(outcome: &str, answered: &Value) -> Value {
    let filled = json!({
        "request": {"method": "POST", "url": "http://d/x", "headers": {"webhook-id": "test"}, "body": "{}"},
        "answer": answered, "outcome": outcome, "duration_ms": 132,
        "decision": {"rule": null, "as": null, "ref": null, "detail": null, "unreadable": null},
    });
    answer::<ExchangeView<'static>>(filled, &json!({}))
}
