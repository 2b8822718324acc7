//! A message in words: one sentence on what holds it, and its fields.
//!
//! Owns the English. Refuses to ask anybody: the message and the time are handed in.

use serde_json::Value;

use super::plain::plain;
use super::times::{Times, of_answer, span};

/// What each gate is waited for as, in the order in which gates are named.
const GATES: [(&str, &str); 7] = [
    ("pause", "its queue to be resumed"),
    ("window", "its window"),
    ("throttled", "the downstream, which asked for a pause or turned us away"),
    ("limit", "its turn under the limit"),
    ("concurrency", "a free slot at the downstream"),
    ("batch", "company in its batch"),
    ("due", "its due time"),
];

/// The names under which fields are shown, in this order; fields not named here follow.
const FIELDS: [(&str, &str); 22] = [
    ("id", "id"),
    ("queue", "queue"),
    ("state", "state"),
    ("held_by", "held by"),
    ("created_at", "created"),
    ("due_at", "due"),
    ("next_attempt_at", "next attempt"),
    ("expires_at", "expires"),
    ("final_at", "final"),
    ("attempts", "attempts"),
    ("throttles", "throttles"),
    ("window_holds", "window holds"),
    ("last_attempt", "last attempt"),
    ("failing", "downstream failing"),
    ("result", "result"),
    ("priority", "priority"),
    ("group", "group"),
    ("labels", "labels"),
    ("idempotency_key", "idempotency key"),
    ("content_type", "content type"),
    ("headers", "headers"),
    ("payload", "payload"),
];

/// One sentence: where the message stands and what holds it there.
pub(crate) fn sentence(message: &Value, times: &Times) -> String {
    let attempts = message["attempts"].as_u64().unwrap_or(0);
    let final_at = of_answer(&message["final_at"]);
    let ago = final_at.map_or_else(String::new, |at| format!(" {}", times.distance(at)));
    match message["state"].as_str().unwrap_or_default() {
        "scheduled" => scheduled(message, attempts, times),
        "ready" => format!("{}{}", trouble(message, attempts, times), ready(message)),
        "leased" => format!("Being sent: attempt {}", attempts.max(1)),
        "uncertain" => uncertain(message, times),
        "accepted" => {
            let since = of_answer(&message["accepted_at"]);
            let since = since.map_or_else(String::new, |at| format!(" {}", times.distance(at)));
            let name = message["ref"].as_str();
            let name = name.map_or_else(String::new, |name| format!(" as {}", plain(name)));
            format!("Accepted by the downstream{since}{name}: its receipt is awaited")
        }
        "delivered" => format!("Delivered{ago} after {}", count(attempts, "attempt")),
        "dead" => {
            let why = reason(message).map_or_else(String::new, |why| format!(": {why}"));
            let edited = match message["edited"].as_bool() {
                Some(true) => "; its payload has been edited",
                Some(false) | None => "",
            };
            format!("Dead{ago} after {}{why}{edited}", count(attempts, "attempt"))
        }
        "expired" => format!("Expired{ago}: its time ran out before it was sent"),
        "cancelled" => format!("Cancelled{ago}"),
        other => format!("In state {}", plain(other)),
    }
}

fn scheduled(message: &Value, attempts: u64, times: &Times) -> String {
    let when = due_ms(message).map_or_else(
        || "its due time".to_owned(),
        |at| format!("due {} ({})", times.distance(at), times.at(at)),
    );
    if attempts == 0 {
        return format!("Waiting: {when}");
    }
    let why =
        reason(message).map_or_else(String::new, |why| format!("; the last one failed: {why}"));
    let failing = match failing(&message["failing"], times) {
        Some(failing) => format!("; its downstream is failing: {failing}"),
        None => String::new(),
    };
    format!("Waiting for attempt {}: {when}{why}{failing}", attempts + 1)
}

/// What went wrong so far, ahead of what a ready message waits for: mostly that is why it is late.
fn trouble(message: &Value, attempts: u64, times: &Times) -> String {
    let last = reason(message).filter(|_| attempts > 0);
    let last = last.map(|why| format!("Its last attempt failed: {why}. "));
    let failing = failing(&message["failing"], times);
    let failing = failing.map(|failing| format!("Its downstream is failing: {failing}. "));
    last.into_iter().chain(failing).collect()
}

/// `failing` of a message or a queue, in words; `None` where the downstream is not failing.
fn failing(failing: &Value, times: &Times) -> Option<String> {
    let attempts = count(failing["attempts"].as_u64()?, "attempt");
    let since = of_answer(&failing["since"])
        .map_or_else(String::new, |at| format!(" since {}", times.at(at)));
    let error = word(&failing["last_error"]);
    Some(format!("{attempts} in a row{since}, the last error: {error}"))
}

/// Either the downstream is still being asked, or somebody has to decide.
fn uncertain(message: &Value, times: &Times) -> String {
    const DOUBT: &str = "Uncertain: the attempt may or may not have arrived";
    let probe = &message["probe"];
    let asked = probe["attempts"].as_u64().unwrap_or(0);
    let said =
        probe["error"].as_str().map_or_else(String::new, |said| format!(" ({})", plain(said)));
    let so_far = match asked {
        0 => String::new(),
        _ => format!("; {} could not tell{said}", count(asked, "probe")),
    };
    match of_answer(&probe["next_at"]) {
        Some(at) => {
            format!(
                "{DOUBT}{so_far}; the downstream is asked {} ({})",
                times.distance(at),
                times.at(at)
            )
        }
        None => format!(
            "{DOUBT}{so_far}; ask the downstream, then `tidegate resolve ID --as delivered`, `resend` or `dead`"
        ),
    }
}

fn ready(message: &Value) -> String {
    match waits_for(gates(message)) {
        None => "Ready: next in line".to_owned(),
        Some(what) => format!("Waiting for {what}"),
    }
}

/// What messages behind these gates wait for.
fn waits_for(held_by: Vec<String>) -> Option<String> {
    let known = GATES.iter().filter(|(gate, _)| held_by.iter().any(|held| held == gate));
    let mut words: Vec<String> = known.map(|(_, words)| (*words).to_owned()).collect();
    words.extend(held_by.into_iter().filter(|held| GATES.iter().all(|(gate, _)| held != gate)));
    (!words.is_empty()).then(|| words.join(", and for "))
}

/// What keeps a whole queue from sending, for a message that somebody wants to be sent now.
pub(crate) fn held_with_its_queue(message: &Value) -> Option<String> {
    let mut held_by = gates(message);
    held_by.retain(|gate| ["pause", "window", "throttled"].contains(&gate.as_str()));
    waits_for(held_by)
}

/// `held_by`, as the names of gates.
pub(crate) fn gates(message: &Value) -> Vec<String> {
    let held_by = message["held_by"].as_array().map(Vec::as_slice).unwrap_or_default();
    held_by.iter().filter_map(|gate| gate.as_str().map(plain)).collect()
}

/// The moment of the next attempt.
pub(crate) fn due_ms(message: &Value) -> Option<u64> {
    of_answer(&message["next_attempt_at"]).or_else(|| of_answer(&message["due_at"]))
}

/// Why the last attempt failed, or why the message was given up.
pub(crate) fn reason(message: &Value) -> Option<String> {
    let given = ["reason", "error"].iter().find_map(|key| message[key].as_str().map(plain));
    let last = &message["last_attempt"];
    let status = last["status_code"].as_u64().map(|status| format!("status {status}"));
    let error = last["error"].as_str().map(plain).filter(|error| !error.is_empty());
    let attempt = match (status, error) {
        (Some(status), Some(error)) if error.contains(status.trim_start_matches("status ")) => {
            Some(error)
        }
        (Some(status), Some(error)) => Some(format!("{status}, {error}")),
        (status, error) => error.or(status),
    };
    match (given, attempt) {
        (Some(given), Some(attempt)) if !given.contains(&attempt) => {
            Some(format!("{given} ({attempt})"))
        }
        (given, attempt) => given.or(attempt),
    }
}

/// The fields that say something, named and worded.
pub(crate) fn fields(message: &Value, times: &Times) -> Vec<(String, String)> {
    let Some(fields) = message.as_object() else { return Vec::new() };
    let named = FIELDS.iter().filter_map(|(key, name)| Some((*key, *name, fields.get(*key)?)));
    let others = fields
        .iter()
        .filter(|(key, _)| FIELDS.iter().all(|(known, _)| known != key))
        .map(|(key, value)| (key.as_str(), key.as_str(), value));
    named
        .chain(others)
        .map(|(key, name, value)| (name.to_owned(), field(key, value, times)))
        .filter(|(_, text)| !text.is_empty())
        .collect()
}

pub(crate) fn field(key: &str, value: &Value, times: &Times) -> String {
    match key {
        "payload" => value.to_string(),
        "filter" | "probe" => members(value, times),
        "last_attempt" => attempt(value, times),
        "failing" => failing(value, times).unwrap_or_default(),
        // What nearly every message has says nothing.
        "throttles" | "window_holds" | "rescues" | "priority" if *value == 0 => String::new(),
        _ if is_moment(key) => {
            of_answer(value).map_or_else(|| word(value), |at| times.at_and_distance(at))
        }
        _ => word(value),
    }
}

fn attempt(value: &Value, times: &Times) -> String {
    let Some(_) = value.as_object() else { return String::new() };
    let (began, ended) = (of_answer(&value["started_at"]), of_answer(&value["ended_at"]));
    let mut parts = vec![word(&value["outcome"])];
    let error = word(&value["error"]);
    let status = value["status_code"].as_u64().map(|status| format!("status {status}"));
    parts.extend(status.filter(|status| !error.starts_with(status)));
    parts.push(error);
    parts.extend(began.map(|at| format!("at {}", times.at(at))));
    if let (Some(from), Some(to)) = (began, ended) {
        parts.push(format!("took {}", span(to.saturating_sub(from))));
    }
    parts.retain(|part| !part.is_empty());
    parts.join(", ")
}

/// Whether the API keeps a moment under this name; never a name that somebody else chose.
fn is_moment(key: &str) -> bool {
    ["_at", "_after", "_before"].iter().any(|end| key.ends_with(end))
}

/// An object of the API in a line, its moments as all others.
fn members(value: &Value, times: &Times) -> String {
    let Some(fields) = value.as_object() else { return word(value) };
    let shown = fields.iter().map(|(name, value)| (name, field(name, value, times)));
    let shown: Vec<_> = shown
        .filter(|(_, text)| !text.is_empty())
        .map(|(name, text)| format!("{name}={text}"))
        .collect();
    shown.join(", ")
}

/// Any value in a line: `a, b` for lists, `name=value` for objects, nothing for null.
pub(crate) fn word(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => plain(text),
        Value::Array(items) => items.iter().map(word).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => {
            let shown = fields.iter().map(|(name, value)| (name, word(value)));
            let shown: Vec<_> = shown
                .filter(|(_, text)| !text.is_empty())
                .map(|(name, text)| format!("{}={text}", plain(name)))
                .collect();
            shown.join(", ")
        }
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// `1 attempt`, `2 attempts`.
pub(crate) fn count(n: u64, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// At 2026-11-21T09:00:00Z.
    fn times() -> Times {
        Times { now_ms: 1_795_251_600_000, zone: None }
    }

    #[test]
    fn each_state_has_its_sentence() {
        for (message, text) in [
            (
                json!({"state": "scheduled", "due_at": "2026-11-21T12:12:00.000Z", "attempts": 0}),
                "Waiting: due in 3h 12m (2026-11-21 12:12:00 UTC)",
            ),
            (
                json!({"state": "scheduled", "next_attempt_at": "2026-11-21T09:00:05.000Z", "attempts": 2,
                    "last_attempt": {"status_code": 500, "error": "it broke"}}),
                "Waiting for attempt 3: due in 5s (2026-11-21 09:00:05 UTC); the last one failed: status 500, it broke",
            ),
            (json!({"state": "ready", "held_by": ["window"]}), "Waiting for its window"),
            (
                json!({"state": "ready", "held_by": ["limit", "pause"]}),
                "Waiting for its queue to be resumed, and for its turn under the limit",
            ),
            (json!({"state": "ready", "held_by": ["tide"]}), "Waiting for tide"),
            (
                json!({"state": "ready", "held_by": ["limit"], "attempts": 2,
                    "last_attempt": {"status_code": 503, "error": "status 503: down"},
                    "failing": {"since": "2026-11-21T08:00:00.000Z", "attempts": 1500, "last_error": "timed out"}}),
                "Its last attempt failed: status 503: down. Its downstream is failing: 1500 attempts in a row since \
                 2026-11-21 08:00:00 UTC, the last error: timed out. Waiting for its turn under the limit",
            ),
            (
                json!({"state": "scheduled", "next_attempt_at": "2026-11-21T09:00:05.000Z", "attempts": 1,
                    "last_attempt": {"status_code": 500, "error": null},
                    "failing": {"since": "2026-11-21T08:00:00.000Z", "attempts": 3, "last_error": "status 500"}}),
                "Waiting for attempt 2: due in 5s (2026-11-21 09:00:05 UTC); the last one failed: status 500; its \
                 downstream is failing: 3 attempts in a row since 2026-11-21 08:00:00 UTC, the last error: status 500",
            ),
            (json!({"state": "ready", "held_by": []}), "Ready: next in line"),
            (json!({"state": "leased", "attempts": 2}), "Being sent: attempt 2"),
            (
                json!({"state": "delivered", "attempts": 2, "final_at": "2026-11-21T08:59:55.000Z"}),
                "Delivered 5s ago after 2 attempts",
            ),
            (
                json!({"state": "dead", "attempts": 1, "last_attempt": {"status_code": 422, "error": "answered 422"}}),
                "Dead after 1 attempt: answered 422",
            ),
            (
                json!({"state": "dead", "attempts": 1, "edited": true, "last_attempt": {"error": "answered 422"}}),
                "Dead after 1 attempt: answered 422; its payload has been edited",
            ),
            (json!({"state": "cancelled"}), "Cancelled"),
            (
                json!({"state": "accepted", "ref": "A-7", "accepted_at": "2026-11-21T08:59:00.000Z"}),
                "Accepted by the downstream 1m ago as A-7: its receipt is awaited",
            ),
            (
                json!({"state": "uncertain"}),
                "Uncertain: the attempt may or may not have arrived; ask the downstream, then `tidegate resolve ID --as delivered`, `resend` or `dead`",
            ),
            (
                json!({"state": "uncertain", "probe": {"attempts": 0, "next_at": "2026-11-21T09:00:05.000Z"}}),
                "Uncertain: the attempt may or may not have arrived; the downstream is asked in 5s (2026-11-21 09:00:05 UTC)",
            ),
            (
                json!({"state": "uncertain", "probe": {"attempts": 2, "error": "status 500", "next_at": null}}),
                "Uncertain: the attempt may or may not have arrived; 2 probes could not tell (status 500); ask the downstream, then `tidegate resolve ID --as delivered`, `resend` or `dead`",
            ),
        ] {
            assert_eq!(sentence(&message, &times()), text);
        }
    }

    #[test]
    fn fields_without_a_value_are_left_out_and_unknown_ones_follow() {
        let message = json!({"state": "ready", "group": null, "priority": 0, "throttles": 2, "window_holds": 0,
            "rescues": 0, "labels": {"shop": "7", "eu": "yes"},
            "payload": {"a": "b"}, "surprise": 1, "due_at": "2026-11-21T08:00:00.000Z",
            "last_attempt": {"outcome": "retry", "status_code": 503, "error": null,
                "started_at": "2026-11-21T08:00:00.000Z", "ended_at": "2026-11-21T08:00:00.350Z"}});
        let shown: Vec<_> =
            fields(&message, &times()).into_iter().map(|(n, v)| format!("{n}: {v}")).collect();
        assert_eq!(
            shown,
            [
                "state: ready",
                "due: 2026-11-21 08:00:00 UTC (1h ago)",
                "throttles: 2",
                "last attempt: retry, status 503, at 2026-11-21 08:00:00 UTC, took 350ms",
                "labels: eu=yes, shop=7",
                "payload: {\"a\":\"b\"}",
                "surprise: 1",
            ]
        );
    }
}
