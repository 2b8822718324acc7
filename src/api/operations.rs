//! Operations: started, listed, looked at, stopped.
//!
//! Owns how an operation is shown. What may be asked for is in `operation_wish`; carrying it out is the
//! workers' business, on any node.

use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};

use super::auth::Caller;
use super::change::SMALL_BODY_BYTES_MAX;
use super::fields::{Fields, Shape};
use super::operation_wish::read_wish;
use super::page::{LIMIT_DEFAULT, LIMIT_MAX};
use super::paths::queue_for;
use super::problem::Problem;
use super::query::Query;
use super::{Door, Shared};
use crate::domain::filter::Filter;
use crate::domain::id::MessageId;
use crate::domain::operation::{Operation, Stage};
use crate::store::{KeptOperation, OPERATIONS_RUNNING_MAX};
use crate::wire::Moment;
use crate::wire::operation::{FilterView, OperationList, OperationRequest, OperationView};
use crate::wire::problem::ProblemState;

static STOP: Shape = Shape { known: &[], later: &[] };

/// Starts one step on many messages: requeue, cancel, reschedule, move or retry.
///
/// Goes on by itself, on any node; `dry_run` counts and shows some, and changes nothing.
#[utoipa::path(
    post, path = "/v1/operations", operation_id = "start_operation", tag = "operations",
    request_body(content = OperationRequest, content_type = "application/json"),
    responses(
        (status = 202, description = "The operation, under way; Location is where it tells its progress",
            body = OperationView),
        (status = 404, description = "There is no such queue"),
        (status = 409, description = "The action does not take messages in this state, or too many operations run"),
        (status = 415, description = "The body is not JSON"),
    ),
)]
pub(super) async fn start(
    State(door): Shared,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Result<Response, Problem> {
    let body = door.bodies.read(body, SMALL_BODY_BYTES_MAX).await?;
    let wish = read_wish(&body, door.now_ms()?)?;
    let queue = queue_for(&door, &caller, &wish.queue)?;
    if let Some(name) = &wish.to {
        let to = queue_for(&door, &caller, name)?;
        if to.retired {
            let detail = format!("the queue \"{name}\" is retired and takes no messages");
            return Err(Problem::fault("/to", detail));
        }
        let bring_urls =
            [&queue, &to].map(|queue| queue.policy.downstream.capabilities().brings_urls);
        if bring_urls[0] != bring_urls[1] && !to.policy.downstream.is_dry_run() {
            let detail = format!(
                "of the queues \"{}\" and \"{name}\" only one has messages that bring their own url (downstream.url = \"message\"), so none of them can go there; move them to a queue of the same kind",
                wish.queue
            );
            return Err(Problem::fault("/to", detail));
        }
    }
    let started_ms = door.store().operations.begins().await?;
    let operation = Operation {
        id: format!("op_{}", ulid::Ulid::from_parts(started_ms, rand::random())),
        action: wish.action,
        queue: queue.policy.name.clone(),
        state: wish.state,
        filter: wish.filter,
        rate: wish.rate,
        is_dry: wish.is_dry,
        reason: wish.reason,
        due_ms: wish.due.map(|due| due.at_ms(started_ms)),
        to: wish.to,
        by: caller.name().to_owned(),
        started_ms,
    };
    let expected = door.store().queues.counts(&operation.queue).await?.of(operation.state);
    if !door.store().operations.start(&operation, expected).await? {
        let detail = format!(
            "{OPERATIONS_RUNNING_MAX} operations run already; wait for one to end, or stop one"
        );
        return Err(Problem::wrong_state(ProblemState::RUNNING, detail));
    }
    tracing::info!(
        operation = operation.id, action = operation.action.as_str(), queue = %operation.queue,
        state = %operation.state, by = operation.by, reason = operation.reason, "operation started"
    );
    let kept = existing(&door, &caller, &operation.id).await?;
    let mut response = (StatusCode::ACCEPTED, Json(view(&kept))).into_response();
    if let Ok(place) = HeaderValue::from_str(&format!("/v1/operations/{}", operation.id)) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    Ok(response)
}

/// The operations that run, and the last ones that have ended, the newest first.
#[utoipa::path(
    get, path = "/v1/operations", operation_id = "list_operations", tag = "operations",
    params(
        ("state" = Option<String>, Query, description = "Only those: running, done, stopped, failed"),
        ("limit" = Option<u32>, Query, description = "Operations of the list; default 100"),
    ),
    responses((status = 200, description = "The operations", body = OperationList)),
)]
pub(super) async fn list(
    State(door): Shared,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let mut query = Query::read(query.as_deref(), &["state", "limit"]);
    let stage = query.read_as("state", |word| {
        Stage::of_word(word)
            .ok_or_else(|| format!("found \"{word}\", expected running, done, stopped or failed"))
    });
    let limit = query.count("limit", LIMIT_MAX).unwrap_or(LIMIT_DEFAULT);
    query.finish()?;
    let kept = door.store().operations.list().await?;
    let operations: Vec<OperationView> = kept
        .iter()
        .filter(|kept| caller.reaches_operation(&kept.operation))
        .filter(|kept| stage.is_none_or(|stage| kept.progress.stage == stage))
        .take(usize::try_from(limit).unwrap_or(usize::MAX))
        .map(view)
        .collect();
    Ok(Json(OperationList { operations }).into_response())
}

/// An operation: what was asked for, and how far it has come.
#[utoipa::path(
    get, path = "/v1/operations/{id}", operation_id = "get_operation", tag = "operations",
    params(("id" = String, Path, description = "The operation's id")),
    responses((status = 200, description = "The operation", body = OperationView)),
)]
pub(super) async fn get(
    State(door): Shared,
    Path(id): Path<String>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, Problem> {
    Ok(Json(view(&existing(&door, &caller, &id).await?)).into_response())
}

/// Stops an operation; what it has done stays done. Repeated, or after its end, it changes nothing.
#[utoipa::path(
    post, path = "/v1/operations/{id}/stop", operation_id = "stop_operation", tag = "operations",
    params(("id" = String, Path, description = "The operation's id")),
    responses((status = 200, description = "The operation; it stops within a second or two",
        body = OperationView)),
)]
pub(super) async fn stop(
    State(door): Shared,
    Path(id): Path<String>,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Result<Response, Problem> {
    let body = door.bodies.read(body, SMALL_BODY_BYTES_MAX).await?;
    Fields::of_body(&body, &STOP)?.finish()?;
    existing(&door, &caller, &id).await?;
    if door.store().operations.stop(&id, caller.name()).await? {
        tracing::info!(operation = id, by = caller.name(), "operation is to stop");
    }
    Ok(Json(view(&existing(&door, &caller, &id).await?)).into_response())
}

async fn existing(door: &Door, caller: &Caller, id: &str) -> Result<KeptOperation, Problem> {
    let kept = door.store().operations.get(id).await?;
    kept.filter(|kept| caller.reaches_operation(&kept.operation)).ok_or_else(|| {
        let shown: String = id.chars().take(60).collect();
        Problem::not_found(format!(
            "there is no operation \"{shown}\"; its id is wrong, or 200 others have ended since"
        ))
    })
}

fn view(kept: &KeptOperation) -> OperationView {
    let KeptOperation { operation, progress, node, stopping } = kept;
    let id_of = |ulid| MessageId { queue: operation.queue.clone(), ulid }.to_string();
    OperationView {
        id: operation.id.clone(),
        state: progress.stage.into(),
        action: operation.action.into(),
        queue: operation.queue.to_string(),
        message_state: operation.state.into(),
        filter: (!operation.filter.is_empty()).then(|| filter_view(&operation.filter)),
        to: operation.to.as_ref().map(ToString::to_string),
        due_at: operation.due_ms.map(Moment),
        rate: operation.rate.map(|rate| rate.to_string()),
        dry_run: operation.is_dry,
        reason: operation.reason.clone(),
        by: operation.by.clone(),
        started_at: Moment(operation.started_ms),
        ended_at: progress.ended_ms.map(Moment),
        seen: progress.seen,
        matched: progress.matched,
        done: progress.done,
        skipped: progress.skipped,
        remaining: progress.remaining(),
        sample: progress.sample.iter().copied().map(id_of).collect(),
        node: node.clone(),
        stopping: stopping.is_some() && progress.stage == Stage::Running,
        stopped_by: progress.stopped_by.clone(),
        trouble: progress.trouble.clone(),
    }
}

fn filter_view(filter: &Filter) -> FilterView {
    let labels = &filter.labels;
    FilterView {
        label: (!labels.is_empty()).then(|| labels.iter().cloned().collect()),
        group: filter.group.clone(),
        error_contains: filter.error_contains.clone(),
        created_after: filter.created.after_ms.map(Moment),
        created_before: filter.created.before_ms.map(Moment),
        due_after: filter.due.after_ms.map(Moment),
        due_before: filter.due.before_ms.map(Moment),
        final_after: filter.ended.after_ms.map(Moment),
        final_before: filter.ended.before_ms.map(Moment),
    }
}
