//! Who waits for a message to become final: `?wait=` without polling.
//!
//! Owns the waiters of this node. A waiter registers here and marks the id in its shard, then reads
//! once; the script that ends the message publishes the id, and every node wakes its waiters.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Messages;
use crate::domain::id::MessageId;
use crate::domain::message::Message;
use crate::store::redis::script::arg;
use crate::store::redis::script::{call, fields};
use crate::store::{Part, StoreError};

/// Ids asked for in one re-read after the wake-up channel was lost.
const REREAD_MAX: usize = 500;
/// How much longer than the wait itself an id stays marked.
const MARK_SLACK_MS: u64 = 5000;

#[derive(Debug, Default)]
pub(super) struct Waiters {
    // A plain mutex: held for a look-up, never across an await.
    by_id: Mutex<HashMap<MessageId, (Arc<Notify>, usize)>>,
}

impl Waiters {
    fn enter(&self, id: &MessageId) -> Arc<Notify> {
        let mut by_id = self.by_id.lock();
        let entry = by_id.entry(id.clone()).or_default();
        entry.1 += 1;
        Arc::clone(&entry.0)
    }

    fn leave(&self, id: &MessageId) {
        let mut by_id = self.by_id.lock();
        if let Some(entry) = by_id.get_mut(id) {
            entry.1 -= 1;
            if entry.1 == 0 {
                by_id.remove(id);
            }
        }
    }

    pub(super) fn wake(&self, id: &MessageId) {
        let by_id = self.by_id.lock();
        if let Some((notify, _)) = by_id.get(id) {
            notify.notify_waiters();
        }
    }

    fn ids(&self) -> Vec<MessageId> {
        self.by_id.lock().keys().cloned().collect()
    }
}

/// Leaves when dropped: a caller that hangs up leaves nothing behind.
struct WaiterEntry<'a> {
    waiters: &'a Waiters,
    id: &'a MessageId,
}

impl Drop for WaiterEntry<'_> {
    fn drop(&mut self) {
        self.waiters.leave(self.id);
    }
}

impl Messages {
    /// Wakes whoever waits here until this message is final.
    pub(in crate::store) fn wake_waiters(&self, id: &MessageId) {
        self.shared.waiters.wake(id);
    }

    /// The message, as soon as it is final, or as it stands when `wait` is over.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn get_final(
        &self,
        id: &MessageId,
        wait: Duration,
        part: Part,
    ) -> Result<Option<Message>, StoreError> {
        let deadline = Instant::now() + wait;
        let notify = self.shared.waiters.enter(id);
        let _presence = WaiterEntry { waiters: &self.shared.waiters, id };
        let mut told = std::pin::pin!(notify.notified());
        // Registered before the look, so that no final state falls in between.
        told.as_mut().enable();
        if !self.watch(id, wait).await? {
            drop(tokio::time::timeout_at(deadline, told).await);
        }
        self.get_part(id, part).await
    }

    /// Marks an id as waited for; whether it is final (or gone) already.
    async fn watch(&self, id: &MessageId, wait: Duration) -> Result<bool, StoreError> {
        let Ok(queue) = self.wire.queue(&id.queue) else { return Ok(true) };
        let mark_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX / 2) + MARK_SLACK_MS;
        let call = call!(Watch, waited_ms = mark_ms, ..[[arg(id.ulid)]]);
        let mut reply = self.wire.call(queue.shard_of(id), &call).await?;
        fields!(row of reply as Watch; is_final: bool);
        Ok(is_final)
    }

    /// After wake-ups may have been lost: asks once, in batches, for everything waited for.
    pub(in crate::store) async fn reread_waiters(&self) -> Result<(), StoreError> {
        let mut by_shard: HashMap<(_, u16), Vec<MessageId>> = HashMap::new();
        for id in self.shared.waiters.ids() {
            let Ok(queue) = self.wire.queue(&id.queue) else { continue };
            by_shard.entry((id.queue.clone(), queue.shard_of(&id).number)).or_default().push(id);
        }
        for ((name, number), ids) in by_shard {
            let queue = self.wire.queue(&name)?;
            for ids in ids.chunks(REREAD_MAX) {
                let rows = ids.iter().map(|id| [arg(id.ulid)]);
                let call = call!(Watch, waited_ms = 60_000 + MARK_SLACK_MS, ..rows);
                let mut reply = self.wire.call(&queue.shards[usize::from(number)], &call).await?;
                for id in ids {
                    fields!(row of reply as Watch; is_final: bool);
                    if is_final {
                        self.shared.waiters.wake(id);
                    }
                }
            }
        }
        Ok(())
    }
}
