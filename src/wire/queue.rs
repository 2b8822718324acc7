//! Queues: how they stand, when they open, and the steps on all of their messages.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::{Ref, RefOr, Schema};

use super::backlog::BacklogView;
use super::limit::LimitView;
use super::message::FailingView;
use super::overrides::OverrideView;
use super::{DurationMs, Moment, Reason, StateWord, Vocabulary, Word};
use crate::domain::durability::Durability;
use crate::domain::state::State;

/// What the schema of a policy is called in the document. It is made of the declared settings (`api`).
pub const POLICY: &str = "QueuePolicy";

/// How a queue stands.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Queue)]
pub struct QueueView {
    /// Its name
    pub name: String,
    /// Gone from the configuration: kept and readable, not sent
    pub retired: bool,
    /// The configuration, without secrets
    #[schema(schema_with = policy)]
    pub policy: Value,
    /// What holds in place of the configuration for a time
    // An older daemon does not tell.
    #[serde(default)]
    #[schema(required)]
    pub overrides: Vec<OverrideView>,
    /// What is kept, by state
    pub counts: CountsView,
    /// Bytes that are kept, where the queue limits them
    #[schema(required)]
    pub kept_bytes: Option<KeptBytesView>,
    /// How long the oldest ready message has been due; null: none is ready
    #[schema(required)]
    pub oldest_ready_age_ms: Option<u64>,
    /// When the next message is due; null: none is scheduled
    #[schema(required)]
    pub next_due_at: Option<Moment>,
    /// null: it is not paused
    #[schema(required)]
    pub paused: Option<PausedView>,
    /// null: it has no window
    #[schema(required)]
    pub window: Option<WindowView>,
    /// Calls in a time
    pub rate: RateView,
    /// Each of its limits, its own rate first
    #[serde(default)]
    pub limits: Vec<LimitView>,
    /// What of its backlog is used; null: it takes in what Redis has room for
    #[serde(default)]
    #[schema(required)]
    pub backlog: Option<BacklogView>,
    /// How many keys were given a weight or limits of their own at run time
    #[serde(default)]
    pub keys: u64,
    /// The structure in force: by which keys its messages are ordered, shared out and limited; null: the queue has no keys,
    /// and follows no other node
    #[serde(default)]
    #[schema(required)]
    pub structure: Option<StructureView>,
    /// What the downstream's answers have shut
    pub gate: GateView,
    /// Whether messages are sent now, and if not, why: the first reason that holds
    pub sending: SendingView,
    /// null: its downstream does not fail
    #[schema(required, value_type = Option<FailingView<'static>>)]
    pub failing: Option<FailingView<'static>>,
    /// The level achieved now; null: the configured one is not met
    #[schema(required)]
    pub durability: Option<DurabilityWord>,
    /// In the answer to resume: whether the queue was paused, or its gate was shut
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub resumed: Option<bool>,
}

/// The structure in force of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = QueueStructure)]
pub struct StructureView {
    /// Its number; each proposal that is another one than that in force has the next
    pub number: u64,
    /// Whether it is that of the configuration of the node that answers; false: this node follows another one
    pub is_own: bool,
    /// Set while messages move over to it; nothing is sent meanwhile
    #[schema(required)]
    pub switching: Option<SwitchingView>,
}

/// How far messages have moved over to another structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = QueueSwitching)]
pub struct SwitchingView {
    /// About how many keys are left to look at
    pub lanes_left: u64,
}

/// A reference to the schema of policies.
fn policy() -> RefOr<Schema> {
    let mut reference = Ref::from_schema_name(POLICY);
    reference.description = "The configuration in force, without secrets".to_owned();
    RefOr::Ref(reference)
}

/// Messages that are kept, by state.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[schema(as = QueueCounts)]
pub struct CountsView {
    /// Not due yet
    pub scheduled: u64,
    /// Due
    pub ready: u64,
    /// Being sent
    pub leased: u64,
    /// Sent, and nobody knows whether they arrived
    pub uncertain: u64,
    /// Taken by the downstream, whose receipt is awaited
    pub accepted: u64,
    /// Delivered
    pub delivered: u64,
    /// Given up
    pub dead: u64,
    /// Expired before they were sent
    pub expired: u64,
    /// Cancelled
    pub cancelled: u64,
}

impl CountsView {
    /// So many messages as this says of each state.
    pub fn new(of: impl Fn(State) -> u64) -> Self {
        Self {
            scheduled: of(State::Scheduled),
            ready: of(State::Ready),
            leased: of(State::Leased),
            uncertain: of(State::Uncertain),
            accepted: of(State::Accepted),
            delivered: of(State::Delivered),
            dead: of(State::Dead),
            expired: of(State::Expired),
            cancelled: of(State::Cancelled),
        }
    }

    /// How many are in a state.
    #[must_use]
    pub const fn of(&self, state: State) -> u64 {
        match state {
            State::Scheduled => self.scheduled,
            State::Ready => self.ready,
            State::Leased => self.leased,
            State::Uncertain => self.uncertain,
            State::Accepted => self.accepted,
            State::Delivered => self.delivered,
            State::Dead => self.dead,
            State::Expired => self.expired,
            State::Cancelled => self.cancelled,
        }
    }
}

/// Bytes that are kept of finished messages.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[schema(as = QueueKeptBytes)]
pub struct KeptBytesView {
    /// Of delivered, expired and cancelled messages
    pub delivered: u64,
    /// Of dead messages
    pub dead: u64,
}

/// That a queue is paused.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = QueuePaused)]
pub struct PausedView {
    /// null: until it is resumed
    #[schema(required)]
    pub until: Option<Moment>,
    /// Why; may be empty
    pub reason: String,
    /// The token's name, or anonymous
    pub by: String,
}

/// The hours of a queue's window.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[schema(as = QueueWindow)]
pub struct WindowView {
    /// Whether it is open now
    pub open: bool,
    /// While it is open; null: it does not close within two years
    #[schema(required)]
    pub closes_at: Option<Moment>,
    /// While it is closed; null: it does not open within two years
    #[schema(required)]
    pub opens_at: Option<Moment>,
}

/// Calls in a time.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = QueueRate)]
pub struct RateView {
    /// At most so many; null: no limit
    #[schema(required)]
    pub configured: Option<String>,
    /// Calls per second over the last minute
    #[schema(minimum = 0)]
    pub observed_1m: f64,
}

/// What the downstream's answers have shut.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = QueueGate)]
pub struct GateView {
    /// Whether calls are let through
    pub open: bool,
    /// Until when it is shut
    #[schema(required)]
    pub until: Option<Moment>,
    /// Why it is shut, in a word
    #[schema(required)]
    pub kind: Option<GateKindWord>,
    /// What the downstream answered
    #[schema(required)]
    pub reason: Option<String>,
}

/// Why a gate is shut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GateKind {
    /// The downstream asked for fewer calls.
    Throttle,
    /// It refused our credentials or our address.
    Alarm,
}

/// Why a gate is shut, as a word.
pub type GateKindWord = Word<GateKind>;

impl Vocabulary for GateKind {
    const NAME: &'static str = "GateKind";
    const DESCRIPTION: &'static str = "Why a gate is shut: throttle: the downstream asks for fewer calls; alarm: it refuses our credentials or our address";
    const ALL: &'static [Self] = &[Self::Throttle, Self::Alarm];

    fn word(self) -> &'static str {
        match self {
            Self::Throttle => "throttle",
            Self::Alarm => "alarm",
        }
    }
}

/// Whether messages are sent now, and if not, why.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = QueueSending)]
pub struct SendingView {
    /// In a word
    pub state: SendingStateWord,
    /// In a sentence
    pub reason: String,
    /// Since when it does not send, where that is known
    #[schema(required)]
    pub since: Option<Moment>,
    /// When this ends by itself, where that is known
    #[schema(required)]
    pub until: Option<Moment>,
}

/// Whether a queue sends, and if not, why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendingState {
    /// Messages are sent when they are due.
    Open,
    /// It is paused, or not in the configuration any more.
    Paused,
    /// Its window is closed.
    Closed,
    /// The downstream's answers have shut its gate.
    Shut,
    /// It sends, and its downstream fails.
    Failing,
}

/// Whether a queue sends, as a word.
pub type SendingStateWord = Word<SendingState>;

impl Vocabulary for SendingState {
    const NAME: &'static str = "SendingState";
    const DESCRIPTION: &'static str = "open: messages are sent when they are due; paused: it is paused, or not in the configuration any more; closed: its window is closed; shut: the downstream's answers have shut its gate; failing: it sends, and its downstream fails";
    const ALL: &'static [Self] =
        &[Self::Open, Self::Paused, Self::Closed, Self::Shut, Self::Failing];

    fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Paused => "paused",
            Self::Closed => "closed",
            Self::Shut => "shut",
            Self::Failing => "failing",
        }
    }
}

/// How safe what is taken in is, as a word.
pub type DurabilityWord = Word<Durability>;

impl Vocabulary for Durability {
    const NAME: &'static str = "Durability";
    const DESCRIPTION: &'static str = "How safe a message is before its producer is answered, the least first: memory: whatever Redis has; everysec: on disk within a second; disk: on disk; replicas: on disk, and at all configured replicas";
    const ALL: &'static [Self] = &[Self::Memory, Self::Everysec, Self::Disk, Self::Replicas];

    fn word(self) -> &'static str {
        self.as_str()
    }
}

/// Every queue, in the order of their names.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Queues)]
pub struct QueueList {
    /// The queues
    pub queues: Vec<QueueView>,
}

/// Until a moment, for a time, or (neither given) until it is resumed
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[schema(as = Pause)]
#[serde(deny_unknown_fields)]
pub struct PauseRequest {
    /// A moment to come
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Moment>,
    /// How long
    #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
    pub length: Option<DurationMs>,
    /// Why, for the colleagues
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Reason>)]
    pub reason: Option<String>,
}

/// The messages in this state.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = OfState)]
#[serde(deny_unknown_fields)]
pub struct OfStateRequest {
    /// The state that is meant
    pub state: StateWord,
}

/// What a purge took away.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[schema(as = Purged)]
pub struct PurgedAnswer {
    /// Messages that are cancelled or deleted
    pub purged: u64,
    /// Ask again while this is not 0
    pub remaining: u64,
}

/// What is sent again.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[schema(as = Requeued)]
pub struct RequeuedAnswer {
    /// Messages that are sent again
    pub requeued: u64,
    /// Ask again while this is not 0
    pub remaining: u64,
}
