//! Adds once a minute what went through each queue of this node to what is kept of it.
//!
//! Owns the rhythm, and that little is lost when the node stops. A queue through which nothing went costs nothing. Refuses to know
//! what is counted (`telemetry`) and how it is kept (`store`).

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::domain::minutes::MINUTE_MS;
use crate::engine::Pulse;
use crate::engine::cadence::{self, Next, Pass};
use crate::store::{Store, StoreError};

/// So long after the end of a minute its counts are written.
const AFTER_MS: u64 = 100;

/// The historian of this node.
#[derive(Debug)]
pub struct Historian {
    store: Store,
}

impl Historian {
    /// A historian of the queues of this store.
    #[must_use]
    pub const fn new(store: Store) -> Self {
        Self { store }
    }

    /// The loop; writes the rest when it ends.
    pub async fn run(self, stop: CancellationToken, pulse: Pulse) {
        let ended = cadence::run(&stop, pulse, self).await;
        if let Ok(now_ms) = ended.store.clock().require_ms()
            && let Err(error) = ended.write(now_ms).await
        {
            tracing::debug!(%error, "the counts of the last minute are lost");
        }
    }

    /// Writes what was counted into the minute of this moment.
    async fn write(&self, at_ms: u64) -> Result<(), StoreError> {
        for queue in self.store.queues.all() {
            let counts = queue.metrics.take_running();
            if !counts.is_empty() {
                self.store.queues.add_minute(&queue.policy.name, at_ms, counts).await?;
            }
        }
        Ok(())
    }
}

impl Pass for Historian {
    async fn run_once(&mut self) -> Result<Next, StoreError> {
        let now_ms = self.store.clock().require_ms()?;
        // Just after the end of a minute: what was counted belongs to the minute that ended.
        self.write(now_ms.saturating_sub(AFTER_MS * 2)).await?;
        let next_ms = MINUTE_MS - now_ms % MINUTE_MS + AFTER_MS;
        Ok(Next::In(Duration::from_millis(next_ms)))
    }
}
