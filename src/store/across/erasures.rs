//! What follows when the data in Redis was deleted or replaced while Redis ran.
//!
//! Owns the order: what the configuration says of the namespace is written again first, then the shards are recovered.
//! Refuses to know how it is noticed (see `erasure`).

use crate::store::StoreError;
use crate::store::queues::Queues;
use crate::store::schedules::Schedules;
use crate::store::topics::Topics;
use crate::store::wire::Wire;

/// What is done about data that was taken away; cheap to clone.
#[derive(Debug, Clone)]
pub struct Erasures {
    wire: Wire,
    queues: Queues,
    topics: Topics,
    schedules: Schedules,
}

impl Erasures {
    pub(in crate::store) fn new(
        wire: &Wire,
        queues: &Queues,
        topics: &Topics,
        schedules: &Schedules,
    ) -> Self {
        Self {
            wire: wire.clone(),
            queues: queues.clone(),
            topics: topics.clone(),
            schedules: schedules.clone(),
        }
    }

    /// Puts the configuration back and recovers the shards, if a beat noticed that the data was taken away; asked
    /// after each beat, whatever came of it.
    pub async fn answer(&self) {
        let Some(intact_ms) = self.wire.mark.take_unanswered() else { return };
        if let Err(error) = self.register_again().await {
            tracing::warn!(%error, "the queues of the configuration are not registered again yet");
        }
        self.schedules.are_news();
        self.wire.recover_all_erased(intact_ms).await;
    }

    /// What the configuration says of the namespace, and its nodes read there.
    async fn register_again(&self) -> Result<(), StoreError> {
        self.queues.register_again().await?;
        self.topics.register_again().await
    }
}
