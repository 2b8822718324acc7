//! The states of a message, and which of them are final.
//!
//! ```text
//! scheduled ──promote──▶ ready ──claim──▶ leased ──ack──▶ delivered, ──accept──▶ accepted
//!     ▲                    ▲                │──bury──▶ dead
//!     └──────retry─────────┼────────────────┤──park──▶ uncertain ──resolve──▶ delivered | ready | dead
//!                          └─release, defer,┘
//!                             reap
//! accepted ──receive──▶ delivered | dead     accepted ──lapse──▶ uncertain | dead | delivered
//! scheduled, ready ──expire──▶ expired      scheduled, ready, uncertain ──cancel──▶ cancelled
//! dead, uncertain, expired, cancelled ──requeue──▶ ready
//! ```

use std::fmt;
use std::str::FromStr;

/// Where a message stands. The names are the ones of HTTP, CLI, metrics and Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// Due later, or waiting for a retry.
    Scheduled,
    /// Due; waits for its gates.
    Ready,
    /// A node has it, under a lease.
    Leased,
    /// The attempt may or may not have reached the downstream; waits for a decision.
    Uncertain,
    /// The downstream took it and will tell later.
    Accepted,
    /// Final: the downstream has it.
    Delivered,
    /// Final: given up, with the reason kept.
    Dead,
    /// Final: its time ran out before an attempt.
    Expired,
    /// Final: withdrawn.
    Cancelled,
}

impl State {
    /// Every state, in the order in which they are shown.
    pub const ALL: [Self; 9] = [
        Self::Scheduled,
        Self::Ready,
        Self::Leased,
        Self::Uncertain,
        Self::Accepted,
        Self::Delivered,
        Self::Dead,
        Self::Expired,
        Self::Cancelled,
    ];

    /// The word for this state, the same everywhere.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Ready => "ready",
            Self::Leased => "leased",
            Self::Uncertain => "uncertain",
            Self::Accepted => "accepted",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        }
    }

    /// Final states leave only by an operator's requeue.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Delivered | Self::Dead | Self::Expired | Self::Cancelled)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that names no state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown state \"{0}\"; expected one of scheduled, ready, leased, uncertain, accepted, delivered, dead, expired, cancelled"
)]
pub struct UnknownState(pub String);

impl FromStr for State {
    type Err = UnknownState;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == word)
            .ok_or_else(|| UnknownState(word.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_reads_back_from_its_word() {
        for state in State::ALL {
            assert_eq!(state.as_str().parse(), Ok(state));
        }
        assert!("done".parse::<State>().is_err());
    }
}
