//! The arithmetic of a rate with a burst: GCRA, the generic cell rate algorithm (ITU-T I.371).
//!
//! The arrival time itself lives in Redis and is advanced there by the same arithmetic:
//! `store/lua/include/limits.lua` is its twin, and a property test holds the two together.

use std::num::NonZeroU32;

use super::rate::Rate;

/// How far ahead of Redis' time the slots of any node may begin, in microseconds.
///
/// A claim's reply takes half of it at most, and grants ask for a way more. The script takes it from here, so that no node takes for a leftover what another
/// one holds.
pub const LEAD_US_FURTHEST: u32 = 2_000_000;

/// A rate with its burst, and the arithmetic of GCRA over them. Moments are microseconds by Redis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limit {
    period_us: f64,
    burst: u32,
}

/// What a sender asks of a limit.
#[derive(Debug, Clone, Copy)]
pub struct SlotWish {
    /// The time at Redis.
    pub now_us: f64,
    /// How long the reply takes: no slot is sooner.
    pub lead_us: f64,
    /// No slot is later than so long after the reply.
    pub horizon_us: f64,
    /// Only slots before this moment.
    pub before_us: Option<f64>,
    /// Most slots.
    pub count: usize,
}

/// What a limit grants.
#[derive(Debug, Clone, PartialEq)]
pub struct GrantedSlots {
    /// When each call may start.
    pub slots_us: Vec<f64>,
    /// The arrival time to keep, if all of them are used.
    pub arrival_us: f64,
    /// The slot after them.
    pub next_us: f64,
}

impl Limit {
    /// The limit of a rate. The period is rounded up to a quarter of a microsecond: moments of today are
    /// multiples of that, and the error of each sum would add up to a faster rate.
    #[must_use]
    pub fn new(rate: Rate, burst: u32) -> Self {
        Self { period_us: (rate.period_us() * 4.0).ceil() / 4.0, burst: burst.max(1) }
    }

    /// The time between two calls at an even pace.
    #[must_use]
    pub const fn period_us(self) -> f64 {
        self.period_us
    }

    /// How many units may start at once after a pause.
    #[must_use]
    pub fn burst(self) -> NonZeroU32 {
        NonZeroU32::new(self.burst).unwrap_or(NonZeroU32::MIN)
    }

    /// How far ahead of an even pace a call may come: the time that the rest of a full burst stands for.
    #[must_use]
    pub fn tolerance_us(self) -> f64 {
        f64::from(self.burst - 1) * self.period_us
    }

    /// The first slot at `from_us` or later.
    #[must_use]
    pub fn slot_us(self, arrival_us: f64, from_us: f64) -> f64 {
        from_us.max(arrival_us - self.tolerance_us())
    }

    /// The arrival time that counts. One that is further ahead than any node reaches was left by a clock
    /// that has stepped back since, or by a slower rate.
    #[must_use]
    pub fn arrival_us(self, kept_us: f64, now_us: f64, horizon_us: f64) -> f64 {
        let burst_us = f64::from(self.burst) * self.period_us;
        kept_us.min(now_us + f64::from(LEAD_US_FURTHEST) + horizon_us + burst_us)
    }

    /// What is granted to this wish while `kept_us` is the arrival time.
    #[must_use]
    pub fn grant(self, kept_us: f64, wish: SlotWish) -> GrantedSlots {
        let first_us = wish.now_us + wish.lead_us;
        let mut arrival_us = self.arrival_us(kept_us, wish.now_us, wish.horizon_us);
        let mut slots_us = Vec::new();
        loop {
            let next_us = self.slot_us(arrival_us, first_us);
            let is_too_late = next_us > first_us + wish.horizon_us
                || wish.before_us.is_some_and(|before_us| next_us >= before_us);
            if slots_us.len() >= wish.count || is_too_late {
                return GrantedSlots { slots_us, arrival_us, next_us };
            }
            arrival_us = arrival_us.max(next_us) + self.period_us;
            slots_us.push(next_us);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_window_holds_more_than_rate_times_window_plus_burst(
            asks in prop::collection::vec((0u32..200_000, 1usize..20), 1..80),
            per_second in 1u32..2000,
            burst in 1u32..20,
        ) {
            let rate: Rate = format!("{per_second}/s").parse().unwrap();
            let (limit, period_us) = (Limit::new(rate, burst), rate.period_us());
            // Small moments: at 1e15 a float resolves an eighth of a microsecond, which adds up.
            let (mut now_us, mut arrival_us, mut sent) = (1e9, 0.0, Vec::new());
            for (wait_us, count) in asks {
                now_us += f64::from(wait_us);
                let wish = SlotWish { now_us, lead_us: 0.0, horizon_us: 50_000.0, before_us: None, count };
                let granted = limit.grant(arrival_us, wish);
                arrival_us = granted.arrival_us;
                sent.extend(granted.slots_us);
            }
            sent.sort_by(f64::total_cmp);
            for (i, from) in sent.iter().enumerate() {
                for (n, to) in sent[i..].iter().enumerate() {
                    // A moment near 1e15 us is a multiple of 1/8: each sum may be off by half of it.
                    let calls = f64::from(u32::try_from(n).unwrap() + 1);
                    let allowed = (to - from + calls / 8.0) / period_us + f64::from(burst);
                    prop_assert!(calls <= allowed);
                }
            }
        }
    }
}
