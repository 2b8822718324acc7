//! Shared limits: accounts that several queues use, each in a slot of its own.
//!
//! Owns a claim at a queue that uses some. It has three steps: how many calls could start by everything else (`estimate`, which
//! takes nothing), their units at each account (see `places`), and the claim under these. What the claim does not use goes back.
//! Refuses to know how a shard chooses (see `claim`).

mod permit;
mod places;
mod put_back;

use std::time::Duration;

use tokio::time::Instant;

use self::places::{PlannedCall, ReserveOutcome};
use super::Messages;
use super::claim::ClaimReply;
use super::gate::{ClaimStatus, ClaimWish, status_of};
use super::grant::GrantedCalls;
use crate::domain::gates::{Gate, concurrency_of_shard};
use crate::domain::limit::{LimitRule, LimitUnit, Units};
use crate::store::StoreError;
use crate::store::queue::{Queue, Reservation, Shard};
use crate::store::redis::script::{ScriptForm, call, fields, rows};

/// By so much the slot of a call may lie behind the one that a limit gave it, because another limit gave it a later one. Twice this is
/// within what a rate takes, since the limit itself counts a slot that was asked for late as so much earlier.
pub(in crate::store) const RESERVED_LATE_US: u64 = 2_500;

/// Of a shared quota a node reserves this part of what is left, at most.
pub(in crate::store) const RESERVED_PART: u64 = 100;

/// Most calls that one claim reserves.
const CALLS_MAX: usize = 128;

/// How often an estimate is made at once where another structure turns out to be in force.
const TRIES_BY_STRUCTURE: usize = 3;

/// What could start by everything but shared limits.
struct Estimate {
    status: ClaimStatus,
    wait: Option<Duration>,
    ready_left: u64,
    calls: Vec<PlannedCall>,
}

impl Messages {
    /// Claims from shard to shard, a different one first each time, what the shared limits let start.
    pub(super) async fn claim_sharing(
        &self,
        queue: &Queue,
        wish: ClaimWish,
    ) -> Result<ClaimReply, StoreError> {
        let mut met = ClaimReply::empty();
        let has_one = queue.shards.len() == 1;
        for shard in queue.round().filter(|shard| has_one || shard.stirs()) {
            let taken = met.messages.len();
            let left = wish.messages_max.saturating_sub(taken);
            if left == 0 || (taken > 0 && queue.policy.batch.is_some()) {
                break;
            }
            let rest = ClaimWish { messages_max: left, ..wish };
            match self.claim_stirring_shared(queue, shard, rest).await {
                Ok(reply) => {
                    let is_over = reply.status == ClaimStatus::Held(Gate::Limit);
                    met.add(reply);
                    if is_over {
                        break;
                    }
                }
                Err(error) => {
                    // The next round repeats this claim before it makes any other.
                    queue.begin_with(shard);
                    if taken == 0 {
                        return Err(error);
                    }
                    break;
                }
            }
        }
        met.messages.sort_by_key(|message| message.units.slot_us);
        Ok(met)
    }

    async fn claim_stirring_shared(
        &self,
        queue: &Queue,
        shard: &Shard,
        wish: ClaimWish,
    ) -> Result<ClaimReply, StoreError> {
        shard.keys_hold().begin();
        shard.rest();
        let reply = self.reserve_and_claim(queue, shard, wish).await;
        match &reply {
            Ok(reply) if reply.ready_left == 0 => {}
            Ok(_) => shard.stirs_on(),
            Err(_) => shard.stir(),
        }
        reply
    }

    async fn reserve_and_claim(
        &self,
        queue: &Queue,
        shard: &Shard,
        wish: ClaimWish,
    ) -> Result<ClaimReply, StoreError> {
        let unanswered = shard.unanswered.lock().take();
        let reservation = match unanswered {
            Some(reservation) => reservation,
            None => {
                let estimate = self.estimate(queue, shard, wish).await?;
                if estimate.calls.is_empty() {
                    return self.nothing_could_start(queue, shard, wish, estimate).await;
                }
                match self.reserve(queue, wish, estimate.calls, 1).await? {
                    ReserveOutcome::Calls(reservation) => reservation,
                    ReserveOutcome::Wait(wait) => {
                        let status = ClaimStatus::Held(Gate::Limit);
                        let ready_left = estimate.ready_left.max(1);
                        return Ok(ClaimReply { status, wait, ready_left, ..ClaimReply::empty() });
                    }
                }
            }
        };
        let granted = GrantedCalls::reserved(&reservation);
        match self.claim_shard(queue, shard, wish, Some(&granted)).await {
            Ok(reply) => {
                if reply.cost_wanted > 0 {
                    queue.expect_cost(reply.cost_wanted);
                }
                let started = reply.messages.iter().map(|message| message.units);
                self.settle_reservation(queue, &reservation, started).await;
                Ok(reply)
            }
            Err(error) => {
                // That claim may stand, and what it took must stay taken until its repeat.
                *shard.unanswered.lock() = Some(reservation);
                Err(error)
            }
        }
    }

    /// Nothing could start. At a queue with keys a claim looks after the lanes all the same; it takes nothing.
    async fn nothing_could_start(
        &self,
        queue: &Queue,
        shard: &Shard,
        wish: ClaimWish,
        estimate: Estimate,
    ) -> Result<ClaimReply, StoreError> {
        let Estimate { status, wait, ready_left, .. } = estimate;
        if status == ClaimStatus::Empty && shard.structure().form() == ScriptForm::Keyed {
            let none = GrantedCalls::reserved(&Reservation::default());
            let reply = self.claim_shard(queue, shard, wish, Some(&none)).await?;
            if reply.status == ClaimStatus::Empty {
                return Ok(reply);
            }
            return Ok(ClaimReply { status: ClaimStatus::Stale, wait: None, ..reply });
        }
        Ok(ClaimReply { status, wait, ready_left, ..ClaimReply::empty() })
    }

    /// How many calls could start in this shard by everything but shared limits, and from when on.
    async fn estimate(
        &self,
        queue: &Queue,
        shard: &Shard,
        wish: ClaimWish,
    ) -> Result<Estimate, StoreError> {
        for _ in 0..TRIES_BY_STRUCTURE {
            if !self.move_over(shard).await? {
                break;
            }
            let estimate = self.estimate_once(queue, shard, wish).await?;
            if estimate.status != ClaimStatus::OtherStructure {
                return Ok(estimate);
            }
            shard.structure().ask_again();
        }
        let (status, wait) = (ClaimStatus::KeysHold, Some(Duration::ZERO));
        Ok(Estimate { status, wait, ready_left: 1, calls: Vec::new() })
    }

    async fn estimate_once(
        &self,
        queue: &Queue,
        shard: &Shard,
        wish: ClaimWish,
    ) -> Result<Estimate, StoreError> {
        let now_ms = || self.wire.clock.require_ms();
        // Of several shards the limits stand in the home slot, which is asked as an account is.
        let stands_here = queue.shards.len() == 1;
        let limit_lines = if stands_here { self.lines_of_claims(queue)? } else { "".into() };
        let [earliest_us, latest_us] = self.wire.moments(shard, Duration::ZERO);
        let batch = queue.policy.batch;
        let counts_messages = counts_batches(queue);
        let call = call!(
            Estimate,
            keys_in_force = shard.structure().keys_in_force(&now_ms)?,
            most = wish.messages_max.min(CALLS_MAX),
            concurrency = concurrency_of_shard(&queue.policy),
            limit_lines = &*limit_lines,
            horizon_us = wish.horizon_us,
            before_us = wish.before_us.unwrap_or(0),
            batch_items = batch.map_or(0, |batch| batch.max_items),
            batch_bytes = batch.map_or(0, |batch| batch.max_bytes),
            batch_wait_ms = batch.map_or(0, |batch| batch.max_wait_ms),
            batch_now = wish.batch_now,
            reads_costs = counts_messages || queue.has_costs(),
            lead_us = self.lead_us(),
            earliest_us = earliest_us,
            latest_us = latest_us,
        );
        let called_at = Instant::now();
        let mut reply = self.wire.call(shard, &call).await?;
        fields!(reply as Estimate; code: i64, now_us: u64, wait_us: Option<u64>, left: u64);
        self.wire.saw(Some(shard), now_us, (called_at, Instant::now()));
        let ahead_us = shard.clock_offset.ahead_us(&queue.shards[0].clock_offset);
        let (status, wait) = (status_of(code)?, wait_us.map(Duration::from_micros));
        let mut planned = Vec::new();
        rows!(reply as Estimate);
        while reply.len() > 0 {
            fields!(row of reply as Estimate; slot_us: u64, calls: u64, messages: u64, least: u64);
            let slot_us = slot_us.saturating_add_signed(-ahead_us);
            // Where no limit counts what a batch carries, it takes whatever is there.
            let is_uncounted = batch.is_some() && !counts_messages;
            let (messages, least) = if is_uncounted { (1, 1) } else { (messages, least) };
            planned.push(PlannedCall { units: Units { slot_us, calls, messages }, least });
        }
        Ok(Estimate { status, wait, ready_left: left, calls: planned })
    }

    /// A claim has started these: what it did not use goes back, of quotas.
    async fn settle_reservation(
        &self,
        queue: &Queue,
        reservation: &Reservation,
        started: impl Iterator<Item = Units>,
    ) {
        let mut used = vec![None; reservation.calls.len()];
        started.for_each(|units| reservation.used(&mut used, units));
        for place in &reservation.places {
            let unused = place.unused(&used);
            match &place.account {
                None => {
                    let units: Vec<Units> = unused.into_iter().map(|(_, units)| units).collect();
                    self.return_own_units(queue, &units).await;
                }
                Some(account) => {
                    account.settle(place.units(account));
                    self.put_back(queue, account, &place.number, &unused).await;
                }
            }
        }
    }
}

/// Whether a limit counts the messages that a batch carries.
fn counts_batches(queue: &Queue) -> bool {
    let by_message = |limit: &LimitRule| limit.unit == LimitUnit::Messages;
    queue.policy.batch.is_some() && queue.policy.wide_limits().any(by_message)
}
