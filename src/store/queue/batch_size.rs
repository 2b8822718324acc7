//! How many messages one call of claim, or of what ends leases, carries at a shard.
//!
//! Owns the bound that keeps such a call near a millisecond however much is stored. Redis' tables double
//! as they grow. Right after that each message touches memory that is fresh, which costs a page fault each,
//! and moves entries of the old table besides: for a while a call takes twice to three times as long, and so
//! carries less. Refuses to know who calls, and how it is looked (see `tables`).

use std::sync::atomic::{AtomicU64, Ordering};

/// Messages in a call: more gains nothing.
pub(in crate::store) const MANY: usize = 250;
/// While a table has just doubled.
const FEW: usize = 100;
/// A table of less has too few pages to be felt by much.
const TABLE_MIN: u64 = 1 << 17;
/// How soon before a table doubles calls become smaller: more than may come between two looks.
const AHEAD: u64 = 1 << 12;
/// After so many acknowledged messages it is looked again how large the tables are.
const LOOK_AFTER: u64 = 1 << 11;

/// What is known of a shard's tables.
#[derive(Debug)]
pub(in crate::store) struct BatchSize {
    /// Messages that have a state entry.
    entries: AtomicU64,
    /// Acknowledged since it was looked.
    since: AtomicU64,
}

impl Default for BatchSize {
    fn default() -> Self {
        Self { entries: AtomicU64::new(0), since: AtomicU64::new(LOOK_AFTER) }
    }
}

impl BatchSize {
    /// As many more are about to be acknowledged; whether it is time to look.
    pub(in crate::store) fn counts(&self, messages: u64) -> bool {
        let is_due = self.since.load(Ordering::Relaxed) >= LOOK_AFTER;
        if is_due {
            self.since.store(messages, Ordering::Relaxed);
        } else {
            self.since.fetch_add(messages, Ordering::Relaxed);
        }
        is_due
    }

    /// So many it was.
    pub(in crate::store) fn learns(&self, entries: u64) {
        self.entries.store(entries, Ordering::Relaxed);
    }

    /// Most messages in a call.
    pub(in crate::store) fn messages_max(&self) -> usize {
        messages_max(self.entries.load(Ordering::Relaxed))
    }
}

/// Redis doubles a table that has as many entries as places, and has moved the last of them half as many later.
fn messages_max(entries: u64) -> usize {
    let ahead = entries + AHEAD;
    let table = 1 << ahead.ilog2();
    if table >= TABLE_MIN && entries < table + table / 2 { FEW } else { MANY }
}

#[cfg(test)]
mod tests {
    use super::{BatchSize, FEW, MANY, messages_max};

    #[test]
    fn calls_are_smaller_while_a_large_table_has_just_doubled() {
        for calm in [0, 1, 1 << 12, 40_000, 1 << 16, 99_000, 120_000, 197_000, 250_000, 13_000_000]
        {
            assert_eq!(messages_max(calm), MANY, "{calm} entries");
        }
        for slow in [128_000, 1 << 17, 131_073, 196_000, 390_000, 600_000, 10_000_000] {
            assert_eq!(messages_max(slow), FEW, "{slow} entries");
        }
    }

    #[test]
    fn tables_are_looked_at_at_first_and_then_now_and_then() {
        let batch_size = BatchSize::default();
        let looks = (0..100).filter(|_| batch_size.counts(250)).count();
        assert_eq!(looks, 12);
    }
}
