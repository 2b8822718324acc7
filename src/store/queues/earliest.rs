//! The gates of a queue as they stand, for messages that are not stored yet.

use super::Queues;
use crate::domain::gates::{Gates, gates};
use crate::domain::policy::QueuePolicy;
use crate::store::StoreError;

impl Queues {
    /// The gates of a queue with this policy now: one reading.
    ///
    /// # Errors
    /// [`StoreError::UnknownQueue`], [`StoreError::Unavailable`].
    pub async fn gates(&self, policy: &QueuePolicy) -> Result<Gates, StoreError> {
        let counts = self.counts(&policy.name).await?;
        let now_ms = self.wire.clock.require_ms()?;
        Ok(gates(policy, &counts.snapshot(policy), Some(now_ms)))
    }
}
