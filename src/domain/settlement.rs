//! How the lease on a message ends: what the decision after an attempt says, and what the store carries out.

/// What is to happen with a message after an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// The downstream has it.
    Ack,
    /// The downstream took it; a receipt will follow, perhaps under this name.
    Accept {
        /// The downstream's own.
        reference: Option<String>,
    },
    /// Again later.
    Retry {
        /// How long to wait, in milliseconds.
        delay_ms: u64,
    },
    /// Again later, as if not tried: where it goes takes nothing now.
    Postpone {
        /// How long to wait, in milliseconds.
        delay_ms: u64,
        /// For people, where nothing was tried yet that could tell.
        reason: Option<String>,
    },
    /// Back to the head, as if not claimed.
    Release,
    /// Back to the head; the window would not have held the call.
    Hold,
    /// Back to the head; the gate shuts for so long, or by its streak.
    Throttle {
        /// In milliseconds; `None`: by its streak.
        gate_ms: Option<u64>,
    },
    /// Back to the head; the gate shuts, loudly.
    Alarm,
    /// Given up.
    Bury {
        /// One of a few words, for the metric.
        word: &'static str,
        /// For people.
        reason: String,
        /// Whether the answer puts the downstream itself in doubt.
        suspect: bool,
    },
    /// Waits for a decision.
    Park {
        /// For people.
        reason: String,
        /// So long the downstream asked to be left alone, in milliseconds; 0: it did not.
        asked_ms: u64,
    },
}
