//! Whether attempts show that a downstream fails.
//!
//! Owns which attempts count: those that got no answer, 408 or 5xx. A throttle shows neither; any other
//! answer shows that the downstream is there. Pure; the count over all nodes is kept by the store.

use super::message::Attempt;

/// What an attempt shows of the downstream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sign {
    /// Nothing: there was no call, or it was throttled.
    #[default]
    None,
    /// No answer, 408 or 5xx.
    Failed,
    /// Any other answer.
    Answered,
}

impl Sign {
    /// What this attempt shows.
    #[must_use]
    pub fn of(attempt: &Attempt) -> Self {
        match (attempt.outcome.as_str(), attempt.status_code) {
            // A throttle, or a fault of this machine.
            ("throttled" | "hindered", _) => Self::None,
            // Nobody was called, as there was no token: for whoever waits that is the same.
            ("withheld", _) => Self::Failed,
            (_, Some(408 | 500..=599)) => Self::Failed,
            (_, Some(_)) => Self::Answered,
            ("retry" | "unknown", None) => Self::Failed,
            // It was refused before anybody was called.
            (_, None) => Self::None,
        }
    }
}

/// Of signs in the order of their calls, leaves the failures that no answer followed.
pub fn keep_row<'a>(signs: impl DoubleEndedIterator<Item = &'a mut Sign>) {
    let mut is_answered = false;
    for sign in signs.rev() {
        if is_answered && *sign == Sign::Failed {
            *sign = Sign::None;
        }
        is_answered |= *sign == Sign::Answered;
    }
}

/// A downstream that fails.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Failing {
    /// When the first failed attempt of the row ended, ms.
    pub since_ms: u64,
    /// How many attempts have failed in a row.
    pub attempts: u64,
    /// What the last one came to.
    pub last_error: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(outcome: &str, status_code: Option<u16>) -> Attempt {
        Attempt {
            attempt: 1,
            started_at_ms: 0,
            ended_at_ms: 1,
            outcome: outcome.to_owned(),
            status_code,
            error: None,
            response: None,
            wait: crate::domain::waited::AttemptWait::default(),
        }
    }

    #[test]
    fn no_answer_408_and_5xx_are_failures_and_throttles_are_nothing() {
        for (outcome, status, sign) in [
            ("retry", None, Sign::Failed),
            ("unknown", None, Sign::Failed),
            ("retry", Some(500), Sign::Failed),
            ("unknown", Some(503), Sign::Failed),
            ("retry", Some(408), Sign::Failed),
            ("refused", Some(500), Sign::Failed),
            ("hindered", None, Sign::None),
            ("withheld", None, Sign::Failed),
            ("throttled", Some(503), Sign::None),
            ("throttled", Some(429), Sign::None),
            ("retry", Some(425), Sign::Answered),
            ("refused", Some(422), Sign::Answered),
            ("denied", Some(401), Sign::Answered),
            ("delivered", Some(200), Sign::Answered),
            ("unknown", Some(200), Sign::Answered),
            ("refused", None, Sign::None),
            ("delivered", None, Sign::None),
        ] {
            assert_eq!(Sign::of(&attempt(outcome, status)), sign, "{outcome} {status:?}");
        }
    }

    #[test]
    fn only_failures_after_the_last_answer_are_in_a_row() {
        use Sign::{Answered, Failed, None};
        let mut signs = [Failed, Answered, Failed, None, Answered, Failed, Failed];
        keep_row(signs.iter_mut());
        assert_eq!(signs, [None, Answered, None, None, Answered, Failed, Failed]);
        let mut signs = [Failed, None, Failed];
        keep_row(signs.iter_mut());
        assert_eq!(signs, [Failed, None, Failed]);
    }
}
