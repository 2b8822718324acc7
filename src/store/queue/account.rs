//! The accounts of shared limits, as this node knows them.
//!
//! Owns where each of them stands and what of it this node has reserved and not used yet. Refuses to know how it is asked (see
//! `messages::shared`).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::Shard;
use crate::domain::limit::{LimitName, LimitRule};

/// The account of a shared limit: it is called like a shard, and no queue's.
#[derive(Debug)]
pub(in crate::store) struct Account {
    pub(in crate::store) shard: Arc<Shard>,
    /// Units that are reserved and that no claim has used yet.
    reserved: AtomicU64,
    /// Held while units are reserved, so that the queues of this node see what the others have.
    pub(in crate::store) asking: tokio::sync::Mutex<()>,
}

/// All that this node knows of.
#[derive(Debug, Default)]
pub(in crate::store) struct Accounts {
    // A plain mutex: held to look up or to insert, never across an await.
    known: Mutex<KnownAccounts>,
    /// Counts what is reserved and returned by this node: each has a number of its own.
    numbers: AtomicU64,
}

#[derive(Debug, Default)]
struct KnownAccounts {
    accounts: HashMap<LimitName, Arc<Account>>,
    configured: BTreeMap<LimitName, Arc<LimitRule>>,
}

impl Account {
    /// What is reserved here and not used yet.
    pub(in crate::store) fn reserved(&self) -> u64 {
        self.reserved.load(Ordering::Acquire)
    }

    pub(in crate::store) fn reserve(&self, units: u64) {
        self.reserved.fetch_add(units, Ordering::AcqRel);
    }

    /// Units are used, or go back.
    pub(in crate::store) fn settle(&self, units: u64) {
        let less = |reserved: u64| Some(reserved.saturating_sub(units));
        let settled = self.reserved.fetch_update(Ordering::AcqRel, Ordering::Acquire, less);
        debug_assert!(settled.is_ok(), "there is always a next value");
    }

    fn set(&self, rule: &LimitRule) {
        self.shard.limits().set(&[LimitRule { shared: false, ..rule.clone() }]);
    }
}

impl Accounts {
    /// From now on these are configured, with these values.
    pub(in crate::store) fn configure(&self, rules: &BTreeMap<LimitName, Arc<LimitRule>>) {
        let mut known = self.known.lock();
        known.configured.clone_from(rules);
        for (name, rule) in rules {
            if let Some(account) = known.accounts.get(name) {
                account.set(rule);
            }
        }
    }

    /// The account of a limit. One that is not configured here is known from another node, with its values.
    pub(in crate::store) fn of(
        &self,
        rule: &LimitRule,
        shard: impl FnOnce(&LimitName) -> Shard,
    ) -> Arc<Account> {
        let mut known = self.known.lock();
        let configured = known.configured.get(&rule.name).cloned();
        let account = known.accounts.entry(rule.name.clone()).or_insert_with(|| {
            let account = Account {
                shard: Arc::new(shard(&rule.name)),
                reserved: AtomicU64::new(0),
                asking: tokio::sync::Mutex::default(),
            };
            account.set(configured.as_deref().unwrap_or(rule));
            Arc::new(account)
        });
        Arc::clone(account)
    }

    /// A number that nothing has had.
    pub(in crate::store) fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// The limits that are configured, by name.
    pub(in crate::store) fn configured(&self) -> BTreeMap<LimitName, Arc<LimitRule>> {
        self.known.lock().configured.clone()
    }

    /// Every account that was asked for.
    pub(in crate::store) fn all(&self) -> Vec<Arc<Account>> {
        self.known.lock().accounts.values().cloned().collect()
    }
}
