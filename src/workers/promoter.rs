//! Moves what is due to ready, and sleeps exactly until the next due time.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::cadence::{self, Next, Pass};
use super::pulse::Pulse;
use crate::store::{Queue, Shard, Store, StoreError};

/// The promoter of one shard.
#[derive(Debug)]
pub(super) struct Promoter {
    pub(super) store: Store,
    pub(super) queue: Arc<Queue>,
    pub(super) shard: Arc<Shard>,
}

impl Pass for Promoter {
    async fn run_once(&mut self) -> Result<Next, StoreError> {
        let swept = self.store.promote(&self.queue, &self.shard).await?;
        Ok(Next::due(swept.next_in))
    }
}

impl Promoter {
    /// The loop.
    pub(super) async fn run(self, stop: CancellationToken, pulse: Pulse) {
        let shard = Arc::clone(&self.shard);
        cadence::run(stop, &shard.due, pulse, self).await;
    }
}
