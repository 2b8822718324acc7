//! Where a script runs: a shard of a queue, or keys that are no shard's.

use std::sync::Arc;

use crate::store::queue::Shard;

/// Where a script runs: keys of one hash tag, and the shard of a queue that they are, if they are one.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct ScriptKeys<'a> {
    pub(in crate::store) names: &'a [String],
    pub(in crate::store) shard: Option<&'a Shard>,
}

impl<'a> ScriptKeys<'a> {
    /// Keys that are no shard's.
    pub(in crate::store) fn of(keys: &'a [String]) -> Self {
        Self { names: keys, shard: None }
    }
}

impl<'a> From<&'a Shard> for ScriptKeys<'a> {
    fn from(shard: &'a Shard) -> Self {
        Self { names: &shard.keys.all, shard: Some(shard) }
    }
}

impl<'a> From<&'a Arc<Shard>> for ScriptKeys<'a> {
    fn from(shard: &'a Arc<Shard>) -> Self {
        Self::from(shard.as_ref())
    }
}
