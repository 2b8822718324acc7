//! Whether a gate lets a message through, until when, and why not.

/// Whether a gate lets a message through. Moments are milliseconds by Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GateState {
    /// It does.
    Open {
        /// A call must start before this moment; `None`: it may start at any time.
        before_ms: Option<u64>,
    },
    /// It does not.
    Held {
        /// When it opens; `None`: nobody can know.
        until_ms: Option<u64>,
        /// The cause.
        why: Why,
    },
}

/// Why a gate holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The message is due later.
    NotDue,
    /// Its next attempt is due later.
    NextAttempt,
    /// An operator paused the queue.
    Paused,
    /// The window is closed.
    WindowClosed {
        /// When its hours begin, if that is within two years. The gate may open later: the first opening may
        /// be too short for a call.
        opens_at_ms: Option<u64>,
    },
    /// The window is open, but less time is left than a call needs.
    WindowCloses {
        /// When its hours end.
        closes_at_ms: u64,
    },
    /// The hours of its recipient have not begun.
    RecipientHours,
    /// Redis has not told the time yet.
    TimeUnknown,
    /// The downstream's answers shut the gate.
    Throttled,
    /// The next slot of a rate lies ahead.
    NextSlot,
    /// The quota of this period is used.
    QuotaUsed,
    /// Every call that may be in flight is.
    CallsInFlight,
    /// A limit by key has nothing left for this value of the key.
    KeyUsed,
    /// Another message of the same key goes first.
    MessageAhead,
    /// The older message of the same collapse key is not decided.
    OlderOnItsWay,
    /// Another key of the fair shares has the turn.
    TurnOfAnother,
    /// The batch is neither full nor old enough.
    BatchGathers,
    /// The downstream will be asked about the message.
    ToBeProbed,
    /// No worker has claimed it.
    NobodyClaims,
}

/// Redis has not told the time yet.
pub(super) const UNKNOWN: GateState = GateState::Held { until_ms: None, why: Why::TimeUnknown };

impl GateState {
    /// Open, for as long as anybody knows.
    pub const OPEN: Self = Self::Open { before_ms: None };

    /// Whether it holds a message.
    #[must_use]
    pub const fn is_held(self) -> bool {
        matches!(self, Self::Held { .. })
    }

    /// Of two gates the one that decides: of shut ones the one that opens later, and last the one of which
    /// nobody can know; of open ones what closes sooner.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Open { before_ms: mine }, Self::Open { before_ms: theirs }) => {
                Self::Open { before_ms: mine.into_iter().chain(theirs).min() }
            }
            (held, Self::Open { .. }) | (Self::Open { .. }, held) => held,
            (Self::Held { until_ms: mine, .. }, Self::Held { until_ms: theirs, .. }) => {
                if opens_at_ms(theirs) > opens_at_ms(mine) {
                    other
                } else {
                    self
                }
            }
        }
    }

    /// Of two gates of which one is enough the one that lets through first.
    pub(super) fn or(self, other: Self) -> Self {
        match (self, other) {
            (open @ Self::Open { .. }, _) | (_, open @ Self::Open { .. }) => open,
            (Self::Held { until_ms: mine, .. }, Self::Held { until_ms: theirs, .. }) => {
                if opens_at_ms(theirs) < opens_at_ms(mine) {
                    other
                } else {
                    self
                }
            }
        }
    }
}

/// For comparing: what nobody can know comes last.
fn opens_at_ms(until_ms: Option<u64>) -> u64 {
    until_ms.unwrap_or(u64::MAX)
}
