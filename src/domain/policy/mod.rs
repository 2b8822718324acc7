//! What is configured for one queue, as checked values.
//!
//! Built by `config` only; a value of these types makes sense by construction. Refuses to know
//! TOML and how its wishes are carried out.

mod downstream;
mod hours;
mod intake;
mod limits;
mod origins;

use std::sync::Arc;

pub use self::downstream::{Capabilities, Downstream};
pub use self::origins::Origins;

use crate::domain::answer_rules::{AnswerRules, RULED_BYTES_MAX};
use crate::domain::backlog::BacklogPolicy;
use serde::{Deserialize, Serialize};

use crate::domain::callback::{CallbackOn, CallbackPolicy};
use crate::domain::classify::AnswerContext;
use crate::domain::id::QueueName;
use crate::domain::keys::{Fairness, MessageKey, Ordering};
use crate::domain::limit::LimitRule;
use crate::domain::message::Details;
use crate::domain::outcome::OnUncertain;
use crate::domain::overrides::Override;
use crate::domain::probe::ProbePolicy;
use crate::domain::receipt::ReceiptPolicy;
use crate::domain::recipient_hours::RecipientHours;
use crate::domain::retention::Retention;
use crate::domain::retry::RetryPolicy;
use crate::domain::window::Window;

/// Everything that holds for one queue.
#[derive(Debug, Clone, PartialEq)]
pub struct QueuePolicy {
    /// The queue.
    pub name: QueueName,
    /// What may start, over all nodes; every one of them has to let a call pass. The queue's own `rate` and `burst` are
    /// the first; none: as fast as the downstream answers. Those by a key stand among them: see
    /// [`wide_limits`](Self::wide_limits).
    pub limits: Vec<LimitRule>,
    /// Keys that every message brings, with a value that is not empty.
    pub required_keys: Vec<MessageKey>,
    /// What may wait and be on its way; `None`: as much as the store holds.
    pub backlog: Option<BacklogPolicy>,
    /// How long after it was due a message is of use that does not say so itself, in milliseconds; `None`: for ever.
    pub ttl_ms: Option<u64>,
    /// How long a node may hold a message without a sign of life.
    pub lease_ms: u64,
    /// How much of a downstream's answer is kept.
    pub keep_response_bytes: usize,
    /// Calls in flight over all nodes (with several shards: over all shards together).
    pub concurrency: u32,
    /// Number of priority bands, 1 to 10.
    pub priority_levels: u8,
    /// Order by a key; `None`: none.
    pub ordering: Option<Ordering>,
    /// Shares by a key; `None`: none.
    pub fairness: Option<Fairness>,
    /// A waiting message gains a priority band per this time; `None`: none.
    pub aging_ms: Option<u64>,
    /// What is kept of finals.
    pub retention: Retention,
    /// How long a repeated idempotency key is recognised, at least.
    pub idempotency_window_ms: u64,
    /// What happens when an attempt's outcome cannot be told.
    pub on_uncertain: OnUncertain,
    /// Whom to ask about such an attempt; set with [`OnUncertain::Probe`], and only then.
    pub probe: Option<ProbePolicy>,
    /// How long the receipt of an accepted message may take.
    pub receipts: ReceiptPolicy,
    /// Number of shards, 1 to 1024.
    pub shards: u16,
    /// Who receives.
    pub downstream: Downstream,
    /// When and how often to try again.
    pub retry: RetryPolicy,
    /// The hours; `None`: always open.
    pub window: Option<Window>,
    /// When recipients may be reached; `None`: at any time.
    pub recipient_hours: Option<Arc<RecipientHours>>,
    /// Batches; `None`: one message a call.
    pub batch: Option<BatchPolicy>,
    /// How long messages with a collapse key wait for newer ones; `None`: no longer than others.
    pub collapse: Option<CollapsePolicy>,
    /// Who is told of final states; `None`: nobody, and no message may name anybody.
    pub callback: Option<CallbackPolicy>,
    /// The overrides that hold now; the rest of this is what they make of the configuration.
    pub overrides: Vec<Override>,
    /// What the configuration says, where overrides change it.
    pub configured: Option<Arc<QueuePolicy>>,
    /// Where the settings of the whole configuration come from.
    pub origins: Origins,
}

impl QueuePolicy {
    /// What holds for a queue that nobody configures any more: it is only read and emptied.
    #[must_use]
    pub fn retired(name: QueueName, shards: u16) -> Self {
        const DAY_MS: u64 = 24 * 3600 * 1000;
        Self {
            name,
            limits: Vec::new(),
            required_keys: Vec::new(),
            backlog: None,
            ttl_ms: None,
            lease_ms: 30_000,
            keep_response_bytes: 4096,
            concurrency: 1,
            priority_levels: 1,
            ordering: None,
            fairness: None,
            aging_ms: None,
            retention: Retention::by_age(DAY_MS, 30 * DAY_MS),
            idempotency_window_ms: DAY_MS,
            on_uncertain: OnUncertain::Resend,
            probe: None,
            receipts: ReceiptPolicy::DEFAULT,
            shards,
            downstream: Downstream::Null,
            retry: RetryPolicy {
                max_attempts: Some(1),
                initial_ms: 1000,
                factor: 1.0,
                max_ms: 1000,
                jitter: 0.0,
                ..RetryPolicy::default()
            },
            window: None,
            recipient_hours: None,
            batch: None,
            collapse: None,
            callback: None,
            overrides: Vec::new(),
            configured: None,
            origins: Origins::default(),
        }
    }

    /// What the configuration says, without overrides.
    #[must_use]
    pub fn as_configured(&self) -> &Self {
        self.configured.as_deref().unwrap_or(self)
    }

    /// The priority band of a message of this queue: `floor(priority × levels / 10)`.
    #[must_use]
    pub fn band(&self, priority: u8) -> u8 {
        let band = u16::from(priority) * u16::from(self.priority_levels) / 10;
        u8::try_from(band).unwrap_or(9).min(9)
    }

    /// Milliseconds since the first attempt that count: the age stands still while the window is
    /// closed or the queue paused.
    #[must_use]
    pub fn age_ms(&self, first_attempt_ms: u64, now_ms: u64, paused_since_first_ms: u64) -> u64 {
        let open_ms = match &self.window {
            Some(window) => window.open_ms_between(first_attempt_ms, now_ms),
            None => now_ms.saturating_sub(first_attempt_ms),
        };
        open_ms.saturating_sub(paused_since_first_ms)
    }

    /// What the meaning of an answer depends on; `is_in_doubt`: an earlier attempt's outcome is unknown.
    #[must_use]
    pub fn answer_context(&self, is_in_doubt: bool) -> AnswerContext<'_> {
        let (on_uncertain, retry, rules) = (self.on_uncertain, &self.retry, self.answer_rules());
        AnswerContext { on_uncertain, retry, is_in_doubt, rules }
    }

    /// The queue's own rules for answers, if it has any.
    #[must_use]
    pub fn answer_rules(&self) -> Option<&AnswerRules> {
        self.downstream.http()?.answers.as_deref()
    }

    /// How much of the answer to a single message is read: what is kept, and what rules look into.
    #[must_use]
    pub fn read_response_bytes(&self) -> usize {
        let looks = self.answer_rules().is_some_and(AnswerRules::read_bodies);
        self.keep_response_bytes.max(if looks { RULED_BYTES_MAX } else { 0 })
    }

    /// The final states of a message with these details that lead to a callback.
    #[must_use]
    pub fn callback_on(&self, details: &Details) -> CallbackOn {
        let callback = self.callback.as_ref();
        callback
            .map_or(CallbackOn::NONE, |callback| callback.callback_on(details.callback.as_ref()))
    }
}

/// Messages that leave together in one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchPolicy {
    /// Most messages in a batch.
    pub max_items: u32,
    /// Most payload bytes in a batch (a single larger message goes alone).
    pub max_bytes: u64,
    /// How long the first message may wait, ready, for company.
    pub max_wait_ms: u64,
}

/// How long messages with a collapse key wait, where they name no due time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollapsePolicy {
    /// From the newest message of the key.
    pub wait_ms: u64,
    /// From the first one, at most.
    pub max_wait_ms: u64,
}

/// Why a queue does not take a message: which of its fields asks for what cannot be done here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// No attempt may take as long, or workers decide how long they take.
    #[error("timeout: {0}")]
    Timeout(String),
    /// It does not say where it goes, or says what has no effect, or may not go there.
    #[error("url: {0}")]
    Url(String),
    /// It could never leave.
    #[error("cost: {0}")]
    Cost(String),
    /// It lacks the value of a key.
    #[error("{key}: {why}")]
    Key {
        /// The key.
        key: MessageKey,
        /// What is expected.
        why: String,
    },
    /// The message before it may be in another shard.
    #[error("collapse_key: {0}")]
    CollapseKey(String),
    /// Nobody knows by which clock its recipient's hours go.
    #[error("time_zone: {0}")]
    TimeZone(String),
}

impl QueuePolicy {
    /// Whether a message may ask here for what it asks.
    ///
    /// # Errors
    /// [`Unfit`], with a sentence.
    pub fn check(&self, details: &Details) -> Result<(), Unfit> {
        self.check_timeout(details.timeout_ms)?;
        self.check_target(details.target.as_ref())?;
        if details.collapse_key.is_some() && self.shards > 1 {
            return Err(Unfit::CollapseKey(format!(
                "has no effect in the queue \"{}\", which has {} shards: the message before it may be in another one; leave it out, or set queues.{}.shards = 1",
                self.name, self.shards, self.name
            )));
        }
        self.check_zone(details).map_err(Unfit::TimeZone)?;
        self.check_keys(details)?;
        // The cost comes last: where it is above a quota, nothing else is wrong, and its key may have been given a larger one.
        self.check_cost(details.cost).map_err(Unfit::Cost)
    }
}
