//! What a queue says about its waiting messages, read once for all messages of an answer: the gates that hold
//! them now, what their keys say, and whether the downstream is failing.
//!
//! Owns when Redis is asked: only where one of the messages waits. What the gates are, see `domain::gates`.

use std::collections::HashMap;

use ulid::Ulid;

use super::Door;
use super::problem::Problem;
use super::view::MessageView;
use crate::domain::failing::Failing;
use crate::domain::gates::{Gates, KeyHold, gates};
use crate::domain::id::QueueName;
use crate::domain::message::Message;
use crate::domain::state::State;

/// What holds messages of a queue now.
pub(super) struct Hold {
    gates: Gates,
    /// Of those that are ready, where the queue has keys.
    keys: HashMap<Ulid, KeyHold>,
    failing: Option<Failing>,
}

impl Hold {
    /// What holds these messages of this queue.
    pub(super) async fn of(
        door: &Door,
        name: &QueueName,
        messages: &[Message],
    ) -> Result<Self, Problem> {
        if !messages.iter().any(waits) {
            return Ok(Self { gates: Gates::OPEN, keys: HashMap::new(), failing: None });
        }
        let policy = &door.store().queues.get(name)?.policy;
        let counts = door.store().queues.counts(name).await?;
        let keys = door.store().messages.key_holds(name, messages).await?;
        let gates = gates(policy, &counts.snapshot(policy), Some(door.now_ms()?));
        Ok(Self { gates, keys, failing: counts.failing })
    }

    /// One of these messages as it is shown; `is_full`: with its payload.
    pub(super) fn view<'a>(&'a self, message: &'a Message, is_full: bool) -> MessageView<'a> {
        let failing = self.failing.as_ref().filter(|_| waits(message));
        let keys = self.keys.get(&message.id.ulid);
        MessageView::new(message, &self.gates, keys, is_full).with_failing(failing)
    }
}

fn waits(message: &Message) -> bool {
    matches!(message.state, State::Scheduled | State::Ready)
}
