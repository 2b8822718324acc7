//! Wake-ups from other nodes, by pub/sub.
//!
//! Owns the one connection that listens. A lost wake-up costs a poll interval, never a message; after
//! the channel was lost, everybody is woken once.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use crate::domain::id::MessageId;
use crate::store::messages::Messages;
use crate::store::redis::connect::subscribe;
use crate::store::redis::keys;
use crate::store::wire::Wire;

/// Pause before listening again, after the channel was lost.
const RELISTEN_PAUSE: Duration = Duration::from_millis(500);

/// The wake-ups that other nodes send; cheap to clone.
#[derive(Debug, Clone)]
pub struct WakeUps {
    wire: Wire,
    messages: Messages,
    /// Rung when the channel is to be opened again.
    anew: Arc<Notify>,
}

impl WakeUps {
    pub(in crate::store) fn new(wire: &Wire, messages: &Messages) -> Self {
        Self { wire: wire.clone(), messages: messages.clone(), anew: Arc::default() }
    }

    /// Listens until `stop`; run by one task of the node.
    pub async fn listen(&self, stop: &CancellationToken) {
        let channels =
            [keys::wake_channel(self.wire.namespace()), keys::final_channel(self.wire.namespace())];
        while !stop.is_cancelled() {
            match subscribe(&self.wire.target, &channels).await {
                Ok(pubsub) => {
                    self.wake_everybody();
                    if let Err(error) = self.messages.reread_waiters().await {
                        tracing::debug!(%error, "waiters could not be re-read");
                    }
                    let mut messages = pubsub.into_on_message();
                    loop {
                        tokio::select! {
                            () = stop.cancelled() => return,
                            () = self.anew.notified() => break,
                            message = messages.next() => match message {
                                Some(message) => self.hear(message.get_channel_name(), &message.get_payload::<String>().unwrap_or_default()),
                                None => break,
                            },
                        }
                    }
                }
                Err(error) => tracing::debug!(%error, "the wake-up channel cannot be opened"),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(RELISTEN_PAUSE) => {}
            }
        }
    }

    /// After an outage: the channel may be dead without a sign, or lead to a server that is none of ours
    /// any more.
    pub fn listen_anew(&self) {
        self.anew.notify_one();
    }

    fn hear(&self, channel: &str, payload: &str) {
        let Some((tag, detail)) = payload.rsplit_once(' ') else { return };
        if tag == self.wire.schedules_shard.tag() {
            return self.wire.wake_schedules();
        }
        let Some((queue, number)) = self.wire.read_tag(tag) else { return };
        if channel == keys::final_channel(self.wire.namespace()) {
            if let Ok(ulid) = Ulid::from_string(detail) {
                self.messages.wake_waiters(&MessageId { queue, ulid });
            }
        } else if let Ok(queue) = self.wire.queue(&queue)
            && let Some(shard) = queue.shards.get(number)
        {
            shard.wake(detail.parse().unwrap_or(3));
        }
    }

    fn wake_everybody(&self) {
        self.wire.wake_schedules();
        for queue in self.wire.queues() {
            for shard in &queue.shards {
                shard.wake(3);
            }
        }
    }
}
