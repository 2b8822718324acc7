//! A message under our lease, as a claim's reply gives it.
//!
//! Owns the reading of one, and what becomes of one that cannot be read.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use ulid::Ulid;

use super::Messages;
use super::gate::ClaimStatus;
use super::settle::{Lease, Settled};
use crate::domain::id::MessageId;
use crate::domain::lease::latest_start_ms;
use crate::domain::limit::Units;
use crate::domain::message::Details;
use crate::domain::policy::QueuePolicy;
use crate::domain::trace_context::AttemptSpan;
use crate::domain::waited::WaitedFor;
use crate::store::StoreError;
use crate::store::callbacks;
use crate::store::queue::{Queue, Shard};
use crate::store::record::{Record, StateEntry};
use crate::store::redis::reply::Reply;
use crate::store::redis::script::fields;

/// A message under our lease.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// What later steps must show.
    pub lease: Lease,
    /// When its call may start.
    pub slot: Instant,
    /// When this node must have begun to send it at the latest, or give it back: an exchange that
    /// starts later may outlive the lease.
    pub start_before: Instant,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// Times it came back because its node was lost: > 0 means that this send may be a duplicate.
    pub rescues: u32,
    /// Whether an earlier attempt's outcome is unknown: the downstream may have the message already.
    pub is_in_doubt: bool,
    /// Throttles so far.
    pub throttles: u32,
    /// When its first attempt began, ms by Redis.
    pub first_attempt_ms: u64,
    /// Milliseconds for which the queue had been paused by then.
    pub paused_at_first_ms: u64,
    /// When this attempt was due, ms.
    pub due_ms: u64,
    /// When the attempt before it ended, ms; `None`: there was none, or nobody knows.
    pub previous_end_ms: Option<u64>,
    /// When it expires, ms.
    pub expires_ms: Option<u64>,
    /// Headers, content type and the rest.
    pub details: Details,
    /// The body.
    pub payload: Bytes,
    /// What its call takes of limits; of a batch its first message has the call's.
    pub units: Units,
    /// What held it while it stood first in its line, and for how long, ms; whoever claimed it notes that here.
    pub stood: Vec<(WaitedFor, u64)>,
    /// The span of this attempt, where its trace is recorded; whoever makes the attempt begins it here.
    pub span: Option<AttemptSpan>,
}

/// Which slots the messages of a claim have.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) enum ClaimSlots<'a> {
    /// Those of the reply.
    Told,
    /// These, which the home shard granted, in their order.
    Granted(&'a [u64]),
    /// Those of the reply, which were chosen from granted ones, by a clock that is so far ahead; and how far ahead slots begin.
    Chosen { ahead_us: i64, lead_us: u64 },
}

/// How long nobody asks again at most where keys hold until a call ends: that is told, and could get lost.
const UNTIL_TOLD_US: u64 = 1_000_000;

impl ClaimSlots<'_> {
    /// Until when keys hold what stays ready, as the claim told, by the time of the home shard.
    pub(in crate::store) fn keys_hold_until_us(
        self,
        status: ClaimStatus,
        now_us: u64,
        wait_us: Option<u64>,
    ) -> Option<u64> {
        let ClaimSlots::Chosen { ahead_us, lead_us } = self else { return None };
        let wait_us = match (status, wait_us) {
            (ClaimStatus::Taken, wait_us) => wait_us.filter(|wait_us| *wait_us > 0)?,
            (ClaimStatus::KeysHold, wait_us) => wait_us.unwrap_or(UNTIL_TOLD_US),
            _ => return None,
        };
        Some((now_us + lead_us + wait_us).saturating_add_signed(-ahead_us))
    }
}

/// The lists of a claim's reply, read side by side.
#[derive(Debug)]
pub(in crate::store) struct ClaimedMessages {
    ulids: Reply,
    records: Reply,
    headers: Reply,
    slots_us: std::vec::IntoIter<u64>,
    /// The slot of all that are left, once the list is at its end.
    slot_us: u64,
    /// Whether they are one call, and whether none of them was read yet.
    is_batch: bool,
    is_first: bool,
    /// When they were claimed, and for how long the queue had been paused by then, ms.
    claimed_ms: u64,
    paused_ms: u64,
    received_at: Instant,
}

impl ClaimedMessages {
    pub(in crate::store) fn read(
        policy: &QueuePolicy,
        reply: &mut Reply,
        slots: ClaimSlots<'_>,
        (claimed_ms, paused_ms): (u64, u64),
        received_at: Instant,
    ) -> Result<Self, StoreError> {
        let given = slots;
        fields!(reply as Claim; ulids: Reply, records: Reply, headers: Reply, slots: Reply);
        let mut slots = slots;
        let mut slots_us = Vec::with_capacity(slots.len());
        let ahead_us = if let ClaimSlots::Chosen { ahead_us, .. } = given { ahead_us } else { 0 };
        while slots.len() > 0 {
            slots_us.push(slots.count()?.saturating_add_signed(-ahead_us));
        }
        if let ClaimSlots::Granted(granted) = given {
            slots_us = granted.to_vec();
        }
        let slot_us = slots_us.last().copied().unwrap_or(claimed_ms * 1000);
        let slots_us = slots_us.into_iter();
        let is_batch = policy.batch.is_some();
        Ok(Self {
            ulids,
            records,
            headers,
            slots_us,
            slot_us,
            is_batch,
            is_first: true,
            claimed_ms,
            paused_ms,
            received_at,
        })
    }

    /// How many are left.
    pub(in crate::store) fn len(&self) -> usize {
        self.ulids.len()
    }

    /// What the next message of this cost takes of limits.
    fn units(&mut self, slot_us: u64, cost: u64) -> Units {
        let calls = match (self.is_batch, self.is_first) {
            (false, _) => cost,
            (true, is_first) => u64::from(is_first),
        };
        self.is_first = false;
        Units { slot_us, calls, messages: cost }
    }

    fn entry(&mut self) -> Result<Option<Bytes>, StoreError> {
        if self.headers.len() == 0 {
            return Ok(None);
        }
        Ok(Some(self.headers.bytes()?).filter(|entry| !entry.is_empty()))
    }
}

/// A claimed message that cannot be read.
#[derive(Debug)]
pub(in crate::store) struct Unreadable {
    lease: Lease,
    reason: String,
}

impl Unreadable {
    fn row(&self) -> Settled<'_> {
        Settled { reason: Some(self.reason.as_str()), ..Settled::of(&self.lease) }
    }
}

impl Claimed {
    /// Whether its time was over at this moment.
    #[must_use]
    pub fn is_expired(&self, now_ms: u64) -> bool {
        self.expires_ms.is_some_and(|at_ms| at_ms <= now_ms)
    }
}

impl Messages {
    /// The next message of the reply, or how it is settled because we cannot read it.
    pub(in crate::store) fn read_claimed(
        &self,
        policy: &QueuePolicy,
        shard: &Shard,
        token: &str,
        taken: &mut ClaimedMessages,
    ) -> Result<Result<Claimed, Unreadable>, StoreError> {
        let ulid = Ulid::from_string(&taken.ulids.text()?)
            .map_err(|error| StoreError::Reply(error.to_string()))?;
        let slot_us = taken.slots_us.next().unwrap_or(taken.slot_us);
        let (entry, record) = (taken.entry()?, taken.records.bytes()?);
        let lease = Lease { ulid, shard: shard.number, token: token.to_owned() };
        let both = Record::unpack(record).and_then(|record| {
            let entry = match entry {
                Some(entry) => StateEntry::unpack(entry)?,
                None => StateEntry::of_first_claim(&record, taken.claimed_ms, taken.paused_ms),
            };
            let (details, payload) =
                callbacks::told(&policy.name, ulid, record.details, record.payload)?;
            Ok((entry, Record { details, payload, ..record }))
        });
        let (entry, record) = match both {
            Ok(both) => both,
            Err(error) => {
                return Ok(Err(Unreadable { lease, reason: format!("unreadable: {error}") }));
            }
        };
        if record.details.collapse_key.is_some() {
            shard.collapse_keys.seen();
        }
        let units = taken.units(slot_us, record.details.cost.units().into());
        let start_within_ms = latest_start_ms(policy.lease_ms, policy.downstream.timeout_ms());
        Ok(Ok(Claimed {
            lease,
            slot: self.wire.clock.instant_of(slot_us)?,
            start_before: taken.received_at + Duration::from_millis(start_within_ms),
            attempt: entry.attempts,
            rescues: entry.rescues,
            is_in_doubt: entry.tail.in_doubt || entry.rescues > 0,
            throttles: entry.throttles,
            first_attempt_ms: entry.first_attempt_ms,
            paused_at_first_ms: entry.paused_at_first_ms,
            due_ms: entry.due_ms,
            previous_end_ms: entry.tail.ended_ms,
            expires_ms: (entry.expires_ms > 0).then_some(entry.expires_ms),
            details: record.details,
            payload: record.payload.unwrap_or_default(),
            units,
            stood: Vec::new(),
            span: None,
        }))
    }

    /// Counts that a message leaves now: how late it is, and whether the downstream may have seen it
    /// before. `held`: until its slot a gate held it, not the clock.
    pub fn note_start(&self, queue: &Queue, message: &Claimed, held: bool) {
        let late = if held {
            Some(Instant::now().saturating_duration_since(message.slot))
        } else {
            let now_ms = self.wire.clock().now_ms();
            now_ms.map(|now_ms| Duration::from_millis(now_ms.saturating_sub(message.due_ms)))
        };
        if let Some(late) = late {
            queue.metrics.lateness(late);
        }
        if message.rescues > 0 {
            queue.metrics.possible_duplicate();
        }
    }

    /// What the script could claim and we cannot read would come back with every lease and hold up
    /// the line each time: it is dead, its record untouched.
    pub(in crate::store) async fn bury_unreadable(
        &self,
        queue: &Queue,
        shard: &Shard,
        ended: &[String],
        unreadable: &[Unreadable],
    ) -> Result<(), StoreError> {
        for item in unreadable {
            let id = MessageId { queue: queue.policy.name.clone(), ulid: item.lease.ulid };
            tracing::error!(%id, reason = item.reason, "a claimed message cannot be read; it is dead");
        }
        let rows: Vec<Settled<'_>> = unreadable.iter().map(Unreadable::row).collect();
        self.bury(queue, shard, ended, false, &rows).await?;
        queue.metrics.dead("unreadable", unreadable.len() as u64);
        Ok(())
    }
}
