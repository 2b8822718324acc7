//! Where workers wait until there is something for them.
//!
//! Owns long polls: of all workers that wait at a queue, one asks Redis, when it was woken or when a
//! gate's time has come; the others stand behind it and cost nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::api::Door;
use crate::api::peer::Peer;
use crate::domain::gates::{Gate, GateState, Snapshot, Why, gates};
use crate::domain::id::QueueName;
use crate::store::{ClaimReply, ClaimStatus, ClaimWish, HORIZON_US, Queue, StoreError};

/// The fallback for a wake-up that got lost.
const POLL: Duration = Duration::from_secs(15);
/// When everything allowed is in workers' hands: other nodes' settlings are not heard of.
const CONCURRENCY_POLL: Duration = Duration::from_secs(1);
/// How often to look whether Redis has told the time.
const TIME_POLL: Duration = Duration::from_secs(1);
/// The shortest wait at a gate, so that rounding never makes a busy loop.
const WAIT_MIN: Duration = Duration::from_millis(1);

/// One place to wait for each queue.
#[derive(Debug, Default)]
pub(in crate::api) struct Desks(Mutex<HashMap<QueueName, Arc<tokio::sync::Mutex<()>>>>);

impl Desks {
    fn of(&self, queue: &QueueName) -> Arc<tokio::sync::Mutex<()>> {
        let mut desks = self.0.lock();
        Arc::clone(desks.entry(queue.clone()).or_default())
    }
}

/// What a worker asks for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish {
    pub(super) messages_max: usize,
    pub(super) lease_ms: Option<u64>,
    pub(super) until: Instant,
}

/// What was claimed, and whether its worker had been waiting for it.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) queue: Arc<Queue>,
    pub(super) reply: ClaimReply,
    /// No later than when Redis counted the leases from.
    pub(super) claimed_at_ms: u64,
    pub(super) was_awaited: bool,
}

/// Claims what there is; with time left, as soon as there is something. `None`: nothing in time, this
/// node stops, or nobody waits any more.
pub(super) async fn take(
    door: &Door,
    name: &QueueName,
    wish: Wish,
    peer: &Peer,
) -> Result<Option<Taken>, StoreError> {
    let mut was_awaited = false;
    let desk = door.desks.of(name);
    // Who does not wait asks at once, past those who do.
    let _front = if wish.until > Instant::now() {
        tokio::select! {
            front = desk.lock() => Some(front),
            () = tokio::time::sleep_until(wish.until) => return Ok(None),
            () = is_over(door, peer) => return Ok(None),
        }
    } else {
        None
    };
    loop {
        let queue = door.store().queue(name)?;
        if queue.retired || door.state.draining.is_cancelled() {
            return Ok(None);
        }
        let now_ms = door.store().clock().known_ms();
        let wait = match gates(&queue.policy, &Snapshot::default(), now_ms).latest() {
            GateState::Held { until_ms, why } => wait_at_gate(until_ms, why, now_ms),
            GateState::Open { before_ms } => {
                let wish = ClaimWish {
                    messages_max: wish.messages_max,
                    // Workers get their messages at the slot of the last one.
                    horizon_us: HORIZON_US,
                    before_us: before_ms.map(|ms| ms * 1000),
                    batch_now: true,
                    lease_ms: wish.lease_ms,
                };
                let claimed_at_ms = door.store().clock().now_ms();
                let reply = door.store().claim(&queue, wish).await?;
                if !reply.messages.is_empty() {
                    return Ok(Some(Taken { queue, reply, claimed_at_ms, was_awaited }));
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
            () = is_over(door, peer) => return Ok(None),
        }
    }
}

/// Ends when nobody should wait any longer: this node stops, or the worker has closed its side.
async fn is_over(door: &Door, peer: &Peer) {
    tokio::select! {
        () = door.state.draining.cancelled() => {}
        () = peer.closed() => {}
    }
}

/// How long to wait at a gate that holds.
fn wait_at_gate(until_ms: Option<u64>, why: Why, now_ms: Option<u64>) -> Duration {
    match (until_ms.zip(now_ms), why) {
        (Some((at_ms, now_ms)), _) => Duration::from_millis(at_ms.saturating_sub(now_ms)).min(POLL),
        (None, Why::TimeUnknown) => TIME_POLL,
        (None, _) => POLL,
    }
}

/// When to ask again, unless somebody wakes us.
fn wait_after(queue: &Queue, reply: &ClaimReply) -> Duration {
    let told = reply.wait.unwrap_or(POLL).min(POLL);
    match reply.status {
        ClaimStatus::Taken | ClaimStatus::Stale => Duration::ZERO,
        ClaimStatus::Empty => {
            queue.look_everywhere();
            POLL
        }
        ClaimStatus::Held(Gate::Concurrency) => CONCURRENCY_POLL,
        ClaimStatus::Held(_) | ClaimStatus::ClockInDoubt => told,
    }
}
