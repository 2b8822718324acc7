//! Queues: how they stand, when they open, and the operator's steps on all of their messages.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use futures_util::{StreamExt as _, TryStreamExt as _};

use super::auth::Caller;
use super::change::SMALL_BODY_BYTES_MAX;
use super::fields::{Fields, Shape};
use super::paths::InQueue;
use super::problem::Problem;
use super::query::Query;
use super::values::{LONG_MS, duration, moment, string, words};
use super::{Door, Shared, queue_view};
use crate::domain::message::When;
use crate::domain::state::State as MessageState;
use crate::store::Queue;
use crate::wire::queue::{
    OfStateRequest, PauseRequest, PurgedAnswer, QueueList, QueueView, RequeuedAnswer,
};

/// Messages that one request purges or requeues; `remaining` says whether to ask again.
const STEP_MAX: u32 = 10_000;
/// Queues counted at once.
const COUNTED_AT_ONCE: usize = 16;

pub(super) static PAUSE: Shape = Shape { known: &["until", "for", "reason"], later: &[] };
static RESUME: Shape = Shape { known: &[], later: &[] };
pub(super) static OF_STATE: Shape =
    Shape { known: &["state"], later: &["filter", "rate", "dry_run", "reason"] };

/// Every queue, by name; retired ones too.
#[utoipa::path(
    get, path = "/v1/queues", operation_id = "list_queues", tag = "queues",
    responses((status = 200, description = "The queues", body = QueueList)),
)]
pub(super) async fn queues(
    State(door): Shared,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    Query::read(query.as_deref(), &[]).finish()?;
    let mut queues = door.store().queues.all();
    queues.retain(|queue| caller.reaches(&queue.policy.name));
    let queues: Vec<QueueView> = futures_util::stream::iter(queues)
        .map(|queue| view(&door, queue))
        .buffered(COUNTED_AT_ONCE)
        .try_collect()
        .await?;
    Ok(Json(QueueList { queues }).into_response())
}

/// A queue: policy, counts and gates.
#[utoipa::path(
    get, path = "/v1/queues/{queue}", operation_id = "get_queue", tag = "queues",
    params(("queue" = String, Path, description = "The queue's name")),
    responses((status = 200, description = "The queue", body = QueueView)),
)]
pub(super) async fn queue(
    State(door): Shared,
    InQueue(queue): InQueue,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    Query::read(query.as_deref(), &[]).finish()?;
    Ok(Json(view(&door, queue).await?).into_response())
}

async fn view(door: &Door, queue: Arc<Queue>) -> Result<QueueView, Problem> {
    let counts = door.store().queues.counts(&queue.policy.name).await?;
    Ok(queue_view::view(&queue, &counts, door.store().servers.achieved_for(&queue), door.now_ms()?))
}

/// Stops sending, until a moment, for a time, or until it is resumed; messages are still taken in.
#[utoipa::path(
    post, path = "/v1/queues/{queue}/pause", operation_id = "pause_queue", tag = "queues",
    params(("queue" = String, Path, description = "The queue's name")),
    request_body(content = PauseRequest, content_type = "application/json"),
    responses(
        (status = 200, description = "The queue", body = QueueView),
        (status = 415, description = "The body is not JSON"),
    ),
)]
pub(super) async fn pause(
    State(door): Shared,
    InQueue(queue): InQueue,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Result<Response, Problem> {
    let body = door.bodies.read(body, SMALL_BODY_BYTES_MAX).await?;
    let now_ms = door.now_ms()?;
    let mut fields = Fields::of_body(&body, &PAUSE)?;
    if fields.raw("until").is_some() && fields.raw("for").is_some() {
        fields.fault("for", "give until or for, not both");
    }
    let until = fields.read_as("until", |raw| match moment(raw)? {
        at_ms if at_ms > now_ms => Ok(When::At(at_ms)),
        _ => Err(format!("found {}, expected a moment to come", raw.get())),
    });
    let span = fields.read_as("for", |raw| duration(raw, 1..=LONG_MS)).map(When::After);
    let reason = fields.read_as("reason", words).unwrap_or_default();
    fields.finish()?;
    let name = &queue.policy.name;
    door.store().queues.pause(name, until.or(span), &reason, caller.name()).await?;
    tracing::info!(queue = %name, by = caller.name(), reason, "paused");
    Ok(Json(view(&door, queue).await?).into_response())
}

/// Ends a pause, and opens a gate that the downstream's refusals had shut.
#[utoipa::path(
    post, path = "/v1/queues/{queue}/resume", operation_id = "resume_queue", tag = "queues",
    params(("queue" = String, Path, description = "The queue's name")),
    responses((status = 200, description = "The queue; `resumed` says whether a pause or a gate was ended", body = QueueView)),
)]
pub(super) async fn resume(
    State(door): Shared,
    InQueue(queue): InQueue,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Result<Response, Problem> {
    let body = door.bodies.read(body, SMALL_BODY_BYTES_MAX).await?;
    Fields::of_body(&body, &RESUME)?.finish()?;
    let resumed = door.store().queues.resume(&queue.policy.name).await?;
    if resumed {
        tracing::info!(queue = %queue.policy.name, by = caller.name(), "resumed");
    }
    let mut view = view(&door, queue).await?;
    view.resumed = Some(resumed);
    Ok(Json(view).into_response())
}

/// Empties a state: waiting messages are cancelled, final ones deleted.
///
/// Bounded per request: `remaining` tells how many are left, 0 when it is done.
#[utoipa::path(
    post, path = "/v1/queues/{queue}/purge", operation_id = "purge_queue", tag = "queues",
    params(("queue" = String, Path, description = "The queue's name")),
    request_body(content = OfStateRequest, content_type = "application/json"),
    responses(
        (status = 200, description = "How many", body = PurgedAnswer),
        (status = 409, description = "Messages in this state are never purged"),
        (status = 415, description = "The body is not JSON"),
    ),
)]
pub(super) async fn purge(
    State(door): Shared,
    InQueue(queue): InQueue,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Result<Response, Problem> {
    let state = of_state(&door, body).await?;
    if matches!(state, MessageState::Leased | MessageState::Uncertain | MessageState::Accepted) {
        let detail = format!("{state} messages are not purged: the downstream may have them");
        return Err(Problem::wrong_state(state.as_str(), detail));
    }
    let name = &queue.policy.name;
    let (purged, more) = door.store().messages.purge(name, state, u64::from(STEP_MAX)).await?;
    tracing::info!(queue = %name, by = caller.name(), %state, purged, "purged");
    let remaining = remaining(&door, &queue, state, more).await?;
    Ok(Json(PurgedAnswer { purged, remaining }).into_response())
}

/// Sends everything again that is dead, uncertain, expired or cancelled; attempts start over.
///
/// Bounded per request: `remaining` tells how many are left, 0 when it is done.
#[utoipa::path(
    post, path = "/v1/queues/{queue}/requeue-all", operation_id = "requeue_all", tag = "queues",
    params(("queue" = String, Path, description = "The queue's name")),
    request_body(content = OfStateRequest, content_type = "application/json"),
    responses(
        (status = 200, description = "How many", body = RequeuedAnswer),
        (status = 409, description = "Messages in this state are not requeued"),
        (status = 415, description = "The body is not JSON"),
    ),
)]
pub(super) async fn requeue_all(
    State(door): Shared,
    InQueue(queue): InQueue,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Result<Response, Problem> {
    let state = of_state(&door, body).await?;
    let leaves = matches!(
        state,
        MessageState::Dead
            | MessageState::Uncertain
            | MessageState::Expired
            | MessageState::Cancelled
    );
    if !leaves {
        let detail = format!(
            "{state} messages are not requeued; expected dead, uncertain, expired or cancelled"
        );
        return Err(Problem::wrong_state(state.as_str(), detail));
    }
    let name = &queue.policy.name;
    let most = usize::try_from(STEP_MAX).unwrap_or(usize::MAX);
    let (requeued, more) = door.store().messages.requeue_all(name, state, most).await?;
    tracing::info!(queue = %name, by = caller.name(), %state, requeued, "requeued");
    let remaining = remaining(&door, &queue, state, more).await?;
    Ok(Json(RequeuedAnswer { requeued, remaining }).into_response())
}

/// `{state}`, which is required.
async fn of_state(door: &Door, body: Body) -> Result<MessageState, Problem> {
    let body = door.bodies.read(body, SMALL_BODY_BYTES_MAX).await?;
    let mut fields = Fields::of_body(&body, &OF_STATE)?;
    let state = fields.read_as("state", |raw| {
        string(raw)?.parse::<MessageState>().map_err(|error| error.to_string())
    });
    if fields.raw("state").is_none() {
        fields.fault("state", "missing; expected the state that is meant, for example dead");
    }
    fields.finish()?;
    state.ok_or_else(|| Problem::fault("/state", "missing; expected a state"))
}

async fn remaining(
    door: &Door,
    queue: &Queue,
    state: MessageState,
    more: bool,
) -> Result<u64, Problem> {
    if !more {
        return Ok(0);
    }
    Ok(door.store().queues.counts(&queue.policy.name).await?.of(state))
}
