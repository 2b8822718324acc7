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
use crate::domain::id::QueueName;
use crate::domain::policy::QueuePolicy;
use crate::domain::window::WindowState;
use crate::store::{ClaimReply, ClaimWish, Gate, Queue, StoreError};

/// How far ahead slots of a limit are taken: workers get their messages at the slot of the last one.
const HORIZON_US: u64 = 50_000;
/// The fallback for a wake-up that got lost.
const POLL: Duration = Duration::from_secs(15);
/// When everything allowed is in workers' hands: other nodes' settlings are not heard of.
const CONCURRENCY_POLL: Duration = Duration::from_secs(1);
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
        let wait = match window(&queue.policy, door.store().clock().now_ms()) {
            Err(wait) => wait,
            Ok(before_ms) => {
                let wish = ClaimWish {
                    messages_max: wish.messages_max,
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
                was_awaited = reply.gate == Gate::Empty;
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

/// The window: the moment before which a message must leave, or how long to wait.
fn window(policy: &QueuePolicy, now_ms: u64) -> Result<Option<u64>, Duration> {
    let Some(window) = &policy.window else { return Ok(None) };
    match window.state(now_ms) {
        WindowState::Closed { opens_at_ms } => Err(opens_at_ms
            .map_or(POLL, |at_ms| Duration::from_millis(at_ms.saturating_sub(now_ms)).min(POLL))),
        WindowState::Open { closes_at_ms: None } => Ok(None),
        WindowState::Open { closes_at_ms: Some(closes_ms) } if policy.window_holds(now_ms) => {
            Ok(Some(closes_ms - window.min_remaining_ms()))
        }
        WindowState::Open { closes_at_ms: Some(closes_ms) } => {
            Err(Duration::from_millis(closes_ms.saturating_sub(now_ms)).min(POLL))
        }
    }
}

/// When to ask again, unless somebody wakes us.
fn wait_after(queue: &Queue, reply: &ClaimReply) -> Duration {
    let told = reply.wait.unwrap_or(POLL).min(POLL);
    match reply.gate {
        Gate::Open | Gate::Stale => Duration::ZERO,
        Gate::Empty => {
            queue.look_everywhere();
            POLL
        }
        Gate::Concurrency => CONCURRENCY_POLL,
        Gate::Paused | Gate::Shut | Gate::Limit | Gate::Gathering | Gate::Doubt => told,
    }
}
