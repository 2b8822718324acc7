//! What a dispatcher asks for, and the gate that it meets.
//!
//! Owns the words between the dispatcher and the scripts `claim` and `grant`. Refuses to know either.

use super::StoreError;

/// What a dispatcher asks for.
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

/// Which gate a claim met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// None: messages were taken.
    Open,
    /// Nothing is ready.
    Empty,
    /// The queue is paused.
    Paused,
    /// The downstream's throttles or refusals shut the gate.
    Shut,
    /// All calls are in flight.
    Concurrency,
    /// The limit.
    Limit,
    /// A batch gathers.
    Gathering,
    /// Only stale entries were met: ask again at once.
    Stale,
    /// Redis' clock is in doubt, and all that was met would expire by it.
    Doubt,
}

impl Gate {
    /// Every gate; a script knows it by its number (see `script::numbers`).
    const ALL: [Self; 9] = [
        Self::Open,
        Self::Empty,
        Self::Paused,
        Self::Shut,
        Self::Concurrency,
        Self::Limit,
        Self::Gathering,
        Self::Stale,
        Self::Doubt,
    ];
}

/// The gate that a script named.
pub(super) fn gate_of(code: i64) -> Result<Gate, StoreError> {
    let known = Gate::ALL.into_iter().find(|gate| *gate as i64 == code);
    known.ok_or_else(|| StoreError::Reply(format!("claim answered {code}")))
}
