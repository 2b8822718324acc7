//! Looks now and then how large a shard's tables are, by one bare command, for those who make calls.
//!
//! Owns the look. What follows from it is said in `batch_size`.

use redis::cmd;

use super::Wire;
use crate::store::queue::Shard;

impl Wire {
    /// Looks, if it is time, before so many are acknowledged. What cannot be read stays as it was known.
    pub(in crate::store) async fn look_at_tables(&self, shard: &Shard, messages: usize) {
        if !shard.batch_size.counts(messages as u64) {
            return;
        }
        let mut size = cmd("HLEN");
        size.arg(shard.key("states"));
        if let Ok(replies) = self.probes.read(&[size], &shard.keys.all[0]).await
            && let Some(entries) = replies.into_iter().next()
            && let Ok(entries) = redis::from_redis_value(entries)
        {
            shard.batch_size.learns(entries);
        }
    }
}
