//! From an outcome to a settlement: all branching of what follows an attempt, in one function.
//!
//! Pure: `now`, ages and randomness come in. `settle` and `pull` carry the settlement out.

use crate::domain::outcome::OnUncertain;
use crate::domain::outcome::Outcome;
use crate::domain::policy::QueuePolicy;
use crate::domain::retry::{GiveUp, RetryNext, RetryPolicy};
use crate::domain::settlement::Settlement;

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
) -> Settlement {
    match outcome {
        Outcome::Delivered => Settlement::Ack,
        Outcome::Accepted => Settlement::Accept { reference: facts.reference.map(str::to_owned) },
        Outcome::Retry => again(retry, facts),
        Outcome::Hindered => Settlement::Release,
        Outcome::Unknown => match policy.on_uncertain {
            OnUncertain::Resend => again(retry, facts),
            OnUncertain::Park | OnUncertain::Probe => {
                let asked_ms = retry.obeyed_ms(facts.retry_after_ms);
                Settlement::Park { reason: facts.error.to_owned(), asked_ms }
            }
        },
        Outcome::Throttled { .. } | Outcome::Withheld { .. } if retry.is_too_old(facts.age_ms) => {
            give_up(GiveUp::TooOld, facts)
        }
        Outcome::Throttled { retry_after_ms } | Outcome::Withheld { retry_after_ms } => {
            // Zero, or a date that has passed, names no time: to call again at once is to hammer.
            let asked_ms = retry.obeyed_ms(retry_after_ms);
            Settlement::Throttle { gate_ms: (asked_ms > 0).then_some(asked_ms) }
        }
        Outcome::Denied => Settlement::Alarm,
        Outcome::Refused => {
            Settlement::Bury { word: "refused", reason: facts.error.to_owned(), suspect: false }
        }
        Outcome::Suspect => {
            Settlement::Bury { word: "refused", reason: facts.error.to_owned(), suspect: true }
        }
    }
}

fn again(retry: &RetryPolicy, facts: Facts<'_>) -> Settlement {
    match retry.next(facts.attempt, facts.age_ms, facts.random) {
        RetryNext::RetryAfter(delay_ms) => {
            Settlement::Retry { delay_ms: delay_ms.max(retry.obeyed_ms(facts.retry_after_ms)) }
        }
        RetryNext::GiveUp(why) => give_up(why, facts),
    }
}

fn give_up(why: GiveUp, facts: Facts<'_>) -> Settlement {
    let reason = why.reason(facts.attempt, facts.error);
    Settlement::Bury { word: why.word(), reason, suspect: false }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing;

    fn policy(on_uncertain: OnUncertain) -> QueuePolicy {
        let retry = RetryPolicy {
            max_attempts: Some(3),
            initial_ms: 1000,
            max_ms: 60_000,
            throttle_max_ms: 90_000,
            jitter: 0.0,
            max_age_ms: 100_000,
            ..RetryPolicy::default()
        };
        QueuePolicy { on_uncertain, retry, ..testing::policy("sms", "") }
    }

    const FACTS: Facts<'_> = Facts {
        attempt: 1,
        age_ms: 0,
        random: 0.5,
        error: "status 500",
        reference: None,
        retry_after_ms: None,
    };

    fn after(outcome: Outcome, on_uncertain: OnUncertain, attempt: u32, age_ms: u64) -> Settlement {
        let policy = policy(on_uncertain);
        decide(outcome, &policy, &policy.retry, Facts { attempt, age_ms, ..FACTS })
    }

    fn word(settlement: &Settlement) -> &'static str {
        match settlement {
            Settlement::Bury { word, .. } => word,
            _ => "",
        }
    }

    #[test]
    fn a_failure_is_tried_again_until_attempts_or_age_are_spent() {
        let retry = |attempt, age_ms| after(Outcome::Retry, OnUncertain::Resend, attempt, age_ms);
        assert_eq!(retry(1, 0), Settlement::Retry { delay_ms: 1000 });
        assert_eq!(retry(2, 0), Settlement::Retry { delay_ms: 2000 });
        assert_eq!(word(&retry(3, 0)), "attempts_spent");
        assert_eq!(word(&retry(1, 100_000)), "too_old");
    }

    #[test]
    fn a_throttle_is_no_attempt_but_ages() {
        let asked = Outcome::Throttled { retry_after_ms: Some(3_600_000) };
        let throttle = |age_ms| after(asked, OnUncertain::Resend, 99, age_ms);
        let withheld = Outcome::Withheld { retry_after_ms: None };
        let settlement = after(withheld, OnUncertain::Park, 99, 0);
        assert_eq!(settlement, Settlement::Throttle { gate_ms: None });
        assert_eq!(word(&after(withheld, OnUncertain::Park, 99, 100_000)), "too_old");
        // Capped by retry.throttle_max.
        assert_eq!(throttle(0), Settlement::Throttle { gate_ms: Some(90_000) });
        assert_eq!(word(&throttle(100_000)), "too_old");
    }

    #[test]
    fn what_cannot_be_told_is_resent_or_parked_as_the_queue_says() {
        assert_eq!(
            after(Outcome::Unknown, OnUncertain::Resend, 1, 0),
            Settlement::Retry { delay_ms: 1000 }
        );
        let parked = after(Outcome::Unknown, OnUncertain::Park, 99, 999_999);
        assert_eq!(parked, Settlement::Park { reason: "status 500".to_owned(), asked_ms: 0 });
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
                let settlement = asked(outcome, OnUncertain::Resend, asked_ms);
                assert_eq!(settlement, Settlement::Retry { delay_ms }, "{asked_ms}");
            }
        }
        let parked = asked(Outcome::Unknown, OnUncertain::Probe, 7000);
        assert_eq!(parked, Settlement::Park { reason: "status 500".to_owned(), asked_ms: 7000 });
    }

    #[test]
    fn what_this_machine_could_not_send_spends_nothing() {
        for on_uncertain in [OnUncertain::Resend, OnUncertain::Park] {
            assert_eq!(after(Outcome::Hindered, on_uncertain, 3, 999_999), Settlement::Release);
        }
    }

    #[test]
    fn refusals_bury_and_wrong_credentials_do_not() {
        let suspect = |settlement| matches!(settlement, Settlement::Bury { suspect: true, .. });
        assert!(!suspect(after(Outcome::Refused, OnUncertain::Resend, 1, 0)));
        assert!(suspect(after(Outcome::Suspect, OnUncertain::Resend, 1, 0)));
        assert_eq!(after(Outcome::Denied, OnUncertain::Resend, 99, 999_999), Settlement::Alarm);
    }
}
