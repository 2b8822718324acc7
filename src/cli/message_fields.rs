//! The fields of a message, named and worded.
//!
//! Refuses to ask anybody: the message and the time are handed in.

use std::borrow::Cow;

use serde_json::Value;

use super::describe::{failing, gates, word};
use super::plain::plain;
use super::times::{Times, span};
use crate::wire::attempt::AttemptView;
use crate::wire::message::MessageView;
use crate::wire::probe::ProbeView;
use crate::wire::waited::WaitedView;
use crate::wire::{Moment, Payload};

/// The fields that say something, named and worded. The payload is shown as it was sent.
pub(crate) fn fields(message: &MessageView<'_>, times: &Times) -> Vec<(&'static str, String)> {
    let at = |at: Option<Moment>| at.map(|at| times.at_and_distance(at.0));
    let text = |text: &Option<Cow<'_, str>>| text.as_deref().map(str::to_owned);
    // What nearly every message has says nothing.
    let some = |count: u32| (count > 0).then(|| count.to_string());
    let json = |value: Value| Some(word(&value)).filter(|text| !text.is_empty());
    let payload = message.payload.as_ref().map(|payload| match payload {
        Payload::Json(raw) => raw.get().to_owned(),
        Payload::Text(text) => text.to_string(),
    });
    let headers = message.headers.as_ref().map(|headers| pairs(headers.0.iter().map(both)));
    let fields = [
        ("id", Some(message.id.clone())),
        ("queue", Some(message.queue.to_string())),
        ("state", Some(message.state.to_string())),
        ("held by", Some(gates(message))),
        ("blocked by", Some(blockers(message))),
        ("created", at(Some(message.created_at))),
        ("due", at(Some(message.due_at))),
        ("next attempt", at(message.next_attempt_at)),
        ("expires", at(message.expires_at)),
        ("final", at(message.final_at)),
        ("waited", message.waited.as_ref().map(waited)),
        ("attempts", Some(message.attempts.to_string())),
        ("throttles", some(message.throttles)),
        ("window holds", some(message.window_holds)),
        ("last attempt", message.last_attempt.as_ref().map(|last| attempt(last, times))),
        ("downstream failing", message.failing.as_ref().map(|it| failing(it, times))),
        ("result", json(serde_json::to_value(&message.result).unwrap_or_default())),
        ("priority", some(message.priority.into())),
        ("cost", (message.cost > 1).then(|| message.cost.to_string())),
        ("timeout", message.timeout.map(|timeout| span(timeout.0))),
        ("url", text(&message.url)),
        ("method", text(&message.method)),
        ("collapse key", text(&message.collapse_key)),
        ("superseded", message.superseded.and_then(some)),
        ("time zone", text(&message.time_zone)),
        ("recipient hours", text(&message.recipient_hours)),
        ("group", text(&message.group)),
        ("labels", Some(pairs(message.labels.iter()))),
        ("idempotency key", text(&message.idempotency_key)),
        ("content type", Some(message.content_type.to_string())),
        ("headers", headers),
        ("payload", payload),
        ("accepted_at", at(message.accepted_at)),
        ("callback", json(serde_json::to_value(&message.callback).unwrap_or_default())),
        ("collapsed", message.collapsed.map(|is| is.to_string())),
        ("duplicate", message.duplicate.map(|is| is.to_string())),
        ("edited", message.edited.map(|is| is.to_string())),
        ("payload_base64", message.payload_base64.clone()),
        ("probe", message.probe.as_ref().map(|asked| probe(asked, times))),
        ("reason", text(&message.reason)),
        ("ref", text(&message.reference)),
        ("rescues", some(message.rescues)),
        ("retry", json(serde_json::to_value(&message.retry).unwrap_or_default())),
    ];
    let said = fields.into_iter().filter_map(|(name, text)| Some((name, text?)));
    said.filter(|(_, text)| !text.is_empty()).collect()
}

/// The messages ahead of it, in a line.
fn blockers(message: &MessageView<'_>) -> String {
    message.blocked_by.iter().map(|ahead| plain(&ahead.id)).collect::<Vec<_>>().join(", ")
}

fn both(pair: &(String, String)) -> (&String, &String) {
    (&pair.0, &pair.1)
}

/// What it waited for, the longest first.
fn waited(waited: &WaitedView) -> String {
    let mut parts: Vec<(&String, u64)> = waited.0.iter().map(|(what, ms)| (what, *ms)).collect();
    parts.sort_by_key(|(_, ms)| std::cmp::Reverse(*ms));
    let said = parts.into_iter().map(|(what, ms)| format!("{} {}", plain(what), span(ms)));
    said.collect::<Vec<_>>().join(", ")
}

/// Names and values in a line.
fn pairs<'a>(pairs: impl Iterator<Item = (&'a String, &'a String)>) -> String {
    let said = pairs.filter(|(_, value)| !value.is_empty());
    said.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(", ")
}

fn attempt(attempt: &AttemptView<'_>, times: &Times) -> String {
    let (began, ended) = (attempt.started_at.0, attempt.ended_at.0);
    let error = attempt.error.as_deref().unwrap_or_default().to_owned();
    let status = attempt.status_code.map(|status| format!("status {status}"));
    let mut parts = vec![attempt.outcome.to_string()];
    parts.extend(status.filter(|status| !error.starts_with(status)));
    parts.push(error);
    parts.push(format!("at {}", times.at(began)));
    parts.push(format!("took {}", span(ended.saturating_sub(began))));
    parts.retain(|part| !part.is_empty());
    parts.join(", ")
}

fn probe(probe: &ProbeView<'_>, times: &Times) -> String {
    let at = |at: Option<Moment>| at.map(|at| times.at_and_distance(at.0));
    let parts = [
        ("attempts", Some(probe.attempts.to_string())),
        ("error", probe.error.as_deref().map(str::to_owned)),
        ("last_at", at(probe.last_at)),
        ("next_at", at(probe.next_at)),
        ("status_code", probe.status_code.map(|status| status.to_string())),
    ];
    let said = parts.into_iter().filter_map(|(name, text)| Some(format!("{name}={}", text?)));
    said.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::tests::answers::message_view;
    use serde_json::json;

    #[test]
    fn fields_without_a_value_are_left_out() {
        // At 2026-11-21T09:00:00Z.
        let times = Times { now_ms: 1_795_251_600_000, zone: None };
        let message = json!({"state": "ready", "group": null, "priority": 0, "throttles": 2, "window_holds": 0,
            "rescues": 0, "labels": {"shop": "7", "eu": "yes"},
            "payload": {"a": "b"}, "due_at": "2026-11-21T08:00:00.000Z",
            "last_attempt": {"status_code": 503, "started_at": "2026-11-21T08:00:00.000Z", "ended_at": "2026-11-21T08:00:00.350Z"}});
        let shown: Vec<_> = fields(&message_view(&message), &times)
            .into_iter()
            .map(|(n, v)| format!("{n}: {v}"))
            .collect();
        assert_eq!(
            shown,
            [
                "id: sms_01",
                "queue: sms",
                "state: ready",
                "created: 2026-11-21 08:00:00 UTC (1h ago)",
                "due: 2026-11-21 08:00:00 UTC (1h ago)",
                "attempts: 0",
                "throttles: 2",
                "last attempt: retry, status 503, at 2026-11-21 08:00:00 UTC, took 350ms",
                "labels: eu=yes, shop=7",
                "content type: application/json",
                "payload: {\"a\":\"b\"}",
            ]
        );
    }
}
