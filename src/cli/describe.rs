//! A message in words: one sentence on what holds it.
//!
//! Owns the English. Refuses to ask anybody: the message and the time are handed in.

use serde_json::Value;

use super::plain::plain;
use super::times::Times;
use crate::domain::gates::Gate;
pub(crate) use crate::domain::human::count;
use crate::domain::human::why_failed;
use crate::domain::state::State;
use crate::wire::message::{FailingView, MessageView};
use crate::wire::probe::ProbeView;
use crate::wire::{GateWord, Moment};

/// What holds a newer message of a collapse key.
const OLDER: &str = "the older message of its collapse key, which is being sent or uncertain";

/// What each gate is waited for as, in the order in which gates are named.
const GATES: [(Gate, &str); 13] = [
    (Gate::Pause, "its queue to be resumed"),
    (Gate::Window, "its window"),
    (Gate::Hours, "the hours in which its recipient may be reached"),
    (Gate::Throttled, "the downstream, which asked for a pause or turned us away"),
    (Gate::Limit, "its turn under the limit"),
    (Gate::Concurrency, "a free slot at the downstream"),
    (Gate::Order, "another message, which is ahead of it under the same key"),
    (Gate::Collapse, OLDER),
    (Gate::Fairness, "the turn of its key"),
    (Gate::Batch, "company in its batch"),
    (Gate::Due, "its due time"),
    (Gate::Retry, "its next attempt"),
    (Gate::Workers, "a worker to claim it"),
];

/// One sentence: where the message stands and what holds it there.
pub(crate) fn sentence(message: &MessageView<'_>, times: &Times) -> String {
    let attempts = count(message.attempts.into(), "attempt");
    let ago = message.final_at.map(|at| format!(" {}", times.distance(at.0))).unwrap_or_default();
    let Some(state) = message.state.known() else {
        return format!("In state {}", plain(message.state.as_str()));
    };
    match state {
        State::Scheduled => scheduled(message, times),
        State::Ready => format!("{}{}", trouble(message, times), ready(message)),
        State::Leased => format!("Being sent: attempt {}", message.attempts.max(1)),
        State::Uncertain => uncertain(message.probe.as_ref(), times),
        State::Accepted => {
            let since = message.accepted_at.map(|at| format!(" {}", times.distance(at.0)));
            let name = message.reference.as_ref().map(|name| format!(" as {}", plain(name)));
            let (since, name) = (since.unwrap_or_default(), name.unwrap_or_default());
            format!("Accepted by the downstream{since}{name}: its receipt is awaited")
        }
        State::Delivered => format!("Delivered{ago} after {attempts}"),
        State::Dead => {
            let why = reason(message).map(|why| format!(": {why}")).unwrap_or_default();
            let is_edited = message.edited == Some(true);
            let edited = if is_edited { "; its payload has been edited" } else { "" };
            format!("Dead{ago} after {attempts}{why}{edited}")
        }
        State::Expired => format!("Expired{ago}: its time ran out before it was sent"),
        State::Cancelled => format!("Cancelled{ago}"),
    }
}

fn scheduled(message: &MessageView<'_>, times: &Times) -> String {
    let at_ms = due_ms(message);
    if message.held_by.iter().any(|held| held.is(Gate::Collapse)) {
        return waits_behind(message, Gate::Collapse, OLDER).unwrap_or_default();
    }
    let when = format!("due {} ({})", times.distance(at_ms), times.at(at_ms));
    if message.attempts == 0 {
        let key = message.collapse_key.as_deref().map(|key| {
            format!(
                "; until then a newer message with the collapse key {} takes its place",
                plain(key)
            )
        });
        return format!("Waiting: {when}{}", key.unwrap_or_default());
    }
    let why = reason(message).map(|why| format!("; the last one failed: {why}"));
    let failing = message.failing.as_ref().map(|it| failing(it, times));
    let failing = failing.map(|failing| format!("; its downstream is failing: {failing}"));
    let (why, failing) = (why.unwrap_or_default(), failing.unwrap_or_default());
    format!("Waiting for attempt {}: {when}{why}{failing}", message.attempts.saturating_add(1))
}

/// What went wrong so far, ahead of what a ready message waits for: mostly that is why it is late.
fn trouble(message: &MessageView<'_>, times: &Times) -> String {
    let last = reason(message).filter(|_| message.attempts > 0);
    let last = last.map(|why| format!("Its last attempt failed: {why}. "));
    let failing = message.failing.as_ref().map(|it| failing(it, times));
    let failing = failing.map(|failing| format!("Its downstream is failing: {failing}. "));
    last.into_iter().chain(failing).collect()
}

/// A downstream that is failing, in words.
pub(super) fn failing(failing: &FailingView<'_>, times: &Times) -> String {
    let attempts = count(failing.attempts, "attempt");
    let (since, error) = (times.at(failing.since.0), plain(&failing.last_error));
    format!("{attempts} in a row since {since}, the last error: {error}")
}

/// Either the downstream is still being asked, or somebody has to decide.
fn uncertain(probe: Option<&ProbeView<'_>>, times: &Times) -> String {
    const DOUBT: &str = "Uncertain: the attempt may or may not have arrived";
    let asked = probe.map_or(0, |probe| probe.attempts);
    let said = probe.and_then(|probe| probe.error.as_ref());
    let said = said.map(|said| format!(" ({})", plain(said))).unwrap_or_default();
    let so_far = match asked {
        0 => String::new(),
        _ => format!("; {} could not tell{said}", count(asked.into(), "probe")),
    };
    match probe.and_then(|probe| probe.next_at) {
        Some(Moment(at)) => {
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

fn ready(message: &MessageView<'_>) -> String {
    let who = "which is ahead of it under the same key";
    waits_behind(message, Gate::Order, who).unwrap_or_else(|| "Ready: next in line".to_owned())
}

/// What a message waits for. The message that blocks it is named, with what it is, in the place of its gate.
fn waits_behind(message: &MessageView<'_>, gate: Gate, who: &str) -> Option<String> {
    let ahead = message.blocked_by.first().map(|ahead| format!("{}, {who}", plain(&ahead.id)));
    let is_named = |held: &&GateWord| ahead.is_some() && held.is(gate);
    let others = waits_for(message.held_by.iter().filter(|held| !is_named(held)).collect());
    let all: Vec<_> = ahead.into_iter().chain(others).collect();
    (!all.is_empty()).then(|| format!("Waiting for {}", all.join(", and for ")))
}

/// What messages behind these gates wait for.
fn waits_for(held_by: Vec<&GateWord>) -> Option<String> {
    let known = GATES.iter().filter(|(gate, _)| held_by.iter().any(|held| held.is(*gate)));
    let mut words: Vec<String> = Vec::new();
    for (gate, what) in known {
        let limits = held_by.iter().filter(|held| held.is(*gate)).filter_map(|held| held.limit());
        let named: Vec<String> = limits.map(|name| format!("{what} \"{}\"", plain(name))).collect();
        words.extend(if named.is_empty() { vec![(*what).to_owned()] } else { named });
    }
    let others = held_by.into_iter().filter(|held| GATES.iter().all(|(gate, _)| !held.is(*gate)));
    words.extend(others.map(|held| plain(held.as_str())));
    (!words.is_empty()).then(|| words.join(", and for "))
}

/// The value that a message has of a key, as it is written in the configuration.
pub(crate) fn value_of<'a>(key: &str, message: &'a MessageView<'_>) -> Option<&'a str> {
    match key.strip_prefix("labels.") {
        Some(label) => message.labels.get(label).map(String::as_str),
        None => message.group.as_deref(),
    }
}

/// What goes before a message in its order, and how long that may last. `ordering`: the setting of its queue.
pub(crate) fn behind(
    message: &MessageView<'_>,
    ahead: &MessageView<'_>,
    ordering: &Value,
    times: &Times,
) -> String {
    let key = ordering["by"].as_str().unwrap_or_default();
    let of = match value_of(key, message) {
        Some(value) => format!("Both have {} = {}. ", plain(key), plain(value)),
        None => String::new(),
    };
    let stands = sentence(ahead, times);
    let next = match ordering["stall"].as_str() {
        Some(stall) => format!(
            "It goes on without the one ahead once that has been failing or uncertain for {} (stall)",
            plain(stall)
        ),
        None => "It goes on when the one ahead is final, or accepted where the queue says so; the queue has no stall"
            .to_owned(),
    };
    format!("{of}The one ahead: {stands}. {next}")
}

/// What keeps a whole queue from sending, for a message that somebody wants to be sent now.
pub(crate) fn held_with_its_queue(message: &MessageView<'_>) -> Option<String> {
    let of_queue = [Gate::Pause, Gate::Window, Gate::Throttled];
    let held_by = message.held_by.iter();
    waits_for(held_by.filter(|held| of_queue.iter().any(|gate| held.is(*gate))).collect())
}

/// Why a message is where it is, in a few words: what went wrong, else what it waits for, as `explain` names it.
pub(crate) fn why(message: &MessageView<'_>) -> String {
    let waits = || waits_for(message.held_by.iter().collect());
    reason(message).or_else(|| waits().map(|what| format!("waits for {what}"))).unwrap_or_default()
}

/// The gates that hold it, in a line.
pub(crate) fn gates(message: &MessageView<'_>) -> String {
    message.held_by.iter().map(GateWord::as_str).collect::<Vec<_>>().join(", ")
}

/// The moment of the next attempt.
pub(crate) fn due_ms(message: &MessageView<'_>) -> u64 {
    message.next_attempt_at.unwrap_or(message.due_at).0
}

/// Why the last attempt failed, or why the message was given up.
pub(crate) fn reason(message: &MessageView<'_>) -> Option<String> {
    let last = message.last_attempt.as_ref();
    let given = message.reason.as_deref().map(plain);
    let error = last.and_then(|last| last.error.as_deref()).map(plain);
    why_failed(given.as_deref(), last.and_then(|last| last.status_code), error.as_deref())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::tests::answers::message_view;
    use serde_json::json;

    /// At 2026-11-21T09:00:00Z.
    fn times() -> Times {
        Times { now_ms: 1_795_251_600_000, zone: None }
    }

    #[test]
    fn what_may_be_replaced_says_so() {
        let message =
            message_view(&json!({"state": "scheduled", "due_at": "2026-11-21T09:00:02.000Z",
            "attempts": 0, "collapse_key": "stock-7"}));
        assert_eq!(
            sentence(&message, &times()),
            "Waiting: due in 2s (2026-11-21 09:00:02 UTC); until then a newer message with the collapse key stock-7 takes its place"
        );
    }

    #[test]
    fn who_goes_before_is_shown_with_its_trouble() {
        let labels = json!({"conversation": "42"});
        let waiting = message_view(&json!({"state": "ready", "labels": labels.clone()}));
        let ahead = message_view(&json!({"state": "scheduled", "labels": labels, "attempts": 2,
            "next_attempt_at": "2026-11-21T09:00:20.000Z", "last_attempt": {"status_code": 500, "error": "it broke"}}));
        let said = |stall: Value| {
            let ordering =
                json!({"by": "labels.conversation", "until": "accepted", "stall": stall});
            behind(&waiting, &ahead, &ordering, &times())
        };
        assert_eq!(
            said(json!("1h")),
            "Both have labels.conversation = 42. The one ahead: Waiting for attempt 3: due in 20s (2026-11-21 09:00:20 UTC); \
             the last one failed: status 500, it broke. It goes on without the one ahead once that has been failing or \
             uncertain for 1h (stall)"
        );
        assert!(said(Value::Null).ends_with("the queue has no stall"));
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
                json!({"state": "ready", "held_by": ["limit:brand", "limit:quota_day"]}),
                "Waiting for its turn under the limit \"brand\", and for its turn under the limit \"quota_day\"",
            ),
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
            assert_eq!(sentence(&message_view(&message), &times()), text);
        }
    }

    #[test]
    fn what_waits_for_its_key_says_for_whom() {
        for (message, text) in [
            (
                json!({"state": "ready", "held_by": ["order"], "blocked_by": [{"id": "sms_00"}]}),
                "Waiting for sms_00, which is ahead of it under the same key",
            ),
            (
                json!({"state": "ready", "held_by": ["limit:per_to", "order"], "blocked_by": [{"id": "sms_00"}]}),
                "Waiting for sms_00, which is ahead of it under the same key, and for its turn under the limit \"per_to\"",
            ),
            (
                json!({"state": "scheduled", "held_by": ["due", "collapse"], "blocked_by": [{"id": "sms_00"}]}),
                "Waiting for sms_00, the older message of its collapse key, which is being sent or uncertain, and for its due time",
            ),
            (
                json!({"state": "ready", "held_by": ["concurrency", "fairness"]}),
                "Waiting for a free slot at the downstream, and for the turn of its key",
            ),
        ] {
            assert_eq!(sentence(&message_view(&message), &times()), text);
        }
    }
}
