//! What a producer hands over, and what anybody may ask of a message later.
//!
//! Plain values: no JSON (see `api`), no packing (see `store::record`).

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;

use super::callback::{CallbackOn, CallbackWish};
use super::id::MessageId;
use super::limit::Cost;
use super::message_target::MessageTarget;
use super::retry::RetryPolicy;
use super::state::State;
use super::waited::{AttemptWait, Waited};
use super::zone::NamedZone;

/// Highest priority a producer may give (0 is the lowest and the default).
pub const PRIORITY_MAX: u8 = 9;
/// Longest delay: 366 days, in milliseconds.
pub const DELAY_MS_MAX: u64 = 366 * 24 * 3600 * 1000;
/// Longest exchange with a downstream: an hour, in milliseconds.
pub const TIMEOUT_MS_MAX: u64 = 3_600_000;
/// Longest idempotency key, group, label or header name, in bytes.
pub const NAME_BYTES_MAX: usize = 256;
/// Most headers of a message.
pub const HEADERS_MAX: usize = 32;
/// Most labels of a message.
pub const LABELS_MAX: usize = 16;
/// Longest name of a label, in bytes.
pub const LABEL_BYTES_MAX: usize = 64;

/// Longest sentence for people, such as a reason, in bytes.
pub const REASON_BYTES_MAX: usize = 1000;

/// Checks a key, a group, or the name of a label.
///
/// # Errors
/// When it is empty, too long, or has control characters.
pub fn check_name(text: &str, bytes_max: usize) -> Result<(), String> {
    if text.is_empty() || text.len() > bytes_max {
        return Err(format!("found {} bytes, expected 1 to {bytes_max}", text.len()));
    }
    if text.chars().any(char::is_control) {
        return Err("found a control character, expected plain text".to_owned());
    }
    Ok(())
}

/// When something is to happen: at a moment, or so long after Redis took the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Milliseconds after the moment at which Redis runs the script.
    After(u64),
    /// Milliseconds since the Unix epoch.
    At(u64),
}

impl When {
    /// The moment, if the script ran at `now_ms`.
    #[must_use]
    pub const fn at_ms(self, now_ms: u64) -> u64 {
        match self {
            Self::After(ms) => now_ms.saturating_add(ms),
            Self::At(ms) => ms,
        }
    }
}

/// How a payload is shown again: as JSON, as text, or as raw bytes in base64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PayloadKind {
    /// Came as a JSON value and leaves as that value's very bytes.
    #[default]
    Json,
    /// Came as a JSON string with a text content type and leaves as its text.
    Text,
    /// Came as `payload_base64` and leaves as the decoded bytes.
    Raw,
}

/// The fields of a message that never change while it waits, apart from its payload.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Details {
    /// How the payload came.
    pub kind: PayloadKind,
    /// What the downstream is told; `None` means `application/json`.
    pub content_type: Option<String>,
    /// The message's own headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The key of order and fair shares.
    pub group: Option<String>,
    /// The producer's words for finding it again.
    pub labels: BTreeMap<String, String>,
    /// The producer's key, shown and searchable while the idempotency window lasts.
    pub idempotency_key: Option<String>,
    /// Overrides of the queue's retry policy.
    pub retry: Option<RetryOverride>,
    /// Whom to tell of the final state, other than the queue says.
    pub callback: Option<CallbackWish>,
    /// How long an attempt may take, if that is less than the queue's timeout, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// Where it goes, in a queue whose messages bring their own urls.
    pub target: Option<MessageTarget>,
    /// What it takes of the limits of its queue.
    pub cost: Cost,
    /// While it waits, a newer message with the same one takes its place.
    pub collapse_key: Option<String>,
    /// Where its recipient is; `None`: where the queue says.
    pub time_zone: Option<NamedZone>,
    /// It is sent outside of its recipient's hours too.
    pub ignores_recipient_hours: bool,
    /// On its way in alone: it is refused if it cannot leave by this moment, ms. What is kept of it is its expiry.
    pub must_dispatch_ms: Option<u64>,
}

/// What a message may change in its queue's retry policy.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RetryOverride {
    /// Replaces `max_attempts`.
    pub max_attempts: Option<u32>,
    /// Replaces `initial`, in milliseconds.
    pub initial_ms: Option<u64>,
    /// Replaces `factor`.
    pub factor: Option<f64>,
    /// Replaces `max`, in milliseconds.
    pub max_ms: Option<u64>,
    /// Replaces `jitter`.
    pub jitter: Option<f64>,
    /// Replaces `max_age`, in milliseconds.
    pub max_age_ms: Option<u64>,
    /// Replaces the whole curve by these delays, in milliseconds.
    pub schedule_ms: Option<Vec<u64>>,
}

impl Details {
    /// The policy of its queue with this message's wishes laid over it.
    #[must_use]
    pub fn retry_policy<'a>(&self, queue: &'a RetryPolicy) -> Cow<'a, RetryPolicy> {
        match &self.retry {
            Some(wishes) => Cow::Owned(wishes.apply(queue)),
            None => Cow::Borrowed(queue),
        }
    }
}

impl Eq for RetryOverride {}

impl RetryOverride {
    /// The policy of `queue` with this message's wishes laid over it.
    #[must_use]
    pub fn apply(&self, queue: &RetryPolicy) -> RetryPolicy {
        let mut policy = queue.clone();
        if self.max_attempts.is_some() {
            policy.max_attempts = self.max_attempts;
        }
        if let Some(value) = self.initial_ms {
            policy.initial_ms = value;
        }
        if let Some(value) = self.factor {
            policy.factor = value;
        }
        if let Some(value) = self.max_ms {
            policy.max_ms = value;
        }
        if let Some(value) = self.jitter {
            policy.jitter = value;
        }
        if let Some(value) = self.max_age_ms {
            policy.max_age_ms = value;
        }
        if let Some(value) = &self.schedule_ms {
            policy.schedule_ms = Some(value.clone());
        }
        policy
    }
}

/// What a message comes in by, as far as a queue makes a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Whoever sends: over HTTP, in a batch, an inbox or a topic.
    Producer,
    /// A schedule: what is due by it is taken in also when the queue is full.
    Schedule,
    /// Another queue: it was taken in there, and expires as it was said there.
    Move,
}

/// A message on its way in, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMessage {
    /// Its payload, as it will leave.
    pub payload: Bytes,
    /// Everything that stays as it is.
    pub details: Details,
    /// Earliest moment of the first attempt.
    pub due: When,
    /// Not to be attempted from this moment on.
    pub expires: Option<When>,
    /// 0 to 9, 9 first.
    pub priority: u8,
    /// Hash of payload and fields as sent: tells a repeat from a different message with the same key.
    pub fingerprint: [u8; 16],
}

/// What a try at the downstream came to; kept for the last one and, bounded, for those before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Which attempt it was, from 1.
    pub attempt: u32,
    /// When the call began.
    pub started_at_ms: u64,
    /// When its outcome was known.
    pub ended_at_ms: u64,
    /// The outcome's word, see [`super::outcome`].
    pub outcome: String,
    /// The HTTP status, if there was an answer.
    pub status_code: Option<u16>,
    /// Why it did not succeed.
    pub error: Option<String>,
    /// What the downstream answered, up to `keep_response`: content type and body.
    pub response: Option<(Option<String>, Bytes)>,
    /// What it had waited for.
    pub wait: AttemptWait,
}

/// Everything that is known about a message now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its id.
    pub id: MessageId,
    /// Where it stands.
    pub state: State,
    /// Its payload, while kept (it goes at delivered).
    pub payload: Option<Bytes>,
    /// What does not change.
    pub details: Details,
    /// When it was handed over.
    pub created_at_ms: u64,
    /// Earliest moment of the next attempt (the last one set, in states that no longer wait).
    pub due_at_ms: u64,
    /// When it expires.
    pub expires_at_ms: Option<u64>,
    /// 0 to 9.
    pub priority: u8,
    /// How many payloads the present one has taken the place of, by its collapse key.
    pub superseded: u32,
    /// It waits until the message of its collapse key before it is decided.
    pub waits_for_older: bool,
    /// That message; `None`: there is none, or it is decided, and this one goes on within seconds.
    pub older: Option<MessageId>,
    /// The final states that are told.
    pub callback: CallbackOn,
    /// Tries so far.
    pub attempts: u32,
    /// Answers that said "too fast".
    pub throttles: u32,
    /// Times it was claimed and put back because the window would not hold it.
    pub window_holds: u32,
    /// Times it came back because its node was lost.
    pub rescues: u32,
    /// The last try.
    pub last_attempt: Option<Attempt>,
    /// When it became final.
    pub final_at_ms: Option<u64>,
    /// Why it is dead, uncertain or cancelled.
    pub reason: Option<String>,
    /// What the downstream was asked about it, and will be.
    pub probes: Option<Probes>,
    /// The downstream's own name for it, where it accepted it under one.
    pub reference: Option<String>,
    /// When the downstream accepted it, while its receipt is awaited.
    pub accepted_at_ms: Option<u64>,
    /// Who decided on it, where it was not the downstream's answer: `operator`, `probe`, `receipt` or
    /// `timeout`.
    pub decided_by: Option<String>,
    /// Whether its payload was changed after it was accepted.
    pub is_edited: bool,
    /// How long it waited until it was final, and for what, where that is known and was so long that it is told.
    pub waited: Option<Waited>,
}

/// What the downstream was asked about an uncertain message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Probes {
    /// How often it was asked.
    pub count: u32,
    /// When it was asked last; 0: never.
    pub last_at_ms: u64,
    /// What it answered then.
    pub status_code: Option<u16>,
    /// Why that could not tell.
    pub error: Option<String>,
    /// When it will be asked next.
    pub next_at_ms: Option<u64>,
}
