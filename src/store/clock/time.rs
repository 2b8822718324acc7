//! What time it is at Redis, as this node knows it.
//!
//! Redis TIME decides; this clock carries a reading forward by the node's own elapsed time, so that
//! windows, ids and slots need no round trip. The node's wall clock is never asked.
//!
//! ```text
//! script runs ──── way back: the reading's lag ────▶ reply arrives
//! ```
//!
//! A reading is never early and late by its way back, so the best of several is the furthest ahead:
//! it is kept for a while, or each reply that was held up would set the clock back.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::offset::{ClockOffset, Seen};
use crate::store::StoreError;

/// How long the best reading is kept: clocks drift apart by less than a millisecond meanwhile.
const KEEP: Duration = Duration::from_secs(10);
/// No reply is held up for longer: more is a clock that was set back, or another server's.
const LAG_MAX: Duration = Duration::from_secs(5);
/// In so long a lag counts half: a reply that was held up says little about one that comes much later.
const LAG_HALVES: Duration = Duration::from_millis(100);

#[derive(Debug, Clone, Copy)]
struct Reading {
    at: Instant,
    redis_us: u64,
}

#[derive(Debug, Default)]
struct Readings {
    best: Option<Reading>,
    /// How late replies came of late: the worst lag, fading with each further reading and with time.
    lag: Duration,
    /// When that was written.
    lag_at: Option<Instant>,
}

impl Readings {
    fn lag(&self, now: Instant) -> Duration {
        let Some(at) = self.lag_at else { return Duration::ZERO };
        let halved = now.saturating_duration_since(at).div_duration_f64(LAG_HALVES);
        self.lag.mul_f64(0.5_f64.powf(halved))
    }
}

/// A clock that follows Redis.
#[derive(Debug, Default)]
pub struct Clock {
    // A plain mutex: held for a few additions, never across an await.
    readings: Mutex<Readings>,
    /// How far the clock is from the time of this node, at the server that holds what all nodes share.
    pub(in crate::store) clock_offset: Arc<ClockOffset>,
}

impl Reading {
    fn redis_us_at(&self, now: Instant) -> u64 {
        let elapsed = now.saturating_duration_since(self.at);
        self.redis_us + u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX / 2)
    }
}

impl Clock {
    /// Takes the moment of a call and judges it by the known `offset` of that server's clock. A
    /// doubtful moment is not followed before the next one confirms it.
    pub(in crate::store) fn observe(
        &self,
        offset: &ClockOffset,
        redis_us: u64,
        (called_at, replied_at): (Instant, Instant),
    ) -> Seen {
        let seen = offset.judge(redis_us, called_at, replied_at);
        match seen {
            Seen::Steady => self.follow(redis_us, replied_at),
            Seen::Doubtful => {}
            Seen::Stepped(_) => {
                let best = Some(Reading { at: replied_at, redis_us });
                let mut readings = self.readings.lock();
                readings.best = best;
            }
        }
        seen
    }

    fn follow(&self, redis_us: u64, received_at: Instant) {
        let mut readings = self.readings.lock();
        let lag = readings.best.map_or(Duration::ZERO, |best| {
            Duration::from_micros(best.redis_us_at(received_at).saturating_sub(redis_us))
        });
        let is_fresh = |best: &Reading| received_at.saturating_duration_since(best.at) < KEEP;
        let keep = !lag.is_zero() && lag < LAG_MAX && readings.best.as_ref().is_some_and(is_fresh);
        if !keep {
            readings.best = Some(Reading { at: received_at, redis_us });
        }
        if lag < LAG_MAX {
            readings.lag = lag.max(readings.lag(received_at) * 7 / 8);
            readings.lag_at = Some(received_at);
        }
    }

    /// Microseconds since the Unix epoch by Redis; `None` until Redis has told this process the time.
    #[must_use]
    pub fn now_us(&self) -> Option<u64> {
        let best = self.readings.lock().best;
        best.map(|best| best.redis_us_at(Instant::now()))
    }

    /// Milliseconds since the Unix epoch by Redis; `None` until Redis has told this process the time.
    #[must_use]
    pub fn now_ms(&self) -> Option<u64> {
        self.now_us().map(|now_us| now_us / 1000)
    }

    /// The same for what cannot go on without the time.
    ///
    /// # Errors
    /// [`StoreError::TimeUnknown`].
    pub fn require_us(&self) -> Result<u64, StoreError> {
        self.now_us().ok_or(StoreError::TimeUnknown)
    }

    /// The same in milliseconds.
    ///
    /// # Errors
    /// [`StoreError::TimeUnknown`].
    pub fn require_ms(&self) -> Result<u64, StoreError> {
        self.now_ms().ok_or(StoreError::TimeUnknown)
    }

    /// How late replies come of late: what is to happen here at a moment of Redis must be asked for
    /// so much earlier.
    pub(in crate::store) fn lag(&self) -> Duration {
        self.readings.lock().lag(Instant::now())
    }

    /// The instant of this node at which Redis reaches (or reached) `redis_us`.
    ///
    /// # Errors
    /// [`StoreError::TimeUnknown`].
    pub(in crate::store) fn instant_of(&self, redis_us: u64) -> Result<Instant, StoreError> {
        let (now, now_us) = (Instant::now(), self.require_us()?);
        let past = Duration::from_micros(now_us.saturating_sub(redis_us));
        let ahead = Duration::from_micros(redis_us.saturating_sub(now_us));
        Ok(now.checked_sub(past).unwrap_or(now) + ahead)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn before_the_first_reply_the_time_is_unknown_and_not_1970() {
        let clock = Clock::default();
        assert_eq!((clock.now_us(), clock.now_ms()), (None, None));
        assert!(matches!(clock.require_us(), Err(StoreError::TimeUnknown)));
        assert!(matches!(clock.require_ms(), Err(StoreError::TimeUnknown)));
        assert!(matches!(clock.instant_of(5), Err(StoreError::TimeUnknown)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_reply_that_was_held_up_does_not_set_the_clock_back() {
        let (clock, start) = (Clock::default(), Instant::now());
        clock.follow(1_000_000, start);
        tokio::time::advance(SECOND).await;

        clock.follow(1_700_000, start + SECOND);

        assert_eq!((clock.now_us(), clock.lag()), (Some(2_000_000), Duration::from_millis(300)));
        assert_eq!(clock.instant_of(1_500_000).unwrap(), start + SECOND / 2);
        assert_eq!(clock.instant_of(2_500_000).unwrap(), start + SECOND * 3 / 2);
        clock.follow(2_000_000, start + SECOND);
        assert!(clock.lag() < Duration::from_millis(300), "it fades with each reading");
        let before = clock.lag();
        tokio::time::advance(LAG_HALVES).await;
        assert!(clock.lag() <= before / 2, "it fades with time");
    }

    #[tokio::test(start_paused = true)]
    async fn the_clock_follows_redis_forward_at_once_and_back_in_time() {
        let (clock, start) = (Clock::default(), Instant::now());
        clock.follow(1_000_000, start);

        clock.follow(1_200_000, start);
        assert_eq!(clock.now_us(), Some(1_200_000));
        tokio::time::advance(KEEP).await;
        clock.follow(11_100_000, Instant::now());
        assert_eq!(clock.now_us(), Some(11_100_000), "drift is caught up with");
        clock.follow(3_000_000, Instant::now());
        assert_eq!(clock.now_us(), Some(3_000_000), "so is a clock that was set back");
    }
}
