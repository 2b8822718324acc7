//! Stopping a queue, and letting it go on.

use super::Queues;
use crate::domain::id::QueueName;
use crate::domain::message::When;
use crate::store::StoreError;
use crate::store::redis::script::{arg, when};
use crate::store::redis::script::{call, fields};

impl Queues {
    /// Stops a queue until a moment, or until [`Self::resume`]; returns until when, 0: until resume.
    ///
    /// # Errors
    /// [`StoreError::UnknownQueue`], [`StoreError::Unavailable`].
    pub async fn pause(
        &self,
        name: &QueueName,
        until: Option<When>,
        reason: &str,
        by: &str,
    ) -> Result<u64, StoreError> {
        let queue = self.wire.queue(name)?;
        let until = until.map_or_else(|| arg(0), when);
        let call = call!(Pause, until_what = until, reason = reason, by = by);
        let mut paused_until_ms = 0;
        for shard in &queue.shards {
            let mut reply = self.wire.call(shard, &call).await?;
            fields!(reply as Pause; until_ms: u64);
            paused_until_ms = until_ms;
        }
        queue.ready.notify_one();
        self.wire.metrics().count(name.as_str(), "pause", 1);
        Ok(paused_until_ms)
    }

    /// Ends a pause, and a gate that refusals had shut; returns whether there was one.
    ///
    /// # Errors
    /// [`StoreError::UnknownQueue`], [`StoreError::Unavailable`].
    pub async fn resume(&self, name: &QueueName) -> Result<bool, StoreError> {
        let queue = self.wire.queue(name)?;
        let mut was = false;
        for shard in &queue.shards {
            let mut reply = self.wire.call(shard, &call!(Resume)).await?;
            fields!(reply as Resume; was_stopped: bool);
            was |= was_stopped;
            shard.wake(2);
        }
        queue.doubt.notify_one();
        self.wire.metrics().count(name.as_str(), "resume", 1);
        Ok(was)
    }
}
