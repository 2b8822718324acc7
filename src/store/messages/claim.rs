//! Claim: what may start now, each message with its token and its slot.
//!
//! Owns the claim at one shard, and the way to the limit where the queue has only one: inside the claim (see `round` for
//! several). Refuses to know windows: callers do not ask at a shut door.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::Messages;
use super::claimed::{ClaimSlots, Claimed, ClaimedMessages, Unreadable};
use super::gate::{ClaimStatus, ClaimWish, status_of};
use super::grant::GrantedCalls;
use crate::domain::gates::{Gate, concurrency_of_shard};
use crate::domain::limit::LEAD_US_FURTHEST;
use crate::failpoint::failpoint;
use crate::store::StoreError;
use crate::store::queue::{Queue, Shard};
use crate::store::redis::reply::Reply;
use crate::store::redis::script::{Call, ScriptForm, call, fields};

/// Most payload bytes that one claim returns (a single larger message comes alone).
const CLAIM_BYTES_MAX: u64 = 1 << 20;

/// Most messages that a claim takes from lanes where they do not leave in batches: each takes Redis some twenty microseconds.
pub(in crate::store) const LANES_WANTED_MAX: u64 = 64;

/// How many more lanes than messages a claim moves at most.
pub(in crate::store) const LANES_MOVED_MAX: u64 = 32;

/// By so much a slot of the whole queue may lie behind the moment at which a rate by key lets a call pass, and nothing of that rate is
/// lost. Of the 20 ms by which calls may move closer together, a late start takes the other 15.
pub(in crate::store) const LATE_BY_QUEUE_US: u64 = 5_000;

/// Slots begin so far ahead at most; a Redis that takes longer to answer counts as away.
const LEAD_US_MAX: u64 = LEAD_US_FURTHEST as u64 / 2;

/// How often a claim is made at once where another structure turns out to be in force.
const TRIES_BY_STRUCTURE: usize = 3;

/// What a claim came to.
#[derive(Debug)]
pub struct ClaimReply {
    /// How it ended.
    pub status: ClaimStatus,
    /// When to ask again, as far as Redis can tell.
    pub wait: Option<Duration>,
    /// How many messages stay ready in that shard.
    pub ready_left: u64,
    /// Milliseconds for which the queue has been paused in all.
    pub paused_ms: u64,
    /// What was taken: one batch, or single messages.
    pub messages: Vec<Claimed>,
    /// What a message costs that was not granted enough; 0: there was none.
    pub(in crate::store) cost_wanted: u64,
    /// Until when keys hold all that stays ready in that shard, by the time of the home shard, as far as Redis can tell.
    pub(super) keys_hold_until_us: Option<u64>,
}

impl Messages {
    /// Claims what may start within the horizon.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; the same claim is repeated by the next call, so that a lost
    /// reply strands nothing.
    pub async fn claim(&self, queue: &Queue, wish: ClaimWish) -> Result<ClaimReply, StoreError> {
        if queue.limits().are_shared() {
            return self.claim_sharing(queue, wish).await;
        }
        if let [shard] = queue.shards.as_slice() {
            return self.claim_stirring(queue, shard, wish, None).await;
        }
        self.claim_round(queue, wish).await
    }

    /// Claims at a shard where something may be ready, and notes whether something still is. Noted
    /// before, so that what arrives meanwhile is not overlooked.
    pub(super) async fn claim_stirring(
        &self,
        queue: &Queue,
        shard: &Shard,
        wish: ClaimWish,
        granted: Option<&GrantedCalls>,
    ) -> Result<ClaimReply, StoreError> {
        let begun = shard.keys_hold().begin();
        shard.rest();
        let reply = self.claim_shard(queue, shard, wish, granted).await;
        match &reply {
            Ok(reply) if reply.ready_left == 0 => {}
            Ok(reply) => {
                shard.stirs_on();
                shard.keys_hold().tell(begun, reply.keys_hold_until_us);
            }
            Err(_) => shard.stir(),
        }
        reply
    }

    pub(super) async fn claim_shard(
        &self,
        queue: &Queue,
        shard: &Shard,
        wish: ClaimWish,
        granted: Option<&GrantedCalls>,
    ) -> Result<ClaimReply, StoreError> {
        // After a reload a worker's claim and the dispatcher's may meet.
        let _one_at_a_time = shard.claiming.lock().await;
        for _ in 0..TRIES_BY_STRUCTURE {
            if !self.move_over(shard).await? {
                return Ok(ClaimReply::moving_over());
            }
            let reply = self.claim_once(queue, shard, wish, granted).await?;
            if reply.status != ClaimStatus::OtherStructure {
                return Ok(reply);
            }
            shard.structure().ask_again();
        }
        Ok(ClaimReply::moving_over())
    }

    async fn claim_once(
        &self,
        queue: &Queue,
        shard: &Shard,
        wish: ClaimWish,
        granted: Option<&GrantedCalls>,
    ) -> Result<ClaimReply, StoreError> {
        let sequence = shard.claims.load(Ordering::Acquire) + 1;
        let token = format!("{}{:08x}", self.wire.node().as_str(), sequence & 0xffff_ffff);
        let limit_lines = self.lines_of_claims(queue)?;
        let now_ms = || self.wire.clock.require_ms();
        // Where keys decide, the script chooses among the slots, by the clock of its own server.
        let by_key = granted.filter(|_| shard.structure().form() == ScriptForm::Keyed);
        let ahead_us = shard.clock_offset.ahead_us(&queue.shards[0].clock_offset);
        let mut keys_in_force = shard.structure().keys_in_force(&now_ms)?;
        if let Some(granted) = granted {
            granted.tell_costs(&mut keys_in_force);
        }
        if let Some(granted) = by_key {
            granted.tell(&mut keys_in_force, ahead_us);
        }
        let times = (self.lead_us(), self.wire.moments(shard, Duration::ZERO));
        let hours = match queue.policy.recipient_hours.as_deref() {
            Some(hours) => queue.zones.at(hours, now_ms()?),
            None => Bytes::new(),
        };
        let lines = (keys_in_force, &*limit_lines, hours);
        let call = claim_call(queue, &token, wish, (granted, lines), times);
        let called_at = Instant::now();
        let keeps_order = queue.policy.ordering.is_some();
        let mut reply = if queue.policy.on_uncertain.is_at_most_once() || keeps_order {
            // The claim itself must be safe before the first byte leaves, or a lost claim would let
            // the message be sent a second time, or another one of its key beside it.
            self.wire.call_durably(shard, &call).await?
        } else {
            self.wire.call(shard, &call).await?
        };
        let received_at = Instant::now();
        let slots = match (granted, by_key) {
            (None, _) => ClaimSlots::Told,
            (Some(_), Some(_)) => ClaimSlots::Chosen { ahead_us, lead_us: times.0 },
            (Some(granted), None) => ClaimSlots::Granted(granted.slots_us()),
        };
        shard.claims.store(sequence, Ordering::Release);
        let (claimed, unreadable) =
            self.read_claim(queue, shard, &token, &mut reply, (called_at, received_at), slots)?;
        if !unreadable.is_empty() {
            let batch_ends = queue.policy.batch.is_some() && claimed.messages.is_empty();
            let ended = batch_ends.then_some(token);
            self.bury_unreadable(queue, shard, ended.as_slice(), &unreadable).await?;
        }
        if !claimed.messages.is_empty() {
            failpoint!("claimed");
            queue.metrics.count("claim", claimed.messages.len());
        }
        #[cfg(feature = "failpoints")]
        self.lease_the_rest(queue, shard, &claimed).await?;
        Ok(claimed)
    }

    fn read_claim(
        &self,
        queue: &Queue,
        shard: &Shard,
        token: &str,
        reply: &mut Reply,
        times: (Instant, Instant),
        slots: ClaimSlots<'_>,
    ) -> Result<(ClaimReply, Vec<Unreadable>), StoreError> {
        fields!(
            reply as Claim;
            code: i64, now_us: u64, wait_us: Option<u64>, left: u64, paused_ms: u64, cost_wanted: u64
        );
        let (status, wait) = (status_of(code)?, wait_us.map(Duration::from_micros));
        self.wire.saw(Some(shard), now_us, times);
        let mut messages = Vec::new();
        let mut unreadable = Vec::new();
        if status == ClaimStatus::Taken {
            let mut taken = ClaimedMessages::read(
                &queue.policy,
                reply,
                slots,
                (now_us / 1000, paused_ms),
                times.1,
            )?;
            messages.reserve_exact(taken.len());
            while taken.len() > 0 {
                match self.read_claimed(&queue.policy, shard, token, &mut taken)? {
                    Ok(claimed) => {
                        if matches!(slots, ClaimSlots::Told) {
                            queue.limits().started(claimed.units);
                        }
                        messages.push(claimed);
                    }
                    Err(message) => unreadable.push(message),
                }
            }
        }
        let keys_hold_until_us = slots.keys_hold_until_us(status, now_us, wait_us);
        Ok((
            ClaimReply {
                status,
                wait,
                ready_left: left,
                paused_ms,
                messages,
                cost_wanted,
                keys_hold_until_us,
            },
            unreadable,
        ))
    }

    /// How far ahead of a claim at this queue its first slot lies: so much earlier a slot has to be claimed.
    #[must_use]
    pub fn lead(&self, queue: &Queue) -> Duration {
        Duration::from_micros(self.lead_us() * queue.replies_to_slots())
    }

    /// How far ahead slots begin: one that were over when the reply is here would be void.
    pub(in crate::store) fn lead_us(&self) -> u64 {
        let lag_us = u64::try_from(self.wire.clock.lag().as_micros()).unwrap_or(LEAD_US_MAX);
        lag_us.min(LEAD_US_MAX)
    }
}

impl ClaimReply {
    pub(super) const fn empty() -> Self {
        Self {
            status: ClaimStatus::Empty,
            wait: None,
            ready_left: 0,
            paused_ms: 0,
            messages: Vec::new(),
            cost_wanted: 0,
            keys_hold_until_us: None,
        }
    }

    /// Messages are moving over to another structure.
    fn moving_over() -> Self {
        Self::held_by_keys(Duration::ZERO)
    }

    pub(super) fn held_by_keys(wait: Duration) -> Self {
        let wait = Some(wait);
        Self { status: ClaimStatus::KeysHold, wait, ready_left: 1, ..Self::empty() }
    }

    /// Another shard's reply: taken if one of them was, else the status that has most to tell.
    pub(super) fn add(&mut self, other: Self) {
        let tells = |status: ClaimStatus| match status {
            ClaimStatus::Empty => 0,
            ClaimStatus::Held(Gate::Batch | Gate::Concurrency)
            | ClaimStatus::ClockInDoubt
            | ClaimStatus::KeysHold => 1,
            ClaimStatus::Held(_) => 2,
            ClaimStatus::Stale | ClaimStatus::OtherStructure => 3,
            ClaimStatus::Taken => 4,
        };
        let both = tells(self.status) == tells(other.status);
        if tells(other.status) > tells(self.status) {
            (self.status, self.wait) = (other.status, other.wait);
        } else if both {
            self.wait = self.wait.into_iter().chain(other.wait).min();
        }
        self.ready_left += other.ready_left;
        self.paused_ms = self.paused_ms.max(other.paused_ms);
        self.messages.extend(other.messages);
    }
}

fn claim_call(
    queue: &Queue,
    token: &str,
    wish: ClaimWish,
    (granted, (keys_in_force, limit_lines, hours)): (Option<&GrantedCalls>, (String, &str, Bytes)),
    (lead_us, [earliest_us, latest_us]): (u64, [u64; 2]),
) -> Call {
    let policy = &queue.policy;
    let (node, sequence) = token.split_at(12);
    let batch = policy.batch;
    call!(
        Claim,
        keys_in_force = keys_in_force,
        node = node,
        sequence = sequence,
        most = wish.messages_max,
        bytes_max = batch.map_or(CLAIM_BYTES_MAX, |batch| batch.max_bytes.max(CLAIM_BYTES_MAX)),
        lease_ms = wish.lease_ms.unwrap_or(policy.lease_ms),
        concurrency = concurrency_of_shard(policy),
        limit_lines = limit_lines,
        horizon_us = wish.horizon_us,
        before_us = wish.before_us.unwrap_or(0),
        batch_items = batch.map_or(0, |batch| batch.max_items),
        batch_bytes = batch.map_or(0, |batch| batch.max_bytes),
        batch_wait_ms = batch.map_or(0, |batch| batch.max_wait_ms),
        batch_now = wish.batch_now,
        granted = granted.map(|granted| granted.slots_us().len()),
        granted_units = granted.map_or(1, GrantedCalls::admits),
        is_pull = policy.downstream.capabilities().is_pulled,
        expired_keep_ms = policy.retention.delivered_ms,
        lead_us = lead_us,
        earliest_us = earliest_us,
        latest_us = latest_us,
        hours = hours.to_vec(),
    )
}
