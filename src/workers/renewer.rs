//! Keeps the leases of exchanges that are under way.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::store::{Lease, Queue, Store};

/// Leases in one call.
const RENEW_MAX: usize = 500;

/// The leases that this node holds in one queue.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    // A plain mutex: held for a look-up, never across an await.
    leases: Mutex<HashSet<Lease>>,
}

impl InFlight {
    pub(super) fn insert(&self, lease: Lease) {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner).insert(lease);
    }

    pub(super) fn remove(&self, lease: &Lease) {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner).remove(lease);
    }

    fn by_shard(&self) -> HashMap<u16, Vec<Lease>> {
        let mut by_shard: HashMap<u16, Vec<Lease>> = HashMap::new();
        for lease in self.leases.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            by_shard.entry(lease.shard).or_default().push(lease.clone());
        }
        by_shard
    }
}

/// Renews three times a lease, so that two renewals may fail.
#[derive(Debug)]
pub(super) struct Renewer {
    pub(super) store: Store,
    pub(super) queue: Arc<Queue>,
    pub(super) in_flight: Arc<InFlight>,
}

impl Renewer {
    /// The loop.
    pub(super) async fn run(self, stop: CancellationToken) {
        let every = Duration::from_millis((self.queue.policy.lease_ms / 3).max(10));
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(every) => self.run_once().await,
            }
        }
    }

    async fn run_once(&self) {
        for (number, leases) in self.in_flight.by_shard() {
            let shard = &self.queue.shards[usize::from(number)];
            for leases in leases.chunks(RENEW_MAX) {
                let tokens: HashSet<&String> = leases.iter().map(|lease| &lease.token).collect();
                let ongoing: Vec<String> = if self.queue.policy.batch.is_some() {
                    tokens.into_iter().cloned().collect()
                } else {
                    Vec::new()
                };
                if let Err(error) = self.store.renew(&self.queue, shard, &ongoing, leases).await {
                    tracing::warn!(queue = %self.queue.policy.name, %error, "leases could not be renewed");
                }
            }
        }
    }
}
