//! The wall clock, for tests that compare what a downstream saw with moments that Redis named.
//!
//! Owns the one place that reads it. Redis runs on the same machine, so its TIME is the same clock.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// The wall clock, in microseconds since the epoch: what processes of one machine share.
#[expect(clippy::disallowed_methods, reason = "a test has to look from the outside")]
pub(crate) fn wall_us() -> u64 {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is past 1970");
    u64::try_from(wall.as_micros()).expect("microseconds fit for ages")
}

/// The wall clock and the clock of the recorder, read together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clocks {
    wall_ms: u64,
    instant: Instant,
}

impl Clocks {
    pub(crate) fn read() -> Self {
        Self { wall_ms: wall_us() / 1000, instant: Instant::now() }
    }

    /// The first full second at least `ms` from the reading, since the epoch.
    pub(crate) fn second_after(&self, ms: u64) -> u64 {
        (self.wall_ms + ms).div_ceil(1000)
    }

    /// A moment of the recorder, in milliseconds since the epoch.
    pub(crate) fn wall_ms(&self, at: Instant) -> u64 {
        let elapsed = at.saturating_duration_since(self.instant);
        self.wall_ms + u64::try_from(elapsed.as_millis()).expect("milliseconds fit for ages")
    }

    /// Until so many milliseconds since the epoch.
    pub(crate) async fn sleep_until(&self, at_ms: u64) {
        let ahead = std::time::Duration::from_millis(at_ms.saturating_sub(self.wall_ms));
        tokio::time::sleep_until(self.instant + ahead).await;
    }
}
