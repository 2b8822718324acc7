//! Whether this node has met messages with a collapse key in a shard.
//!
//! Owns only that, and how far housekeeping has come with those that wait for an older one. In shards without such messages
//! nothing is asked and nothing is called otherwise.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What a node knows of the collapse keys of a shard.
#[derive(Debug, Default)]
pub(in crate::store) struct CollapseKeys {
    are_there: AtomicBool,
    /// The first message that the next look takes, by its rank.
    rank: AtomicU64,
}

impl CollapseKeys {
    /// A message with a collapse key was met.
    pub(in crate::store) fn seen(&self) {
        self.are_there.store(true, Ordering::Relaxed);
    }

    pub(in crate::store) fn are_there(&self) -> bool {
        self.are_there.load(Ordering::Relaxed)
    }

    pub(in crate::store) fn rank(&self) -> u64 {
        self.rank.load(Ordering::Relaxed)
    }

    pub(in crate::store) fn go_on_at(&self, rank: u64) {
        self.rank.store(rank, Ordering::Relaxed);
    }
}
