//! Ends what waited past its `expires_at`, also while its queue is paused or closed.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::engine::Pulse;
use crate::engine::cadence::{self, Next, Pass};
use crate::store::{Queue, Shard, Store, StoreError};

/// The expirer of one shard.
#[derive(Debug)]
pub(super) struct Expirer {
    pub(super) store: Store,
    pub(super) queue: Arc<Queue>,
    pub(super) shard: Arc<Shard>,
}

impl Pass for Expirer {
    async fn run_once(&mut self) -> Result<Next, StoreError> {
        let swept = self.store.messages.expire(&self.queue, &self.shard).await?;
        Ok(Next::due(swept.next_in))
    }

    async fn woken(&mut self) {
        self.shard.expiry.notified().await;
    }
}

impl Expirer {
    /// The loop.
    pub(super) async fn run(self, stop: CancellationToken, pulse: Pulse) {
        cadence::run(&stop, pulse, self).await;
    }
}
