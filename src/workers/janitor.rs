//! The node's housekeeping: a handful of idempotent UTC cron jobs on tokio-cron-scheduler.
//!
//! Prune by age and by limits; where there is nothing to prune, no script runs. Never a user's schedule: its zones break over a clock change. A job that
//! still runs when its next time comes is skipped.

use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::Mutex;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};

use crate::store::{Queue, Shard, Store, StoreError};
use crate::telemetry::Kind;

/// When finals are pruned: every ten seconds.
const PRUNE_AT: &str = "*/10 * * * * *";
/// When queues with limits are looked at: what becomes final in a second may stand beyond them.
const TRIM_AT: &str = "* * * * * *";
/// Prune calls a queue and pass: 25,000 messages every ten seconds keep up with any downstream.
const PRUNE_CALLS_MAX: usize = 100;

/// The housekeeping of this node.
pub struct Janitor {
    scheduler: JobScheduler,
}

impl std::fmt::Debug for Janitor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Janitor").finish_non_exhaustive()
    }
}

impl Janitor {
    /// Starts the jobs.
    ///
    /// # Errors
    /// When the scheduler refuses a job: a bug, since the patterns are ours.
    pub async fn start(store: &Store) -> Result<Self, JobSchedulerError> {
        let scheduler = JobScheduler::new().await?;
        let prune = |store| -> NightlyWork { Box::pin(prune(store)) };
        let trim = |store| -> NightlyWork { Box::pin(trim(store)) };
        scheduler.add(job(PRUNE_AT, store, prune)?).await?;
        scheduler.add(job(TRIM_AT, store, trim)?).await?;
        scheduler.start().await?;
        Ok(Self { scheduler })
    }

    /// Ends the jobs.
    pub async fn stop(mut self) {
        if let Err(error) = self.scheduler.shutdown().await {
            tracing::debug!(%error, "the housekeeping did not stop cleanly");
        }
    }
}

type NightlyWork = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>>;

fn job(
    pattern: &str,
    store: &Store,
    work: impl Fn(Store) -> NightlyWork + Send + Sync + 'static,
) -> Result<Job, JobSchedulerError> {
    let store = store.clone();
    let running = Arc::new(Mutex::new(()));
    let work = Arc::new(work);
    Job::new_async(pattern, move |_id, _scheduler| {
        let (store, running, work) = (store.clone(), Arc::clone(&running), Arc::clone(&work));
        Box::pin(async move {
            let Ok(_alone) = running.try_lock() else { return };
            if store.servers.health().is_up()
                && let Err(error) = work(store).await
            {
                tracing::debug!(%error, "a housekeeping job was cut short");
            }
        })
    })
}

async fn prune(store: Store) -> Result<(), StoreError> {
    let living = store.nodes.living().await?;
    let (mut queues, mut shards) = (Vec::new(), Vec::new());
    for queue in store.queues.all() {
        for shard in &queue.shards {
            queues.push(Arc::clone(&queue));
            shards.push(Arc::clone(shard));
        }
    }
    let awaiting = store.queues.await_receipts(&shards).await?;
    for ((queue, shard), awaits) in queues.iter().zip(&shards).zip(awaiting) {
        let calls = if awaits { PRUNE_CALLS_MAX } else { 0 };
        for _ in 0..calls {
            let (lapsed, more) = store.messages.lapse(queue, shard).await?;
            let then = format!("they are {}", queue.policy.receipts.on_timeout.as_str());
            let digest = &store.metrics().digest;
            digest.add(Kind::NoReceipt, queue.policy.name.as_str(), lapsed, &then);
            if !more {
                break;
            }
        }
    }
    for (queue, shard) in queues.iter().zip(&shards) {
        for _ in 0..PRUNE_CALLS_MAX {
            if !store.messages.free_held(queue, shard).await? {
                break;
            }
        }
    }
    let prunable = store.queues.prunable(&shards, &living).await?;
    for ((queue, shard), is_prunable) in queues.iter().zip(&shards).zip(prunable) {
        if is_prunable {
            prune_shard(&store, queue, shard, &living).await?;
        }
    }
    Ok(())
}

/// The oldest go where a queue keeps more than it may. Nothing is asked of queues without limits.
async fn trim(store: Store) -> Result<(), StoreError> {
    let queues = store.queues.all();
    let limited = queues.iter().filter(|queue| queue.policy.retention.is_limited());
    let limited: Vec<_> = limited
        .flat_map(|queue| queue.shards.iter().map(|shard| (Arc::clone(queue), Arc::clone(shard))))
        .collect();
    if limited.is_empty() {
        return Ok(());
    }
    let beyond = store.messages.beyond_limits(&limited).await?;
    if beyond.contains(&true) {
        let living = store.nodes.living().await?;
        for ((queue, shard), _) in limited.iter().zip(beyond).filter(|(_, is_beyond)| *is_beyond) {
            prune_shard(&store, queue, shard, &living).await?;
        }
    }
    Ok(())
}

async fn prune_shard(
    store: &Store,
    queue: &Queue,
    shard: &Shard,
    living: &[String],
) -> Result<(), StoreError> {
    for _ in 0..PRUNE_CALLS_MAX {
        let pruned = store.messages.prune(queue, shard, living).await?;
        let digest = &store.metrics().digest;
        digest.add(Kind::DeletedEarly, queue.policy.name.as_str(), pruned.dead_early, "");
        if !pruned.more {
            break;
        }
    }
    Ok(())
}
