//! Answers of a daemon, whole: a test says only what it is about, the rest is filled in.
//!
//! Each is read and written by its struct of `wire`, so that a test cannot give an answer that no daemon gives.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::wire::schedule::WholeScheduleView;

/// `filled` with the fields of `given` in the place of its own; both are objects.
fn answer<T: Serialize + DeserializeOwned>(mut filled: Value, given: &Value) -> Value {
    for (name, value) in given.as_object().unwrap() {
        filled[name] = value.clone();
    }
    let read: T = serde_json::from_value(filled.clone())
        .unwrap_or_else(|error| panic!("no daemon answers {filled}: {error}"));
    assert_eq!(serde_json::to_value(read).unwrap(), filled, "no daemon has such fields");
    filled
}

/// A schedule with the message that it sends.
pub(crate) fn schedule(given: &Value) -> Value {
    let filled = json!({
        "name": "n", "source": "api", "queue": "sms", "description": "in words", "catch_up": "one",
        "paused": null, "next": [], "last": null, "overdue": null, "fired": 0, "missed": 0,
        "content_type": null, "headers": {}, "labels": {}, "group": null, "priority": 0, "ttl": null,
        "retry": null,
    });
    answer::<WholeScheduleView>(filled, given)
}
