//! Which gates hold a message now.
//!
//! Pure: what the store counted, the policy and the time come in. The gates are those of the claim;
//! here they are only told, never decided.

use crate::domain::policy::QueuePolicy;
use crate::domain::state::State;
use crate::domain::window::WindowState;
use crate::store::Counts;

/// The gates of a queue at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Gates {
    pause: bool,
    window: bool,
    limit: bool,
    concurrency: bool,
    throttled: bool,
    batch: bool,
}

impl Gates {
    /// What the policy alone tells: the window.
    pub(super) fn of_policy(policy: &QueuePolicy, now_ms: u64) -> Self {
        Self { window: is_shut(policy, now_ms), ..Self::default() }
    }

    /// All of them.
    pub(super) fn new(policy: &QueuePolicy, counts: &Counts, now_ms: u64) -> Self {
        let in_flight = match policy.batch {
            Some(_) => counts.exchanges,
            None => counts.of(State::Leased),
        };
        Self {
            pause: counts.paused.is_some(),
            limit: is_over_limit(policy, counts, now_ms),
            concurrency: in_flight >= u64::from(policy.concurrency),
            throttled: counts.gate.is_some(),
            batch: is_gathering(policy, counts),
            ..Self::of_policy(policy, now_ms)
        }
    }

    /// The gates that hold a message in this state, in the order in which they are asked.
    pub(super) fn hold(self, state: State) -> Vec<&'static str> {
        let (is_scheduled, is_ready) = (state == State::Scheduled, state == State::Ready);
        let waits = is_scheduled || is_ready;
        let gates = [
            ("due", is_scheduled),
            ("pause", waits && self.pause),
            ("window", waits && self.window),
            // These let messages through one by one: only who stands before them is held.
            ("limit", is_ready && self.limit),
            ("concurrency", is_ready && self.concurrency),
            ("throttled", waits && self.throttled),
            ("batch", is_ready && self.batch),
        ];
        gates.into_iter().filter(|(_, holds)| *holds).map(|(gate, _)| gate).collect()
    }
}

/// Closed, or open for too short to start anything.
fn is_shut(policy: &QueuePolicy, now_ms: u64) -> bool {
    let Some(window) = &policy.window else { return false };
    match window.state(now_ms) {
        WindowState::Closed { .. } => true,
        WindowState::Open { closes_at_ms } => {
            closes_at_ms.is_some_and(|close_ms| close_ms < now_ms + window.min_remaining_ms())
        }
    }
}

/// Whether the next slot of the rate lies ahead.
#[expect(
    clippy::cast_precision_loss,
    reason = "microseconds since 1970 stay below 2^53 until 2255"
)]
fn is_over_limit(policy: &QueuePolicy, counts: &Counts, now_ms: u64) -> bool {
    policy.rate.is_some_and(|rate| {
        let tolerance_us = f64::from(policy.burst.saturating_sub(1)) * rate.period_us();
        counts.arrival_us as f64 - tolerance_us > (now_ms * 1000) as f64
    })
}

/// Whether a batch still waits for company.
fn is_gathering(policy: &QueuePolicy, counts: &Counts) -> bool {
    policy.batch.is_some_and(|batch| {
        counts.of(State::Ready) < u64::from(batch.max_items)
            && counts.oldest_ready_age_ms.unwrap_or(0) < batch.max_wait_ms
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::tests::policy;
    use super::*;
    use crate::domain::policy::BatchPolicy;
    use crate::domain::window::{OpeningRule, Window};
    use crate::store::PauseInfo;

    const NOW_MS: u64 = 1_763_640_000_000;

    fn ready(policy: &QueuePolicy, counts: &Counts) -> Vec<&'static str> {
        Gates::new(policy, counts, NOW_MS).hold(State::Ready)
    }

    fn counts(state: State, count: u64) -> Counts {
        let mut counts = Counts::default();
        let at = State::ALL.iter().position(|s| *s == state).unwrap();
        counts.by_state[at] = count;
        counts
    }

    #[test]
    fn an_idle_queue_holds_nothing_but_what_is_not_due() {
        let gates = Gates::new(&policy("q"), &Counts::default(), NOW_MS);
        assert_eq!(gates.hold(State::Scheduled), ["due"]);
        for state in State::ALL.into_iter().filter(|state| *state != State::Scheduled) {
            assert!(gates.hold(state).is_empty(), "{state}");
        }
    }

    #[test]
    fn pause_and_throttle_hold_everybody_who_waits() {
        let counts = Counts {
            paused: Some(PauseInfo::default()),
            gate: Some((NOW_MS + 1, "throttle".to_owned(), String::new())),
            ..Counts::default()
        };
        let gates = Gates::new(&policy("q"), &counts, NOW_MS);
        assert_eq!(gates.hold(State::Ready), ["pause", "throttled"]);
        assert_eq!(gates.hold(State::Scheduled), ["due", "pause", "throttled"]);
        assert!(gates.hold(State::Leased).is_empty());
        assert!(gates.hold(State::Dead).is_empty());
    }

    #[test]
    fn the_limit_holds_until_its_slot() {
        let mut policy = policy("q");
        policy.rate = Some("1/s".parse().unwrap());
        let at = |arrival_us| Counts { arrival_us, ..Counts::default() };
        assert_eq!(ready(&policy, &at(NOW_MS * 1000 + 1)), ["limit"]);
        assert!(ready(&policy, &at(NOW_MS * 1000)).is_empty());
        policy.burst = 2;
        assert!(ready(&policy, &at(NOW_MS * 1000 + 999_999)).is_empty());
        assert_eq!(ready(&policy, &at(NOW_MS * 1000 + 1_000_001)), ["limit"]);
    }

    #[test]
    fn concurrency_counts_exchanges() {
        let mut policy = policy("q");
        policy.concurrency = 2;
        assert!(ready(&policy, &counts(State::Leased, 1)).is_empty());
        assert_eq!(ready(&policy, &counts(State::Leased, 2)), ["concurrency"]);
        policy.batch = Some(BatchPolicy { max_items: 1, max_bytes: 1, max_wait_ms: 0 });
        assert!(ready(&policy, &counts(State::Leased, 2)).is_empty());
        let busy = Counts { exchanges: 2, ..Counts::default() };
        assert_eq!(ready(&policy, &busy), ["concurrency"]);
    }

    #[test]
    fn a_batch_gathers_until_it_is_full_or_old() {
        let mut policy = policy("q");
        policy.batch = Some(BatchPolicy { max_items: 3, max_bytes: 1, max_wait_ms: 5000 });
        assert_eq!(ready(&policy, &counts(State::Ready, 2)), ["batch"]);
        assert!(ready(&policy, &counts(State::Ready, 3)).is_empty());
        let old = Counts { oldest_ready_age_ms: Some(5000), ..counts(State::Ready, 2) };
        assert!(ready(&policy, &old).is_empty());
    }

    #[test]
    fn a_window_holds_when_shut_and_shortly_before() {
        // 12:00 UTC on a Thursday.
        let mut policy = policy("q");
        let mut held = |from: &str, to: &str| {
            let rule = OpeningRule::new(
                "mon-sun".parse().unwrap(),
                from.parse().unwrap(),
                to.parse().unwrap(),
            );
            let window = Window::new("UTC", vec![rule.unwrap()], Vec::new(), 30_000);
            policy.window = Some(window.unwrap());
            Gates::of_policy(&Arc::new(policy.clone()), NOW_MS).hold(State::Ready)
        };
        assert_eq!(held("01:00", "04:00"), ["window"]);
        assert!(held("11:00", "13:00").is_empty());
        assert_eq!(held("11:00", "12:00:20"), ["window"]);
        assert!(held("11:00", "12:00:30").is_empty());
    }
}
