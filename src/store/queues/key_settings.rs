//! What single keys of a queue were given at run time.
//!
//! Owns how it is written and read. Refuses to know its form in Redis (see `key_form`) and what fits a queue (see `domain::keys`).
//!
//! A key stands in the shard in which its messages do. Scripts read there what is in force, so that no node has to be told.

use std::time::Duration;

use super::Queues;
use super::key_form::{KeptKey, hash_of, read, read_part, said, text_of};
use crate::domain::id::QueueName;
use crate::domain::keys::{KeyPart, KeyRules, KeySettings, Weight};
use crate::domain::limit::{LimitRule, Quota};
use crate::domain::message::Details;
use crate::domain::policy::{QueuePolicy, Unfit};
use crate::store::StoreError;
use crate::store::queue::{Queue, Shard};
use crate::store::redis::reply::Reply;
use crate::store::redis::script::{call, fields, row, rows};

/// Most keys of a queue that are given something at run time.
pub const KEYS_MAX: u64 = 10_000;
/// Tries while another structure is put in force.
const TRIES: usize = 20;
/// The time between two of them.
const TRY_PAUSE: Duration = Duration::from_millis(50);

/// A page of keys, in the order of their bytes.
#[derive(Debug)]
pub struct KeyPage {
    /// The keys.
    pub keys: Vec<KeptKey>,
    /// There are more after the last one.
    pub has_more: bool,
}

/// What a step on a key came to.
#[derive(Debug, Clone, PartialEq)]
pub enum KeyWritten {
    /// It had been given nothing.
    Created,
    /// It had been given something else.
    Replaced,
    /// There are as many as there may be.
    TooMany,
}

impl Queues {
    /// What settings of single keys of a queue can be about now.
    ///
    /// # Errors
    /// [`StoreError::UnknownQueue`], [`StoreError::Unavailable`].
    pub async fn key_rules(&self, name: &QueueName) -> Result<KeyRules, StoreError> {
        let queue = self.wire.queue(name)?;
        let shard = &queue.shards[0];
        self.wire.agree(shard).await?;
        Ok(shard.structure().key_rules())
    }

    /// Gives a key these settings, in place of what it had; they are durable when this returns.
    ///
    /// # Errors
    /// [`StoreError::UnknownQueue`], [`StoreError::Unavailable`], [`StoreError::NotDurable`].
    pub async fn put_key(&self, name: &QueueName, key: &KeptKey) -> Result<KeyWritten, StoreError> {
        let queue = self.wire.queue(name)?;
        let (code, _) = self.write_key(&queue, key, &text_of(key)).await?;
        match code {
            0 => Ok(KeyWritten::Created),
            1 => Ok(KeyWritten::Replaced),
            4 => Ok(KeyWritten::TooMany),
            code => Err(StoreError::Reply(format!("put_key answered {code}"))),
        }
    }

    /// Takes everything from a key that it was given; returns what that was.
    ///
    /// # Errors
    /// [`StoreError::UnknownQueue`], [`StoreError::Unavailable`], [`StoreError::NotDurable`].
    pub async fn delete_key(
        &self,
        name: &QueueName,
        value: &str,
    ) -> Result<Option<KeptKey>, StoreError> {
        let queue = self.wire.queue(name)?;
        let nothing = KeptKey {
            value: value.to_owned(),
            settings: KeySettings::default(),
            at_ms: 0,
            by: String::new(),
        };
        match self.write_key(&queue, &nothing, "").await? {
            (2, before) => read(value.to_owned(), &before).map(Some),
            (3, _) => Ok(None),
            (code, _) => Err(StoreError::Reply(format!("put_key answered {code}"))),
        }
    }

    /// What a key was given.
    ///
    /// # Errors
    /// [`StoreError::UnknownQueue`], [`StoreError::Unavailable`].
    pub async fn key(&self, name: &QueueName, value: &str) -> Result<Option<KeptKey>, StoreError> {
        let queue = self.wire.queue(name)?;
        let from = [b"[", value.as_bytes(), b"\0"].concat();
        let page = self.read_keys(queue.shard_of_key(value), from, behind(value), 1).await?;
        Ok(page.keys.into_iter().next())
    }

    /// A page of keys that were given something, those after `after`.
    ///
    /// # Errors
    /// [`StoreError::UnknownQueue`], [`StoreError::Unavailable`].
    pub async fn keys(
        &self,
        name: &QueueName,
        after: Option<&str>,
        most: usize,
    ) -> Result<KeyPage, StoreError> {
        let queue = self.wire.queue(name)?;
        let mut whole = KeyPage { keys: Vec::new(), has_more: false };
        // Where a shard has more than it was asked for, what comes behind its last one is not known.
        let mut known_to: Option<String> = None;
        for shard in &queue.shards {
            let page = self.keys_of_shard(shard, after, most).await?;
            if page.has_more {
                whole.has_more = true;
                let last = page.keys.last().map(|key| key.value.clone());
                known_to = match (known_to, last) {
                    (Some(one), Some(other)) => Some(one.min(other)),
                    (one, other) => one.or(other),
                };
            }
            whole.keys.extend(page.keys.into_iter().filter(|key| stands_in(&queue, shard, key)));
        }
        whole.keys.sort_by(|one, other| one.value.cmp(&other.value));
        whole.keys.retain(|key| known_to.as_ref().is_none_or(|known_to| key.value <= *known_to));
        whole.has_more |= whole.keys.len() > most;
        whole.keys.truncate(most);
        Ok(whole)
    }

    /// How many keys of a queue were given which part.
    ///
    /// # Errors
    /// [`StoreError::UnknownQueue`], [`StoreError::Unavailable`].
    pub async fn key_parts(&self, name: &QueueName) -> Result<Vec<(KeyPart, u64)>, StoreError> {
        let queue = self.wire.queue(name)?;
        let parts =
            |shard: &Shard| vec![redis::cmd("HGETALL").arg(shard.key("key_parts")).to_owned()];
        let mut found: Vec<(KeyPart, u64)> = Vec::new();
        for reply in self.wire.read_each(&queue.shards, &parts).await?.into_iter().flatten() {
            for (text, count) in Reply::new(reply)?.pairs() {
                let (Some(part), Ok(count)) = (read_part(&text), count.parse::<u64>()) else {
                    continue;
                };
                match found.iter_mut().find(|(known, _)| *known == part) {
                    Some((_, known)) => *known += count,
                    None => found.push((part, count)),
                }
            }
        }
        Ok(found)
    }

    async fn write_key(
        &self,
        queue: &Queue,
        key: &KeptKey,
        stored: &str,
    ) -> Result<(i64, String), StoreError> {
        let shard = queue.shard_of_key(&key.value);
        let elsewhere =
            if stored.is_empty() { 0 } else { self.count_elsewhere(queue, shard).await? };
        for _ in 0..TRIES {
            self.wire.agree(shard).await?;
            let in_force = shard.structure().keys_in_force(&|| self.wire.clock.require_ms())?;
            let (code, before) = self.write_key_in(shard, in_force, key, stored, elsewhere).await?;
            if code != 5 {
                return Ok((code, before));
            }
            shard.structure().ask_again();
            tokio::time::sleep(TRY_PAUSE).await;
        }
        Err(StoreError::Unavailable(
            "the keys and limits of the queue are just being changed; nothing was done".to_owned(),
        ))
    }

    /// Returns the code of `put_key`, and what the key had before.
    pub(super) async fn write_key_in(
        &self,
        shard: &Shard,
        keys_in_force: String,
        key: &KeptKey,
        stored: &str,
        elsewhere: u64,
    ) -> Result<(i64, String), StoreError> {
        let KeptKey { value, settings, .. } = key;
        let limits = settings.limits.iter();
        let rows =
            limits.map(|(name, value)| row!(PutKey: limit = name.as_str(), said = said(value)));
        let call = call!(
            PutKey,
            keys_in_force = keys_in_force,
            value = value,
            hash = hash_of(value),
            settings = stored,
            weight = settings.weight.map(Weight::thousandths),
            keys_max = KEYS_MAX,
            elsewhere = elsewhere,
            ..rows
        );
        let mut reply = self.wire.call_durably(shard, &call).await?;
        fields!(reply as PutKey; code: i64, before: String);
        Ok((code, before))
    }

    /// Whether a message may ask for what it asks. Where a quota by key has no room for its cost in a whole period, that of its own
    /// key may have.
    ///
    /// # Errors
    /// [`StoreError::UnknownQueue`], [`StoreError::Unavailable`].
    pub async fn check(
        &self,
        policy: &QueuePolicy,
        details: &Details,
    ) -> Result<Result<(), Unfit>, StoreError> {
        let checked = policy.check(details);
        let Err(Unfit::Cost(_)) = checked else { return Ok(checked) };
        let units = u64::from(details.cost.units());
        for rule in policy.quotas_below(details.cost) {
            let own = self.quota_of_key(policy, rule, details).await?;
            if own.as_ref().is_none_or(|own| own.units() < units) {
                let quota = own.as_ref().or(rule.quota()).map(ToString::to_string);
                let why = policy.too_costly(rule, details.cost, &quota.unwrap_or_default());
                return Ok(Err(Unfit::Cost(why)));
            }
        }
        Ok(Ok(()))
    }

    /// What a quota is for the key of a message, where it was given one at run time.
    async fn quota_of_key(
        &self,
        policy: &QueuePolicy,
        rule: &LimitRule,
        details: &Details,
    ) -> Result<Option<Quota>, StoreError> {
        let (Some(per), Some(quota)) = (&rule.per, rule.quota()) else { return Ok(None) };
        let value = per.value_of(details).unwrap_or_default();
        let queue = self.wire.queue(&policy.name)?;
        let key = queue.shard_of_key(value).key("key_values");
        let field = [rule.name.as_str().as_bytes(), b"\0", &hash_of(value)].concat();
        let said = self.wire.plain_at(redis::cmd("HGET").arg(key).arg(field), key).await?;
        let said: Option<String> = redis::from_redis_value(said).ok().flatten();
        let own = said.and_then(|said| {
            let (units, period) = said.strip_prefix("quota ")?.split_once(' ')?;
            format!("{units}/{period}").parse::<Quota>().ok()
        });
        Ok(own.filter(|own| own.period() == quota.period()))
    }

    /// How many keys the other shards have. Two requests at the same moment may each be the last one.
    async fn count_elsewhere(&self, queue: &Queue, shard: &Shard) -> Result<u64, StoreError> {
        let mut known = 0;
        for other in queue.shards.iter().filter(|other| other.number != shard.number) {
            let call = call!(ReadKeys, from = b"+".to_vec(), to = b"-".to_vec(), most = 0_usize);
            let mut reply = self.wire.read(other, &call).await?;
            fields!(reply as ReadKeys; count: u64);
            known += count;
        }
        Ok(known)
    }

    /// A page of what stands in a shard.
    pub(super) async fn keys_of_shard(
        &self,
        shard: &Shard,
        after: Option<&str>,
        most: usize,
    ) -> Result<KeyPage, StoreError> {
        let from = after.map_or_else(|| b"-".to_vec(), behind);
        self.read_keys(shard, from, b"+".to_vec(), most).await
    }

    async fn read_keys(
        &self,
        shard: &Shard,
        from: Vec<u8>,
        to: Vec<u8>,
        most: usize,
    ) -> Result<KeyPage, StoreError> {
        let call = call!(ReadKeys, from = from, to = to, most = most);
        let mut reply = self.wire.read(shard, &call).await?;
        fields!(reply as ReadKeys; has_more: bool);
        rows!(reply as ReadKeys);
        let mut keys = Vec::new();
        while reply.len() > 0 {
            fields!(row of reply as ReadKeys; value: String, settings: String);
            keys.push(read(value, &settings)?);
        }
        Ok(KeyPage { keys, has_more })
    }
}

/// Behind all members of this key.
fn behind(value: &str) -> Vec<u8> {
    [b"(", value.as_bytes(), b"\x01"].concat()
}

/// What was left behind when the number of shards changed stands where no message of its key does.
fn stands_in(queue: &Queue, shard: &Shard, key: &KeptKey) -> bool {
    queue.shard_of_key(&key.value).number == shard.number
}
