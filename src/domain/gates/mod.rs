//! The gates of a queue: all that can hold a message, in the order in which they are documented.
//!
//! Owns whether each gate is open, until when, and why. Senders go by the gate that opens last, views show
//! every gate: the gate that refuses is the gate that explains. Pure: the policy, what Redis counted and the
//! time come in. Refuses to know who asks, and what is done while a gate is shut.

mod earliest;
mod keys;
mod last_calls;
mod limits;
mod message;
mod shards;
mod state;
#[cfg(test)]
pub(in crate::domain) mod tests;

use std::sync::Arc;

pub use self::keys::{HeldByKeys, KeyHold};
pub use self::last_calls::LastCalls;
pub use self::limits::HeldGate;
use self::limits::{OverrideEnd, all, limits, override_ends, stacked};
use self::shards::ShardGates;
pub use self::shards::{ShardLoad, concurrency_of_shard};
use self::state::UNKNOWN;
pub use self::state::{GateState, Why};
use super::limit::{KeptLimit, LimitName, StackedLimits};
use super::policy::QueuePolicy;
use super::recipient_hours::RecipientHours;
use super::state::State;
use super::window::WindowState;

/// What can hold a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// Its due time lies ahead.
    Due,
    /// It was tried, and waits for its next attempt.
    Retry,
    /// The queue is paused.
    Pause,
    /// The window is closed, or closes too soon.
    Window,
    /// The recipient cannot be reached now, by the clock where it is.
    Hours,
    /// The downstream asked for fewer calls, or refused our credentials or our address.
    Throttled,
    /// A limit of the queue: its next slot lies ahead, or its quota is used.
    Limit,
    /// As many calls are in flight as may be.
    Concurrency,
    /// Another message of its order key goes first.
    Order,
    /// The message of its collapse key before it is on its way, or nobody knows whether it arrived.
    Collapse,
    /// Another key of the fair shares has the turn.
    Fairness,
    /// A batch waits for company.
    Batch,
    /// The downstream is asked first whether it has the message.
    Probe,
    /// No worker has claimed it.
    Workers,
}

impl Gate {
    /// Every gate, in the documented order.
    pub const ALL: [Self; 14] = [
        Self::Due,
        Self::Retry,
        Self::Pause,
        Self::Window,
        Self::Hours,
        Self::Throttled,
        Self::Limit,
        Self::Concurrency,
        Self::Order,
        Self::Collapse,
        Self::Fairness,
        Self::Batch,
        Self::Probe,
        Self::Workers,
    ];

    /// The word for this gate in `held_by` and in metrics. In `held_by` a limit has its name behind it, see [`HeldGate`].
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Retry => "retry",
            Self::Pause => "pause",
            Self::Window => "window",
            Self::Hours => "hours",
            Self::Throttled => "throttled",
            Self::Limit => "limit",
            Self::Concurrency => "concurrency",
            Self::Order => "order",
            Self::Collapse => "collapse",
            Self::Fairness => "fairness",
            Self::Batch => "batch",
            Self::Probe => "probe",
            Self::Workers => "workers",
        }
    }

    /// Whether it can hold a message in this state. Limits, calls in flight, keys and batches let messages through one by
    /// one: a scheduled message does not stand before them yet.
    const fn concerns(self, state: State) -> bool {
        match self {
            Self::Due | Self::Retry | Self::Collapse => matches!(state, State::Scheduled),
            Self::Pause | Self::Window | Self::Hours | Self::Throttled => {
                matches!(state, State::Scheduled | State::Ready)
            }
            Self::Limit
            | Self::Concurrency
            | Self::Order
            | Self::Fairness
            | Self::Batch
            | Self::Workers => matches!(state, State::Ready),
            Self::Probe => matches!(state, State::Uncertain),
        }
    }
}

/// What is known of a queue beside its policy. A gate of which nothing is known counts as open: a sender
/// asks Redis for it.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Set while the queue is paused.
    pub pause: Option<PauseEnd>,
    /// Set while the downstream's answers keep the gate shut.
    pub throttled_until_ms: Option<u64>,
    /// What was counted.
    pub load: Option<QueueLoad>,
    /// How long the call takes that is to start, where that may be longer than the window's
    /// `min_remaining`.
    pub call_ms: u64,
}

/// When a pause ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PauseEnd {
    /// When somebody resumes the queue.
    Resume,
    /// By itself, at this moment.
    At(u64),
}

/// What Redis counted in a queue.
#[derive(Debug, Clone, Default)]
pub struct QueueLoad {
    /// What is kept of each limit without a key, in the order of the policy.
    pub limits: Vec<KeptLimit>,
    /// What was counted in each shard, in the order of their numbers.
    pub shards: Vec<ShardLoad>,
}

/// Every gate at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Gates {
    states: [(Gate, GateState); Gate::ALL.len()],
    /// Each limit by itself.
    limits: Vec<(LimitName, GateState)>,
    /// The limits as they stand, and at which moment, where that was read: what they say to a message depends on its cost.
    stacked: Option<(StackedLimits, f64)>,
    /// When overrides of limits end.
    override_ends: Vec<OverrideEnd>,
    /// What holds in each shard for itself, where that was counted.
    shards: Vec<ShardGates>,
    /// When recipients may be reached.
    recipients: Option<Arc<RecipientHours>>,
    /// Whether workers come and claim.
    is_pulled: bool,
    /// The moment; `None`: nobody knows it.
    now_ms: Option<u64>,
}

/// The limits of a queue as they stand; of what is not known of them, nothing was used.
#[must_use]
pub fn standing(policy: &QueuePolicy, snapshot: &Snapshot, now_ms: u64) -> StackedLimits {
    let nothing = QueueLoad::default();
    stacked(policy, snapshot.load.as_ref().unwrap_or(&nothing), now_ms).0
}

/// Every gate of a queue at `now_ms`, `None`: Redis has not told the time yet. What a single message adds,
/// see [`Gates::of_message`].
#[must_use]
pub fn gates(policy: &QueuePolicy, snapshot: &Snapshot, now_ms: Option<u64>) -> Gates {
    let load = snapshot.load.as_ref();
    let shards: Vec<ShardGates> = load.map_or_else(Vec::new, |load| {
        load.shards.iter().map(|load| ShardGates::new(policy, load, now_ms)).collect()
    });
    let of_shards = load.map(|load| ShardGates::of_queue(load, &shards));
    let load_of_limits = load.filter(|_| policy.has_wide_limits());
    let stacked = load_of_limits.zip(now_ms).map(|(load, now_ms)| stacked(policy, load, now_ms));
    let override_ends = override_ends(policy);
    let limits = match (load, &stacked) {
        (_, Some((stacked, now_us))) => limits(stacked, *now_us, 1, &override_ends),
        (Some(_), None) => {
            policy.wide_limits().map(|limit| (limit.name.clone(), UNKNOWN)).collect()
        }
        (None, _) => Vec::new(),
    };
    let states = Gate::ALL.map(|gate| {
        let state = match gate {
            // What a single message adds.
            Gate::Due
            | Gate::Retry
            | Gate::Hours
            | Gate::Collapse
            | Gate::Fairness
            | Gate::Probe
            | Gate::Workers => GateState::OPEN,
            Gate::Pause => pause(snapshot),
            Gate::Window => window(policy, snapshot.call_ms, now_ms),
            Gate::Throttled => throttled(snapshot),
            Gate::Limit => {
                all(&limits).and(of_shards.map_or(GateState::OPEN, |gates| gates.limits_by_key))
            }
            Gate::Order => of_shards.map_or(GateState::OPEN, |gates| gates.order),
            Gate::Concurrency => of_shards.map_or(GateState::OPEN, |gates| gates.concurrency),
            Gate::Batch => of_shards.map_or(GateState::OPEN, |gates| gates.batch),
        };
        (gate, state)
    });
    let recipients = policy.recipient_hours.clone();
    let is_pulled = policy.downstream.capabilities().is_pulled;
    Gates { states, limits, stacked, override_ends, shards, recipients, is_pulled, now_ms }
}

fn pause(snapshot: &Snapshot) -> GateState {
    let until_ms = match snapshot.pause {
        None => return GateState::OPEN,
        Some(PauseEnd::Resume) => None,
        Some(PauseEnd::At(at_ms)) => Some(at_ms),
    };
    GateState::Held { until_ms, why: Why::Paused }
}

fn throttled(snapshot: &Snapshot) -> GateState {
    match snapshot.throttled_until_ms {
        None => GateState::OPEN,
        until_ms => GateState::Held { until_ms, why: Why::Throttled },
    }
}

/// A call starts only if the window stays open for longer than the call needs. Time is counted in whole
/// milliseconds, and the one that begins with exactly as much left ends with less: nothing starts in it.
pub(in crate::domain) fn window(
    policy: &QueuePolicy,
    call_ms: u64,
    now_ms: Option<u64>,
) -> GateState {
    let Some(window) = &policy.window else { return GateState::OPEN };
    let Some(now_ms) = now_ms else {
        return UNKNOWN;
    };
    let needs_ms = window.min_remaining_ms().max(call_ms);
    let why = match window.state(now_ms) {
        WindowState::Open { closes_at_ms: None } => return GateState::OPEN,
        WindowState::Open { closes_at_ms: Some(closes_at_ms) } => {
            if now_ms + needs_ms < closes_at_ms {
                return GateState::Open { before_ms: Some(closes_at_ms - needs_ms) };
            }
            Why::WindowCloses { closes_at_ms }
        }
        WindowState::Closed { opens_at_ms } => Why::WindowClosed { opens_at_ms },
    };
    GateState::Held { until_ms: window.next_start_ms(now_ms, needs_ms), why }
}

impl Gates {
    /// Nothing holds.
    pub const OPEN: Self = {
        let mut gates = [(Gate::Due, GateState::OPEN); Gate::ALL.len()];
        let mut at = 0;
        while at < gates.len() {
            gates[at].0 = Gate::ALL[at];
            at += 1;
        }
        Self {
            states: gates,
            limits: Vec::new(),
            stacked: None,
            override_ends: Vec::new(),
            shards: Vec::new(),
            recipients: None,
            is_pulled: false,
            now_ms: None,
        }
    };

    /// Each gate and its state, in the documented order.
    pub fn iter(&self) -> impl Iterator<Item = (Gate, GateState)> {
        self.states.into_iter()
    }

    /// The state of one gate.
    #[must_use]
    pub fn of(&self, gate: Gate) -> GateState {
        self.iter().find(|(found, _)| *found == gate).map_or(GateState::OPEN, |(_, state)| state)
    }

    /// What a sender goes by: the gate that opens last, or, if all are open, until when they are.
    #[must_use]
    pub fn latest(&self) -> GateState {
        self.iter().fold(GateState::OPEN, |latest, (_, state)| latest.and(state))
    }
}
