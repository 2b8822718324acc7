//! What an operation does to messages: the verbs that operators have for one, for some at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use ulid::Ulid;

use crate::domain::id::MessageId;
use crate::domain::message::When;
use crate::domain::operation::{Action, Operation};
use crate::store::messages::Messages;
use crate::store::messages::operate::changed;
use crate::store::queue::Queue;
use crate::store::redis::script::arg;
use crate::store::redis::script::{Call, call, fields};
use crate::store::{Changed, Edit, StoreError, Verb};

impl Messages {
    /// Does to these messages what the operation says; tells of each what it came to. Safe to repeat:
    /// what is done already answers as a wrong state, and changes nothing.
    ///
    /// # Errors
    /// [`StoreError::UnknownQueue`], [`StoreError::Unavailable`]: some of it may be done.
    pub async fn operate_on(
        &self,
        operation: &Operation,
        ulids: &[Ulid],
    ) -> Result<BTreeMap<Ulid, Changed>, StoreError> {
        let queue = self.wire.queue(&operation.queue)?;
        let mut by_shard: BTreeMap<u16, Vec<Ulid>> = BTreeMap::new();
        for ulid in ulids {
            let id = MessageId { queue: operation.queue.clone(), ulid: *ulid };
            by_shard.entry(queue.shard_of(&id).number).or_default().push(*ulid);
        }
        let mut all = BTreeMap::new();
        for (number, ulids) in by_shard {
            let came_to = match operation.action {
                Action::Requeue => {
                    let (rows, cutoff_ms) = (rows_of(&ulids), Some(operation.started_ms));
                    let call = call!(Requeue, cutoff_ms = cutoff_ms, ..rows);
                    self.change_some(&queue, number, &call).await?
                }
                Action::Cancel => {
                    let keep_ms = queue.policy.retention.delivered_ms;
                    let call = call!(Cancel, keep_ms = keep_ms, ..rows_of(&ulids));
                    self.change_some(&queue, number, &call).await?
                }
                Action::Reschedule => {
                    let due = operation.due_ms.map(When::At);
                    self.reschedule_some(operation, due, &ulids).await?
                }
                Action::Retry => {
                    self.reschedule_some(operation, Some(When::After(0)), &ulids).await?
                }
                Action::Move => self.move_some(operation, &queue, number, &ulids).await?,
            };
            all.extend(ulids.into_iter().zip(came_to));
        }
        Ok(all)
    }

    /// A verb that answers with a row of the same form for each message.
    async fn change_some(
        &self,
        queue: &Arc<Queue>,
        shard: u16,
        call: &Call,
    ) -> Result<Vec<Changed>, StoreError> {
        let (verb, shard) = (call.verb, &queue.shards[usize::from(shard)]);
        let mut reply = self.wire.call(shard, call).await?;
        let mut came_to = Vec::with_capacity(reply.len() / 2);
        while reply.len() > 0 {
            // Both answer alike, as a test holds.
            fields!(row of reply as Cancel; code: i64, before: Bytes);
            came_to.push(changed(code, &before, true)?);
        }
        if verb == Verb::Requeue {
            shard.wake(2);
        }
        let done = came_to.iter().filter(|changed| **changed == Changed::Done).count();
        queue.metrics.count(verb.as_str(), done);
        Ok(came_to)
    }

    async fn reschedule_some(
        &self,
        operation: &Operation,
        due: Option<When>,
        ulids: &[Ulid],
    ) -> Result<Vec<Changed>, StoreError> {
        let edit = Edit { due, ..Edit::default() };
        let mut came_to = Vec::with_capacity(ulids.len());
        for ulid in ulids {
            let id = MessageId { queue: operation.queue.clone(), ulid: *ulid };
            came_to.push(self.reschedule(&id, &edit).await?);
        }
        Ok(came_to)
    }
}

/// A row for each of these messages.
fn rows_of(ulids: &[Ulid]) -> impl Iterator<Item = [Vec<u8>; 1]> {
    ulids.iter().map(|ulid| [arg(ulid)])
}
