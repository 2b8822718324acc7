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

use crate::domain::limit::Rate;

/// How much of the rate may leave closer together than its slots say, on this node.
const BUNCH: Duration = Duration::from_millis(10);
/// A permit is void half a period after its slot, but not sooner than this: timers are not exact.
const VOID_MIN: Duration = Duration::from_millis(5);
/// Nor later than this: the promise is rate × (W + 20 ms) + burst in any window W, measured at the
/// downstream, so a start may be late by less than 20 ms in all.
const VOID_MAX: Duration = Duration::from_millis(15);

/// The pace of one queue on this node.
#[derive(Debug)]
pub(super) struct Throttle {
    limiter: RateLimiter<NotKeyed, InMemoryState, MonotonicClock>,
    clock: MonotonicClock,
    void_after: Duration,
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
        let period = Duration::from_nanos(nanos(rate.period_us()));
        let bunch =
            u32::try_from(BUNCH.as_nanos() / period.as_nanos().max(1)).unwrap_or(u32::MAX / 2);
        // At least one beside the burst: a start that a timer delayed must not push all later ones.
        let burst = NonZeroU32::new(burst.saturating_add(bunch.max(1))).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::with_period(period.max(Duration::from_nanos(1)))
            .expect("a period is never zero")
            // Set on purpose: the bare quota lets twice the rate through in the first second.
            .allow_burst(burst);
        Self {
            limiter: RateLimiter::direct_with_clock(quota, MonotonicClock),
            clock: MonotonicClock,
            void_after: (period / 2).clamp(VOID_MIN, VOID_MAX),
        }
    }

    /// Waits for the slot, then for the node's own ceiling.
    pub(super) async fn permit(&self, slot: Instant) -> Permit {
        tokio::time::sleep_until(slot).await;
        let void_at = slot + self.void_after;
        loop {
            if Instant::now() > void_at {
                return Permit::Void;
            }
            match self.limiter.check() {
                Ok(()) => return Permit::Start,
                Err(not_until) => {
                    tokio::time::sleep(not_until.wait_time_from(self.clock.now())).await;
                }
            }
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a period is positive and at most a day"
)]
fn nanos(us: f64) -> u64 {
    (us * 1000.0).round() as u64
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
}
