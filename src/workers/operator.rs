//! Takes up operations that nobody carries out, and runs each beside the others.
//!
//! Owns the looking: at once for what this node was asked for, every two seconds for the rest. A
//! node that stops gives its operations back at once. What a run does is in `operation`.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::operation;
use crate::engine::Pulse;
use crate::engine::cadence::{self, Next, Pass};
use crate::store::{OPERATIONS_RUNNING_MAX, Store, StoreError};

/// About how often to look for what other nodes were asked for or have left behind.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The operator of this node.
#[derive(Debug)]
pub struct Operator {
    store: Store,
    runs: JoinSet<()>,
    /// Ends the runs with the loop.
    stop: CancellationToken,
}

impl Operator {
    /// An operator of every operation in the namespace, until `stop`.
    #[must_use]
    pub fn new(store: Store, stop: CancellationToken) -> Self {
        Self { store, runs: JoinSet::new(), stop }
    }

    /// The loop; ends when each run has given its operation back.
    pub async fn run(self, pulse: Pulse) {
        let stop = self.stop.clone();
        let mut ended = cadence::run(&stop, pulse, self).await;
        while ended.runs.join_next().await.is_some() {}
    }
}

impl Pass for Operator {
    /// Takes up everything that is free.
    async fn run_once(&mut self) -> Result<Next, StoreError> {
        while self.runs.try_join_next().is_some() {}
        while self.runs.len() < OPERATIONS_RUNNING_MAX && self.store.servers.health().is_up() {
            let Some(taken) = self.store.operations.take().await? else { break };
            let (store, stop) = (self.store.clone(), self.stop.clone());
            self.runs.spawn(async move { operation::run(store, taken, stop).await });
        }
        self.store
            .metrics()
            .operation
            .operations_running
            .set(i64::try_from(self.runs.len()).unwrap_or(0));
        Ok(Next::about(LOOK_EVERY))
    }

    /// Until this node was asked for an operation, or a run has ended and left its place.
    async fn woken(&mut self) {
        tokio::select! {
            () = self.store.operations.started() => {}
            Some(_) = self.runs.join_next() => {}
        }
    }
}
