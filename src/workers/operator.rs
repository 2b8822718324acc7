//! Takes up operations that nobody carries out, and runs each beside the others.
//!
//! Owns the looking: at once for what this node was asked for, every two seconds for the rest. A
//! node that stops gives its operations back at once. What a run does is in `operation`.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::operation;
use crate::engine::Pulse;
use crate::store::{OPERATIONS_RUNNING_MAX, Store, StoreError};

/// How often to look for what other nodes were asked for or have left behind.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The operator of this node.
#[derive(Debug)]
pub struct Operator {
    store: Store,
    runs: JoinSet<()>,
}

impl Operator {
    /// An operator of every operation in the namespace.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { store, runs: JoinSet::new() }
    }

    /// The loop.
    pub async fn run(mut self, stop: CancellationToken, pulse: Pulse) {
        while !stop.is_cancelled() {
            if let Err(error) = self.run_once(&stop).await {
                tracing::debug!(%error, "no look at the operations");
            }
            // Spread, so that nodes do not look in step.
            let sleep = LOOK_EVERY.mul_f64(0.75 + rand::random::<f64>() * 0.5);
            pulse.sleeps(sleep);
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.store.operation_started() => {}
                Some(_) = self.runs.join_next() => {}
                () = tokio::time::sleep(sleep) => {}
            }
        }
        while self.runs.join_next().await.is_some() {}
    }

    /// Takes up everything that is free.
    async fn run_once(&mut self, stop: &CancellationToken) -> Result<(), StoreError> {
        while self.runs.try_join_next().is_some() {}
        while self.runs.len() < OPERATIONS_RUNNING_MAX && self.store.health().is_up() {
            let Some(taken) = self.store.take_operation().await? else { break };
            let (store, stop) = (self.store.clone(), stop.clone());
            self.runs.spawn(async move { operation::run(store, taken, stop).await });
        }
        self.store.metrics().operations_running.set(i64::try_from(self.runs.len()).unwrap_or(0));
        Ok(())
    }
}
