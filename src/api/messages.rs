//! Reading one message: how it stands, when it is final, what was tried.

use std::slice;
use std::time::Duration;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};

use super::held_by::Hold;
use super::paths::{OfMessage, no_message};
use super::peer::Peer;
use super::problem::Problem;
use super::query::Query;
use super::view::{AttemptList, AttemptView, MessageView};
use super::{Door, Shared};
use crate::domain::message::Message;
use crate::domain::units::parse_duration_or_seconds;
use crate::store::Part;

/// The longest wait for a final state.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// What `wait` may say, as far as a pattern can tell.
pub(super) const WAIT_PATTERN: &str = "^(?:[0-9]|[1-5][0-9]|60)s?$|^[0-9]{1,4}ms$|^1m$";

/// A message; with `wait`, as soon as it is final.
///
/// When the wait is over first, the message is answered as it stands.
#[utoipa::path(
    get, path = "/v1/messages/{id}", operation_id = "get_message", tag = "messages",
    params(
        ("id" = String, Path, description = "The message's id"),
        ("wait" = Option<String>, Query, description = "How long to wait for a final state, up to 60s", example = "30s"),
        ("view" = Option<String>, Query, description = "full: with payload and headers"),
    ),
    responses((status = 200, description = "The message", body = MessageView<'static>)),
)]
pub(super) async fn get(
    State(door): Shared,
    OfMessage(id): OfMessage,
    RawQuery(query): RawQuery,
    peer: Peer,
) -> Result<Response, Problem> {
    let mut query = Query::read(query.as_deref(), &["wait", "view"]);
    let is_full = query.view();
    let wait = query.read_as("wait", |text| {
        let wait = Duration::from_millis(parse_duration_or_seconds(text)?);
        if wait <= WAIT_MAX { Ok(wait) } else { Err(format!("found {text}, expected up to 60s")) }
    });
    query.finish()?;
    let part = if is_full { Part::Whole } else { Part::Head };
    let found = match wait.filter(|wait| !wait.is_zero()) {
        None => door.store().messages.get_part(&id, part).await?,
        // A stopping node keeps nobody waiting, and nobody waits for one that has closed its side.
        Some(wait) => tokio::select! {
            found = door.store().messages.get_final(&id, wait, part) => found?,
            () = door.state.draining.cancelled() => door.store().messages.get_part(&id, part).await?,
            () = peer.closed() => door.store().messages.get_part(&id, part).await?,
        },
    };
    let message = found.ok_or_else(|| no_message(&id.to_string()))?;
    answer(&door, &message, is_full).await
}

/// What was tried, the oldest attempt first, as far as it is kept.
#[utoipa::path(
    get, path = "/v1/messages/{id}/attempts", operation_id = "get_attempts", tag = "messages",
    params(("id" = String, Path, description = "The message's id")),
    responses((status = 200, description = "The attempts", body = AttemptList<'static>)),
)]
pub(super) async fn attempts(
    State(door): Shared,
    OfMessage(id): OfMessage,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    Query::read(query.as_deref(), &[]).finish()?;
    let found = door.store().messages.attempts(&id).await?;
    let attempts = found.ok_or_else(|| no_message(&id.to_string()))?;
    let attempts = attempts.iter().map(AttemptView::full).collect();
    Ok(Json(AttemptList { attempts }).into_response())
}

/// 200 with a message.
pub(super) async fn answer(
    door: &Door,
    message: &Message,
    is_full: bool,
) -> Result<Response, Problem> {
    let hold = Hold::of(door, &message.id.queue, slice::from_ref(message)).await?;
    Ok((StatusCode::OK, Json(hold.view(message, is_full))).into_response())
}
