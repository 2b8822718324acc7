//! Answers of a daemon, whole: a test says only what it is about, the rest is filled in.
//!
//! Each is read and written by its struct of `wire`, so that a test cannot give an answer that no daemon gives.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::wire::exchange::ExchangeView;
use crate::wire::message::{MessageList, MessageView};
use crate::wire::schedule::WholeScheduleView;

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

/// A message; its last attempt and its probe are filled in too.
pub(crate) fn message(given: &Value) -> Value {
    const AT: &str = "2026-11-21T08:00:00.000Z";
    let mut filled = json!({
        "id": "sms_01", "queue": "sms", "state": "ready", "content_type": "application/json",
        "created_at": AT, "due_at": AT, "expires_at": null, "priority": 0, "cost": 1, "group": null, "labels": {},
        "idempotency_key": null, "attempts": 0, "throttles": 0, "window_holds": 0, "rescues": 0,
        "next_attempt_at": null, "last_attempt": null, "final_at": null, "reason": null, "result": null,
        "held_by": [],
    });
    let mut given = given.clone();
    for (name, parts) in [
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
    ] {
        let Some(part) = given.get(name).filter(|part| part.is_object()).cloned() else { continue };
        filled[name] = parts;
        for (name_within, value) in part.as_object().unwrap() {
            filled[name][name_within] = value.clone();
        }
        given.as_object_mut().unwrap().remove(name);
    }
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
    });
    answer::<ExchangeView<'static>>(filled, &json!({}))
}
