//! Paces what was claimed: each call starts at the slot that Redis gave it.
//!
//! One pacing task a queue hands out the starts; senders never queue on a limiter. `governor` is the
//! node's own ceiling after a stall: slots that pile up do not leave together. A permit that comes
//! too late is void: its message goes back, or a stalled node would bunch.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock as _, MonotonicClock};
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::time::Instant;

use super::permits::{LATE_MAX, late_max};
use crate::domain::limit::{Limit, LimitRule};
use crate::domain::policy::QueuePolicy;

/// The pace of one queue on this node: all its rates.
#[derive(Debug)]
pub(super) struct Pacer {
    ceilings: Vec<Ceiling>,
    /// How late a call may be.
    late_max: Duration,
}

/// The slot is over: a call now would come too close to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Void;

impl Pacer {
    /// That of a queue's limits; `None`: its claims keep none. Quotas have no ceiling here: their slots are waited for.
    pub(super) fn of(policy: &QueuePolicy) -> Option<Self> {
        let rates = policy.claim_limits().filter_map(LimitRule::rate);
        let ceilings: Vec<_> = rates.map(Ceiling::new).collect();
        // Limits by key are kept by slots alone.
        let by_key = policy.keyed_limits().filter_map(LimitRule::rate);
        let by_key = by_key.map(|pace| late_max(pace, LATE_MAX)).min();
        let late_max = by_key.filter(|_| ceilings.is_empty()).unwrap_or(LATE_MAX);
        let has_slots = policy.has_claim_limits() || policy.has_keyed_rates();
        has_slots.then_some(Self { ceilings, late_max })
    }

    /// Waits for the slot of a call, then for the node's own ceilings. A call takes one unit of each, whatever it costs: its
    /// slot is as far from the one before as all its units demand, and the limiter could not save up more of them than a burst.
    pub(super) async fn wait(&self, slot: Instant) -> Result<(), Void> {
        tokio::time::sleep_until(slot).await;
        let void_at = slot + self.late_max;
        if Instant::now() > void_at {
            return Err(Void);
        }
        for ceiling in &self.ceilings {
            ceiling.wait(void_at).await?;
        }
        Ok(())
    }
}

/// What this node lets start of one rate, whatever the slots say.
#[derive(Debug)]
struct Ceiling {
    limiter: RateLimiter<NotKeyed, InMemoryState, MonotonicClock>,
    clock: MonotonicClock,
    /// What a unit takes from the limiter, which counts in parts of a unit: `LATE_MAX` has to be
    /// tolerated, or each late call would delay all that follow.
    parts: NonZeroU32,
}

impl Ceiling {
    fn new(limit: Limit) -> Self {
        let period_us = limit.period_us();
        let late_us = LATE_MAX.as_secs_f64() * 1e6;
        let parts = whole((period_us / late_us).ceil());
        let part_us = period_us / f64::from(parts.get());
        let late_parts = whole((late_us / part_us).floor());
        let burst = parts.saturating_mul(limit.burst());
        let burst_parts = burst.saturating_add(late_parts.get());
        let quota = Quota::with_period(Duration::from_secs_f64(part_us / 1e6))
            .expect("a part of a period is never zero")
            // Set on purpose: the bare quota lets twice the rate through in the first second.
            .allow_burst(burst_parts);
        Self {
            limiter: RateLimiter::direct_with_clock(quota, MonotonicClock),
            clock: MonotonicClock,
            parts,
        }
    }

    /// Waits until a call may start.
    async fn wait(&self, void_at: Instant) -> Result<(), Void> {
        loop {
            if Instant::now() > void_at {
                return Err(Void);
            }
            match self.limiter.check_n(self.parts) {
                // More parts than the burst holds: never, see `new`.
                Ok(Ok(())) | Err(_) => return Ok(()),
                Ok(Err(not_until)) => {
                    tokio::time::sleep(not_until.wait_time_from(self.clock.now())).await;
                }
            }
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast of a float saturates: the slowest rate has six million parts"
)]
fn whole(count: f64) -> NonZeroU32 {
    NonZeroU32::new(count as u32).unwrap_or(NonZeroU32::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::queue_of;
    use crate::domain::limit::Rate;

    fn ceiling(rate: &str, burst: u32) -> Ceiling {
        Ceiling::new(Limit::new(rate.parse().unwrap(), burst))
    }

    async fn call(ceiling: &Ceiling, slot: Instant) -> Result<(), Void> {
        tokio::time::sleep_until(slot).await;
        ceiling.wait(slot + LATE_MAX).await
    }

    #[tokio::test]
    async fn a_slot_of_a_key_whose_calls_are_far_apart_outlives_a_busy_machine() {
        let late_max = |text: &str| Pacer::of(&queue_of(text)).unwrap().late_max;
        let far = "limits = [{ rate = \"1/h\", per = \"group\" }]";
        assert_eq!(late_max(far), Duration::from_millis(3600));
        let near = "limits = [{ rate = \"1/h\", per = \"group\" }, { rate = \"5/s\", per = \"labels.to\" }]";
        assert_eq!(late_max(near), LATE_MAX);
        assert_eq!(late_max(&format!("rate = \"20/s\"\n{far}")), LATE_MAX);
        assert_eq!(late_max("rate = \"1/h\""), LATE_MAX);
    }

    #[tokio::test]
    async fn a_stalled_node_does_not_bunch() {
        let ceiling = ceiling("100/s", 1);
        // Slots that have piled up while the node stalled are void...
        let past = Instant::now().checked_sub(Duration::from_millis(50)).unwrap();
        assert_eq!(call(&ceiling, past).await, Err(Void));
        // ...and a first one in time starts.
        assert_eq!(call(&ceiling, Instant::now()).await, Ok(()));
    }

    #[tokio::test]
    async fn a_late_call_does_not_delay_those_that_follow() {
        for rate in ["20/s", "90/s", "1000/s"] {
            let period = Duration::from_secs_f64(rate.parse::<Rate>().unwrap().period_us() / 1e6);
            let mut late = Duration::MAX;
            // The least of a few: a busy machine may wake a task late.
            for _ in 0..20 {
                let ceiling = ceiling(rate, 1);
                let first = Instant::now().checked_sub(LATE_MAX / 2).unwrap();
                assert_eq!(call(&ceiling, first).await, Ok(()));
                if call(&ceiling, first + period).await == Ok(()) {
                    late = late.min(Instant::now().saturating_duration_since(first + period));
                }
            }
            assert!(late < LATE_MAX / 2 + Duration::from_millis(4), "{rate}: {late:?}");
        }
    }

    #[tokio::test]
    async fn no_slots_make_a_node_faster_than_its_ceiling() {
        let ceiling = ceiling("100/s", 3);
        let began = Instant::now();

        // Slots that say "all now": burst, and what lateness may move together, and no more.
        for _ in 0..3 + 1 {
            assert_eq!(call(&ceiling, Instant::now()).await, Ok(()));
        }
        assert_eq!(call(&ceiling, Instant::now()).await, Ok(()));

        assert!(began.elapsed() >= Duration::from_millis(5), "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn every_rate_of_a_queue_has_its_ceiling() {
        let mut policy = queue_of("rate = \"1000/s\"").as_ref().clone();
        assert!(Pacer::of(&QueuePolicy { limits: Vec::new(), ..policy.clone() }).is_none());
        let slow = LimitRule::own_rate("100/s".parse().unwrap(), 1);
        policy.limits.push(LimitRule { name: "slow".parse().unwrap(), ..slow });
        let pacer = Pacer::of(&policy).unwrap();
        assert_eq!(pacer.ceilings.len(), 2);
        let began = Instant::now();
        for _ in 0..5 {
            while pacer.wait(Instant::now()).await.is_err() {}
        }
        assert!(began.elapsed() >= Duration::from_millis(15), "{:?}", began.elapsed());
    }
}
