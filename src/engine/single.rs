//! A single message: one call, one outcome.

use super::exchange::{Exchanges, Outcomes, Tried};
use super::request::single_call;
use crate::domain::id::MessageId;
use crate::failpoint::failpoint;
use crate::store::Claimed;
use crate::transport::Transport;

/// Sends a message, unless a last look forbids it, and hands its outcome over.
pub(super) async fn run(exchanges: &Exchanges, message: Claimed, held: bool, outcomes: &Outcomes) {
    if let Some(action) = exchanges.last_look(&message) {
        outcomes.settle(vec![outcomes.of(&message, action, None)], true).await;
        return;
    }
    exchanges.store.note_start(&exchanges.queue.policy, &message, held, &exchanges.lateness);
    let tried = call(exchanges, &message, &exchanges.transport).await;
    let action = exchanges.action_of(&message, &tried, tried.outcome, outcomes.paused_ms);
    let attempt = exchanges.attempt_of(&message, &tried);
    outcomes.settle(vec![outcomes.of(&message, action, Some(attempt))], true).await;
}

/// Makes the call of one message this way.
pub(super) async fn call(exchanges: &Exchanges, message: &Claimed, way: &Transport) -> Tried {
    let policy = &exchanges.queue.policy;
    let id = MessageId { queue: policy.name.clone(), ulid: message.lease.ulid };
    let (now_ms, deadline) = exchanges.times();
    failpoint!("before-send"; &message.payload);
    let answer = match way.immediate() {
        Some(answer) => answer,
        None => {
            let call = single_call(
                &id,
                &message.details,
                message.payload.clone(),
                message.attempt,
                message.due_ms,
                (now_ms, deadline),
                policy.keep_response_bytes,
            );
            way.send(call).await
        }
    };
    failpoint!("after-send"; &message.payload);
    exchanges.judge(message.is_in_doubt, now_ms, answer)
}
