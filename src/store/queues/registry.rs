//! What a namespace remembers of its queues, outside the shards: how many shards each has.
//!
//! An id finds its message by the number of shards, so that number may only change while the queue
//! is empty; and a queue that is gone from the configuration is still found and read.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::Queues;
use crate::config::Settings;
use crate::domain::id::QueueName;
use crate::store::StoreError;
use crate::store::redis::keys::{self, ShardKeys};
use crate::store::redis::reply::Reply;
use crate::store::wire::health::StartRefused;

#[derive(Debug, Serialize, Deserialize)]
struct Registered {
    shards: u16,
}

impl Queues {
    /// Compares a configuration with what the namespace remembers, and writes down what is new.
    ///
    /// # Errors
    /// [`StartRefused::Unfit`] when `shards` of a queue that is not empty would change.
    pub async fn register(&self, settings: &Settings) -> Result<(), StartRefused> {
        let mut known = self.registered().await?;
        for (name, policy) in &settings.queues {
            self.register_one(&mut known, name, policy.shards).await?;
            // An id of a callback finds it by the same number of shards.
            let told = name.callbacks();
            if policy.callback.is_some() || known.contains_key(told.as_str()) {
                self.register_one(&mut known, &told, policy.shards).await?;
            }
        }
        for (name, registered) in known {
            if let Ok(name) = QueueName::any(&name) {
                self.wire.add_retired(&name, registered.shards);
            }
        }
        Ok(())
    }

    /// Writes down what this node knows of every queue, where the namespace has forgotten it.
    pub(in crate::store) async fn register_again(&self) -> Result<(), StoreError> {
        for queue in self.wire.queues() {
            self.write_down(&queue.policy.name, queue.policy.shards).await?;
        }
        Ok(())
    }

    async fn write_down(&self, name: &QueueName, shards: u16) -> Result<(), StoreError> {
        let json = serde_json::to_string(&Registered { shards }).unwrap_or_default();
        let key = keys::registry(self.wire.namespace());
        self.wire.keep("HSET", key, &[name.as_str().as_bytes(), json.as_bytes()]).await
    }

    async fn register_one(
        &self,
        known: &mut HashMap<String, Registered>,
        name: &QueueName,
        shards: u16,
    ) -> Result<(), StartRefused> {
        match known.get(name.as_str()) {
            Some(before) if before.shards == shards => return Ok(()),
            Some(before) => {
                let before = before.shards;
                self.check_empty(name, before, shards).await?;
                let each = self.shards_for_moves(name, before.max(shards));
                self.copy_keys(&each, before, shards).await?;
                self.write_down(name, shards).await?;
                self.drop_misplaced_keys(&each, shards).await?;
            }
            None => self.write_down(name, shards).await?,
        }
        known.insert(name.to_string(), Registered { shards });
        Ok(())
    }

    async fn registered(&self) -> Result<HashMap<String, Registered>, StoreError> {
        let value = self
            .wire
            .plain(redis::cmd("HGETALL").arg(keys::registry(self.wire.namespace())))
            .await?;
        let parsed = Reply::new(value)?.pairs().into_iter().filter_map(|(name, text)| {
            Some((name, serde_json::from_str::<Registered>(&text).ok()?))
        });
        Ok(parsed.collect())
    }

    async fn check_empty(
        &self,
        name: &QueueName,
        before: u16,
        after: u16,
    ) -> Result<(), StartRefused> {
        for number in 0..before {
            let keys = ShardKeys::new(self.wire.namespace(), name, number);
            let value = self.wire.plain(redis::cmd("HLEN").arg(&keys.all[1])).await?;
            let messages: u64 = redis::from_redis_value(value).unwrap_or(0);
            if messages > 0 {
                let told = name.callbacks_of();
                let holds = told.as_ref().map_or("the queue", |_| "its queue of callbacks");
                let name = told.as_ref().unwrap_or(name);
                return Err(StartRefused::Unfit(format!(
                    "queues.{name}.shards: found {after}, but {holds} holds messages in {before} shards; \
                     empty and purge it first, or set shards = {before}"
                )));
            }
        }
        Ok(())
    }
}
