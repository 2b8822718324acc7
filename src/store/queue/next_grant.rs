//! For how much the next grant of a queue asks: it follows from what came of those before.

use std::sync::atomic::Ordering;

use super::Queue;
use crate::store::redis::script::ScriptForm;

impl Queue {
    /// How many replies there are until a claim has messages for its slots: with several shards, that of the grant as well.
    pub(in crate::store) fn replies_to_slots(&self) -> u64 {
        if self.shards.len() > 1 { 2 } else { 1 }
    }

    /// Whether messages have cost more than one unit.
    pub(in crate::store) fn has_costs(&self) -> bool {
        self.has_costs.load(Ordering::Relaxed)
    }

    /// For how many units the next grant asks.
    pub(in crate::store) fn next_cost(&self) -> u64 {
        self.next_cost.load(Ordering::Relaxed)
    }

    /// For how many calls the next grant asks, of so many that are wanted. A rate takes no permit back. So of those that cost
    /// more, one at a time is asked for; and where keys hold most messages, about as many as could be used the last time.
    pub(in crate::store) fn next_calls(&self, wanted: usize) -> usize {
        if self.policy.batch.is_some() {
            return wanted;
        }
        let is_keyed = self.shards[0].structure().form() == ScriptForm::Keyed;
        let most = if is_keyed { self.next_calls.load(Ordering::Relaxed) } else { usize::MAX };
        wanted.min(if self.next_cost() > 1 { 1 } else { most })
    }

    /// So many calls of a grant were used, and whether that was all.
    pub(in crate::store) fn expect_calls(&self, used: usize, is_all: bool) {
        let next = if is_all { used.saturating_mul(2) } else { used };
        self.next_calls.store(next.max(1), Ordering::Relaxed);
    }

    /// A message cost so much, or one that had not been granted enough.
    pub(in crate::store) fn expect_cost(&self, cost: u64) {
        if cost > 1 {
            self.has_costs.store(true, Ordering::Relaxed);
        }
        self.next_cost.store(cost.max(1), Ordering::Relaxed);
    }
}
