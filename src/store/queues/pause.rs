//! Stopping a queue, and letting it go on.

use super::Queues;
use crate::domain::id::QueueName;
use crate::domain::message::When;
use crate::store::StoreError;
use crate::store::queue::Queue;
use crate::store::redis::script::{arg, when};
use crate::store::redis::script::{call, fields};

/// How a window stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowTurn {
    /// It has been closed since the one moment, and opens at the other, ms.
    Closed {
        /// Since when.
        since_ms: u64,
        /// Until when.
        until_ms: u64,
    },
    /// It is open, whatever was to be expected before.
    Open,
}

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

    /// Notes in every shard that the window of a queue has closed or is open, for those who ask later what a message waited for.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; repeating is safe.
    pub async fn window_turned(&self, queue: &Queue, turn: WindowTurn) -> Result<(), StoreError> {
        let (since_ms, until_ms) = match turn {
            WindowTurn::Closed { since_ms, until_ms } => (since_ms, until_ms),
            WindowTurn::Open => (0, 0),
        };
        let call = call!(Window, since_ms = since_ms, until_ms = until_ms);
        for shard in &queue.shards {
            self.wire.call(shard, &call).await?;
        }
        Ok(())
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
