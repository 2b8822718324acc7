//! The bug of a claim in two calls, which tests plant; compiled for tests only.

use super::Messages;
use super::claim::ClaimReply;
use crate::failpoint::planted;
use crate::store::StoreError;
use crate::store::queue::{Queue, Shard};

impl Messages {
    /// The second of two calls, where there is one.
    pub(in crate::store) async fn lease_the_rest(
        &self,
        queue: &Queue,
        shard: &Shard,
        reply: &ClaimReply,
    ) -> Result<(), StoreError> {
        if !planted!("claim-in-two-calls") || reply.messages.is_empty() {
            return Ok(());
        }
        let leases: Vec<_> = reply.messages.iter().map(|claimed| claimed.lease.clone()).collect();
        self.renew(shard, queue.policy.lease_ms, &[], &leases).await.map(drop)
    }
}
