//! What time it is at Redis, asked once more.

use tokio::time::Instant;

use super::Wire;
use crate::store::StoreError;
use crate::store::redis::keys;

impl Wire {
    /// What time it is, in milliseconds; where this process does not know that yet, Redis is asked.
    pub(in crate::store) async fn time_ms(&self) -> Result<u64, StoreError> {
        match self.clock().now_ms() {
            Some(now_ms) => Ok(now_ms),
            // Boxed: only the first caller carries what this takes.
            None => Ok(Box::pin(self.read_time()).await? / 1000),
        }
    }

    /// Redis TIME in microseconds; sets the clock.
    pub(in crate::store) async fn read_time(&self) -> Result<u64, StoreError> {
        let called_at = Instant::now();
        let value = self.plain_at(&redis::cmd("TIME"), &keys::clock(self.namespace())).await?;
        self.saw_time(value, (called_at, Instant::now()))
    }

    /// Takes a reply to TIME of the server that holds what all nodes share.
    pub(in crate::store) fn saw_time(
        &self,
        time: redis::Value,
        called: (Instant, Instant),
    ) -> Result<u64, StoreError> {
        let (seconds, micros): (u64, u64) =
            redis::from_redis_value(time).map_err(|error| StoreError::Reply(error.to_string()))?;
        let now_us = seconds * 1_000_000 + micros;
        self.saw(None, now_us, called);
        Ok(now_us)
    }
}
