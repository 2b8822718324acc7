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

use super::permits::LATE_MAX;
use crate::domain::limit::Rate;

/// The pace of one queue on this node.
#[derive(Debug)]
pub(super) struct Throttle {
    limiter: RateLimiter<NotKeyed, InMemoryState, MonotonicClock>,
    clock: MonotonicClock,
    /// What a call takes from the limiter, which counts in parts of a call: `LATE_MAX` has to be
    /// tolerated, or each late call would delay all that follow.
    parts: NonZeroU32,
}

/// Whether a permit may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Permit {
    /// Now.
    Start,
    /// It came too late.
    Void,
}

impl Throttle {
    /// A pace of `rate` with `burst`.
    pub(super) fn new(rate: Rate, burst: u32) -> Self {
        let period_us = rate.period_us();
        let late_us = LATE_MAX.as_secs_f64() * 1e6;
        let parts = whole((period_us / late_us).ceil());
        let part_us = period_us / f64::from(parts.get());
        let late_parts = whole((late_us / part_us).floor());
        let burst = parts.saturating_mul(NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN));
        let quota = Quota::with_period(Duration::from_secs_f64(part_us / 1e6))
            .expect("a part of a period is never zero")
            // Set on purpose: the bare quota lets twice the rate through in the first second.
            .allow_burst(burst.saturating_add(late_parts.get()));
        Self {
            limiter: RateLimiter::direct_with_clock(quota, MonotonicClock),
            clock: MonotonicClock,
            parts,
        }
    }

    /// Waits for the slot, then for the node's own ceiling.
    pub(super) async fn permit(&self, slot: Instant) -> Permit {
        tokio::time::sleep_until(slot).await;
        let void_at = slot + LATE_MAX;
        loop {
            if Instant::now() > void_at {
                return Permit::Void;
            }
            match self.limiter.check_n(self.parts) {
                // More parts than the burst holds: never, see `new`.
                Ok(Ok(())) | Err(_) => return Permit::Start,
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

    #[tokio::test]
    async fn a_stalled_node_does_not_bunch() {
        let throttle = Throttle::new("100/s".parse().unwrap(), 1);
        // Slots that have piled up while the node stalled are void...
        let past = Instant::now().checked_sub(Duration::from_millis(50)).unwrap();
        assert_eq!(throttle.permit(past).await, Permit::Void);
        // ...and a first one in time starts.
        assert_eq!(throttle.permit(Instant::now()).await, Permit::Start);
    }

    #[tokio::test]
    async fn a_late_call_does_not_delay_those_that_follow() {
        for rate in ["20/s", "90/s", "1000/s"] {
            let rate: Rate = rate.parse().unwrap();
            let throttle = Throttle::new(rate, 1);
            let period = Duration::from_secs_f64(rate.period_us() / 1e6);
            let first = Instant::now().checked_sub(LATE_MAX / 2).unwrap();
            assert_eq!(throttle.permit(first).await, Permit::Start);

            assert_eq!(throttle.permit(first + period).await, Permit::Start);

            let late = Instant::now().saturating_duration_since(first + period);
            assert!(late < LATE_MAX / 2 + Duration::from_millis(4), "{rate}: {late:?}");
        }
    }

    #[tokio::test]
    async fn no_slots_make_a_node_faster_than_its_ceiling() {
        let throttle = Throttle::new("100/s".parse().unwrap(), 3);
        let began = Instant::now();

        // Slots that say "all now": burst, and what lateness may move together, and no more.
        for _ in 0..3 + 1 {
            assert_eq!(throttle.permit(Instant::now()).await, Permit::Start);
        }
        assert_eq!(throttle.permit(Instant::now()).await, Permit::Start);

        assert!(began.elapsed() >= Duration::from_millis(5), "{:?}", began.elapsed());
    }
}
