//! Where the units of calls are asked for: the account of each shared limit and, where no claim asks them, the queue's own limits in
//! its home slot.
//!
//! Owns the rule of all or nothing: every place is asked before any gives units, and what one place gives and another refuses goes
//! back. Refuses to know what is claimed.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Messages;
use super::{RESERVED_LATE_US, counts_batches};
use crate::config::Durability;
use crate::domain::limit::Units;
use crate::store::StoreError;
use crate::store::messages::gate::ClaimWish;
use crate::store::queue::{Account, Queue, Reservation, ReservedAt, Shard};
use crate::store::redis::script::{Verb, call, fields, row, rows};

/// A call that could start.
#[derive(Debug, Clone, Copy)]
pub(super) struct PlannedCall {
    /// From when on, by the time of the home shard, and what it takes.
    pub(super) units: Units,
    /// Of a batch: what its first message costs, without which it does not start.
    pub(super) least: u64,
}

/// What came of a reservation.
pub(super) enum ReserveOutcome {
    /// These calls may start.
    Calls(Reservation),
    /// None may: ask again after so long; `None`: the window closes before one may.
    Wait(Option<Duration>),
}

/// A place that is asked.
struct LimitPlace<'q> {
    shard: &'q Shard,
    /// `None`: the home slot.
    account: Option<&'q Arc<Account>>,
}

/// What a place gave, by the time of the home shard.
struct PlaceGave {
    calls: Vec<PlannedCall>,
    /// Until when each of them may start at the latest.
    until_us: Vec<u64>,
    ahead_us: i64,
    wait: Option<Duration>,
}

impl Messages {
    /// Reserves units for these calls, or for the first of them. `claims`: how many calls of scripts follow before they start.
    pub(super) async fn reserve(
        &self,
        queue: &Queue,
        wish: ClaimWish,
        calls: Vec<PlannedCall>,
        claims: u64,
    ) -> Result<ReserveOutcome, StoreError> {
        let accounts = self.wire.accounts_of(queue);
        let mut places: Vec<LimitPlace<'_>> = accounts
            .iter()
            .map(|account| LimitPlace { shard: &account.shard, account: Some(account) })
            .collect();
        // The home slot gives first: what another node of the queue was quicker to take there is asked of no account.
        let asks_home = queue.limits().are_set();
        if asks_home {
            places.insert(0, LimitPlace { shard: &queue.shards[0], account: None });
        }
        let mut planned = calls;
        let left = |at: usize| claims + places.len() as u64 - at as u64;
        let asks_first = accounts.len() > 1 || asks_home;
        if asks_first {
            for place in &places {
                let given =
                    self.ask_place(queue, place, (wish, &planned), left(0) + 1, true).await?;
                if given.calls.is_empty() {
                    return Ok(ReserveOutcome::Wait(given.wait));
                }
                planned = given.calls;
            }
        }
        let (mut taken, mut refused) = (Vec::with_capacity(places.len()), None);
        for (at, place) in places.iter().enumerate() {
            // The first that was asked has chosen the slots, with time for all that follows; the others go by them.
            let calls_left = if asks_first || at > 0 { 0 } else { left(0) };
            let given = self.ask_place(queue, place, (wish, &planned), calls_left, false).await;
            let given = match given {
                Ok(given) if given.calls.is_empty() => {
                    refused = Some(Ok(ReserveOutcome::Wait(given.wait)));
                    break;
                }
                Ok(given) => given,
                Err(error) => {
                    refused = Some(Err(error));
                    break;
                }
            };
            planned.clone_from(&given.calls);
            taken.push(given);
        }
        // In the order of their slots, so that a claim uses them in this order.
        let has_last = |at: usize| taken.iter().all(|given: &PlaceGave| at < given.calls.len());
        let may_start = |at: &usize| {
            refused.is_none()
                && has_last(*at)
                && taken.iter().all(|given| planned[*at].units.slot_us <= given.until_us[*at])
        };
        let kept: Vec<usize> = (0..planned.len()).filter(may_start).collect();
        let reservation = self.kept_of(queue, &places, &taken, (&planned, &kept)).await;
        match refused {
            Some(refused) => refused,
            None if reservation.calls.is_empty() => Ok(ReserveOutcome::Wait(Some(Duration::ZERO))),
            None => Ok(ReserveOutcome::Calls(reservation)),
        }
    }

    /// The reservation of the calls that every place lets start; what was taken for the others goes back.
    async fn kept_of(
        &self,
        queue: &Queue,
        places: &[LimitPlace<'_>],
        taken: &[PlaceGave],
        (planned, kept): (&[PlannedCall], &[usize]),
    ) -> Reservation {
        let mut reserved = Vec::with_capacity(places.len());
        for (place, given) in places.iter().zip(taken) {
            let at_place = |call: &PlannedCall| Units {
                slot_us: call.units.slot_us.saturating_add_signed(given.ahead_us),
                ..call.units
            };
            let number = self.next_number();
            let dropped = given.calls.iter().enumerate().filter(|(at, _)| !kept.contains(at));
            let dropped: Vec<(usize, Units)> =
                dropped.map(|(at, call)| (at, at_place(call))).collect();
            match place.account {
                None => {
                    let units: Vec<Units> = dropped.iter().map(|(_, units)| *units).collect();
                    self.return_own_units(queue, &units).await;
                }
                Some(account) => {
                    let unit = account.shard.limits().unit();
                    account.settle(dropped.iter().map(|(_, units)| units.of(unit)).sum());
                    self.put_back(queue, account, &number, &dropped).await;
                }
            }
            reserved.push(ReservedAt {
                account: place.account.map(Arc::clone),
                number: self.next_number(),
                taken: kept.iter().map(|at| at_place(&given.calls[*at])).collect(),
            });
        }
        Reservation {
            calls: kept.iter().map(|at| planned[*at].units).collect(),
            is_batch: queue.policy.batch.is_some(),
            counts_messages: counts_batches(queue),
            places: reserved,
        }
    }

    /// Asks one place, or takes units there. `calls_left`: how many calls of scripts it takes until the calls start; 0: the slots leave
    /// time for them already.
    async fn ask_place(
        &self,
        queue: &Queue,
        place: &LimitPlace<'_>,
        (wish, planned): (ClaimWish, &[PlannedCall]),
        calls_left: u64,
        asks: bool,
    ) -> Result<PlaceGave, StoreError> {
        let shard = place.shard;
        let home = &queue.shards[0];
        let ahead_us = || shard.clock_offset.ahead_us(&home.clock_offset);
        let limits = shard.limits();
        let limit_lines = limits.lines(self.wire.clock.require_ms()?);
        // Slots that were chosen before lie as far ahead as the longest way and the horizon together.
        let further_us = if calls_left == 0 { self.lead_us() * 8 + RESERVED_LATE_US } else { 0 };
        let _one_at_a_time = match place.account {
            Some(account) if !asks => Some(account.asking.lock().await),
            _ => None,
        };
        let before_us = wish.before_us.map_or(0, |us| us.saturating_add_signed(ahead_us()));
        let from_ahead_us = ahead_us();
        let rows = planned.iter().map(|call| {
            row!(
                Reserve: from_us = call.units.slot_us.saturating_add_signed(from_ahead_us),
                calls = call.units.calls,
                messages = call.units.messages,
                least = call.least,
            )
        });
        let call = call!(
            Reserve,
            node = self.wire.node().as_str(),
            limit_lines = &*limit_lines,
            queue = queue.policy.name.as_str(),
            is_account = place.account.is_some(),
            asks = asks,
            horizon_us = wish.horizon_us + further_us,
            before_us = before_us,
            lead_us = self.lead_us() * calls_left,
            held = place.account.map_or(0, |account| account.reserved()),
            ..rows
        );
        let called_at = Instant::now();
        // With durable replicas nothing that a failover could forget may start.
        let is_durable = !asks
            && place.account.is_some()
            && self.wire.settings.durability == Durability::Replicas;
        let mut reply = if is_durable {
            self.wire.call_durably(shard, &call).await?
        } else {
            self.wire.call(shard, &call).await?
        };
        debug_assert_eq!(call.verb, Verb::Reserve);
        fields!(reply as Reserve; now_us: u64, wait_us: Option<u64>);
        self.wire.saw(Some(shard), now_us, (called_at, Instant::now()));
        let ahead_us = ahead_us();
        let wait = wait_us.map(Duration::from_micros);
        let (mut calls, mut until_us) = (Vec::new(), Vec::new());
        rows!(reply as Reserve);
        for call in planned {
            if reply.len() == 0 {
                break;
            }
            fields!(row of reply as Reserve; slot_us: u64, end_us: u64, messages: u64);
            let taken = Units { slot_us, messages, ..call.units };
            if !asks {
                limits.started(taken);
                if let Some(account) = place.account {
                    account.reserve(taken.of(limits.unit()));
                }
            }
            let slot_us = slot_us.saturating_add_signed(-ahead_us);
            calls.push(PlannedCall { units: Units { slot_us, ..taken }, ..*call });
            until_us.push(end_us.saturating_add_signed(-ahead_us));
        }
        Ok(PlaceGave { calls, until_us, ahead_us, wait })
    }
}
