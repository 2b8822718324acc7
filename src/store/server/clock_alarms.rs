//! The alarm after a step of Redis' clock, as operators and loops see it.
//!
//! Owns the handle; what an alarm stops and how nodes agree on it stands in `wire::clock_watch` and `alarm`.

use std::time::Duration;

use crate::store::StoreError;
use crate::store::clock::alarm::ClockAlarm;
use crate::store::wire::Wire;

/// The alarm of all nodes; cheap to clone.
#[derive(Debug, Clone)]
pub struct ClockAlarms {
    wire: Wire,
}

impl ClockAlarms {
    pub(in crate::store) fn new(wire: &Wire) -> Self {
        Self { wire: wire.clone() }
    }

    /// The alarm that stands because the clock of Redis stepped: due times, the end of leases, expiry and retention wait.
    #[must_use]
    pub fn standing(&self) -> Option<ClockAlarm> {
        self.wire.clock_alarm()
    }

    /// How long the clock must be steady before the alarm ends.
    #[must_use]
    pub fn settle(&self) -> Duration {
        self.wire.clock_settle()
    }

    /// Waits until a moment of Redis is not as expected, and ought to be looked at again.
    pub async fn doubted(&self) {
        self.wire.clock_doubted().await;
    }

    /// Compares the clock with the last signs of life of all nodes: asked once, before the loops start.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn check_at_start(&self) -> Result<(), StoreError> {
        let now_ms = self.wire.read_time().await? / 1000;
        let signs = self.wire.presence().await?;
        self.wire.check_clock(now_ms, signs.into_iter().map(|(_, at_ms)| at_ms)).await
    }

    /// Ends the alarm for all nodes: the operator knows that the time is right now. Returns whether
    /// one stood.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: it still stands.
    pub async fn end(&self, by: &str) -> Result<bool, StoreError> {
        self.wire.end_alarm(by).await
    }
}
