//! What stands first in the structures of many shards, by plain readings: no script runs.
//!
//! Owns the looks that keep idle queues cheap. A script call declares a whole shard and costs Redis
//! fifty times what a bare command does; whether one is worth its price is asked here first, for a
//! hundred shards in one round trip. Refuses to know what is done about it. A reply that cannot be
//! read counts as "look yourself".

use std::sync::Arc;

use redis::{Cmd, Value, cmd};

use super::Queues;
use crate::store::StoreError;
use crate::store::queue::{Shard, chosen};
use crate::store::redis::keys::SHARD_KEYS;
use crate::store::redis::script::ScriptForm;

const READY: [&str; 10] = [
    "ready:0", "ready:1", "ready:2", "ready:3", "ready:4", "ready:5", "ready:6", "ready:7",
    "ready:8", "ready:9",
];
/// What is ready at a queue with keys.
const LANES_AND_READY: [&str; 13] = [
    "ready:0", "ready:1", "ready:2", "ready:3", "ready:4", "ready:5", "ready:6", "ready:7",
    "ready:8", "ready:9", "open", "parked", "rest",
];
/// What waits in lanes.
const LANES: [&str; 3] = ["open", "parked", "rest"];
/// What is kept of keys for a while after their last message.
const OF_IDLE_KEYS: [&str; 4] = ["arrivals", "tags", "waits", "heads"];
/// What was there before a queue counted its backlog is still being counted.
const TO_BE_COUNTED: [&str; 1] = ["backlog:at"];
/// What prune deletes from, each by the moment at which that may be done.
const PURGED: [&str; 5] = ["delivered", "dead", "expired", "cancelled", "waited"];

/// What waits for time, or for somebody to take it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EarliestScores {
    /// When the next message is due.
    pub due: Earliest,
    /// When the next message expires.
    pub expiry: Earliest,
    /// Whether something is ready.
    pub is_ready: bool,
}

/// The first moment in a structure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Earliest {
    /// The structure is empty.
    #[default]
    None,
    /// Ms by Redis.
    At(u64),
    /// It could not be read.
    Unknown,
}

impl Earliest {
    /// Whether that moment has come, as far as can be told.
    #[must_use]
    pub fn has_come(self, now_ms: u64) -> bool {
        match self {
            Self::None => false,
            Self::At(at_ms) => at_ms <= now_ms,
            Self::Unknown => true,
        }
    }
}

impl Queues {
    /// What waits in each of these shards. One whose data was taken away is noticed on the way (see
    /// `erasure`).
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn heads(&self, shards: &[Arc<Shard>]) -> Result<Vec<EarliestScores>, StoreError> {
        // Before the question: a shard that is recovered meanwhile is not one that was emptied.
        let met: Vec<_> = shards.iter().map(|shard| shard.met()).collect();
        let replies = self
            .wire
            .read_each(shards, &|shard| {
                let server = cmd("HGET").arg(shard.key("meta")).arg("server").to_owned();
                let is_keyed = shard.structure().form() == ScriptForm::Keyed;
                let ready =
                    if is_keyed { exist(shard, &LANES_AND_READY) } else { exist(shard, &READY) };
                vec![first(shard, "due"), first(shard, "expiry"), ready, server]
            })
            .await?;
        let mut servers = Vec::with_capacity(shards.len());
        let heads = replies.into_iter().map(|replies| {
            let mut replies = replies.into_iter();
            let heads = EarliestScores {
                due: head(replies.next()),
                expiry: head(replies.next()),
                is_ready: count(replies.next()) > 0,
            };
            servers.extend(replies.next());
            heads
        });
        let heads = heads.collect();
        self.wire.judge_shards(shards, &met, servers);
        Ok(heads)
    }

    /// When the first lease of each of these shards ends. Not known of shards with keys for a while after a clock alarm: a call
    /// of `reap` has all moments of keys looked at anew, and leases or none, it has to be made.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn lease_heads(&self, shards: &[Arc<Shard>]) -> Result<Vec<Earliest>, StoreError> {
        let replies = self.wire.read_each(shards, &|shard| vec![first(shard, "leased")]).await?;
        let is_aftermath = self.wire.is_aftermath();
        let heads = shards.iter().zip(replies).map(|(shard, replies)| {
            let has_moments = is_aftermath && shard.structure().form() == ScriptForm::Keyed;
            if has_moments { Earliest::Unknown } else { head(replies.into_iter().next()) }
        });
        Ok(heads.collect())
    }

    /// Which of these shards have something to prune: whose retention is over, or the last claim of
    /// a node that does not live.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn prunable(
        &self,
        shards: &[Arc<Shard>],
        living: &[String],
    ) -> Result<Vec<bool>, StoreError> {
        let now_ms = self.wire.time_ms().await?;
        let used = self.used(shards, &[PURGED.as_slice(), &["claims"]].concat()).await?;
        let looked: Vec<Arc<Shard>> = chosen(shards, &used);
        let mut replies = self
            .wire
            .read_each(&looked, &|shard| {
                let firsts = PURGED.iter().map(|name| first(shard, name));
                let claims = cmd("HKEYS").arg(shard.key("claims")).to_owned();
                firsts.chain([claims]).collect()
            })
            .await?
            .into_iter();
        let idle = self.have_idle_keys(shards, now_ms).await?;
        let prunable = used.into_iter().zip(idle).map(|(is_used, has_idle_keys)| {
            let Some(mut replies) = is_used.then(|| replies.next()).flatten() else {
                return has_idle_keys;
            };
            let nodes = replies.pop().unwrap_or(Value::Nil);
            let is_over = replies.into_iter().any(|reply| head(Some(reply)).has_come(now_ms));
            is_over
                || has_idle_keys
                || redis::from_redis_value::<Vec<String>>(nodes)
                    .map_or(true, |callers| callers.iter().any(|caller| !is_of(caller, living)))
        });
        Ok(prunable.collect())
    }

    /// In which of these shards something is kept of keys, though nothing with these keys waits. Claims clear it away; where nothing
    /// is claimed any more, prune does.
    async fn have_idle_keys(
        &self,
        shards: &[Arc<Shard>],
        now_ms: u64,
    ) -> Result<Vec<bool>, StoreError> {
        let is_keyed = |shard: &Arc<Shard>| shard.structure().form() == ScriptForm::Keyed;
        let keyed: Vec<_> = shards.iter().filter(|shard| is_keyed(shard)).cloned().collect();
        let mut replies = Vec::new().into_iter();
        if !keyed.is_empty() {
            let readings = |shard: &Shard| {
                let used =
                    cmd("ZRANGE").arg(shard.key("used")).arg(0).arg(0).arg("WITHSCORES").to_owned();
                vec![
                    exist(shard, &LANES),
                    exist(shard, &OF_IDLE_KEYS),
                    used,
                    exist(shard, &TO_BE_COUNTED),
                ]
            };
            replies = self.wire.read_each(&keyed, &readings).await?.into_iter();
        }
        let has_idle_keys = |shard: &Arc<Shard>| {
            let Some(replies) = is_keyed(shard).then(|| replies.next()).flatten() else {
                return false;
            };
            let mut replies = replies.into_iter();
            let (waiting, kept) = (count(replies.next()), count(replies.next()));
            let ended = period_has_ended(replies.next(), now_ms);
            ended || (waiting == 0 && kept > 0) || count(replies.next()) > 0
        };
        Ok(shards.iter().map(has_idle_keys).collect())
    }

    /// Which of these shards keep something of receipts.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn await_receipts(&self, shards: &[Arc<Shard>]) -> Result<Vec<bool>, StoreError> {
        self.used(shards, &["accepted", "looks"]).await
    }

    /// Which of these shards hold anything at all.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub(in crate::store) async fn used_at_all(
        &self,
        shards: &[Arc<Shard>],
    ) -> Result<Vec<bool>, StoreError> {
        self.used(shards, &SHARD_KEYS).await
    }

    async fn used(&self, shards: &[Arc<Shard>], names: &[&str]) -> Result<Vec<bool>, StoreError> {
        let replies = self.wire.read_each(shards, &|shard| vec![exist(shard, names)]).await?;
        Ok(replies.into_iter().map(|replies| count(replies.into_iter().next()) > 0).collect())
    }
}

/// Whether this is a node, or one of its connections.
fn is_of(caller: &str, living: &[String]) -> bool {
    living.iter().any(|node| caller.starts_with(node.as_str()))
}

fn first(shard: &Shard, name: &str) -> Cmd {
    cmd("ZRANGE").arg(shard.key(name)).arg(0).arg(0).arg("WITHSCORES").to_owned()
}

fn exist(shard: &Shard, names: &[&str]) -> Cmd {
    let mut exists = cmd("EXISTS");
    for name in names {
        exists.arg(shard.key(name));
    }
    exists
}

fn head(reply: Option<Value>) -> Earliest {
    match redis::from_redis_value::<Vec<(String, u64)>>(reply.unwrap_or(Value::Nil)) {
        Ok(first) => first.first().map_or(Earliest::None, |(_, at_ms)| Earliest::At(*at_ms)),
        Err(_) => Earliest::Unknown,
    }
}

/// Whether the period of the quota by key that ends first is over (its score: see `lua/include/lanes/undo.lua`).
fn period_has_ended(reply: Option<Value>, now_ms: u64) -> bool {
    let first = redis::from_redis_value::<Vec<(Vec<u8>, u64)>>(reply.unwrap_or(Value::Nil));
    let score = first.ok().and_then(|first| first.first().map(|(_, score)| *score));
    score.is_some_and(|score| (score >> 27) * 60_000 <= now_ms)
}

/// One, where it cannot be read.
fn count(reply: Option<Value>) -> u64 {
    redis::from_redis_value(reply.unwrap_or(Value::Nil)).unwrap_or(1)
}
