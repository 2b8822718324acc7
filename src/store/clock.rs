//! What time it is at Redis, as this node knows it.
//!
//! Redis TIME decides; this clock carries the last reading forward by the node's own elapsed time,
//! so that windows, ids and slots need no round trip. The node's wall clock is never asked.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

#[derive(Debug, Clone, Copy)]
struct Reading {
    at: Instant,
    redis_us: u64,
}

/// A clock that follows Redis.
#[derive(Debug)]
pub struct Clock {
    // A plain mutex: held for two additions, never across an await.
    reading: Mutex<Option<Reading>>,
}

impl Clock {
    pub(crate) const fn new() -> Self {
        Self { reading: Mutex::new(None) }
    }

    /// Takes the moment of a script's reply that arrived at `received_at`. The reading is late by at
    /// most the way back, never early: what is timed by it is never sent too soon.
    pub(crate) fn observe(&self, redis_us: u64, received_at: Instant) {
        let mut reading = self.reading.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *reading = Some(Reading { at: received_at, redis_us });
    }

    /// Microseconds since the Unix epoch by Redis; 0 before the first reply of this process.
    #[must_use]
    pub fn now_us(&self) -> u64 {
        let reading = *self.reading.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        reading.map_or(0, |r| {
            let elapsed = Instant::now().saturating_duration_since(r.at);
            r.redis_us + u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX / 2)
        })
    }

    /// Milliseconds since the Unix epoch by Redis.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.now_us() / 1000
    }

    /// The instant of this node at which Redis reaches `redis_us`; now, if that has passed.
    #[must_use]
    pub fn instant_of(&self, redis_us: u64) -> Instant {
        let ahead = redis_us.saturating_sub(self.now_us());
        Instant::now() + Duration::from_micros(ahead)
    }
}
