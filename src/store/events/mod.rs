//! Changes of state, told to many listeners of this node by one reader.
//!
//! Scripts write what they change into a stream of their shard, in the same step, while somebody listens
//! (`lua/include/events.lua`). Owns who listens to what here, the one loop that reads the streams, and the
//! ring in which every listener finds what was read: who is slower than the ring has lost its place. A
//! listener that comes back reads what it missed from the streams itself, as far as they reach. Refuses to
//! know how changes look outside.

mod hub;
mod reading;
mod subscription;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, broadcast, watch};

pub use subscription::{Heard, Subscription};

use crate::domain::change::Change;
use crate::domain::id::QueueName;
use crate::store::StoreError;
use crate::store::queue::{Queue, Shard};
use crate::store::redis::script::{call, fields};
use crate::store::wire::Wire;

/// Batches in the ring.
const RING_BATCHES: usize = 64;
/// Changes in one of them: together some six MiB, however many listen.
const BATCH_CHANGES_MAX: usize = 500;
/// Listeners of this node.
const LISTENERS_MAX: usize = 100;
/// Listeners that read what they missed, at once.
const CATCH_UPS_MAX: usize = 4;
/// For how long shards go on telling after the last sign that somebody listens: so long a listener may be
/// away without a gap.
const KEPT_MS: u64 = 15 * 60 * 1000;

/// What was read in one look, and how far it is complete.
#[derive(Debug)]
struct Batch {
    changes: Vec<Change>,
    until_ms: u64,
}

/// Who listens to what.
#[derive(Debug, Default)]
struct Demand {
    all: usize,
    queues: HashMap<QueueName, usize>,
    /// Changes with every listener that comes.
    version: u64,
}

/// Changes of state, and who listens to them; cheap to clone.
#[derive(Debug, Clone)]
pub struct Events {
    wire: Wire,
    listeners: Arc<Listeners>,
}

/// The listeners of this node, and what they hear.
#[derive(Debug)]
struct Listeners {
    // A plain mutex: held for a count, never across an await.
    demand: Mutex<Demand>,
    changed: Notify,
    /// The version of the demand that the last look served.
    served: watch::Sender<u64>,
    ring: broadcast::Sender<Arc<Batch>>,
    places: Arc<Semaphore>,
    catch_ups: Semaphore,
}

impl Default for Listeners {
    fn default() -> Self {
        Self {
            demand: Mutex::default(),
            changed: Notify::new(),
            served: watch::Sender::new(0),
            ring: broadcast::Sender::new(RING_BATCHES),
            places: Arc::new(Semaphore::new(LISTENERS_MAX)),
            catch_ups: Semaphore::new(CATCH_UPS_MAX),
        }
    }
}

impl Listeners {
    /// Somebody listens to these queues; empty: to all. Returns what the hub has to serve.
    fn enter(&self, queues: &BTreeSet<QueueName>) -> u64 {
        let mut demand = self.demand.lock();
        demand.version += 1;
        demand.all += usize::from(queues.is_empty());
        for queue in queues {
            *demand.queues.entry(queue.clone()).or_default() += 1;
        }
        self.changed.notify_one();
        demand.version
    }

    fn leave(&self, queues: &BTreeSet<QueueName>) {
        let mut demand = self.demand.lock();
        demand.all -= usize::from(queues.is_empty());
        for queue in queues {
            if let Some(count) = demand.queues.get_mut(queue) {
                *count -= 1;
                if *count == 0 {
                    demand.queues.remove(queue);
                }
            }
        }
    }

    /// The version of the demand, and the queues that are listened to; `None`: all of them.
    fn wanted(&self) -> (u64, Option<BTreeSet<QueueName>>) {
        let demand = self.demand.lock();
        let queues = (demand.all == 0).then(|| demand.queues.keys().cloned().collect());
        (demand.version, queues)
    }
}

impl Events {
    pub(super) fn new(wire: &Wire) -> Self {
        Self { wire: wire.clone(), listeners: Arc::default() }
    }

    /// The shards of these queues; `None`: of all but the internal ones.
    fn shards_of(&self, queues: Option<&BTreeSet<QueueName>>) -> Vec<(Arc<Queue>, Arc<Shard>)> {
        let is_wanted = |queue: &Queue| {
            let name = &queue.policy.name;
            queues.map_or(name.callbacks_of().is_none(), |queues| queues.contains(name))
        };
        let wanted = self.wire.queues().into_iter().filter(|queue| is_wanted(queue));
        wanted
            .flat_map(|queue| {
                let shards = queue.shards.clone();
                shards.into_iter().map(move |shard| (Arc::clone(&queue), shard))
            })
            .collect()
    }

    /// This shard tells from now on, for a while. Returns the moment, and whether changes since `since_ms`
    /// may be gone.
    async fn listen_to(
        &self,
        shard: &Shard,
        since_ms: Option<u64>,
    ) -> Result<(u64, bool), StoreError> {
        let call = call!(Listen, kept_ms = KEPT_MS, since_ms = since_ms);
        let mut reply = self.wire.call(shard, &call).await?;
        fields!(reply as Listen; now_ms: u64, is_gap: bool);
        Ok((now_ms, is_gap))
    }
}
