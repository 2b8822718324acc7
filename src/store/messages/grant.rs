//! Grant: permits of a queue's home slot, for queues with several shards and for each further call of
//! an exchange.
//!
//! Owns the asking; the limit itself stands in `lua/include/limit.lua`. Refuses to know who starts.

use std::time::Duration;

use tokio::time::Instant;

use super::Messages;
use super::gate::{ClaimStatus, ClaimWish, status_of};
use crate::domain::gates::Gate;
use crate::store::StoreError;
use crate::store::queue::Queue;
use crate::store::redis::script::{call, fields, rows};

/// Whether a further call may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permit {
    /// At this moment.
    Granted(Instant),
    /// The limit: ask again after so long.
    Wait(Duration),
    /// The queue is paused, or its gate is shut.
    Shut,
}

/// What the home slot gave.
pub(in crate::store) enum Granted {
    Slots(Vec<u64>),
    Wait(ClaimStatus, Option<Duration>),
}

impl Messages {
    /// A permit for a further call of an exchange that is under way (half of a batch): its slot, or
    /// the gate that it met and how long until one may be asked for.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn permit(&self, queue: &Queue) -> Result<Permit, StoreError> {
        let wish = ClaimWish { messages_max: 1, batch_now: true, ..ClaimWish::default() };
        Ok(match self.grant(queue, wish).await? {
            Granted::Slots(slots) => {
                let slot_us = slots.first().copied().unwrap_or_default();
                Permit::Granted(self.wire.clock.instant_of(slot_us)?)
            }
            Granted::Wait(ClaimStatus::Held(Gate::Limit), wait) => {
                Permit::Wait(wait.unwrap_or_default())
            }
            Granted::Wait(..) => Permit::Shut,
        })
    }

    /// Permits of a queue with several shards.
    pub(in crate::store) async fn grant(
        &self,
        queue: &Queue,
        wish: ClaimWish,
    ) -> Result<Granted, StoreError> {
        let calls = if queue.policy.batch.is_some() { 1 } else { wish.messages_max };
        let [earliest_us, latest_us] = self.wire.moments(&queue.shards[0], Duration::ZERO);
        // With several shards, the claim that follows has to come back as well.
        let ways = if queue.shards.len() > 1 { 2 } else { 1 };
        let own = queue.policy.own_rate();
        let call = call!(
            Grant,
            most = calls,
            period_us = own.map_or(0.0, |(rate, _)| rate.period_us()),
            burst = own.map_or(1, |(_, burst)| burst),
            horizon_us = wish.horizon_us,
            before_us = wish.before_us.unwrap_or(0),
            lead_us = self.lead_us() * ways,
            earliest_us = earliest_us,
            latest_us = latest_us,
        );
        let called_at = Instant::now();
        let mut reply = self.wire.call(&queue.shards[0], &call).await?;
        fields!(reply as Grant; code: i64, now_us: u64, wait_us: Option<u64>);
        self.wire.saw(Some(&queue.shards[0]), now_us, (called_at, Instant::now()));
        let (status, wait) = (status_of(code)?, wait_us.map(Duration::from_micros));
        if status != ClaimStatus::Taken {
            return Ok(Granted::Wait(status, wait));
        }
        rows!(reply as Grant);
        let mut slots = Vec::with_capacity(reply.len());
        while reply.len() > 0 {
            fields!(row of reply as Grant; slot_us: u64);
            slots.push(slot_us);
        }
        if queue.policy.batch.is_some() {
            // One permit carries the whole batch.
            slots.resize(wish.messages_max, slots.first().copied().unwrap_or(now_us));
        }
        Ok(Granted::Slots(slots))
    }
}
