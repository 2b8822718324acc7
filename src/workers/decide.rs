//! From an outcome to a verb: all branching of what follows an attempt, in one function.
//!
//! Pure: `now`, ages and randomness come in. The settler carries the action out.

use crate::domain::outcome::Outcome;
use crate::domain::policy::{OnUncertain, QueuePolicy};
use crate::domain::retry::{Next, RetryPolicy};

/// What is to happen with a message after an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// The downstream has it.
    Ack,
    /// Again later.
    Retry {
        /// How long to wait, in milliseconds.
        delay_ms: u64,
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
    },
}

/// What the decision needs to know about the message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts<'a> {
    /// Which attempt it was.
    pub attempt: u32,
    /// Milliseconds since its first attempt, without pauses and closed hours.
    pub age_ms: u64,
    /// In [0, 1).
    pub random: f64,
    /// What the downstream said, or what went wrong.
    pub error: &'a str,
}

/// What follows from an outcome.
#[must_use]
pub(super) fn decide(
    outcome: Outcome,
    policy: &QueuePolicy,
    retry: &RetryPolicy,
    facts: Facts<'_>,
) -> Action {
    match outcome {
        Outcome::Delivered => Action::Ack,
        Outcome::Retry => again(retry, facts),
        Outcome::Unknown => match policy.on_uncertain {
            OnUncertain::Resend => again(retry, facts),
            OnUncertain::Park => Action::Park { reason: facts.error.to_owned() },
        },
        Outcome::Throttled { .. } if retry.is_too_old(facts.age_ms) => too_old(facts.error),
        Outcome::Throttled { retry_after_ms } => {
            Action::Throttle { gate_ms: retry_after_ms.map(|ms| ms.min(retry.max_ms)) }
        }
        Outcome::Denied => Action::Alarm,
        Outcome::Refused => {
            Action::Bury { word: "refused", reason: facts.error.to_owned(), suspect: false }
        }
        Outcome::Suspect => {
            Action::Bury { word: "refused", reason: facts.error.to_owned(), suspect: true }
        }
    }
}

fn again(retry: &RetryPolicy, facts: Facts<'_>) -> Action {
    match retry.next(facts.attempt, facts.age_ms, facts.random) {
        Next::RetryAfter(delay_ms) => Action::Retry { delay_ms },
        Next::AttemptsSpent => Action::Bury {
            word: "attempts_spent",
            reason: format!("{} attempts failed; the last: {}", facts.attempt, facts.error),
            suspect: false,
        },
        Next::TooOld => too_old(facts.error),
    }
}

fn too_old(error: &str) -> Action {
    Action::Bury {
        word: "too_old",
        reason: format!("older than retry.max_age; the last answer: {error}"),
        suspect: false,
    }
}

/// Milliseconds since the first attempt that count: the age stands still while the window is closed
/// or the queue paused.
#[must_use]
pub(super) fn age_ms(
    policy: &QueuePolicy,
    first_attempt_ms: u64,
    now_ms: u64,
    paused_since_first_ms: u64,
) -> u64 {
    let open_ms = match &policy.window {
        Some(window) => window.open_ms_between(first_attempt_ms, now_ms),
        None => now_ms.saturating_sub(first_attempt_ms),
    };
    open_ms.saturating_sub(paused_since_first_ms)
}
