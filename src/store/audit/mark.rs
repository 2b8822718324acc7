//! The mark on a shard that is looked through, or was of late: nodes share the work by it.
//!
//! A courtesy, not a lock: two audits of one shard do no harm.

use std::time::Duration;

use super::Audits;
use crate::store::StoreError;
use crate::store::queue::Shard;
use crate::store::redis::keys;

/// How long a mark outlives its node.
const MARK: Duration = Duration::from_secs(60);
/// How long a shard that was looked through is left alone.
const REST: Duration = Duration::from_secs(600);
/// What the mark says meanwhile.
const RESTS: &str = "rests";

impl Audits {
    /// Whether this node may look a shard through now; `urgent` does not mind that it was of late.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn begin(&self, shard: &Shard, urgent: bool) -> Result<bool, StoreError> {
        let key = keys::audit(self.wire.namespace(), &shard.keys.tag);
        let ms = MARK.as_millis().to_string();
        let node = self.wire.node().as_str();
        let mark = redis::cmd("SET").arg(&key).arg(node).arg("PX").arg(&ms).clone();
        let taken = self.wire.plain(mark.clone().arg("NX")).await?;
        if taken != redis::Value::Nil {
            return Ok(true);
        }
        let holder: Option<String> =
            redis::from_redis_value(self.wire.plain(redis::cmd("GET").arg(&key)).await?)
                .unwrap_or_default();
        if !urgent || holder.as_deref() != Some(RESTS) {
            return Ok(false);
        }
        self.wire.plain(&mark).await?;
        Ok(true)
    }

    /// The look goes on: the mark stays.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn go_on(&self, shard: &Shard) -> Result<(), StoreError> {
        self.mark(shard, self.wire.node().as_str(), MARK).await
    }

    /// The look is over: others leave the shard alone for a while.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn end(&self, shard: &Shard) -> Result<(), StoreError> {
        self.mark(shard, RESTS, REST).await
    }

    async fn mark(&self, shard: &Shard, word: &str, lasts: Duration) -> Result<(), StoreError> {
        let key = keys::audit(self.wire.namespace(), &shard.keys.tag);
        let ms = lasts.as_millis().to_string();
        self.wire.plain(redis::cmd("SET").arg(key).arg(word).arg("PX").arg(ms)).await?;
        Ok(())
    }
}
