//! A round: a claim at a queue with several shards, from shard to shard.
//!
//! Owns what is granted in the home slot before, which shards are asked, and what becomes of the slots that nobody used. Refuses to
//! know how a shard chooses (see `claim`).

use std::time::Duration;

use tokio::time::Instant;

use super::Messages;
use super::claim::ClaimReply;
use super::gate::{ClaimStatus, ClaimWish};
use super::grant::{Granted, GrantedCalls};
use crate::store::StoreError;
use crate::store::queue::{Queue, Shard};

/// A refusal for longer than this is one of a quota, and may outlast the message that it was about.
const LONG_WAIT: Duration = Duration::from_secs(1);

impl Messages {
    /// Asks the home slot for the calls of a round.
    async fn grant_round(
        &self,
        queue: &Queue,
        wish: ClaimWish,
        keys_hold_us: Option<u64>,
    ) -> Result<Granted, StoreError> {
        let cost = if queue.policy.batch.is_some() { 1 } else { queue.next_cost() };
        let asked = ClaimWish { messages_max: queue.next_calls(wish.messages_max), ..wish };
        let granted = self.grant(queue, asked, (cost, cost), keys_hold_us.unwrap_or(0)).await?;
        if let Granted::Wait(_, wait) = &granted
            && wait.is_none_or(|wait| wait > LONG_WAIT)
        {
            // What stands first may be another message by then, and cost less.
            queue.expect_cost(1);
        }
        Ok(granted)
    }

    /// Claims from shard to shard, a different one first each time, until the granted slots are used:
    /// a permit is lost only where no shard has a message for it.
    pub(super) async fn claim_round(
        &self,
        queue: &Queue,
        wish: ClaimWish,
    ) -> Result<ClaimReply, StoreError> {
        let mut met = ClaimReply::empty();
        let keys_hold_us = queue.keys_hold_until_us();
        if let Some(wait) = self.before_keys_open(keys_hold_us, wish)? {
            return Ok(ClaimReply::held_by_keys(wait));
        }
        let (mut granted, mut wanted_at) = (None::<GrantedCalls>, None);
        for shard in queue.round().filter(|shard| shard.stirs()) {
            if granted.is_none() && queue.policy.has_claim_limits() {
                match self.grant_round(queue, wish, keys_hold_us).await? {
                    Granted::Slots(slots) => granted = Some(slots),
                    Granted::Wait(status, wait) => return Ok(ClaimReply { status, wait, ..met }),
                }
            }
            if let Some(wait) = self.held_beyond(shard, granted.as_ref())? {
                met.add(ClaimReply::held_by_keys(wait));
                continue;
            }
            let taken = met.messages.len();
            let left = wish.messages_max.saturating_sub(taken);
            let most = granted.as_ref().map_or(left, |granted| granted.most(left));
            if most == 0 || (taken > 0 && queue.policy.batch.is_some()) {
                break;
            }
            let rest = ClaimWish { messages_max: most, ..wish };
            match self.claim_stirring(queue, shard, rest, granted.as_ref()).await {
                Ok(reply) => {
                    if reply.cost_wanted > 0 && met.cost_wanted == 0 {
                        met.cost_wanted = reply.cost_wanted;
                        wanted_at = Some(shard);
                    }
                    if let Some(granted) = &mut granted {
                        granted.use_for(&reply.messages);
                    }
                    met.add(reply);
                }
                Err(error) => {
                    // The next round repeats this claim before it makes any other.
                    queue.begin_with(shard);
                    if taken == 0 {
                        return Err(error);
                    }
                    // That claim may stand, and what it took must stay taken until its repeat.
                    granted = None;
                    break;
                }
            }
        }
        match (wanted_at, met.messages.last()) {
            (Some(shard), _) => {
                queue.begin_with(shard);
                queue.expect_cost(met.cost_wanted);
            }
            (None, Some(last)) => queue.expect_cost(last.units.messages),
            (None, None) => {}
        }
        if let Some(granted) = granted {
            if met.status == ClaimStatus::KeysHold && queue.keys_hold_until_us().is_some() {
                let wait = self.before_keys_open(queue.keys_hold_until_us(), wish)?;
                met.wait = Some(wait.unwrap_or_default());
            }
            queue.expect_calls(met.messages.len(), granted.slots_us().is_empty());
            // A shard may have left slots unused before the ones that it used.
            met.messages.sort_by_key(|message| message.units.slot_us);
            self.return_unused(queue, granted).await;
        }
        Ok(met)
    }

    /// How long it is until a claim can reach the moment until which keys hold all that is ready; `None`: one can.
    fn before_keys_open(
        &self,
        until_us: Option<u64>,
        wish: ClaimWish,
    ) -> Result<Option<Duration>, StoreError> {
        let Some(until_us) = until_us else { return Ok(None) };
        let opens = self.wire.clock.instant_of(until_us)?;
        let opens_in = opens.saturating_duration_since(Instant::now());
        let wait = opens_in.checked_sub(Duration::from_micros(wish.horizon_us));
        Ok(wait.filter(|wait| !wait.is_zero()))
    }

    /// Whether keys hold all that is ready in this shard beyond the slots that were granted, and for how long.
    fn held_beyond(
        &self,
        shard: &Shard,
        granted: Option<&GrantedCalls>,
    ) -> Result<Option<Duration>, StoreError> {
        let last_us = granted.and_then(|granted| granted.slots_us().last());
        let until_us = shard.keys_hold().until_us();
        let (Some(last_us), Some(until_us)) = (last_us, until_us) else { return Ok(None) };
        if *last_us >= until_us {
            return Ok(None);
        }
        Ok(Some(self.wire.clock.instant_of(until_us)?.saturating_duration_since(Instant::now())))
    }
}
