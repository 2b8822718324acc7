//! What every page of messages has in common: how long it may be, and the gates that hold its messages.

use std::sync::Arc;

use super::Door;
use super::held_by::Gates;
use super::problem::Problem;
use crate::domain::message::Message;
use crate::domain::state::State as MessageState;
use crate::store::Queue;

/// Messages on a page, unless asked otherwise.
pub(super) const LIMIT_DEFAULT: usize = 100;
/// Most messages on a page.
pub(super) const LIMIT_MAX: u32 = 1000;

/// One reading of the gates for a whole page; none where nobody waits.
pub(super) async fn gates(
    door: &Door,
    queue: &Arc<Queue>,
    messages: &[Message],
) -> Result<Gates, Problem> {
    let waits = |m: &Message| matches!(m.state, MessageState::Scheduled | MessageState::Ready);
    if !messages.iter().any(waits) {
        return Ok(Gates::default());
    }
    let counts = door.store().counts(&queue.policy.name).await?;
    Ok(Gates::new(&queue.policy, &counts, door.now_ms()?))
}
