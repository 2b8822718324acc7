//! A message as JSON.
//!
//! Owns the shape, which HTTP answers and callbacks share. Moments that are not there are `null`, so
//! that clients can rely on the names; the payload and the message's own headers come in a full view
//! only. Refuses to know what a queue's gates say: callers bring them.

use std::collections::BTreeMap;

use serde::ser::{Serialize, SerializeMap as _, Serializer};

use super::Moment;
use super::retry::RetryView;
use crate::domain::failing::Failing;
use crate::domain::gates::Gates;
use crate::domain::message::{Attempt, Message, Probes};
use crate::domain::shown::{self, Shown};
use crate::domain::state::State;

/// What is known of a message, as it is shown.
#[derive(Debug, serde::Serialize)]
pub struct MessageView<'a> {
    id: String,
    queue: &'a str,
    state: &'static str,
    #[serde(flatten)]
    payload: Option<PayloadView<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    headers: Option<Pairs<'a>>,
    content_type: &'a str,
    created_at: Moment,
    due_at: Moment,
    expires_at: Option<Moment>,
    priority: u8,
    group: Option<&'a str>,
    labels: &'a BTreeMap<String, String>,
    idempotency_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry: Option<RetryView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    callback: Option<CallbackView<'a>>,
    attempts: u32,
    throttles: u32,
    window_holds: u32,
    rescues: u32,
    next_attempt_at: Option<Moment>,
    last_attempt: Option<AttemptView<'a>>,
    final_at: Option<Moment>,
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted_at: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none", rename = "ref")]
    reference: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    probe: Option<ProbeView<'a>>,
    result: Option<ResultView<'a>>,
    held_by: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failing: Option<FailingView<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    edited: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duplicate: Option<bool>,
}

impl<'a> MessageView<'a> {
    /// The message before the gates of its queue; `is_full`: with its payload.
    #[must_use]
    pub fn new(message: &'a Message, gates: &Gates, is_full: bool) -> Self {
        let details = &message.details;
        let shown = if is_full { shown::show(message) } else { None };
        Self {
            id: message.id.to_string(),
            queue: message.id.queue.as_str(),
            state: message.state.as_str(),
            payload: shown.map(|shown| PayloadView("payload", shown)),
            headers: is_full.then_some(Pairs(&details.headers)),
            content_type: details.content_type.as_deref().unwrap_or("application/json"),
            created_at: Moment(message.created_at_ms),
            due_at: Moment(message.due_at_ms),
            expires_at: message.expires_at_ms.map(Moment),
            priority: message.priority,
            group: details.group.as_deref(),
            labels: &details.labels,
            idempotency_key: details.idempotency_key.as_deref(),
            retry: details.retry.as_ref().map(RetryView::new),
            callback: CallbackView::new(message),
            attempts: message.attempts,
            throttles: message.throttles,
            window_holds: message.window_holds,
            rescues: message.rescues,
            next_attempt_at: (message.state == State::Scheduled)
                .then_some(Moment(message.due_at_ms)),
            last_attempt: message.last_attempt.as_ref().map(AttemptView::brief),
            final_at: message.final_at_ms.map(Moment),
            reason: message.reason.as_deref(),
            accepted_at: message.accepted_at_ms.map(Moment),
            reference: message.reference.as_deref(),
            probe: message.probes.as_ref().map(ProbeView::new),
            result: result(message),
            held_by: gates.of_message(message).held_by().collect(),
            failing: None,
            edited: message.is_edited.then_some(true),
            duplicate: None,
        }
    }

    /// Says that the downstream of its queue is failing.
    #[must_use]
    pub fn with_failing(self, failing: Option<&'a Failing>) -> Self {
        Self { failing: failing.map(FailingView::new), ..self }
    }

    /// Says that it had been taken in before.
    #[must_use]
    pub fn duplicate(self) -> Self {
        Self { duplicate: Some(true), ..self }
    }
}

/// A downstream that fails.
#[derive(Debug, serde::Serialize)]
pub struct FailingView<'a> {
    since: Moment,
    attempts: u64,
    last_error: &'a str,
}

impl<'a> FailingView<'a> {
    /// As queues and messages show it.
    #[must_use]
    pub fn new(failing: &'a Failing) -> Self {
        Self {
            since: Moment(failing.since_ms),
            attempts: failing.attempts,
            last_error: &failing.last_error,
        }
    }
}

/// What the downstream answered in the end, or who decided without that; only where one of the two is.
fn result(message: &Message) -> Option<ResultView<'_>> {
    if !matches!(message.state, State::Delivered | State::Dead) {
        return None;
    }
    let by = message.decided_by.as_deref();
    if by == Some("probe") {
        let status_code = message.probes.as_ref().and_then(|probes| probes.status_code);
        return Some(ResultView { status_code, content_type: None, body: BodyView(None), by });
    }
    let last = message.last_attempt.as_ref()?;
    let is_told = by.is_some() || last.status_code.is_some() || last.response.is_some();
    is_told.then(|| ResultView { by, ..ResultView::new(last) })
}

/// What the downstream was asked about an uncertain message, and when it will be asked again.
#[derive(Debug, serde::Serialize)]
struct ProbeView<'a> {
    attempts: u32,
    last_at: Option<Moment>,
    status_code: Option<u16>,
    error: Option<&'a str>,
    next_at: Option<Moment>,
}

impl<'a> ProbeView<'a> {
    fn new(probes: &'a Probes) -> Self {
        Self {
            attempts: probes.count,
            last_at: (probes.last_at_ms > 0).then_some(Moment(probes.last_at_ms)),
            status_code: probes.status_code,
            error: probes.error.as_deref(),
            next_at: probes.next_at_ms.map(Moment),
        }
    }
}

/// A payload in the field that fits its kind: `payload`, or `payload_base64`.
pub struct PayloadView<'a>(pub &'static str, pub Shown<'a>);

impl std::fmt::Debug for PayloadView<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("PayloadView").field(&self.0).finish_non_exhaustive()
    }
}

impl Serialize for PayloadView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        match &self.1 {
            Shown::Json(raw) => map.serialize_entry(self.0, raw)?,
            Shown::Text(text) => map.serialize_entry(self.0, text)?,
            Shown::Base64(text) => map.serialize_entry(&format_args!("{}_base64", self.0), text)?,
        }
        map.end()
    }
}

/// Name and value pairs as an object.
#[derive(Debug)]
pub struct Pairs<'a>(pub &'a [(String, String)]);

impl Serialize for Pairs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// A try at the downstream.
#[derive(Debug, serde::Serialize)]
pub struct AttemptView<'a> {
    attempt: u32,
    started_at: Moment,
    ended_at: Moment,
    outcome: &'a str,
    status_code: Option<u16>,
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<ResultView<'a>>,
}

impl<'a> AttemptView<'a> {
    fn brief(attempt: &'a Attempt) -> Self {
        Self {
            attempt: attempt.attempt,
            started_at: Moment(attempt.started_at_ms),
            ended_at: Moment(attempt.ended_at_ms),
            outcome: &attempt.outcome,
            status_code: attempt.status_code,
            error: attempt.error.as_deref(),
            response: None,
        }
    }

    /// With what the downstream answered, as far as it was kept.
    #[must_use]
    pub fn full(attempt: &'a Attempt) -> Self {
        let response = attempt.response.is_some().then(|| ResultView::new(attempt));
        Self { response, ..Self::brief(attempt) }
    }
}

/// An answer of the downstream.
#[derive(Debug, serde::Serialize)]
pub struct ResultView<'a> {
    status_code: Option<u16>,
    content_type: Option<&'a str>,
    #[serde(flatten)]
    body: BodyView<'a>,
    /// Who decided, where it was not the downstream's answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<&'a str>,
}

impl<'a> ResultView<'a> {
    fn new(attempt: &'a Attempt) -> Self {
        let response = attempt.response.as_ref();
        Self {
            status_code: attempt.status_code,
            content_type: response.and_then(|(content_type, _)| content_type.as_deref()),
            body: BodyView(response.map(|(_, body)| &**body)),
            by: None,
        }
    }
}

/// Foreign bytes as `body`, in base64 as `body_base64` where they are no text.
#[derive(Debug)]
pub struct BodyView<'a>(pub Option<&'a [u8]>);

impl Serialize for BodyView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.map(shown::show_bytes) {
            Some(shown) => PayloadView("body", shown).serialize(serializer),
            None => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("body", &())?;
                map.end()
            }
        }
    }
}

/// Who is told of a message's final state, and of which.
#[derive(Debug, serde::Serialize)]
struct CallbackView<'a> {
    /// The message's own; without it, the queue's.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    on: Vec<&'static str>,
}

impl<'a> CallbackView<'a> {
    fn new(message: &'a Message) -> Option<Self> {
        let url = message.details.callback.as_ref().and_then(|wish| wish.url.as_ref());
        let view = Self { url: url.map(url::Url::as_str), on: message.callback.words() };
        (view.url.is_some() || !view.on.is_empty()).then_some(view)
    }
}
