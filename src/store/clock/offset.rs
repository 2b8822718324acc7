//! Whether the clock of a Redis server goes on steadily, as far as this node can tell.
//!
//! Every reading was taken at some moment between a call and its reply, so it bounds how far that
//! server's clock is from this node's own elapsed time:
//!
//! ```text
//! called ──────── the reading was taken in here ──────── reply
//!    └ the offset is at most reading − called     at least reading − reply ┘
//! ```
//!
//! Two readings whose bounds are apart by more than [`STEP_US_MAX`] mean that the clock stepped; a
//! reply that was held up has wide bounds and never means that. Refuses to know what follows.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Steps up to this size do nothing beyond the step.
const STEP_US_MAX: i64 = 1_000_000;
/// How far two clocks may drift apart per million: a clock that is being slewed runs 500 off.
const DRIFT_PPM: u128 = 1000;
/// Bounds as narrow as this are good; wider ones do not replace them.
const NARROW_US: i64 = 20_000;
/// How long good bounds are kept beside wide ones.
const KEEP: Duration = Duration::from_secs(60);

/// What a reading says about the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Seen {
    /// It is where it was expected.
    Steady,
    /// It is not; the next reading decides.
    Doubtful,
    /// Two readings in a row say that it went by so many microseconds more than time did.
    Stepped(i64),
}

/// Bounds of a server's clock minus this node's elapsed time, in microseconds.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    least_us: i64,
    most_us: i64,
    at: Instant,
}

#[derive(Debug, Default)]
struct KnownBounds {
    known: Option<Bounds>,
    is_doubtful: bool,
}

/// What one server's clock is expected to say.
#[derive(Debug)]
pub(in crate::store) struct ClockOffset {
    base: Instant,
    // A plain mutex: held for a few additions, never across an await.
    state: Mutex<KnownBounds>,
}

impl Default for ClockOffset {
    fn default() -> Self {
        Self { base: Instant::now(), state: Mutex::default() }
    }
}

impl ClockOffset {
    /// Takes a reading of a call that was made at `called_at` and answered at `replied_at`.
    pub(in crate::store) fn judge(
        &self,
        redis_us: u64,
        called_at: Instant,
        replied_at: Instant,
    ) -> Seen {
        let redis_us = i64::try_from(redis_us).unwrap_or(i64::MAX);
        let new = Bounds {
            least_us: redis_us - self.elapsed_us(replied_at),
            most_us: redis_us - self.elapsed_us(called_at),
            at: replied_at,
        };
        let mut state = self.state.lock();
        let Some(known) = state.known else {
            state.known = Some(new);
            return Seen::Steady;
        };
        let apart_us = known.apart_us(&new);
        if apart_us.abs() <= tolerance_us(known.at, replied_at) {
            state.is_doubtful = false;
            let is_old = replied_at.saturating_duration_since(known.at) >= KEEP;
            if apart_us != 0 || new.width_us() <= NARROW_US.max(known.width_us()) || is_old {
                state.known = Some(new);
            }
            return Seen::Steady;
        }
        if !std::mem::replace(&mut state.is_doubtful, true) {
            return Seen::Doubtful;
        }
        *state = KnownBounds { known: Some(new), is_doubtful: false };
        Seen::Stepped(new.middle_us() - known.middle_us())
    }

    /// What the clock must say to a call that is made now and takes up to `way` to arrive; `None`
    /// before the first reading.
    pub(in crate::store) fn expects(&self, now: Instant, way: Duration) -> Option<(u64, u64)> {
        let known = self.state.lock().known?;
        let (elapsed_us, tolerance_us) = (self.elapsed_us(now), tolerance_us(known.at, now));
        let way_us = i64::try_from(way.as_micros()).unwrap_or(i64::MAX / 2);
        let moment = |us: i64| u64::try_from(us).unwrap_or(0);
        let earliest_us = moment(known.least_us + elapsed_us - tolerance_us);
        Some((earliest_us, moment(known.most_us + elapsed_us + tolerance_us + way_us)))
    }

    /// How far this clock is ahead of another one, as well as both are known: to a part of the time that calls take.
    pub(in crate::store) fn ahead_us(&self, other: &Self) -> i64 {
        if std::ptr::eq(self, other) {
            return 0;
        }
        let since_other_us = self.elapsed_us(other.base) - other.elapsed_us(self.base);
        let [own, others] = [self, other].map(|it| it.state.lock().known);
        let (Some(own), Some(others)) = (own, others) else { return 0 };
        own.middle_us() + since_other_us - others.middle_us()
    }

    /// Begins anew: the next reading is believed.
    pub(in crate::store) fn forget(&self) {
        *self.state.lock() = KnownBounds::default();
    }

    fn elapsed_us(&self, at: Instant) -> i64 {
        let elapsed = at.saturating_duration_since(self.base);
        i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX)
    }
}

impl Bounds {
    const fn width_us(&self) -> i64 {
        self.most_us - self.least_us
    }

    const fn middle_us(&self) -> i64 {
        self.least_us + self.width_us() / 2
    }

    /// How far the other's bounds are ahead of (or, negative, behind) these; 0 where they overlap.
    const fn apart_us(&self, other: &Self) -> i64 {
        if other.least_us > self.most_us {
            other.least_us - self.most_us
        } else if other.most_us < self.least_us {
            other.most_us - self.least_us
        } else {
            0
        }
    }
}

/// A second, and what two clocks may have drifted apart since.
fn tolerance_us(since: Instant, now: Instant) -> i64 {
    let drift_us = now.saturating_duration_since(since).as_micros() * DRIFT_PPM / 1_000_000;
    STEP_US_MAX + i64::try_from(drift_us).unwrap_or(i64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const HOUR_US: i64 = 3_600_000_000;
    const START_US: i64 = 1_700_000_000_000_000;

    /// A server whose clock is `ahead_us` off, asked at `at` with this much way there and back.
    struct Asked {
        offset: ClockOffset,
        start: Instant,
    }

    impl Asked {
        fn new() -> Self {
            let asked = Self { offset: ClockOffset::default(), start: Instant::now() };
            assert_eq!(asked.at(Duration::ZERO, 0, [Duration::ZERO; 2]), Seen::Steady);
            asked
        }

        fn at(&self, at: Duration, ahead_us: i64, [there, back]: [Duration; 2]) -> Seen {
            let read_us = i64::try_from((at + there).as_micros()).unwrap() + START_US + ahead_us;
            let called_at = self.start + at;
            self.offset.judge(read_us.cast_unsigned(), called_at, called_at + there + back)
        }

        fn quick(&self, seconds: u32, ahead_us: i64) -> Seen {
            self.at(seconds * SECOND, ahead_us, [SECOND / 1000; 2])
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_is_seen_by_two_readings_in_either_direction() {
        for step_us in [HOUR_US, -HOUR_US, 1_100_000, -1_100_000] {
            let asked = Asked::new();
            assert_eq!(asked.quick(1, 0), Seen::Steady);
            assert_eq!(asked.quick(2, step_us), Seen::Doubtful);
            let Seen::Stepped(seen_us) = asked.quick(2, step_us) else { panic!("{step_us}") };
            assert!((seen_us - step_us).abs() < 10_000, "{step_us}: {seen_us}");
            assert_eq!(asked.quick(3, step_us), Seen::Steady, "it goes on from there");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_of_up_to_a_second_is_followed_and_nothing_else() {
        let asked = Asked::new();
        for (second, ahead_us) in [(1, 900_000), (2, 1_800_000), (3, 900_000), (4, 0)] {
            assert_eq!(asked.quick(second, ahead_us), Seen::Steady, "{second}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_reply_that_is_held_up_is_no_step() {
        let asked = Asked::new();
        assert_eq!(asked.at(SECOND, 0, [Duration::ZERO, 9 * SECOND]), Seen::Steady);
        assert_eq!(asked.at(SECOND, 0, [9 * SECOND, Duration::ZERO]), Seen::Steady);
        assert_eq!(asked.quick(2, 1_500_000), Seen::Doubtful, "the narrow bounds were kept");
    }

    #[tokio::test(start_paused = true)]
    async fn one_odd_reading_is_forgotten() {
        let asked = Asked::new();
        assert_eq!(asked.quick(1, HOUR_US), Seen::Doubtful);
        assert_eq!(asked.quick(2, 0), Seen::Steady);
        assert_eq!(asked.quick(3, HOUR_US), Seen::Doubtful);
        asked.offset.forget();
        assert_eq!(asked.quick(4, HOUR_US), Seen::Steady);
    }

    #[tokio::test(start_paused = true)]
    async fn after_an_outage_drift_is_no_step() {
        let asked = Asked::new();
        assert_eq!(asked.quick(3600, 2_500_000), Seen::Steady);
    }

    #[tokio::test(start_paused = true)]
    async fn two_clocks_are_compared_whenever_they_were_first_met() {
        let first = Asked::new();
        assert_eq!(first.offset.ahead_us(&ClockOffset::default()), 0, "not known yet");
        tokio::time::advance(7 * SECOND).await;
        // Its clock says the same at its own beginning, seven seconds later: it is behind.
        let second = Asked::new();
        let ahead_us = |one: &Asked, other: &Asked| one.offset.ahead_us(&other.offset);
        assert_eq!([ahead_us(&first, &second), ahead_us(&second, &first)], [7_000_000, -7_000_000]);
        assert_eq!(ahead_us(&first, &first), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_expects_what_the_clock_will_say_when_it_arrives() {
        let offset = ClockOffset::default();
        assert_eq!(offset.expects(Instant::now(), Duration::ZERO), None);
        let asked = Asked::new();
        let now = asked.start + 10 * SECOND;
        let (earliest_us, latest_us) = asked.offset.expects(now, 2 * SECOND).unwrap();
        let from_start_us = |us: u64| us.cast_signed() - START_US;
        // A second to either side, the drift of ten seconds, and the way.
        assert_eq!(from_start_us(earliest_us), 10_000_000 - 1_010_000);
        assert_eq!(from_start_us(latest_us), 10_000_000 + 1_010_000 + 2_000_000);
    }
}
