//! When to try again, and when to give up.
//!
//! Pure: randomness comes in as a number in [0, 1). Refuses to know why an attempt failed.

use super::spread;

/// Most attempts that may be asked for: a bound against a slip of the finger.
pub const ATTEMPTS_MAX: u32 = 1_000_000;
/// The steepest curve.
pub const FACTOR_MAX: f64 = 1000.0;
/// Most delays in a schedule.
pub const SCHEDULE_MAX: usize = 100;

/// The retry policy of a queue, or of one message of it.
#[derive(Debug, Clone, PartialEq)]
pub struct RetryPolicy {
    /// Attempts in all, ≥ 1; `None`: as many as `max_age_ms` leaves time for.
    pub max_attempts: Option<u32>,
    /// Delay after the first attempt, in milliseconds.
    pub initial_ms: u64,
    /// Each further delay is this many times longer, ≥ 1.
    pub factor: f64,
    /// Longest delay, in milliseconds.
    pub max_ms: u64,
    /// Longest `Retry-After` that is obeyed, in milliseconds.
    pub throttle_max_ms: u64,
    /// Share by which a delay is made longer or shorter at random, 0 to 1.
    pub jitter: f64,
    /// Give up so long after the first attempt, in milliseconds (pauses and closed hours apart).
    pub max_age_ms: u64,
    /// Delays to use instead of `initial`, `factor` and `max`; the last one repeats.
    pub schedule_ms: Option<Vec<u64>>,
    /// Statuses that surely did nothing, under `on_uncertain = "park"`.
    pub safe_statuses: Vec<u16>,
    /// Statuses that are tried again, whatever the table of outcomes says of them.
    pub retry_statuses: Vec<u16>,
    /// Statuses that are taken as refused, whatever the table of outcomes says of them.
    pub dead_statuses: Vec<u16>,
}

/// What holds for a queue that says nothing of retries.
impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_attempts: None,
            initial_ms: 5000,
            factor: 2.0,
            max_ms: 3_600_000,
            throttle_max_ms: 86_400_000,
            jitter: 0.2,
            max_age_ms: 86_400_000,
            schedule_ms: None,
            safe_statuses: Vec::new(),
            retry_statuses: Vec::new(),
            dead_statuses: Vec::new(),
        }
    }
}

/// What to do after a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Try again so many milliseconds from now.
    RetryAfter(u64),
    /// Give up.
    GiveUp(GiveUp),
}

/// Why a message is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GiveUp {
    /// It has had all its attempts.
    AttemptsSpent,
    /// Its first attempt lies too far back.
    TooOld,
}

impl GiveUp {
    /// The word for the metric.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::AttemptsSpent => "attempts_spent",
            Self::TooOld => "too_old",
        }
    }

    /// The sentence for people, after attempt number `attempt` failed with `error`.
    #[must_use]
    pub fn reason(self, attempt: u32, error: &str) -> String {
        match self {
            Self::AttemptsSpent if attempt == 1 => format!("the only attempt failed: {error}"),
            Self::AttemptsSpent => format!("{attempt} attempts failed; the last: {error}"),
            Self::TooOld => format!("older than retry.max_age; the last answer: {error}"),
        }
    }
}

impl RetryPolicy {
    /// What follows the failed attempt number `attempt` (from 1) of a message whose first attempt
    /// lies `age_ms` back; `random` in [0, 1) spreads the delay.
    #[must_use]
    pub fn next(&self, attempt: u32, age_ms: u64, random: f64) -> Next {
        if self.max_attempts.is_some_and(|most| attempt >= most) {
            return Next::GiveUp(GiveUp::AttemptsSpent);
        }
        if self.is_too_old(age_ms) {
            return Next::GiveUp(GiveUp::TooOld);
        }
        Next::RetryAfter(self.delay_ms(attempt, random))
    }

    /// Whether a message so long after its first attempt is to be given up.
    #[must_use]
    pub const fn is_too_old(&self, age_ms: u64) -> bool {
        age_ms >= self.max_age_ms
    }

    /// How long what a downstream asked for by `Retry-After` is kept, in milliseconds; 0: it named no time.
    #[must_use]
    pub fn obeyed_ms(&self, retry_after_ms: Option<u64>) -> u64 {
        retry_after_ms.unwrap_or(0).min(self.throttle_max_ms)
    }

    /// The delay after attempt number `attempt` (from 1), with jitter.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "delays are far below 2^52 ms and never negative"
    )]
    pub fn delay_ms(&self, attempt: u32, random: f64) -> u64 {
        let base_ms = match self.schedule_ms.as_deref() {
            Some(delays) => {
                let at = usize::try_from(attempt.saturating_sub(1)).unwrap_or(usize::MAX);
                delays.get(at).or(delays.last()).copied().unwrap_or(0) as f64
            }
            None => {
                let exponent = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
                (self.initial_ms as f64 * self.factor.powi(exponent)).min(self.max_ms as f64)
            }
        };
        (base_ms * spread::factor(self.jitter, random)).round().max(0.0) as u64
    }
}

/// The pause after the n-th throttle answer in a row that named no time (from 1): 1 s, doubling to 1 min.
#[must_use]
pub fn throttle_pause_ms(streak: u32) -> u64 {
    (1000u64 << streak.saturating_sub(1).min(6)).min(60_000)
}

/// The pause after the n-th shut in a row of a gate for bad credentials or refusals (from 1):
/// 5 s, doubling to 10 min.
#[must_use]
pub fn alarm_pause_ms(streak: u32) -> u64 {
    (5000u64 << streak.saturating_sub(1).min(7)).min(600_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn policy() -> RetryPolicy {
        RetryPolicy { max_attempts: Some(10), jitter: 0.0, ..RetryPolicy::default() }
    }

    #[test]
    fn doubles_up_to_its_longest() {
        let delays: Vec<_> = (1..=12).map(|n| policy().delay_ms(n, 0.5)).collect();
        assert_eq!(delays[..4], [5000, 10_000, 20_000, 40_000]);
        assert_eq!(delays[11], 3_600_000);
    }

    #[test]
    fn a_schedule_replaces_the_curve_and_its_last_delay_repeats() {
        let policy = RetryPolicy { schedule_ms: Some(vec![5, 300, 1800]), ..policy() };
        let delays: Vec<_> = (1..=5).map(|n| policy.delay_ms(n, 0.9)).collect();
        assert_eq!(delays, [5, 300, 1800, 1800, 1800]);
    }

    #[test]
    fn gives_up_by_attempts_and_by_age() {
        assert_eq!(policy().next(10, 0, 0.5), Next::GiveUp(GiveUp::AttemptsSpent));
        assert_eq!(policy().next(3, 86_400_000, 0.5), Next::GiveUp(GiveUp::TooOld));
        assert_eq!(policy().next(1, 0, 0.5), Next::RetryAfter(5000));
        let by_age = RetryPolicy { max_attempts: None, ..policy() };
        assert_eq!(by_age.next(1_000_000, 86_399_999, 0.5), Next::RetryAfter(3_600_000));
        assert_eq!(by_age.next(1, 86_400_000, 0.5), Next::GiveUp(GiveUp::TooOld));
    }

    #[test]
    fn a_wait_that_was_asked_for_is_kept_and_bounded() {
        assert_eq!(policy().obeyed_ms(None), 0);
        assert_eq!(policy().obeyed_ms(Some(7_200_000)), 7_200_000, "beyond retry.max");
        assert_eq!(policy().obeyed_ms(Some(u64::MAX)), 86_400_000);
    }

    #[test]
    fn pauses_double_and_end() {
        assert_eq!([1, 2, 3, 7, 99].map(throttle_pause_ms), [1000, 2000, 4000, 60_000, 60_000]);
        assert_eq!([1, 2, 99].map(alarm_pause_ms), [5000, 10_000, 600_000]);
    }

    proptest! {
        #[test]
        fn jitter_stays_within_its_share(attempt in 1u32..50, random in 0.0f64..1.0, jitter in 0.0f64..=1.0) {
            let exact = policy().delay_ms(attempt, 0.5);
            let spread = RetryPolicy { jitter, ..policy() }.delay_ms(attempt, random);
            let (exact, spread) = (exact as f64, spread as f64);
            prop_assert!(spread >= exact * (1.0 - jitter) - 1.0 && spread <= exact * (1.0 + jitter) + 1.0);
        }

        #[test]
        fn never_panics(attempt: u32, age_ms: u64, random in 0.0f64..1.0) {
            let _next = policy().next(attempt, age_ms, random);
        }
    }
}
