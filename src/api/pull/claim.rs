//! `POST /v1/queues/{queue}/claim`: messages for a worker, each under a lease.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use tokio::time::Instant;

use super::desk::{self, Taken, Wish};
use super::token::WorkerToken;
use super::{LEASE_MS_MAX, LEASE_MS_MIN, pulled};
use crate::api::Shared;
use crate::api::change::SMALL_BODY_BYTES_MAX;
use crate::api::fields::{Fields, Shape};
use crate::api::paths::InQueue;
use crate::api::peer::Peer;
use crate::api::problem::Problem;
use crate::api::values::{duration, whole};
use crate::api::view::{Moment, Pairs, PayloadView};
use crate::domain::id::MessageId;
use crate::domain::shown::show_payload;
use crate::store::{Claimed, Queue, Settled, Store};

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
    let wish = Wish {
        messages_max: usize::try_from(max).unwrap_or(usize::MAX),
        lease_ms,
        until: Instant::now() + Duration::from_millis(wait_ms),
    };
    let lease_ms = lease_ms.unwrap_or(queue.policy.lease_ms);
    let taken = desk::take(&door, &queue.policy.name, wish, &peer).await?;
    let Some(Taken { queue, reply, claimed_at_ms, was_awaited }) = taken else {
        return Ok(nothing());
    };
    for message in &reply.messages {
        let shard = &queue.shards[usize::from(message.lease.shard)];
        door.store().lease_ends(shard, Instant::now() + Duration::from_millis(lease_ms));
    }
    let hands = Hands::new(door.store(), &queue, &reply.messages);
    if let Some(last) = reply.messages.last() {
        tokio::time::sleep_until(last.slot).await;
    }
    if peer.has_closed() && !was_closed {
        return Ok(nothing());
    }
    let now_ms = door.now_ms()?;
    let lateness = door.store().lateness(&queue.policy);
    let messages: Vec<_> = reply
        .messages
        .iter()
        .map(|message| {
            door.store().note_start(&queue.policy, message, !was_awaited, &lateness);
            let token = WorkerToken::new(message, now_ms, reply.paused_ms);
            ClaimedView::new(&queue, message, &token, claimed_at_ms + lease_ms)
        })
        .collect();
    let response = Json(serde_json::json!({ "messages": messages })).into_response();
    hands.let_go();
    Ok(response)
}

fn nothing() -> Response {
    Json(serde_json::json!({ "messages": [] })).into_response()
}

/// Messages on their way to a worker: if it hangs up before it has them, they go back unsent.
struct Hands {
    store: Store,
    queue: Arc<Queue>,
    held: Vec<Settled>,
}

impl Hands {
    fn new(store: &Store, queue: &Arc<Queue>, messages: &[Claimed]) -> Self {
        let unsent = |message: &Claimed| Settled::of(message.lease.clone());
        let held = messages.iter().map(unsent).collect();
        Self { store: store.clone(), queue: Arc::clone(queue), held }
    }

    fn let_go(mut self) {
        self.held.clear();
    }
}

impl Drop for Hands {
    fn drop(&mut self) {
        let held = std::mem::take(&mut self.held);
        if !held.is_empty() {
            self.store.give_back(Arc::clone(&self.queue), held);
        }
    }
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
    headers: Pairs<'a>,
    group: Option<&'a str>,
    labels: &'a BTreeMap<String, String>,
    due_at: Moment,
    expires_at: Option<Moment>,
    lease_until: Moment,
}

impl<'a> ClaimedView<'a> {
    fn new(queue: &Queue, message: &'a Claimed, token: &WorkerToken, lease_until_ms: u64) -> Self {
        let details = &message.details;
        Self {
            id: MessageId { queue: queue.policy.name.clone(), ulid: message.lease.ulid }
                .to_string(),
            token: token.to_string(),
            attempt: message.attempt,
            payload: PayloadView("payload", show_payload(details.kind, &message.payload)),
            content_type: details.content_type.as_deref().unwrap_or("application/json"),
            headers: Pairs(&details.headers),
            group: details.group.as_deref(),
            labels: &details.labels,
            due_at: Moment(message.due_ms),
            expires_at: message.expires_ms.map(Moment),
            lease_until: Moment(lease_until_ms),
        }
    }
}
