//! The gates as scripts know them: what a claim asks for, and how it ends.
//!
//! Owns the words between the senders and the scripts `claim` and `grant`. Refuses to know when a
//! gate holds (see `domain::gates`).

use crate::domain::gates::Gate;
use crate::store::StoreError;

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
    /// All that is ready waits for a limit by key, or for its turn behind another message of its key; or messages are moving over to
    /// another structure.
    KeysHold,
    /// Another structure is in force than the caller knows.
    OtherStructure,
}

impl ClaimStatus {
    /// Every status.
    const ALL: [Self; 11] = [
        Self::Taken,
        Self::Empty,
        Self::Held(Gate::Pause),
        Self::Held(Gate::Throttled),
        Self::Held(Gate::Concurrency),
        Self::Held(Gate::Limit),
        Self::Held(Gate::Batch),
        Self::Stale,
        Self::ClockInDoubt,
        Self::KeysHold,
        Self::OtherStructure,
    ];

    /// The number by which scripts know it (see `script::numbers`); no script names another gate.
    pub(in crate::store) const fn code(self) -> Option<u64> {
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
            Self::KeysHold => 9,
            Self::OtherStructure => 10,
            Self::Held(_) => return None,
        })
    }
}

/// The status that a script answered.
pub(in crate::store) fn status_of(code: i64) -> Result<ClaimStatus, StoreError> {
    let wanted = u64::try_from(code).ok();
    let known = ClaimStatus::ALL.into_iter().find(|status| status.code() == wanted);
    known.ok_or_else(|| StoreError::Reply(format!("claim answered {code}")))
}
