//! Grant: permits of a queue's home slot, for queues with several shards and for each further call of
//! an exchange.
//!
//! Owns the asking; the limit itself stands in `lua/include/limit.lua`. Refuses to know who starts.

use std::time::Duration;

use tokio::time::Instant;

use super::gate::{ClaimStatus, ClaimWish, status_of};
use super::queue::Queue;
use super::{Store, StoreError, Verb, arg};
use crate::domain::gates::Gate;
use crate::domain::limit::Rate;

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
pub(super) enum Granted {
    Slots(Vec<u64>),
    Wait(ClaimStatus, Option<Duration>),
}

impl Store {
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
                Permit::Granted(self.inner.clock.instant_of(slot_us))
            }
            Granted::Wait(ClaimStatus::Held(Gate::Limit), wait) => {
                Permit::Wait(wait.unwrap_or_default())
            }
            Granted::Wait(..) => Permit::Shut,
        })
    }

    /// Permits of a queue with several shards.
    pub(super) async fn grant(
        &self,
        queue: &Queue,
        wish: ClaimWish,
    ) -> Result<Granted, StoreError> {
        let calls = if queue.policy.batch.is_some() { 1 } else { wish.messages_max };
        let [earliest, latest] = self.moments(&queue.shards[0], Duration::ZERO);
        let args = [
            arg(calls),
            arg(queue.policy.rate.map_or(0.0, Rate::period_us)),
            arg(queue.policy.burst),
            arg(wish.horizon_us),
            arg(wish.before_us.unwrap_or(0)),
            // With several shards, the claim that follows has to come back as well.
            arg(self.lead_us() * if queue.shards.len() > 1 { 2 } else { 1 }),
            earliest,
            latest,
        ];
        let called_at = Instant::now();
        let mut reply = self.call(Verb::Grant, &queue.shards[0], &args).await?;
        let status = status_of(reply.int()?)?;
        let now_us = reply.count()?;
        self.saw(Some(&queue.shards[0]), now_us, (called_at, Instant::now()));
        let wait = reply.natural()?.map(Duration::from_micros);
        if status != ClaimStatus::Taken {
            return Ok(Granted::Wait(status, wait));
        }
        let mut slots = Vec::with_capacity(reply.len());
        while reply.len() > 0 {
            slots.push(reply.count()?);
        }
        if queue.policy.batch.is_some() {
            // One permit carries the whole batch.
            slots.resize(wish.messages_max, slots.first().copied().unwrap_or(now_us));
        }
        Ok(Granted::Slots(slots))
    }
}
