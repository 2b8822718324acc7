//! Leases that workers hold: no node vanishes with a worker.
//!
//! Owns the news of when such leases end, from who hands out to who reaps, and the way back for what
//! was never handed over. Refuses to know who claims (see `engine::pull`) and who reaps (see `workers`).

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Messages;
use super::settle::{Lease, Settled};
use crate::domain::limit::Units;
use crate::store::queue::{Queue, Shard};

/// The next end in each shard, by its tag: as many as there are shards.
#[derive(Debug, Default)]
pub(super) struct WorkerLeases {
    ends: Mutex<HashMap<String, Instant>>,
    news: Notify,
}

impl Messages {
    /// A lease in this shard ends then, unless it is settled or renewed.
    pub fn lease_ends(&self, shard: &Shard, at: Instant) {
        let leases = &self.shared.worker_leases;
        let mut ends = leases.ends.lock();
        match ends.get_mut(shard.tag()) {
            Some(known) if *known <= at => return,
            Some(known) => *known = at,
            None => drop(ends.insert(shard.tag().to_owned(), at)),
        }
        drop(ends);
        leases.news.notify_one();
    }

    /// Ends that were told since the last time, once there are any; for one listener.
    pub async fn lapses(&self) -> HashMap<String, Instant> {
        let leases = &self.shared.worker_leases;
        loop {
            leases.news.notified().await;
            let mut ends = leases.ends.lock();
            if !ends.is_empty() {
                return std::mem::take(&mut ends);
            }
        }
    }

    /// Puts back what never reached its worker, unsent; if that fails, the leases run out.
    pub fn give_back(&self, queue: Arc<Queue>, held: Vec<(Lease, Units)>) {
        let store = self.clone();
        self.wire.tasks.spawn("give_back", async move {
            for shard in &queue.shards {
                let of_shard = held.iter().filter(|(lease, _)| lease.shard == shard.number);
                let items: Vec<Settled<'_>> = of_shard
                    .map(|(lease, units)| Settled { units: *units, ..Settled::of(lease) })
                    .collect();
                if !items.is_empty()
                    && let Err(error) = store.release(&queue, shard, &[], &items).await
                {
                    tracing::warn!(queue = %queue.policy.name, %error, "a worker closed its connection, and its messages could not be given back; they are handed out again after their leases");
                }
            }
        });
    }
}
