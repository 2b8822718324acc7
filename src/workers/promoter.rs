//! Moves what is due to ready, and sleeps exactly until the next due time, unless it is very near.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::engine::Pulse;
use crate::engine::cadence::{self, Next, Pass};
use crate::store::{Queue, Shard, Store, StoreError};

/// After a pass that moved something the next one comes no sooner: where much falls due, what comes
/// within so long shares a promotion, and the claim and the ack that follow.
const GATHER: Duration = Duration::from_millis(2);

/// The promoter of one shard.
#[derive(Debug)]
pub(super) struct Promoter {
    pub(super) store: Store,
    pub(super) queue: Arc<Queue>,
    pub(super) shard: Arc<Shard>,
}

impl Pass for Promoter {
    async fn run_once(&mut self) -> Result<Next, StoreError> {
        let swept = self.store.messages.promote(&self.queue, &self.shard).await?;
        let next = Next::due(swept.next_in);
        Ok(if swept.moved > 0 { next.at_soonest(GATHER) } else { next })
    }

    async fn woken(&mut self) {
        self.shard.due.notified().await;
    }
}

impl Promoter {
    /// The loop.
    pub(super) async fn run(self, stop: CancellationToken, pulse: Pulse) {
        cadence::run(&stop, pulse, self).await;
    }
}
