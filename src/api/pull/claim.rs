//! `POST /v1/queues/{queue}/claim`: messages for a worker, each under a lease.

use std::borrow::Cow;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use tokio::time::Instant;

use super::{LEASE_MS_MAX, LEASE_MS_MIN, pulled};
use crate::api::Shared;
use crate::api::change::SMALL_BODY_BYTES_MAX;
use crate::api::fields::{Fields, Shape};
use crate::api::paths::InQueue;
use crate::api::peer::Peer;
use crate::api::problem::Problem;
use crate::api::values::{duration, whole};
use crate::domain::id::MessageId;
use crate::domain::shown::show_payload;
use crate::engine::pull::{PullWish, Pulled, WorkerToken};
use crate::store::Claimed;
use crate::wire::pull::{ClaimRequest, ClaimedList, ClaimedView, MESSAGES_MAX};
use crate::wire::{Moment, Pairs, payload_fields};

/// The longest wait for something to come, in milliseconds.
const WAIT_MS_MAX: u64 = 60_000;

pub(in crate::api) static CLAIM: Shape = Shape { known: &["max", "wait", "lease"], later: &[] };

/// Hands messages to a worker: what the gates of the queue let through now, up to `max` (default 1);
/// with `wait`, as soon as there is something. Each is under a lease (default: the queue's) and comes
/// back when it runs out.
#[utoipa::path(
    post, path = "/v1/queues/{queue}/claim", operation_id = "claim_messages", tag = "pull",
    params(("queue" = String, Path, description = "The queue's name")),
    request_body(content = ClaimRequest, content_type = "application/json"),
    responses(
        (status = 200, description = "The messages; none, if nothing came in time", body = ClaimedList<'static>),
        (status = 409, description = "The queue sends by itself"),
        (status = 415, description = "The body is not JSON"),
    ),
)]
pub(in crate::api) async fn claim(
    State(door): Shared,
    queue: InQueue,
    peer: Peer,
    body: Body,
) -> Result<Response, Problem> {
    let queue = pulled(queue)?;
    let body = door.bodies.read(body, SMALL_BODY_BYTES_MAX).await?;
    let mut fields = Fields::of_body(&body, &CLAIM)?;
    let max = fields.read_as("max", |raw| whole(raw, 1..=MESSAGES_MAX.into())).unwrap_or(1);
    let wait_ms = fields.read_as("wait", |raw| duration(raw, 0..=WAIT_MS_MAX)).unwrap_or(0);
    let lease_ms = fields.read_as("lease", |raw| duration(raw, LEASE_MS_MIN..=LEASE_MS_MAX));
    fields.finish()?;
    // One that has closed its side already may be there for its answer, and waits for nothing. One that
    // closes it later is taken for gone.
    let was_closed = peer.has_closed();
    let wait_ms = if was_closed { 0 } else { wait_ms };
    let wish = PullWish {
        messages_max: usize::try_from(max).unwrap_or(usize::MAX),
        lease_ms,
        until: Instant::now() + Duration::from_millis(wait_ms),
    };
    let (name, stop) = (&queue.policy.name, &door.state.draining);
    let pulled = door.polls.claim(door.store(), name, wish, stop, peer.closed()).await?;
    // Dropped, they go back.
    let Some(pulled) = pulled.filter(|_| was_closed || !peer.has_closed()) else {
        return Ok(nothing());
    };
    let messages = pulled
        .start(door.now_ms()?)
        .map(|(message, token)| view(&pulled, message, &token))
        .collect();
    let response = Json(ClaimedList { messages }).into_response();
    pulled.handed_over();
    Ok(response)
}

fn nothing() -> Response {
    Json(ClaimedList { messages: Vec::new() }).into_response()
}

/// A message as a worker gets it.
fn view<'a>(pulled: &Pulled, message: &'a Claimed, token: &WorkerToken) -> ClaimedView<'a> {
    let details = &message.details;
    let id = MessageId { queue: pulled.queue.policy.name.clone(), ulid: message.lease.ulid };
    let (payload, payload_base64) = payload_fields(show_payload(details.kind, &message.payload));
    ClaimedView {
        id: id.to_string(),
        token: token.to_string(),
        attempt: message.attempt,
        payload,
        payload_base64,
        content_type: details.content_type.as_deref().unwrap_or("application/json").into(),
        headers: Pairs::from(&*details.headers),
        group: details.group.as_deref().map(Cow::Borrowed),
        labels: Cow::Borrowed(&details.labels),
        due_at: Moment(message.due_ms),
        expires_at: message.expires_ms.map(Moment),
        lease_until: Moment(pulled.lease_until_ms),
    }
}
