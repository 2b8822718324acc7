//! What the sink answers to a call.
//!
//! Owns the order of its rules: too fast, then the share that fails, then what was asked for. Takes the time
//! and the dice as arguments. Refuses to know connections.

use super::args::SinkArgs;
use crate::domain::limit::Rate;

/// What one call is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answer {
    /// The status.
    pub(super) status: u16,
    /// Seconds for the header `Retry-After`.
    pub(super) retry_after_s: Option<u64>,
    /// Whether the header `Tidegate-Receipt: pending` is set.
    pub(super) is_pending: bool,
}

impl Answer {
    pub(super) const fn of_status(status: u16) -> Self {
        Self { status, retry_after_s: None, is_pending: false }
    }
}

/// The rules of one sink.
#[derive(Debug)]
pub(super) struct Answers {
    usual: Answer,
    fail: f64,
    pace: Option<Pace>,
}

impl Answers {
    pub(super) fn of(args: &SinkArgs) -> Self {
        let usual = if args.pending {
            Answer { is_pending: true, ..Answer::of_status(202) }
        } else {
            Answer::of_status(args.status)
        };
        Self { usual, fail: args.fail.unwrap_or(0.0), pace: args.rate.map(Pace::new) }
    }

    /// The answer to a call that arrives now. `now_us` never goes back; `dice` is at least 0 and below 1.
    pub(super) fn next(&mut self, now_us: u64, dice: f64) -> Answer {
        if let Some(retry_after_s) = self.pace.as_mut().and_then(|pace| pace.too_fast(now_us)) {
            return Answer { retry_after_s: Some(retry_after_s), ..Answer::of_status(429) };
        }
        if dice < self.fail { Answer::of_status(500) } else { self.usual }
    }
}

/// A limit as a gateway has it: the calls of one second at once (at least one), then one call a period.
#[derive(Debug)]
struct Pace {
    period_us: f64,
    /// How far ahead of an even pace a call may come.
    tolerance_us: f64,
    /// When the next call is due at an even pace.
    next_us: f64,
}

impl Pace {
    fn new(rate: Rate) -> Self {
        let period_us = rate.period_us();
        let burst = rate.per_second().floor().max(1.0);
        Self { period_us, tolerance_us: period_us * (burst - 1.0), next_us: 0.0 }
    }

    /// In how many seconds to try again, if this call comes too early; it then counts for nothing.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "microseconds since the start of the sink stay far below 2^52, and what is left is positive"
    )]
    fn too_fast(&mut self, now_us: u64) -> Option<u64> {
        let now_us = now_us as f64;
        let early_us = self.next_us - self.tolerance_us - now_us;
        if early_us > 0.0 {
            return Some((early_us / 1_000_000.0).ceil().max(1.0) as u64);
        }
        self.next_us = self.next_us.max(now_us) + self.period_us;
        None
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: SinkArgs,
    }

    fn answers(words: &str) -> Answers {
        let words = ["sink"].into_iter().chain(words.split_whitespace());
        Answers::of(&Line::try_parse_from(words).unwrap().args)
    }

    #[test]
    fn a_plain_sink_takes_everything() {
        assert_eq!(answers("").next(0, 0.0), Answer::of_status(200));
        assert_eq!(answers("--status 422").next(0, 0.0), Answer::of_status(422));
        let pending = answers("--pending").next(0, 0.0);
        assert_eq!((pending.status, pending.is_pending), (202, true));
        assert!(Line::try_parse_from(["sink", "--pending", "--status", "200"]).is_err());
        assert!(Line::try_parse_from(["sink", "--status", "100"]).is_err());
    }

    #[test]
    fn the_dice_decide_which_call_fails() {
        let mut answers = answers("--fail 10%");
        assert_eq!(answers.next(0, 0.099).status, 500);
        assert_eq!(answers.next(0, 0.1).status, 200);
    }

    #[test]
    fn what_is_faster_than_the_rate_is_sent_back_and_costs_nothing() {
        let mut answers = answers("--rate 20/s");
        let burst = (0..30).map(|_| answers.next(0, 0.0).status).filter(|s| *s == 200).count();
        assert_eq!(burst, 20);
        let refused = answers.next(0, 0.0);
        assert_eq!((refused.status, refused.retry_after_s), (429, Some(1)));
        assert_eq!(answers.next(50_000, 0.0).status, 200);
        assert_eq!(answers.next(50_001, 0.0).status, 429);
        // An even pace at the limit is never too fast.
        let mut even = self::answers("--rate 20/s");
        assert!((0..200).all(|n| even.next(n * 50_000, 0.0).status == 200));
    }

    #[test]
    fn a_slow_rate_names_the_whole_wait() {
        let mut answers = answers("--rate 6/min");
        assert_eq!(answers.next(0, 0.0).status, 200);
        assert_eq!(answers.next(0, 0.0).retry_after_s, Some(10));
        assert_eq!(answers.next(9_500_000, 0.0).retry_after_s, Some(1));
        assert_eq!(answers.next(10_000_000, 0.0).status, 200);
    }
}
