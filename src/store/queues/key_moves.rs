//! What keys were given at run time, where the number of shards of an empty queue changes.
//!
//! Each key stands in the shard of its value, so that it moves to another one. A step that breaks off is done again by the next
//! start: what stands in a wrong place is not shown, is asked for by no message, and goes first.

use std::sync::Arc;

use super::Queues;
use super::key_form::{KeptKey, text_of};
use crate::domain::id::QueueName;
use crate::store::StoreError;
use crate::store::queue::Shard;
use crate::store::redis::keys::ShardKeys;
use crate::store::routing::shard_of_text;

/// Keys that are read at once.
const PAGE: usize = 1000;

impl Queues {
    /// Every shard that the queue has with either number of shards.
    pub(super) fn shards_for_moves(&self, name: &QueueName, count: u16) -> Vec<Shard> {
        let shard = |number| {
            let keys = ShardKeys::new(self.wire.namespace(), name, number);
            Shard::new(keys, number, Arc::default(), Arc::default())
        };
        (0..count).map(shard).collect()
    }

    /// Every key stands where it does with `after` shards as well.
    pub(super) async fn copy_keys(
        &self,
        shards: &[Shard],
        before: u16,
        after: u16,
    ) -> Result<(), StoreError> {
        self.drop_misplaced_keys(shards, before).await?;
        for shard in shards {
            for key in self.all_keys(shard).await? {
                let place = usize::from(shard_of_text(&key.value, after));
                if place != usize::from(shard.number) {
                    self.put_key_in(&shards[place], &key).await?;
                }
            }
        }
        Ok(())
    }

    /// Of a queue with so many shards, what stands in the place of another key is gone.
    pub(super) async fn drop_misplaced_keys(
        &self,
        shards: &[Shard],
        count: u16,
    ) -> Result<(), StoreError> {
        for shard in shards {
            for key in self.all_keys(shard).await? {
                if shard_of_text(&key.value, count) != shard.number {
                    let number = self.structure_number(shard).await?;
                    let nothing = KeptKey { settings: Default::default(), ..key };
                    self.write_key_in(shard, number, &nothing, "", 0).await?;
                }
            }
        }
        Ok(())
    }

    async fn put_key_in(&self, shard: &Shard, key: &KeptKey) -> Result<(), StoreError> {
        let number = self.structure_number(shard).await?;
        self.write_key_in(shard, number, key, &text_of(key), 0).await.map(drop)
    }

    async fn all_keys(&self, shard: &Shard) -> Result<Vec<KeptKey>, StoreError> {
        let mut all: Vec<KeptKey> = Vec::new();
        loop {
            let after = all.last().map(|key| key.value.as_str());
            let page = self.keys_of_shard(shard, after, PAGE).await?;
            all.extend(page.keys);
            if !page.has_more {
                return Ok(all);
            }
        }
    }

    /// Nothing waits in the queue, so that no limit has to be looked at anew: the number alone is enough.
    async fn structure_number(&self, shard: &Shard) -> Result<String, StoreError> {
        let key = shard.key("meta");
        let number = redis::cmd("HGET").arg(key).arg("structure_number").to_owned();
        let number = self.wire.plain_at(&number, key).await?;
        let number: Option<String> = redis::from_redis_value(number).ok().flatten();
        Ok(number.unwrap_or_else(|| "0".to_owned()))
    }
}
