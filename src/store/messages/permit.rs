//! A permit for a call that did not get one with its claim: a further part of a batch, a callback, a probe.
//!
//! Owns the asking: the limits of the queue by grant, in the home slot, and those by key in the shard of the messages. Refuses to
//! know who waits for it (see `engine::permits`).

use std::time::Duration;

use tokio::time::Instant;

use super::Messages;
use super::claimed::Claimed;
use super::gate::{ClaimStatus, ClaimWish, status_of};
use super::grant::Granted;
use crate::domain::gates::Gate;
use crate::domain::limit::Units;
use crate::store::StoreError;
use crate::store::queue::{Queue, Shard};
use crate::store::redis::script::{arg, call, fields};

/// How soon one asks again where another structure turned out to be in force.
const STRUCTURE_WAIT: Duration = Duration::from_millis(20);

/// Whether a further call may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permit {
    /// At this moment; and what it took of the limits without a key.
    Granted(Instant, Units),
    /// The limits: ask again after so long.
    Wait(Duration),
    /// The queue is paused, its gate is shut, or a quota by key has too few units left in its period.
    Shut,
}

/// What is done with the limits by key.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// Could the call start now?
    Ask,
    /// It starts in this slot, if it may.
    Take(u64),
    /// It does not start in this slot, which it had.
    Return(u64),
}

/// A call that needs units of its own.
#[derive(Debug, Clone, Copy)]
pub struct FurtherCall<'a> {
    /// What the messages cost that it carries.
    cost: u64,
    /// These messages: they lie in one shard.
    part: &'a [Claimed],
}

impl<'a> FurtherCall<'a> {
    /// A question about a message: it takes a unit of the queue, and none of a key.
    pub const PROBE: Self = Self { cost: 1, part: &[] };

    /// A call with these messages.
    #[must_use]
    pub fn of(part: &'a [Claimed]) -> Self {
        let cost = part.iter().map(|message| u64::from(message.details.cost.units())).sum();
        Self { cost, part }
    }

    /// The shard whose limits by key it has to ask.
    fn keyed_shard<'q>(&self, queue: &'q Queue) -> Option<&'q Shard> {
        let shard = queue.shards.get(usize::from(self.part.first()?.lease.shard))?;
        shard.structure().has_keyed_rates().then_some(shard)
    }
}

impl Messages {
    /// A permit for a further call: its slot, or what it met and how long until one may be asked for.
    ///
    /// A rate takes no unit back. So the limits by key are asked whether the call could start, before it takes anything of
    /// those without a key.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn permit(
        &self,
        queue: &Queue,
        further: FurtherCall<'_>,
    ) -> Result<Permit, StoreError> {
        let Some(shard) = further.keyed_shard(queue) else {
            return self.permit_of_queue(queue, further.cost).await;
        };
        if let Some(stays) = self.take_anew(queue, shard, further.part, Step::Ask).await? {
            return Ok(stays);
        }
        let permit = self.permit_of_queue(queue, further.cost).await?;
        let Permit::Granted(_, units) = permit else { return Ok(permit) };
        match self.take_anew(queue, shard, further.part, Step::Take(units.slot_us)).await {
            Ok(None) => Ok(permit),
            stays => {
                self.return_units(queue, &[units]).await;
                stays.map(|stays| stays.unwrap_or(Permit::Shut))
            }
        }
    }

    /// A call that had this permit does not start: quotas get its units back. Where that fails they stay taken.
    pub async fn return_permit(&self, queue: &Queue, further: FurtherCall<'_>, units: Units) {
        self.return_units(queue, &[units]).await;
        let Some(shard) = further.keyed_shard(queue) else { return };
        let step = Step::Return(units.slot_us);
        if let Err(error) = self.take_anew(queue, shard, further.part, step).await {
            tracing::debug!(queue = %queue.policy.name, %error, "units of a quota by key stay taken");
        }
    }

    async fn permit_of_queue(&self, queue: &Queue, messages: u64) -> Result<Permit, StoreError> {
        let wish = ClaimWish { messages_max: 1, batch_now: true, ..ClaimWish::default() };
        let calls = if queue.policy.batch.is_some() { 1 } else { messages };
        if queue.limits().are_shared() {
            let units = Units { slot_us: 0, calls, messages };
            return self.permit_sharing(queue, wish, units).await;
        }
        Ok(match self.grant(queue, wish, (calls, messages), 0).await? {
            Granted::Slots(granted) => {
                let slot_us = granted.slots_us().first().copied().unwrap_or_default();
                let units = Units { slot_us, calls, messages };
                Permit::Granted(self.wire.clock.instant_of(slot_us)?, units)
            }
            Granted::Wait(ClaimStatus::Held(Gate::Limit), wait) => {
                Permit::Wait(wait.unwrap_or_default())
            }
            Granted::Wait(..) => Permit::Shut,
        })
    }

    /// A step with the limits by key, for all of these messages. `None`: their call may start.
    async fn take_anew(
        &self,
        queue: &Queue,
        shard: &Shard,
        part: &[Claimed],
        step: Step,
    ) -> Result<Option<Permit>, StoreError> {
        let now_ms = || self.wire.clock.require_ms();
        let ahead_us = shard.clock_offset.ahead_us(&queue.shards[0].clock_offset);
        let (what, slot_us) = match step {
            Step::Ask => ("ask", 0),
            Step::Take(slot_us) => ("take", slot_us.saturating_add_signed(ahead_us)),
            Step::Return(slot_us) => ("return", slot_us.saturating_add_signed(ahead_us)),
        };
        let call = call!(
            TakeAnew,
            keys_in_force = shard.structure().keys_in_force(&now_ms)?,
            what = what,
            slot_us = slot_us,
            ..part.iter().map(|message| [arg(message.lease.ulid)])
        );
        let mut reply = self.wire.call(shard, &call).await?;
        fields!(reply as TakeAnew; code: i64, wait_us: u64);
        Ok(match status_of(code)? {
            ClaimStatus::Taken => None,
            ClaimStatus::Held(_) => Some(Permit::Wait(Duration::from_micros(wait_us))),
            ClaimStatus::OtherStructure => {
                shard.structure().ask_again();
                Some(Permit::Wait(STRUCTURE_WAIT))
            }
            _ => Some(Permit::Shut),
        })
    }
}
