//! What time brings: promote, expire, reap (and prune, which has a file of its own). Each call is bounded; callers ask again while
//! there is more.

use std::time::Duration;

use super::Messages;
use crate::failpoint::failpoint;
use crate::store::StoreError;
use crate::store::queue::{Queue, Shard};
use crate::store::redis::script::{call, fields, timed_call};
use crate::store::tail::Tail;
use crate::store::wire::clock_watch::{DOUBT_PAUSE, Timed, until};

/// Messages that one promote moves: 0.3 ms of Redis, and a longer call gains nothing.
const PROMOTE_MAX: usize = 500;
/// Messages that one expire, reap or prune touches; each costs more than a promotion.
pub(in crate::store) const SWEEP_MAX: usize = 250;

/// What a pass over a shard came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Swept {
    /// Messages that it moved.
    pub moved: u64,
    /// When the next one falls due; `None`: nothing waits. Zero: there is more, ask again at once.
    pub next_in: Option<Duration>,
}

impl Swept {
    /// Redis' clock is in doubt.
    const DOUBT: Self = Self { moved: 0, next_in: Some(DOUBT_PAUSE) };
}

/// What a reap came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reaped {
    /// Back to ready.
    pub reaped: u64,
    /// To uncertain.
    pub parked: u64,
    /// To dead: lost with its node three times.
    pub poisoned: u64,
    /// When the next lease ends; `None`: no leases.
    pub next_in: Option<Duration>,
}

impl Reaped {
    /// Redis' clock is in doubt.
    const DOUBT: Self = Self { reaped: 0, parked: 0, poisoned: 0, next_in: Some(DOUBT_PAUSE) };
}

impl Messages {
    /// scheduled → ready, what is due.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn promote(&self, queue: &Queue, shard: &Shard) -> Result<Swept, StoreError> {
        let called = self.wire.timed(shard, timed_call!(Promote, most = PROMOTE_MAX)).await?;
        let Some(Timed { now_us, mut reply }) = called else { return Ok(Swept::DOUBT) };
        fields!(
            reply as Promote;
            moved: u64, next_due_ms: Option<u64>, first_due_ms: Option<u64>
        );
        let next_in = until(now_us, next_due_ms);
        if moved > 0 {
            failpoint!("promoted");
            count_swept(queue, "promote", moved);
            let late_us =
                now_us.saturating_sub(first_due_ms.map_or(now_us, |due_ms| due_ms * 1000));
            queue.metrics.promote_lateness(Duration::from_micros(late_us));
            shard.wake(2);
        }
        Ok(Swept { moved, next_in })
    }

    /// scheduled or ready → expired, what is past its `expires_at`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn expire(&self, queue: &Queue, shard: &Shard) -> Result<Swept, StoreError> {
        let keep_ms = queue.policy.retention.delivered_ms;
        let call = timed_call!(Expire, most = SWEEP_MAX, keep_ms = keep_ms);
        let called = self.wire.timed(shard, call).await?;
        let Some(Timed { now_us, mut reply }) = called else { return Ok(Swept::DOUBT) };
        fields!(reply as Expire; next_ms: Option<u64>, expired: u64);
        count_swept(queue, "expire", expired);
        Ok(Swept { moved: expired, next_in: until(now_us, next_ms) })
    }

    /// Leases that ran out → ready, uncertain or dead.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn reap(&self, queue: &Queue, shard: &Shard) -> Result<Reaped, StoreError> {
        let parks = queue.policy.on_uncertain.is_at_most_once();
        let lost = "its node was lost while it may have been sending it";
        let poison = "poison: its node was lost three times while sending it alone";
        let call = timed_call!(
            Reap,
            most = SWEEP_MAX,
            parks = parks,
            dead_keep_ms = queue.policy.retention.dead_ms,
            parked_tail = Tail::lost(lost),
            poison_tail = Tail::lost(poison),
            lease_ms = if self.wire.is_aftermath() { queue.policy.lease_ms } else { 0 },
            probe_after_ms = queue.probe_after(0),
            delivered_keep_ms = queue.policy.retention.delivered_ms,
        );
        let called = self.wire.timed(shard, call).await?;
        let Some(Timed { now_us, mut reply }) = called else { return Ok(Reaped::DOUBT) };
        fields!(
            reply as Reap;
            next_ms: Option<u64>, reaped: u64, parked: u64, poisoned: u64, superseded: u64
        );
        queue.metrics.superseded(superseded);
        let next_in = until(now_us, next_ms);
        if reaped + parked + poisoned > 0 {
            failpoint!("reaped");
            count_swept(queue, "reap", reaped + parked + poisoned);
        }
        if poisoned > 0 {
            queue.metrics.dead("poison", poisoned);
        }
        if reaped > 0 {
            shard.wake(2);
        }
        if parked > 0 {
            queue.doubt.notify_one();
        }
        Ok(Reaped { reaped, parked, poisoned, next_in })
    }
}

impl Messages {
    /// Messages that wait for the one before them of their collapse key, which nobody has set free though that one is decided,
    /// go on. A bounded number of them is looked at; nothing is asked where this node has met no collapse key. Returns
    /// whether there are more.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn free_held(&self, queue: &Queue, shard: &Shard) -> Result<bool, StoreError> {
        if !shard.collapse_keys.are_there() {
            return Ok(false);
        }
        let call = call!(
            FreeHeld,
            rank = shard.collapse_keys.rank(),
            most = SWEEP_MAX,
            keep_ms = queue.policy.retention.delivered_ms,
        );
        let mut reply = self.wire.call(shard, &call).await?;
        fields!(reply as FreeHeld; next_rank: u64, freed: u64, superseded: u64);
        shard.collapse_keys.go_on_at(next_rank);
        queue.metrics.superseded(superseded);
        if freed > 0 {
            shard.wake(3);
        }
        Ok(next_rank > 0)
    }
}

pub(in crate::store) fn count_swept(queue: &Queue, event: &'static str, count: u64) {
    queue.metrics.count(event, usize::try_from(count).unwrap_or(usize::MAX));
}
