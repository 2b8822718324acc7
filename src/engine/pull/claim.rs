//! Where workers wait until there is something for them, and what they are given.
//!
//! Owns long polls: of all workers that wait at a queue, one asks Redis, when it was woken or when a
//! gate's time has come; the others stand behind it and cost nothing.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::token::WorkerToken;
use crate::domain::gates::{Gate, GateState, Snapshot, gates};
use crate::domain::id::QueueName;
use crate::engine::cadence::{WAIT_MIN, wait_at_gate};
use crate::engine::dispatcher::CONCURRENCY_POLL;
use crate::store::{
    ClaimReply, ClaimStatus, ClaimWish, Claimed, HORIZON_US, Queue, Store, StoreError,
};

/// The fallback for a wake-up that got lost.
const POLL: Duration = Duration::from_secs(15);
/// Long polls: at each queue, a lock that the worker holds which asks Redis.
#[derive(Debug, Default)]
pub struct Polls(Mutex<HashMap<QueueName, Arc<tokio::sync::Mutex<()>>>>);

/// What a worker asks for.
#[derive(Debug, Clone, Copy)]
pub struct PullWish {
    /// Most messages.
    pub messages_max: usize,
    /// How long their leases are, in milliseconds; `None`: as long as the queue's.
    pub lease_ms: Option<u64>,
    /// How long to wait for something to come.
    pub until: Instant,
}

/// What was claimed, and whether its worker had been waiting for it.
struct TakenForWorker {
    queue: Arc<Queue>,
    reply: ClaimReply,
    /// No later than when Redis counted the leases from.
    claimed_at_ms: u64,
    was_awaited: bool,
}

/// Messages on their way to a worker. Dropped before they are handed over, they go back unsent.
#[derive(Debug)]
pub struct Pulled {
    store: Store,
    /// Their queue.
    pub queue: Arc<Queue>,
    /// When their leases end, ms by Redis.
    pub lease_until_ms: u64,
    messages: Vec<Claimed>,
    paused_ms: u64,
    was_awaited: bool,
    is_handed_over: bool,
}

impl Polls {
    /// Claims messages for a worker and waits for the slot of the last one. `None`: there was nothing in time,
    /// this node stops, or the worker is `gone`.
    ///
    /// # Errors
    /// [`StoreError::UnknownQueue`], [`StoreError::Unavailable`].
    pub async fn claim(
        &self,
        store: &Store,
        name: &QueueName,
        wish: PullWish,
        stop: &CancellationToken,
        gone: impl Future<Output = ()>,
    ) -> Result<Option<Pulled>, StoreError> {
        let Some(taken) = self.take(store, name, wish, stop, gone).await? else { return Ok(None) };
        let lease_ms = wish.lease_ms.unwrap_or(taken.queue.policy.lease_ms);
        let pulled = Pulled {
            store: store.clone(),
            queue: taken.queue,
            lease_until_ms: taken.claimed_at_ms + lease_ms,
            messages: taken.reply.messages,
            paused_ms: taken.reply.paused_ms,
            was_awaited: taken.was_awaited,
            is_handed_over: false,
        };
        for message in &pulled.messages {
            let shard = &pulled.queue.shards[usize::from(message.lease.shard)];
            store.messages.lease_ends(shard, Instant::now() + Duration::from_millis(lease_ms));
        }
        if let Some(last) = pulled.messages.last() {
            tokio::time::sleep_until(last.slot).await;
        }
        Ok(Some(pulled))
    }

    /// Claims what there is; with time left, as soon as there is something.
    async fn take(
        &self,
        store: &Store,
        name: &QueueName,
        wish: PullWish,
        stop: &CancellationToken,
        gone: impl Future<Output = ()>,
    ) -> Result<Option<TakenForWorker>, StoreError> {
        let mut gone = pin!(gone);
        let mut was_awaited = false;
        let lock = self.of(name);
        // Who does not wait asks at once, past those who do.
        let _front = if wish.until > Instant::now() {
            tokio::select! {
                front = lock.lock() => Some(front),
                () = tokio::time::sleep_until(wish.until) => return Ok(None),
                () = stop.cancelled() => return Ok(None),
                () = &mut gone => return Ok(None),
            }
        } else {
            None
        };
        loop {
            let queue = store.queues.get(name)?;
            if queue.retired || stop.is_cancelled() {
                return Ok(None);
            }
            let now_ms = store.clock().require_ms()?;
            let wait = match gates(&queue.policy, &Snapshot::default(), Some(now_ms)).latest() {
                GateState::Held { until_ms, why } => {
                    wait_at_gate(until_ms, why, Some(now_ms)).unwrap_or(POLL).min(POLL)
                }
                GateState::Open { before_ms } => {
                    let reply = store.messages.claim(&queue, claim_wish(wish, before_ms)).await?;
                    if !reply.messages.is_empty() {
                        return Ok(Some(TakenForWorker {
                            queue,
                            reply,
                            claimed_at_ms: now_ms,
                            was_awaited,
                        }));
                    }
                    was_awaited = reply.status == ClaimStatus::Empty;
                    wait_after(&queue, &reply)
                }
            };
            if Instant::now() >= wish.until {
                return Ok(None);
            }
            tokio::select! {
                () = queue.ready.notified() => {}
                () = tokio::time::sleep(wait.max(WAIT_MIN)) => {}
                () = tokio::time::sleep_until(wish.until) => return Ok(None),
                () = stop.cancelled() => return Ok(None),
                () = &mut gone => return Ok(None),
            }
        }
    }

    fn of(&self, queue: &QueueName) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.0.lock();
        Arc::clone(locks.entry(queue.clone()).or_default())
    }
}

impl Pulled {
    /// The messages, which leave now, each with the token that its worker shows later.
    pub fn start(&self, now_ms: u64) -> impl Iterator<Item = (&Claimed, WorkerToken)> {
        let has_quotas = self.queue.policy.limits.iter().any(|limit| limit.quota().is_some());
        self.messages.iter().map(move |message| {
            self.store.messages.note_start(&self.queue, message, !self.was_awaited);
            (message, WorkerToken::new(message, now_ms, self.paused_ms, has_quotas))
        })
    }

    /// The worker has them.
    pub fn handed_over(mut self) {
        self.is_handed_over = true;
    }
}

impl Drop for Pulled {
    fn drop(&mut self) {
        if !self.is_handed_over {
            let held = self.messages.iter().map(|message| (message.lease.clone(), message.units));
            self.store.messages.give_back(Arc::clone(&self.queue), held.collect());
        }
    }
}

fn claim_wish(wish: PullWish, before_ms: Option<u64>) -> ClaimWish {
    ClaimWish {
        messages_max: wish.messages_max,
        // They are handed over at the slot of the last one.
        horizon_us: HORIZON_US,
        before_us: before_ms.map(|ms| ms * 1000),
        batch_now: true,
        lease_ms: wish.lease_ms,
    }
}

/// When to ask again, unless somebody wakes us.
fn wait_after(queue: &Queue, reply: &ClaimReply) -> Duration {
    let told = reply.wait.unwrap_or(POLL).min(POLL);
    match reply.status {
        ClaimStatus::Taken | ClaimStatus::Stale | ClaimStatus::OtherStructure => Duration::ZERO,
        ClaimStatus::Empty => {
            queue.look_everywhere();
            POLL
        }
        ClaimStatus::Held(Gate::Concurrency) => CONCURRENCY_POLL,
        ClaimStatus::Held(_) | ClaimStatus::ClockInDoubt | ClaimStatus::KeysHold => told,
    }
}
