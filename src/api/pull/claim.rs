//! `POST /v1/queues/{queue}/claim`: messages for a worker, each under a lease.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use tokio::time::Instant;

use super::{LEASE_MS_MAX, LEASE_MS_MIN, pulled};
use crate::api::Shared;
use crate::api::change::SMALL_BODY_BYTES_MAX;
use crate::api::fields::{Fields, Shape};
use crate::api::paths::InQueue;
use crate::api::peer::Peer;
use crate::api::problem::Problem;
use crate::api::values::{duration, whole};
use crate::api::view::{HeaderPairs, Moment, PayloadView};
use crate::domain::id::MessageId;
use crate::domain::shown::show_payload;
use crate::engine::pull::{PullWish, Pulled, WorkerToken};
use crate::store::Claimed;

/// Most messages in one claim.
const MESSAGES_MAX: u64 = 1000;
/// The longest wait for something to come, in milliseconds.
const WAIT_MS_MAX: u64 = 60_000;

static CLAIM: Shape = Shape { known: &["max", "wait", "lease"], later: &[] };

/// Hands messages to a worker: what the gates of the queue let through now, up to `max` (default 1);
/// with `wait`, as soon as there is something. Each is under a lease (default: the queue's) and comes
/// back when it runs out.
#[utoipa::path(
    post, path = "/v1/queues/{queue}/claim", operation_id = "claim_messages", tag = "pull",
    params(("queue" = String, Path, description = "The queue's name")),
    request_body(content = ref("#/components/schemas/Claim"), content_type = "application/json"),
    responses(
        (status = 200, description = "The messages; none, if nothing came in time", body = ref("#/components/schemas/ClaimedMessages")),
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
    let max = fields.read_as("max", |raw| whole(raw, 1..=MESSAGES_MAX)).unwrap_or(1);
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
    let messages: Vec<_> = pulled
        .start(door.now_ms()?)
        .map(|(message, token)| ClaimedView::new(&pulled, message, &token))
        .collect();
    let response = Json(serde_json::json!({ "messages": messages })).into_response();
    pulled.handed_over();
    Ok(response)
}

fn nothing() -> Response {
    Json(serde_json::json!({ "messages": [] })).into_response()
}

/// A message as a worker gets it.
#[derive(Serialize)]
struct ClaimedView<'a> {
    id: String,
    token: String,
    attempt: u32,
    #[serde(flatten)]
    payload: PayloadView<'a>,
    content_type: &'a str,
    headers: HeaderPairs<'a>,
    group: Option<&'a str>,
    labels: &'a BTreeMap<String, String>,
    due_at: Moment,
    expires_at: Option<Moment>,
    lease_until: Moment,
}

impl<'a> ClaimedView<'a> {
    fn new(pulled: &Pulled, message: &'a Claimed, token: &WorkerToken) -> Self {
        let details = &message.details;
        Self {
            id: MessageId { queue: pulled.queue.policy.name.clone(), ulid: message.lease.ulid }
                .to_string(),
            token: token.to_string(),
            attempt: message.attempt,
            payload: PayloadView("payload", show_payload(details.kind, &message.payload)),
            content_type: details.content_type.as_deref().unwrap_or("application/json"),
            headers: HeaderPairs(&details.headers),
            group: details.group.as_deref(),
            labels: &details.labels,
            due_at: Moment(message.due_ms),
            expires_at: message.expires_ms.map(Moment),
            lease_until: Moment(pulled.lease_until_ms),
        }
    }
}
