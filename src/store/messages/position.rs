//! What stands before a message in its line.
//!
//! Owns the reading. Refuses to know what follows from it (see `domain::explain`).

use bytes::Bytes;
use ulid::Ulid;

use super::Messages;
use crate::domain::explain::{Line, LineOf, LinePosition};
use crate::domain::id::MessageId;
use crate::store::StoreError;
use crate::store::redis::script::{arg, call, fields};

impl Messages {
    /// What stands before a message that waits; `None`: it does not wait (any more), or its queue is not known.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn line(&self, id: &MessageId) -> Result<Option<Line>, StoreError> {
        let Ok(queue) = self.wire.queue(&id.queue) else { return Ok(None) };
        let shard = queue.shard_of(id);
        let call = call!(Position, ulid = arg(id.ulid));
        let mut reply = self.wire.read(shard, &call).await?;
        fields!(
            reply as Position;
            ahead: i64, of_key: bool, at_least: bool, turn: String, leased: String, lane: Bytes
        );
        let message = |ulid: &str| {
            let ulid = Ulid::from_string(ulid).ok()?;
            Some(MessageId { queue: id.queue.clone(), ulid })
        };
        let of = if of_key { LineOf::Key } else { LineOf::Queue };
        Ok(u64::try_from(ahead).ok().map(|ahead| Line {
            position: LinePosition { ahead, of, at_least },
            turn: message(&turn),
            on_their_way: leased.split(' ').filter_map(message).collect(),
            lane: lane.as_ref().try_into().ok(),
        }))
    }
}
