//! The way through all messages of a state: pages without bodies, shard after shard.

use bytes::Bytes;
use ulid::Ulid;

use crate::domain::id::QueueName;
use crate::domain::message::Message;
use crate::domain::state::State;
use crate::store::StoreError;
use crate::store::messages::Messages;
use crate::store::messages::read::{read_message, some_bytes};
use crate::store::redis::script::arg;
use crate::store::redis::script::{call, fields, rows};

/// A message on the way, without its body.
#[derive(Debug, Clone)]
pub struct WalkStep {
    /// The message.
    pub message: Message,
    /// Since when it is uncertain, ms.
    pub uncertain_since_ms: Option<u64>,
}

/// A page of the way.
#[derive(Debug, Clone)]
pub struct WalkPage {
    /// Who stands there.
    pub steps: Vec<WalkStep>,
    /// Where to go on: shard and cursor; `None`: this was the end.
    pub next: Option<(u16, String)>,
}

impl Messages {
    /// A page of the messages in one state, without their bodies, from a place on.
    ///
    /// # Errors
    /// [`StoreError::UnknownQueue`], [`StoreError::Unavailable`].
    pub async fn walk_page(
        &self,
        name: &QueueName,
        state: State,
        (number, cursor): (u16, &str),
        most: usize,
    ) -> Result<WalkPage, StoreError> {
        let queue = self.wire.queue(name)?;
        let Some(shard) = queue.shards.get(usize::from(number)) else {
            return Ok(WalkPage { steps: Vec::new(), next: None });
        };
        let call = call!(Walk, what = arg(state), most = most, cursor = cursor);
        let mut reply = self.wire.read(shard, &call).await?;
        fields!(reply as Walk; next_cursor: String);
        rows!(reply as Walk);
        let mut steps = Vec::with_capacity(reply.len() / 5);
        while reply.len() > 0 {
            fields!(
                row of reply as Walk;
                ulid: String, record: Bytes, state: Bytes, is_due: bool, uncertain_since_ms: u64
            );
            // What is not a message of ours has no id.
            let Ok(ulid) = Ulid::from_string(&ulid) else { continue };
            let message = read_message(name, ulid, record, some_bytes(state), is_due, &[]);
            let since_ms = uncertain_since_ms;
            steps
                .push(WalkStep { message, uncertain_since_ms: (since_ms > 0).then_some(since_ms) });
        }
        let next_shard = usize::from(number) + 1;
        let next = match next_cursor {
            cursor if !cursor.is_empty() => Some((number, cursor)),
            _ if next_shard < queue.shards.len() => Some((number + 1, String::new())),
            _ => None,
        };
        Ok(WalkPage { steps, next })
    }
}
