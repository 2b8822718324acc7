//! The queues and shards that this node knows.

use std::collections::HashMap;
use std::sync::Arc;

use super::Wire;
use crate::config::Settings;
use crate::domain::id::QueueName;
use crate::domain::limit::LimitRule;
use crate::domain::policy::QueuePolicy;
use crate::store::StoreError;
use crate::store::callbacks;
use crate::store::clock::offset::ClockOffset;
use crate::store::clock::time::Clock;
use crate::store::queue::{Account, Queue, Shard};
use crate::store::redis::connect::Target;
use crate::store::redis::keys::ShardKeys;

impl Wire {
    /// Takes the queues of a configuration; what sleeps on a queue that stays goes on sleeping.
    /// Queues that were known and are gone become retired.
    pub(in crate::store) fn set_queues(&self, settings: &Settings) {
        self.accounts.configure(&settings.limits);
        let known = self.queues.load();
        let clock_offset = || self.offset_of_shard();
        let mut queues: HashMap<QueueName, Arc<Queue>> = HashMap::new();
        for policy in settings.queues.values() {
            let is_known = known.contains_key(&policy.name.callbacks());
            let told = callbacks::policy(policy, is_known).map(Arc::new);
            for policy in [Some(Arc::clone(policy)), told].into_iter().flatten() {
                let name = policy.name.clone();
                let before = known.get(&name).map(AsRef::as_ref);
                let queue = Queue::new(
                    self.namespace(),
                    policy,
                    false,
                    before,
                    &clock_offset,
                    &self.metrics,
                );
                queues.insert(name, Arc::new(queue));
            }
        }
        for (name, queue) in known.iter() {
            if !queues.contains_key(name) {
                let policy = Arc::clone(&queue.policy);
                let retired = Queue::new(
                    self.namespace(),
                    policy,
                    true,
                    Some(queue),
                    &clock_offset,
                    &self.metrics,
                );
                queues.insert(name.clone(), Arc::new(retired));
            }
        }
        self.queues.store(Arc::new(queues));
    }

    /// Adds a queue that the namespace knows but the configuration does not. Callbacks that nobody
    /// asks for any more go on as long as their queue does.
    pub(in crate::store) fn add_retired(&self, name: &QueueName, shards: u16) {
        let mut queues = HashMap::clone(&self.queues.load());
        if !queues.contains_key(name) {
            let told = name.callbacks_of().and_then(|told| queues.get(&told));
            let alive = told.filter(|told| !told.retired && told.policy.shards == shards);
            let going_on = alive.and_then(|told| callbacks::policy(&told.policy, true));
            let retired = going_on.is_none();
            let policy = going_on.unwrap_or_else(|| QueuePolicy::retired(name.clone(), shards));
            let clock_offset = || self.offset_of_shard();
            let queue = Queue::new(
                self.namespace(),
                Arc::new(policy),
                retired,
                None,
                &clock_offset,
                &self.metrics,
            );
            queues.insert(name.clone(), Arc::new(queue));
            self.queues.store(Arc::new(queues));
        }
    }

    fn offset_of_shard(&self) -> Arc<ClockOffset> {
        offset_of_server(&self.target, self.clock())
    }

    /// The account of a shared limit.
    pub(in crate::store) fn account(&self, rule: &LimitRule) -> Arc<Account> {
        self.accounts.of(rule, |name| {
            let keys = ShardKeys::of_limit(self.namespace(), name);
            Shard::new(keys, 0, Arc::default(), self.offset_of_shard())
        })
    }

    /// The accounts that a queue shares with others.
    pub(in crate::store) fn accounts_of(&self, queue: &Queue) -> Vec<Arc<Account>> {
        queue.limits().shared().iter().map(|rule| self.account(rule)).collect()
    }

    /// What this node has used, by its run: the shards of its queues, and the accounts of shared limits.
    pub(in crate::store) fn met_shards(&self) -> Vec<Arc<Shard>> {
        let of_queues = self.queues().into_iter().flat_map(|queue| queue.shards.clone());
        let of_limits = self.accounts.all().into_iter().map(|it| Arc::clone(&it.shard));
        of_queues.chain(of_limits).filter(|shard| shard.met() != 0).collect()
    }

    /// A queue by name, retired ones too.
    ///
    /// # Errors
    /// [`StoreError::UnknownQueue`].
    pub(in crate::store) fn queue(&self, name: &QueueName) -> Result<Arc<Queue>, StoreError> {
        let queues = self.queues.load();
        queues.get(name).cloned().ok_or_else(|| StoreError::UnknownQueue(name.to_string()))
    }

    /// Every queue, by name.
    #[must_use]
    pub(in crate::store) fn queues(&self) -> Vec<Arc<Queue>> {
        let mut queues: Vec<_> = self.queues.load().values().cloned().collect();
        queues.sort_by(|a, b| a.policy.name.cmp(&b.policy.name));
        queues
    }
}

/// One server, one clock; in a cluster a shard may move to a server with another one.
pub(in crate::store) fn offset_of_server(target: &Target, clock: &Clock) -> Arc<ClockOffset> {
    match target {
        Target::Single(_) | Target::Sentinel { .. } => Arc::clone(&clock.clock_offset),
        Target::Cluster(_) => Arc::default(),
    }
}
