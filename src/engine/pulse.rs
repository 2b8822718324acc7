//! Whether the loops make progress: what the watchdog is fed from.
//!
//! Each loop says by when it will look again. A loop that is late beyond all reason is stuck, and
//! the service manager is left to restart the process.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// How late a loop may be before it counts as stuck: above every timeout of a call to Redis.
const LATE_MAX: Duration = Duration::from_secs(25);

/// The pulses of all loops.
#[derive(Debug, Clone, Default)]
pub struct Pulses {
    // A plain mutex: held to add and to look, never across an await.
    all: Arc<Mutex<Vec<Arc<LoopBeat>>>>,
}

#[derive(Debug)]
struct LoopBeat {
    name: String,
    next: Mutex<Option<Instant>>,
}

/// The pulse of one loop; dropped with it.
#[derive(Debug)]
pub struct Pulse {
    beat: Arc<LoopBeat>,
    pulses: Pulses,
}

impl Pulses {
    /// A pulse for a loop.
    #[must_use]
    pub fn start(&self, name: String) -> Pulse {
        let beat = Arc::new(LoopBeat { name, next: Mutex::new(Some(Instant::now())) });
        self.all.lock().push(Arc::clone(&beat));
        Pulse { beat, pulses: self.clone() }
    }

    /// The loops that are stuck.
    #[must_use]
    pub fn stuck(&self) -> Vec<String> {
        let now = Instant::now();
        let all = self.all.lock();
        let late = all.iter().filter(|beat| {
            let next = *beat.next.lock();
            next.is_some_and(|next| now > next + LATE_MAX)
        });
        late.map(|beat| beat.name.clone()).collect()
    }
}

impl Pulse {
    /// The name of its loop.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.beat.name
    }

    /// The loop will look again within `sleep`.
    pub fn sleeps(&self, sleep: Duration) {
        *self.beat.next.lock() = Some(Instant::now() + sleep);
    }

    /// The loop will look again when it is woken.
    pub fn rests(&self) {
        *self.beat.next.lock() = None;
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        let mut all = self.pulses.all.lock();
        all.retain(|beat| !Arc::ptr_eq(beat, &self.beat));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_does_not_come_back_is_stuck() {
        let pulses = Pulses::default();
        let (good, bad) = (pulses.start("good".into()), pulses.start("bad".into()));
        bad.sleeps(Duration::from_secs(1));
        tokio::time::advance(Duration::from_secs(27)).await;
        good.sleeps(Duration::from_secs(5));
        assert_eq!(pulses.stuck(), ["bad"]);
        good.rests();
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(pulses.stuck(), ["bad"]);
        drop(bad);
        assert!(pulses.stuck().is_empty());
    }
}
