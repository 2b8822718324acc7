//! A message as it is shown: to whoever asks, and in callbacks.
//!
//! Moments that are not there are null, so that clients can rely on the names; the payload and the message's
//! own headers come in a full view only. Refuses to know what a queue's gates say: callers bring them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::attempt::{AttemptView, ResultView};
use super::payload::present;
use super::probe::ProbeView;
use super::retry::RetryView;
use super::waited::WaitedView;
use super::{DurationText, GateWord, Moment, Pairs, Payload, StateWord, Word, payload_fields};
use crate::domain::draft::IGNORE;
use crate::domain::failing::Failing;
use crate::domain::gates::{Gates, KeyHold};
use crate::domain::message::Message;
use crate::domain::shown;
use crate::domain::state::State;

/// What is known of a message, as it is shown.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Message)]
pub struct MessageView<'a> {
    /// `<queue>_<ULID>`
    pub id: String,
    /// Its queue
    pub queue: Cow<'a, str>,
    /// Where it stands
    pub state: StateWord,
    /// With view=full, while it is kept: it goes at delivered
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = serde_json::Value)]
    pub payload: Option<Payload<'a>>,
    /// In place of payload, for bytes
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, content_encoding = "base64")]
    pub payload_base64: Option<String>,
    /// With view=full
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = BTreeMap<String, String>, required = false)]
    pub headers: Option<Pairs<'a>>,
    /// The media type of its payload
    pub content_type: Cow<'a, str>,
    /// When it was handed over
    pub created_at: Moment,
    /// When it is, or was, to be sent
    pub due_at: Moment,
    /// When it expires; null: never
    #[schema(required)]
    pub expires_at: Option<Moment>,
    /// 9 goes first
    pub priority: u8,
    /// The key of order and fair shares
    #[schema(required)]
    pub group: Option<Cow<'a, str>>,
    /// The producer's own words
    pub labels: Cow<'a, BTreeMap<String, String>>,
    /// The producer's key, while it is kept
    #[schema(required)]
    pub idempotency_key: Option<Cow<'a, str>>,
    /// What it changes in its queue's retry policy; absent where nothing
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub retry: Option<RetryView>,
    /// Absent where no callback is sent
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub callback: Option<CallbackView<'a>>,
    /// How long an attempt may take; absent where the queue's timeout holds
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub timeout: Option<DurationText>,
    /// Where it goes; absent where its queue says it
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub url: Option<Cow<'a, str>>,
    /// By which method; absent where its queue says it
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub method: Option<Cow<'a, str>>,
    /// Units that it takes of the limits of its queue
    #[serde(default = "super::usual_cost")]
    #[schema(required)]
    pub cost: u16,
    /// While it waits, a newer message with the same one takes its place; absent where it has none
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub collapse_key: Option<Cow<'a, str>>,
    /// How many payloads the present one has taken the place of; absent where it has no collapse key
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub superseded: Option<u32>,
    /// Where its recipient is, as an IANA name; absent where it does not say
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub time_zone: Option<Cow<'a, str>>,
    /// ignore: it is sent outside of its recipient's hours too; absent where it is not
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub recipient_hours: Option<Cow<'a, str>>,
    /// Tries so far
    pub attempts: u32,
    /// Answers that said too fast; no attempts
    pub throttles: u32,
    /// Times it was put back because the window closed; no attempts
    pub window_holds: u32,
    /// Times it came back because its node was lost
    pub rescues: u32,
    /// When it is sent next, while it is scheduled
    #[schema(required)]
    pub next_attempt_at: Option<Moment>,
    /// The last try
    #[schema(required)]
    pub last_attempt: Option<AttemptView<'a>>,
    /// When it became final
    #[schema(required)]
    pub final_at: Option<Moment>,
    /// Why it is dead, uncertain or decided
    #[schema(required)]
    pub reason: Option<Cow<'a, str>>,
    /// How long it waited until it was final, and for what; null: it is not final, was so within a second, or nobody knows
    #[serde(default)]
    #[schema(required)]
    pub waited: Option<WaitedView>,
    /// When the downstream accepted it; absent where it did not
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub accepted_at: Option<Moment>,
    /// The downstream's own reference, where it accepted it under one
    #[serde(skip_serializing_if = "Option::is_none", rename = "ref")]
    #[schema(nullable = false)]
    pub reference: Option<Cow<'a, str>>,
    /// What the downstream was asked about it; absent where it was not
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub probe: Option<ProbeView<'a>>,
    /// What the downstream answered in the end
    #[schema(required)]
    pub result: Option<ResultView<'a>>,
    /// The gates that hold it now
    pub held_by: Vec<GateWord>,
    /// The message that goes before it under the same order key, or the older one of its collapse key that has to be decided
    /// first; empty where there is none
    #[serde(default)]
    #[schema(required, max_items = 10)]
    pub blocked_by: Vec<BlockedByView>,
    /// The downstream of its queue is failing; absent where it is not, and where the message does not wait
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub failing: Option<FailingView<'a>>,
    /// true where the payload was changed after it was accepted; absent otherwise
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub edited: Option<bool>,
    /// true where a repeat was answered with the first message
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub duplicate: Option<bool>,
    /// With estimate=true: when it could leave if nothing stood ahead of it; null: nobody can know; absent otherwise
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Moment>, required = false)]
    pub earliest_at: Option<Option<Moment>>,
    /// With estimate=true: when it leaves by what stands ahead of it, if nothing more arrives; null: nobody can know; absent otherwise
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Moment>, required = false)]
    pub expected_at: Option<Option<Moment>>,
    /// true where a message that was sent took the place of this one, which waits
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub collapsed: Option<bool>,
}

impl<'a> MessageView<'a> {
    /// The message before the gates of its queue, and what its keys say of it, where it has any; `is_full`: with its payload.
    #[must_use]
    pub fn new(message: &'a Message, gates: &Gates, keys: Option<&KeyHold>, is_full: bool) -> Self {
        let details = &message.details;
        let gates = gates.of_message(message);
        let gates = match keys {
            None => gates,
            Some(keys) => gates.with_keys(keys),
        };
        let gates = gates.with_workers(message);
        let ahead = keys.and_then(|keys| keys.ahead.as_ref()).or(message.older.as_ref());
        let shown = if is_full { shown::show(message) } else { None };
        let (payload, payload_base64) = shown.map_or((None, None), payload_fields);
        Self {
            id: message.id.to_string(),
            queue: message.id.queue.as_str().into(),
            state: message.state.into(),
            payload,
            payload_base64,
            headers: is_full.then(|| Pairs::from(&*details.headers)),
            content_type: details.content_type.as_deref().unwrap_or("application/json").into(),
            created_at: Moment(message.created_at_ms),
            due_at: Moment(message.due_at_ms),
            expires_at: message.expires_at_ms.map(Moment),
            priority: message.priority,
            group: details.group.as_deref().map(Cow::Borrowed),
            labels: Cow::Borrowed(&details.labels),
            idempotency_key: details.idempotency_key.as_deref().map(Cow::Borrowed),
            retry: details.retry.as_ref().map(RetryView::new),
            timeout: details.timeout_ms.map(DurationText),
            url: details.target.as_ref().map(|target| target.url().as_str().into()),
            method: details
                .target
                .as_ref()
                .and_then(|target| target.method())
                .map(|method| method.as_str().to_owned().into()),
            cost: details.cost.units(),
            collapse_key: details.collapse_key.as_deref().map(Cow::Borrowed),
            superseded: details.collapse_key.as_ref().map(|_| message.superseded),
            time_zone: details.time_zone.as_ref().map(|zone| zone.name().into()),
            recipient_hours: details.ignores_recipient_hours.then(|| IGNORE.into()),
            callback: CallbackView::new(message),
            attempts: message.attempts,
            throttles: message.throttles,
            window_holds: message.window_holds,
            rescues: message.rescues,
            next_attempt_at: (message.state == State::Scheduled && !message.waits_for_older)
                .then_some(Moment(message.due_at_ms)),
            last_attempt: message.last_attempt.as_ref().map(AttemptView::brief),
            final_at: message.final_at_ms.map(Moment),
            reason: message.reason.as_deref().map(Cow::Borrowed),
            waited: message.waited.as_ref().map(WaitedView::from),
            accepted_at: message.accepted_at_ms.map(Moment),
            reference: message.reference.as_deref().map(Cow::Borrowed),
            probe: message.probes.as_ref().map(ProbeView::new),
            result: result(message),
            held_by: gates.held().iter().map(GateWord::from).collect(),
            blocked_by: ahead.map(|id| BlockedByView { id: id.to_string() }).into_iter().collect(),
            failing: None,
            edited: message.is_edited.then_some(true),
            duplicate: None,
            earliest_at: None,
            expected_at: None,
            collapsed: None,
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

    /// Says that a message that was sent took its place.
    #[must_use]
    pub fn collapsed(self) -> Self {
        Self { collapsed: Some(true), ..self }
    }
}

/// What a message waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = BlockedBy)]
pub struct BlockedByView {
    /// The id of a message
    pub id: String,
}

/// A page of messages.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Messages)]
pub struct MessageList<'a> {
    /// The messages of this page
    pub messages: Vec<MessageView<'a>>,
    /// null: this was the last page; a page of a search may be empty and not be the last
    #[schema(required)]
    pub next_cursor: Option<String>,
    /// How many messages this list has looked at so far, on this page and those before
    pub looked: u64,
    /// Of how many, in the states that are listed
    pub of: u64,
}

/// The message that a request is answered with, which is not kept any more.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = ForgottenMessage)]
pub struct ForgottenMessage {
    /// `<queue>_<ULID>`
    pub id: String,
    /// Its queue
    pub queue: String,
    /// null: nobody knows any more
    #[schema(required)]
    pub state: Option<StateWord>,
    /// true; false where a message took its place by its collapse key
    pub duplicate: bool,
    /// true where a message that was sent took the place of this one; absent otherwise
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub collapsed: Option<bool>,
}

/// The first message of the key; only its id where it is not kept any more.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Repeated)]
#[serde(untagged)]
pub enum RepeatedAnswer<'a> {
    /// It is kept.
    Kept(Box<MessageView<'a>>),
    /// It is not.
    Forgotten(ForgottenMessage),
}

/// A downstream that fails: from the third attempt in a row that got no answer, 408 or 5xx, until another answer.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Failing)]
pub struct FailingView<'a> {
    /// Since when
    pub since: Moment,
    /// Failed attempts in a row, on all nodes
    pub attempts: u64,
    /// What the last of them ended with
    pub last_error: Cow<'a, str>,
}

impl<'a> FailingView<'a> {
    /// As queues and messages show it.
    #[must_use]
    pub fn new(failing: &'a Failing) -> Self {
        Self {
            since: Moment(failing.since_ms),
            attempts: failing.attempts,
            last_error: failing.last_error.as_str().into(),
        }
    }

    /// The same with a text of its own.
    #[must_use]
    pub fn into_owned(self) -> FailingView<'static> {
        FailingView { last_error: self.last_error.into_owned().into(), ..self }
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
        return Some(ResultView::of(status_code, None, by));
    }
    let last = message.last_attempt.as_ref()?;
    let is_told = by.is_some() || last.status_code.is_some() || last.response.is_some();
    is_told.then(|| ResultView::new(last, by))
}

/// Where a callback about a message goes, and for which final states it is sent.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CallbackView<'a> {
    /// The message's own; absent: the queue's
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub url: Option<Cow<'a, str>>,
    /// The final states for which it is sent
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on: Vec<StateWord>,
}

impl<'a> CallbackView<'a> {
    fn new(message: &'a Message) -> Option<Self> {
        let url = message.details.callback.as_ref().and_then(|wish| wish.url.as_ref());
        let view = Self {
            url: url.map(|url| Cow::Borrowed(url.as_str())),
            on: message.callback.states().map(Word::from).collect(),
        };
        (view.url.is_some() || !view.on.is_empty()).then_some(view)
    }
}
