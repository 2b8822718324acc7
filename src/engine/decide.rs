//! From an outcome to a verb: all branching of what follows an attempt, in one function.
//!
//! Pure: `now`, ages and randomness come in. The settler carries the action out.

use crate::domain::outcome::OnUncertain;
use crate::domain::outcome::Outcome;
use crate::domain::policy::QueuePolicy;
use crate::domain::retry::{GiveUp, Next, RetryPolicy};

/// What is to happen with a message after an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
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
    /// The downstream's own name for the message.
    pub reference: Option<&'a str>,
    /// How long the downstream asked to be left alone, in milliseconds.
    pub retry_after_ms: Option<u64>,
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
        Outcome::Accepted => Action::Accept { reference: facts.reference.map(str::to_owned) },
        Outcome::Retry => again(retry, facts),
        Outcome::Hindered => Action::Release,
        Outcome::Unknown => match policy.on_uncertain {
            OnUncertain::Resend => again(retry, facts),
            OnUncertain::Park | OnUncertain::Probe => {
                let asked_ms = retry.obeyed_ms(facts.retry_after_ms);
                Action::Park { reason: facts.error.to_owned(), asked_ms }
            }
        },
        Outcome::Throttled { .. } if retry.is_too_old(facts.age_ms) => {
            give_up(GiveUp::TooOld, facts)
        }
        Outcome::Throttled { retry_after_ms } => {
            // Zero, or a date that has passed, names no time: to call again at once is to hammer.
            let asked_ms = retry.obeyed_ms(retry_after_ms);
            Action::Throttle { gate_ms: (asked_ms > 0).then_some(asked_ms) }
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
        Next::RetryAfter(delay_ms) => {
            Action::Retry { delay_ms: delay_ms.max(retry.obeyed_ms(facts.retry_after_ms)) }
        }
        Next::GiveUp(why) => give_up(why, facts),
    }
}

fn give_up(why: GiveUp, facts: Facts<'_>) -> Action {
    let reason = why.reason(facts.attempt, facts.error);
    Action::Bury { word: why.word(), reason, suspect: false }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::policy::Downstream;
    use crate::domain::receipt::ReceiptPolicy;
    use crate::domain::retention::Retention;

    fn policy(on_uncertain: OnUncertain) -> QueuePolicy {
        QueuePolicy {
            name: "sms".parse().unwrap(),
            rate: None,
            burst: 1,
            lease_ms: 30_000,
            keep_response_bytes: 0,
            concurrency: 1,
            priority_levels: 1,
            retention: Retention::by_age(0, 0),
            idempotency_window_ms: 0,
            on_uncertain,
            probe: None,
            receipts: ReceiptPolicy::DEFAULT,
            shards: 1,
            downstream: Downstream::Null,
            retry: RetryPolicy {
                max_attempts: Some(3),
                initial_ms: 1000,
                max_ms: 60_000,
                throttle_max_ms: 90_000,
                jitter: 0.0,
                max_age_ms: 100_000,
                ..RetryPolicy::default()
            },
            window: None,
            batch: None,
            callback: None,
        }
    }

    const FACTS: Facts<'_> = Facts {
        attempt: 1,
        age_ms: 0,
        random: 0.5,
        error: "status 500",
        reference: None,
        retry_after_ms: None,
    };

    fn after(outcome: Outcome, on_uncertain: OnUncertain, attempt: u32, age_ms: u64) -> Action {
        let policy = policy(on_uncertain);
        decide(outcome, &policy, &policy.retry, Facts { attempt, age_ms, ..FACTS })
    }

    fn word(action: &Action) -> &'static str {
        match action {
            Action::Bury { word, .. } => word,
            _ => "",
        }
    }

    #[test]
    fn a_failure_is_tried_again_until_attempts_or_age_are_spent() {
        let retry = |attempt, age_ms| after(Outcome::Retry, OnUncertain::Resend, attempt, age_ms);
        assert_eq!(retry(1, 0), Action::Retry { delay_ms: 1000 });
        assert_eq!(retry(2, 0), Action::Retry { delay_ms: 2000 });
        assert_eq!(word(&retry(3, 0)), "attempts_spent");
        assert_eq!(word(&retry(1, 100_000)), "too_old");
    }

    #[test]
    fn a_throttle_is_no_attempt_but_ages() {
        let asked = Outcome::Throttled { retry_after_ms: Some(3_600_000) };
        let throttle = |age_ms| after(asked, OnUncertain::Resend, 99, age_ms);
        // Capped by retry.throttle_max.
        assert_eq!(throttle(0), Action::Throttle { gate_ms: Some(90_000) });
        assert_eq!(word(&throttle(100_000)), "too_old");
    }

    #[test]
    fn what_cannot_be_told_is_resent_or_parked_as_the_queue_says() {
        assert_eq!(
            after(Outcome::Unknown, OnUncertain::Resend, 1, 0),
            Action::Retry { delay_ms: 1000 }
        );
        let parked = after(Outcome::Unknown, OnUncertain::Park, 99, 999_999);
        assert_eq!(parked, Action::Park { reason: "status 500".to_owned(), asked_ms: 0 });
    }

    #[test]
    fn the_next_attempt_waits_as_long_as_was_asked_for() {
        let asked = |outcome, on_uncertain, asked_ms| {
            let policy = policy(on_uncertain);
            let facts = Facts { retry_after_ms: Some(asked_ms), ..FACTS };
            decide(outcome, &policy, &policy.retry, facts)
        };
        for outcome in [Outcome::Unknown, Outcome::Retry] {
            for (asked_ms, delay_ms) in [(0, 1000), (999, 1000), (7000, 7000), (u64::MAX, 90_000)] {
                let action = asked(outcome, OnUncertain::Resend, asked_ms);
                assert_eq!(action, Action::Retry { delay_ms }, "{asked_ms}");
            }
        }
        let parked = asked(Outcome::Unknown, OnUncertain::Probe, 7000);
        assert_eq!(parked, Action::Park { reason: "status 500".to_owned(), asked_ms: 7000 });
    }

    #[test]
    fn what_this_machine_could_not_send_spends_nothing() {
        for on_uncertain in [OnUncertain::Resend, OnUncertain::Park] {
            assert_eq!(after(Outcome::Hindered, on_uncertain, 3, 999_999), Action::Release);
        }
    }

    #[test]
    fn refusals_bury_and_wrong_credentials_do_not() {
        let suspect = |action| matches!(action, Action::Bury { suspect: true, .. });
        assert!(!suspect(after(Outcome::Refused, OnUncertain::Resend, 1, 0)));
        assert!(suspect(after(Outcome::Suspect, OnUncertain::Resend, 1, 0)));
        assert_eq!(after(Outcome::Denied, OnUncertain::Resend, 99, 999_999), Action::Alarm);
    }
}
