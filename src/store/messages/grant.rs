//! Grant: permits of a queue's home slot, for queues with several shards and for each further call of
//! an exchange; and the units of quotas that go back.
//!
//! Owns the asking; the limits themselves stand in `lua/include/limits.lua`. Refuses to know who starts.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Messages;
use super::claimed::Claimed;
use super::gate::{ClaimStatus, ClaimWish, status_of};
use super::settle::{Settled, Verdict};
use crate::domain::gates::Gate;
use crate::domain::limit::{LimitUnit, Units};
use crate::domain::policy::{Downstream, QueuePolicy};
use crate::store::StoreError;
use crate::store::queue::Queue;
use crate::store::redis::script::{call, fields, row, rows};

/// Whether a further call may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permit {
    /// At this moment; and what it took of the limits.
    Granted(Instant, Units),
    /// The limits: ask again after so long.
    Wait(Duration),
    /// The queue is paused, or its gate is shut.
    Shut,
}

/// What the home slot gave.
pub(in crate::store) enum Granted {
    Slots(GrantedCalls),
    Wait(ClaimStatus, Option<Duration>),
}

/// Slots of calls, the first of which may take more units than one.
#[derive(Debug)]
pub(in crate::store) struct GrantedCalls {
    pub(in crate::store) slots_us: Vec<u64>,
    /// What the first call may take; each other one may take one unit.
    pub(in crate::store) first_cost: u64,
}

/// Those that no call has used yet.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct SlotsLeft<'a> {
    pub(in crate::store) slots_us: &'a [u64],
    pub(in crate::store) first_cost: u64,
}

impl GrantedCalls {
    /// What is left after so many calls.
    pub(in crate::store) fn rest(&self, used: usize) -> SlotsLeft<'_> {
        let first_cost = if used == 0 { self.first_cost } else { 1 };
        SlotsLeft { slots_us: &self.slots_us[used..], first_cost }
    }

    /// The units that these messages did not take: of slots without a call, and of a first call that cost less.
    pub(in crate::store) fn unused(&self, policy: &QueuePolicy, taken: &[Claimed]) -> Vec<Units> {
        let all = if policy.batch.is_some() { 1 } else { self.slots_us.len() };
        let slots = self.slots_us.iter().enumerate().take(all);
        let unused = slots.map(|(at, slot_us)| {
            let granted = if at == 0 { self.first_cost } else { 1 };
            let used = match taken.get(at) {
                Some(_) if policy.batch.is_some() => granted,
                Some(message) => message.units.of(LimitUnit::Messages),
                None => 0,
            };
            let left = granted.saturating_sub(used);
            Units { slot_us: *slot_us, calls: left, messages: left }
        });
        unused.filter(|units| units.calls > 0).collect()
    }
}

impl Messages {
    /// A permit for a further call of an exchange that is under way (half of a batch): its slot, or
    /// the gate that it met and how long until one may be asked for. `messages`: what those that it carries cost.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn permit(&self, queue: &Queue, messages: u64) -> Result<Permit, StoreError> {
        let wish = ClaimWish { messages_max: 1, batch_now: true, ..ClaimWish::default() };
        let calls = if queue.policy.batch.is_some() { 1 } else { messages };
        Ok(match self.grant(queue, wish, (calls, messages)).await? {
            Granted::Slots(granted) => {
                let slot_us = granted.slots_us.first().copied().unwrap_or_default();
                let units = Units { slot_us, calls, messages };
                Permit::Granted(self.wire.clock.instant_of(slot_us)?, units)
            }
            Granted::Wait(ClaimStatus::Held(Gate::Limit), wait) => {
                Permit::Wait(wait.unwrap_or_default())
            }
            Granted::Wait(..) => Permit::Shut,
        })
    }

    /// Permits, the first of them for so many units: calls, messages.
    pub(in crate::store) async fn grant(
        &self,
        queue: &Queue,
        wish: ClaimWish,
        (calls, messages): (u64, u64),
    ) -> Result<Granted, StoreError> {
        let home = &queue.shards[0];
        let most = if queue.policy.batch.is_some() { 1 } else { wish.messages_max };
        let [earliest_us, latest_us] = self.wire.moments(home, Duration::ZERO);
        // With several shards, the claim that follows has to come back as well.
        let ways = if queue.shards.len() > 1 { 2 } else { 1 };
        let limit_lines = queue.limits().lines(self.wire.clock.require_ms()?);
        let call = call!(
            Grant,
            node = self.wire.node().as_str(),
            most = most,
            calls = calls,
            messages = messages,
            limit_lines = &*limit_lines,
            horizon_us = wish.horizon_us,
            before_us = wish.before_us.unwrap_or(0),
            lead_us = self.lead_us() * ways,
            earliest_us = earliest_us,
            latest_us = latest_us,
        );
        let called_at = Instant::now();
        let mut reply = self.wire.call(home, &call).await?;
        fields!(reply as Grant; code: i64, now_us: u64, wait_us: Option<u64>);
        self.wire.saw(Some(home), now_us, (called_at, Instant::now()));
        let (status, wait) = (status_of(code)?, wait_us.map(Duration::from_micros));
        if status != ClaimStatus::Taken {
            return Ok(Granted::Wait(status, wait));
        }
        rows!(reply as Grant);
        let mut slots_us = Vec::with_capacity(reply.len());
        while reply.len() > 0 {
            fields!(row of reply as Grant; slot_us: u64);
            let (calls, messages) = if slots_us.is_empty() { (calls, messages) } else { (1, 1) };
            queue.limits().started(Units { slot_us, calls, messages });
            slots_us.push(slot_us);
        }
        if queue.policy.batch.is_some() {
            // One permit carries the whole batch.
            slots_us.resize(wish.messages_max, slots_us.first().copied().unwrap_or(now_us));
        }
        Ok(Granted::Slots(GrantedCalls { slots_us, first_cost: messages }))
    }

    /// Gives back to quotas what calls had taken that surely do not start. Where that fails it stays taken: a quota may be
    /// left unused, and is never exceeded.
    pub async fn return_units(&self, queue: &Queue, units: &[Units]) {
        let units: Vec<_> = units.iter().filter(|units| **units != Units::NONE).collect();
        let Ok(now_ms) = self.wire.clock.require_ms() else { return };
        let limit_lines = queue.limits().quota_lines(now_ms);
        if limit_lines.is_empty() || units.is_empty() {
            return;
        }
        let rows = units.iter().map(|units| {
            row!(
                GiveBack: slot_us = units.slot_us,
                calls = units.calls,
                messages = units.messages,
            )
        });
        let node = self.wire.node().as_str();
        let call = call!(GiveBack, node = node, limit_lines = &*limit_lines, ..rows);
        match self.wire.call(&queue.shards[0], &call).await {
            Ok(_) => units.iter().for_each(|units| queue.limits().gave_back(**units)),
            Err(error) => {
                tracing::debug!(queue = %queue.policy.name, %error, "units of a quota stay taken");
            }
        }
    }

    /// The quotas, where messages that are given back return units in the same script: in the home shard.
    pub(in crate::store) fn lines_to_give_back(
        &self,
        queue: &Queue,
        items: &[Settled<'_>],
    ) -> Arc<str> {
        let has_units = items.iter().any(|item| item.units != Units::NONE);
        match self.wire.clock.now_ms() {
            Some(now_ms) if has_units && queue.shards.len() == 1 => {
                queue.limits().quota_lines(now_ms)
            }
            _ => Arc::default(),
        }
    }

    /// Messages were given back with these verdicts: their units are not this node's any more.
    pub(in crate::store) async fn gave_back(
        &self,
        queue: &Queue,
        items: &[Settled<'_>],
        verdicts: &[Verdict],
    ) {
        let returned = items.iter().zip(verdicts).filter(|(_, verdict)| **verdict == Verdict::Ok);
        let units: Vec<Units> = returned.map(|(item, _)| item.units).collect();
        if queue.shards.len() > 1 {
            self.return_units(queue, &units).await;
        } else {
            let taken = units.into_iter().filter(|units| *units != Units::NONE);
            taken.for_each(|units| queue.limits().gave_back(units));
        }
    }

    /// The limits that a claim asks.
    pub(in crate::store) fn lines_of_claims(&self, queue: &Queue) -> Result<Arc<str>, StoreError> {
        let by_claims = !matches!(queue.policy.downstream, Downstream::Callbacks(_));
        if !by_claims || !queue.limits().are_set() {
            return Ok(Arc::default());
        }
        Ok(queue.limits().lines(self.wire.clock.require_ms()?))
    }
}
