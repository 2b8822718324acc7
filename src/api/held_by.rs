//! The gates that hold messages now, read once for all messages of an answer.
//!
//! Owns when Redis is asked: only where one of the messages waits. What the gates are, see `domain::gates`.

use super::Door;
use super::problem::Problem;
use crate::domain::gates::{Gates, gates};
use crate::domain::id::QueueName;
use crate::domain::message::Message;
use crate::domain::state::State;

/// The gates before messages of this queue.
pub(super) async fn gates_of(
    door: &Door,
    name: &QueueName,
    messages: &[Message],
) -> Result<Gates, Problem> {
    let waits = |message: &Message| matches!(message.state, State::Scheduled | State::Ready);
    if !messages.iter().any(waits) {
        return Ok(Gates::OPEN);
    }
    let policy = &door.store().queues.get(name)?.policy;
    let counts = door.store().queues.counts(name).await?;
    Ok(gates(policy, &counts.snapshot(policy), Some(door.now_ms()?)))
}
