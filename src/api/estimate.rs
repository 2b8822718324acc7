//! When a message leaves: said of one that was just taken in, and asked of one that must leave by a moment.

use super::problem::Problem;
use super::{Door, explain};
use crate::domain::gates::Gates;
use crate::domain::id::MessageId;
use crate::domain::message::{Message, NewMessage};
use crate::domain::policy::QueuePolicy;
use crate::domain::state::State;
use crate::store::{Part, Queue};
use crate::wire::Moment;
use crate::wire::estimate::EstimateView;

/// When a message leaves that was taken in. One that does not wait any more has left, which is now.
pub(super) async fn of(
    door: &Door,
    queue: &Queue,
    id: &MessageId,
) -> Result<EstimateView, Problem> {
    let found = door.store().messages.get_part(id, Part::Head).await?;
    let waits = |message: &Message| matches!(message.state, State::Scheduled | State::Ready);
    let Some(message) = found.filter(waits) else {
        let now = Some(Moment(door.now_ms()?));
        return Ok(EstimateView { earliest_at: now, expected_at: now });
    };
    let explained = explain::of_message(door, queue, &message).await?;
    let (earliest_at, expected_at) = (explained.earliest_at, explained.expected_at);
    Ok(EstimateView { earliest_at, expected_at })
}

/// Whether a message can leave by the moment that it names, if it names one. `known`: the gates of its queue, once they were read for
/// another message of the same request.
///
/// # Errors
/// 422 where it cannot. A repeat of a message that was taken in is let through: it is answered with the first one.
pub(super) async fn check(
    door: &Door,
    policy: &QueuePolicy,
    (message, now_ms): (&NewMessage, u64),
    known: &mut Option<Gates>,
) -> Result<(), Problem> {
    if message.details.must_dispatch_ms.is_none() {
        return Ok(());
    }
    let gates = match known.take() {
        Some(gates) => gates,
        None => door.store().queues.gates(policy).await?,
    };
    let gates = known.insert(gates);
    let missed = gates.why_missed(policy, &message.details, message.due.at_ms(now_ms));
    let Some(why) = missed else { return Ok(()) };
    if let Some(key) = &message.details.idempotency_key
        && !door.store().messages.find_key(&policy.name, key).await?.is_empty()
    {
        return Ok(());
    }
    Err(Problem::window_missed(format!(
        "{why}; send it with a later must_dispatch_by, or leave it out"
    )))
}
