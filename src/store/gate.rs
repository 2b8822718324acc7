//! The gates as scripts know them: what a claim asks for, how it ends, and what was counted.
//!
//! Owns the words between the senders and the scripts `claim`, `grant` and `count`. Refuses to know when a
//! gate holds (see `domain::gates`).

use super::StoreError;
use super::queues::Counts;
use crate::domain::gates::{Gate, PauseEnd, QueueLoad, Snapshot};
use crate::domain::policy::QueuePolicy;

/// How far ahead of their slots messages are claimed: the sender has them at hand when the slot comes. No claim looks
/// further ahead.
pub const HORIZON_US: u64 = 50_000;

/// What a sender asks for.
#[derive(Debug, Clone, Copy, Default)]
pub struct ClaimWish {
    /// Most messages (a batch: most calls is one).
    pub messages_max: usize,
    /// Slots no later than so many microseconds from now (and from when the reply is expected).
    pub horizon_us: u64,
    /// Slots only before this moment (Redis time, microseconds): the window closes.
    pub before_us: Option<u64>,
    /// For queues with batches: do not wait for company any longer.
    pub batch_now: bool,
    /// How long the lease is, in milliseconds; `None`: the queue's.
    pub lease_ms: Option<u64>,
}

/// How a claim, or a request for permits, ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimStatus {
    /// Messages were taken, or permits granted.
    Taken,
    /// Nothing is ready.
    Empty,
    /// This gate holds what is ready.
    Held(Gate),
    /// Only stale entries were found: ask again at once.
    Stale,
    /// Redis' clock is in doubt, and all that was found would expire by it.
    ClockInDoubt,
}

impl ClaimStatus {
    /// Every status.
    const ALL: [Self; 9] = [
        Self::Taken,
        Self::Empty,
        Self::Held(Gate::Pause),
        Self::Held(Gate::Throttled),
        Self::Held(Gate::Concurrency),
        Self::Held(Gate::Limit),
        Self::Held(Gate::Batch),
        Self::Stale,
        Self::ClockInDoubt,
    ];

    /// The number by which scripts know it (see `script::numbers`); no script names another gate.
    pub(super) const fn code(self) -> Option<u64> {
        Some(match self {
            Self::Taken => 0,
            Self::Empty => 1,
            Self::Held(Gate::Pause) => 2,
            Self::Held(Gate::Throttled) => 3,
            Self::Held(Gate::Concurrency) => 4,
            Self::Held(Gate::Limit) => 5,
            Self::Held(Gate::Batch) => 6,
            Self::Stale => 7,
            Self::ClockInDoubt => 8,
            Self::Held(_) => return None,
        })
    }
}

/// The status that a script answered.
pub(super) fn status_of(code: i64) -> Result<ClaimStatus, StoreError> {
    let wanted = u64::try_from(code).ok();
    let known = ClaimStatus::ALL.into_iter().find(|status| status.code() == wanted);
    known.ok_or_else(|| StoreError::Reply(format!("claim answered {code}")))
}

impl Counts {
    /// What these counts say of the queue's gates.
    #[must_use]
    pub fn snapshot(&self, policy: &QueuePolicy) -> Snapshot {
        let pause_end = |until_ms: Option<u64>| until_ms.map_or(PauseEnd::Resume, PauseEnd::At);
        Snapshot {
            pause: self.paused.as_ref().map(|paused| pause_end(paused.until_ms)),
            throttled_until_ms: self.gate.as_ref().map(|(until_ms, ..)| *until_ms),
            load: Some(QueueLoad {
                arrival_us: self.arrival_us,
                shards: self.by_shard.iter().map(|shard| shard.load(policy)).collect(),
            }),
            call_ms: 0,
        }
    }
}
