//! Why a message waits: everything that is known of it, gathered and asked.
//!
//! Owns what Redis is asked, each of it bounded. What follows from it says `domain::explain`.

use std::collections::BTreeMap;
use std::slice;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse as _, Response};

use super::paths::{OfMessage, no_message};
use super::problem::Problem;
use super::query::Query;
use super::{Door, Shared, forecast};
use crate::domain::explain::{ExplainFacts, explain as explained};
use crate::domain::gates::gates;
use crate::domain::human::Times;
use crate::domain::message::Message;
use crate::domain::policy::QueuePolicy;
use crate::domain::state;
use crate::store::{Counts, Part, Queue};
use crate::wire::explain::ExplanationView;

/// Why a message waits: what each gate says, which setting decides, and when it can leave.
#[utoipa::path(
    get, path = "/v1/messages/{id}/explain", operation_id = "explain_message", tag = "messages",
    params(("id" = String, Path, description = "The message's id")),
    responses((status = 200, description = "Why it waits", body = ExplanationView)),
)]
pub(super) async fn explain(
    State(door): Shared,
    OfMessage(id): OfMessage,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    Query::read(query.as_deref(), &[]).finish()?;
    let found = door.store().messages.get_part(&id, Part::Head).await?;
    let message = found.ok_or_else(|| no_message(&id.to_string()))?;
    let queue = door.store().queues.get(&id.queue)?;
    Ok(Json(of_message(&door, &queue, &message).await?).into_response())
}

/// Why this message waits.
///
/// # Errors
/// When the store is not available.
pub(super) async fn of_message(
    door: &Door,
    queue: &Queue,
    message: &Message,
) -> Result<ExplanationView, Problem> {
    let store = door.store();
    let (policy, name) = (&queue.policy, &message.id.queue);
    let now_ms = door.now_ms()?;
    let counts = store.queues.counts(name).await?;
    let gates = gates(policy, &counts.snapshot(policy), Some(now_ms));
    let holds = store.messages.key_holds(name, slice::from_ref(message)).await?;
    let waits = matches!(message.state, state::State::Scheduled | state::State::Ready);
    let line = if waits { store.messages.line(&message.id).await? } else { None };
    let given = if counts.keys > 0 && waits {
        given(door, policy, message).await?
    } else {
        BTreeMap::new()
    };
    let paused = counts.paused.as_ref().map(|paused| (paused.by.clone(), paused.reason.clone()));
    let expected_ms = match &line {
        Some(line) => {
            let asked = (line, message.due_at_ms);
            forecast::expected_ms(door, (queue, &given), &counts, asked).await?
        }
        None => None,
    };
    let facts = ExplainFacts {
        message,
        policy,
        is_retired: queue.retired,
        gates: &gates,
        keys: holds.get(&message.id.ulid),
        line,
        paused,
        shut: counts.gate.as_ref().map(|(_, kind, reason)| (kind.clone(), reason.clone())),
        calls_in_flight: calls_in_flight(&counts, policy, message),
        given,
        expected_ms,
        calls_are_timed: queue.calls.mean_ms().is_some(),
        // In UTC, as all moments are shown that nobody asked for in another zone.
        times: Times { now_ms, zone: None },
    };
    Ok(ExplanationView::new(message.state, explained(&facts)))
}

/// Calls in flight of the shard of a message; of batches, each counts once.
fn calls_in_flight(counts: &Counts, policy: &QueuePolicy, message: &Message) -> u64 {
    let shard = usize::from(message.id.shard(policy.shards));
    let counted = counts.by_shard.get(shard);
    counted.map_or(0, |shard| if policy.batch.is_some() { shard.exchanges } else { shard.leased })
}

/// What the values of this message were given at run time, by the limits that count by their keys.
async fn given(
    door: &Door,
    policy: &QueuePolicy,
    message: &Message,
) -> Result<forecast::KeyValues, Problem> {
    let mut given = BTreeMap::new();
    for rule in policy.keyed_limits() {
        let Some(key) = &rule.per else { continue };
        let value = key.value_of(&message.details).unwrap_or_default();
        let kept = door.store().queues.key(&policy.name, value).await?;
        let allowed = kept.and_then(|mut kept| kept.settings.limits.remove(&rule.name));
        if let Some(allowed) = allowed {
            given.insert(rule.name.clone(), (value.to_owned(), allowed));
        }
    }
    Ok(given)
}
