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
use crate::domain::limit::{LimitUnit, UNITS_MAX, Units};
use crate::store::StoreError;
use crate::store::queue::{Queue, Reservation};
use crate::store::redis::script::{ScriptForm, call, fields, row, rows};

/// What the home slot gave.
pub(in crate::store) enum Granted {
    Slots(GrantedCalls),
    Wait(ClaimStatus, Option<Duration>),
}

/// Slots of calls that the home slot granted.
#[derive(Debug)]
pub(in crate::store) struct GrantedCalls {
    /// Those that no call has used yet, in order. That of a batch is one.
    slots_us: Vec<u64>,
    /// The units that each of them took; where that is more than one, there is one slot.
    cost: u64,
    /// Where not all of them took as many: what each took.
    costs: Vec<u64>,
    is_batch: bool,
    /// Most units of the messages of a batch.
    batch_units: u64,
    /// What calls that cost less left of theirs.
    left_over: Vec<Units>,
}

impl GrantedCalls {
    pub(in crate::store) fn slots_us(&self) -> &[u64] {
        &self.slots_us
    }

    /// Adds them to the keys in force, as claims take them (see `lua/include/lanes/granted.lua`), by a clock that is so far ahead.
    pub(in crate::store) fn tell(&self, keys_in_force: &mut String, ahead_us: i64) {
        if !keys_in_force.ends_with('\n') {
            keys_in_force.push('\n');
        }
        keys_in_force.push_str("slots");
        for slot_us in &self.slots_us {
            keys_in_force.push(' ');
            keys_in_force.push_str(&slot_us.saturating_add_signed(ahead_us).to_string());
        }
        keys_in_force.push('\n');
    }

    /// Those that were reserved for a claim.
    pub(in crate::store) fn reserved(reservation: &Reservation) -> Self {
        let calls = &reservation.calls;
        let costs: Vec<u64> = calls.iter().map(|call| call.messages).collect();
        Self {
            slots_us: calls.iter().map(|call| call.slot_us).collect(),
            cost: costs.first().copied().unwrap_or(1),
            batch_units: if reservation.counts_messages {
                costs.first().copied().unwrap_or(1)
            } else {
                UNITS_MAX
            },
            costs: if reservation.is_batch { Vec::new() } else { costs },
            is_batch: reservation.is_batch,
            left_over: Vec::new(),
        }
    }

    /// Adds what each call may cost to the keys in force, as claims take it (see `lua/include/claim_limits.lua`).
    pub(in crate::store) fn tell_costs(&self, keys_in_force: &mut String) {
        if self.costs.iter().all(|cost| *cost == 1) {
            return;
        }
        if !keys_in_force.ends_with('\n') {
            keys_in_force.push('\n');
        }
        keys_in_force.push_str("costs");
        for cost in &self.costs {
            keys_in_force.push(' ');
            keys_in_force.push_str(&cost.to_string());
        }
        keys_in_force.push('\n');
    }

    /// How many units the first call may take; of a batch, what its messages may cost together.
    pub(in crate::store) const fn admits(&self) -> u64 {
        if self.is_batch { self.batch_units } else { self.cost }
    }

    /// How many messages may still be claimed, of so many that are wanted.
    pub(in crate::store) fn most(&self, wanted: usize) -> usize {
        if self.is_batch && !self.slots_us.is_empty() { wanted } else { self.slots_us.len() }
    }

    /// A claim has taken these.
    pub(in crate::store) fn use_for(&mut self, taken: &[Claimed]) {
        let calls = if self.is_batch { taken.get(..1).unwrap_or_default() } else { taken };
        for message in calls {
            let slot_us = message.units.slot_us;
            let Some(at) = self.slots_us.iter().position(|slot| *slot == slot_us) else { continue };
            self.slots_us.remove(at);
            let used = if self.is_batch { 1 } else { message.units.of(LimitUnit::Messages) };
            let left = self.cost.saturating_sub(used);
            if left > 0 {
                self.left_over.push(Units { slot_us, calls: left, messages: left });
            }
        }
    }

    /// The slots that no call has used, each of one unit, as a line for `give_back`; empty: there is none.
    fn unused_line(&self) -> String {
        if self.cost > 1 || self.slots_us.is_empty() {
            return String::new();
        }
        let slots: Vec<_> = self.slots_us.iter().map(u64::to_string).collect();
        format!("slots {}\n", slots.join(" "))
    }

    /// The units that no call took.
    fn unused(self) -> Vec<Units> {
        let cost = self.cost;
        let slots = self.slots_us.into_iter();
        let whole = slots.map(|slot_us| Units { slot_us, calls: cost, messages: cost });
        whole.chain(self.left_over).collect()
    }
}

impl Messages {
    /// Permits from a moment on, the first of them for so many units: calls, messages.
    pub(in crate::store) async fn grant(
        &self,
        queue: &Queue,
        wish: ClaimWish,
        (calls, messages): (u64, u64),
        from_us: u64,
    ) -> Result<Granted, StoreError> {
        let limit_lines = queue.limits().lines(self.wire.clock.require_ms()?);
        self.grant_of(queue, wish, (calls, messages), from_us, &limit_lines).await
    }

    async fn grant_of(
        &self,
        queue: &Queue,
        wish: ClaimWish,
        (calls, messages): (u64, u64),
        from_us: u64,
        limit_lines: &str,
    ) -> Result<Granted, StoreError> {
        let home = &queue.shards[0];
        let most = if queue.policy.batch.is_some() { 1 } else { wish.messages_max };
        let [earliest_us, latest_us] = self.wire.moments(home, Duration::ZERO);
        let call = call!(
            Grant,
            node = self.wire.node().as_str(),
            most = most,
            calls = calls,
            messages = messages,
            limit_lines = limit_lines,
            horizon_us = wish.horizon_us,
            before_us = wish.before_us.unwrap_or(0),
            from_us = from_us,
            lead_us = self.lead_us() * queue.replies_to_slots(),
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
            if !limit_lines.is_empty() {
                queue.limits().started(Units { slot_us, calls, messages });
            }
            slots_us.push(slot_us);
        }
        let is_batch = queue.policy.batch.is_some();
        Ok(Granted::Slots(GrantedCalls {
            slots_us,
            cost: messages,
            costs: Vec::new(),
            is_batch,
            batch_units: UNITS_MAX,
            left_over: Vec::new(),
        }))
    }

    /// Whether the queue may send at all: it is not paused, and its gate is open. Asks no limit.
    pub(in crate::store) async fn may_send(
        &self,
        queue: &Queue,
        wish: ClaimWish,
    ) -> Result<Granted, StoreError> {
        self.grant_of(queue, wish, (1, 1), 0, "").await
    }

    /// Gives back to quotas what calls had taken that surely do not start. Where that fails it stays taken: a quota may be
    /// left unused, and is never exceeded.
    pub async fn return_units(&self, queue: &Queue, units: &[Units]) {
        self.return_own(queue, units, "").await;
        self.return_shared_units(queue, units).await;
    }

    /// Gives back what a round was granted and did not use. Where keys decide, also the slots: whoever asks next may use them. A
    /// slot that an account has given too lies at another moment there.
    pub(in crate::store) async fn return_unused(&self, queue: &Queue, granted: GrantedCalls) {
        let is_keyed = queue.shards[0].structure().form() == ScriptForm::Keyed;
        let gives_slots = is_keyed && !queue.policy.shares_limits();
        let slots = if gives_slots { granted.unused_line() } else { String::new() };
        let units = granted.unused();
        self.return_own(queue, &units, &slots).await;
        self.return_shared_units(queue, &units).await;
    }

    /// The same for the limits of the queue alone.
    pub(in crate::store) async fn return_own_units(&self, queue: &Queue, units: &[Units]) {
        self.return_own(queue, units, "").await;
    }

    async fn return_own(&self, queue: &Queue, units: &[Units], slots: &str) {
        let units: Vec<_> = units.iter().filter(|units| **units != Units::NONE).collect();
        let Ok(now_ms) = self.wire.clock.require_ms() else { return };
        let limit_lines = queue.limits().quota_lines(now_ms);
        let limit_lines = format!("{limit_lines}{slots}");
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
        let call = call!(GiveBack, node = node, limit_lines = limit_lines, ..rows);
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
            let taken = units.iter().filter(|units| **units != Units::NONE);
            taken.for_each(|units| queue.limits().gave_back(*units));
            self.return_shared_units(queue, &units).await;
        }
    }

    /// The limits that a claim asks.
    pub(in crate::store) fn lines_of_claims(&self, queue: &Queue) -> Result<Arc<str>, StoreError> {
        let by_claims = !queue.policy.downstream.capabilities().is_by_host;
        if !by_claims || !queue.limits().are_set() {
            return Ok(Arc::default());
        }
        Ok(queue.limits().lines(self.wire.clock.require_ms()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(slots_us: &[u64], cost: u64, is_batch: bool) -> GrantedCalls {
        let (slots_us, costs) = (slots_us.to_vec(), Vec::new());
        let batch_units = UNITS_MAX;
        GrantedCalls { slots_us, cost, costs, is_batch, batch_units, left_over: Vec::new() }
    }

    #[test]
    fn slots_are_told_behind_the_keys_by_the_clock_of_the_shard() {
        let granted = granted(&[1000, 1500], 1, false);
        let told = |keys: &str, ahead_us| {
            let mut text = keys.to_owned();
            granted.tell(&mut text, ahead_us);
            text
        };
        assert_eq!(told("7", 0), "7\nslots 1000 1500\n");
        assert_eq!(told("7\nrate r 5 1\n", -100), "7\nrate r 5 1\nslots 900 1400\n");
    }

    #[test]
    fn a_batch_is_one_call_and_what_no_call_took_is_unused() {
        assert_eq!(granted(&[5, 6], 1, false).most(9), 2);
        assert_eq!(granted(&[5], 1, true).most(9), 9);
        assert_eq!(granted(&[], 1, true).most(9), 0);
        let unused = granted(&[5], 3, false).unused();
        assert_eq!(unused, [Units { slot_us: 5, calls: 3, messages: 3 }]);
    }
}
