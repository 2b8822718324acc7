//! Bare commands on many shards, in few round trips.

use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _};
use redis::{Cmd, Value};

use super::Wire;
use crate::store::StoreError;
use crate::store::queue::Shard;

/// Shards in one round trip: a few hundred bare commands, half a millisecond of Redis.
const SHARDS_AT_ONCE: usize = 100;
/// In a cluster each shard is asked at its own server; so many at once.
const CALLS_AT_ONCE: usize = 16;

impl Wire {
    /// The replies to the same readings of each shard, in their order.
    pub(in crate::store) async fn read_each(
        &self,
        shards: &[Arc<Shard>],
        readings: &(dyn Fn(&Shard) -> Vec<Cmd> + Sync),
    ) -> Result<Vec<Vec<Value>>, StoreError> {
        // One server knows them all, or each is asked where it lives.
        let together = if self.target.is_cluster() { 1 } else { SHARDS_AT_ONCE };
        let read = async |shards: &[Arc<Shard>]| {
            let Some(of_one) = shards.first() else { return Ok(Vec::new()) };
            let commands: Vec<Cmd> = shards.iter().flat_map(|shard| readings(shard)).collect();
            let each = commands.len() / shards.len();
            let replies = self.probes.read(&commands, &of_one.keys.all[0]).await;
            let replies = replies.map_err(|error| StoreError::from_redis(&error))?;
            Ok(replies.chunks(each.max(1)).map(<[Value]>::to_vec).collect::<Vec<_>>())
        };
        let chunks = futures_util::stream::iter(shards.chunks(together));
        let read: Vec<Vec<Vec<Value>>> =
            chunks.map(read).buffered(CALLS_AT_ONCE).try_collect().await?;
        Ok(read.into_iter().flatten().collect())
    }
}
