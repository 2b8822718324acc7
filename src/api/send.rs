//! `POST /v1/queues/{queue}/messages`: the hot path.
//!
//! Owns what a producer is told. The answer is built from what was sent and from the id that the
//! store gave: no second reading.

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};

use super::auth::Caller;
use super::backlog::{FullQueue, Room};
use super::held_by::Hold;
use super::paths::InQueue;
use super::problem::{Code, Problem};
use super::query::Query;
use super::traced::RequestTrace;
use super::view::{MessageView, json};
use super::{Door, Shared, allowed, backlog, estimate, idempotency, intake, repeat};
use crate::domain::gates::{Snapshot, gates};
use crate::domain::id::MessageId;
use crate::domain::message::{Message, NewMessage, Origin, When};
use crate::domain::state::State as MessageState;
use crate::store::{Accepted, NotAccepted, Part, Queue, StoreError};
use crate::wire::estimate::EstimateView;
use crate::wire::message::{ForgottenMessage, RepeatedAnswer};
use crate::wire::new_message::MessageRequest;

/// Hands a message over.
///
/// 201 is sent only once the message is as safe as `redis.durability` asks. A repeat with the same
/// idempotency key and the same body is answered 200 with the first message and `"duplicate": true`. A message that
/// takes the place of a waiting one, by its `collapse_key`, is answered 200 with that one's id and `"collapsed": true`.
#[utoipa::path(
    post, path = "/v1/queues/{queue}/messages", operation_id = "send_message", tag = "messages",
    params(
        ("queue" = String, Path, description = "The queue's name"),
        ("estimate" = Option<bool>, Query, description = "true: the answer says when the message leaves"),
        ("Idempotency-Key" = Option<String>, Header, description = "In place of idempotency_key; quoted or bare"),
        ("traceparent" = Option<String>, Header, description = "The trace it belongs to, by W3C Trace Context; it goes with the message to the downstream, as tracestate does"),
    ),
    request_body(content = MessageRequest, content_type = "application/json"),
    responses(
        (status = 201, description = "Taken in", body = MessageView<'static>, headers(("Location" = String, description = "The message's address"))),
        (status = 200, description = "Taken in before, or in the place of a waiting message with its collapse key", body = RepeatedAnswer<'static>),
        (status = 413, description = "The body is larger than server.body_limit"),
        (status = 415, description = "The body is not JSON"),
        (status = 422, description = "The idempotency key belongs to a different message, whose id is in id; or the cost is above a quota of the queue; or it cannot leave by must_dispatch_by"),
    ),
)]
pub(super) async fn send(
    State(door): Shared,
    Extension(caller): Extension<Caller>,
    queue: InQueue,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let wants_estimate = wants_estimate(query.as_deref())?;
    door.open_for_intake()?;
    let queue = queue.taking()?;
    let key = idempotency::from_header(&headers)?;
    let trace = RequestTrace::of(&door, &headers);
    let body = door.bodies.read(body, door.state.server.body_limit_bytes).await?;
    let now_ms = door.now_ms()?;
    let message = intake::message(&body, now_ms, key.as_deref())?;
    allowed::check((&door, &caller), &message.details, &queue.policy).await?;
    if message.details.must_dispatch_ms.is_some() {
        // Boxed: it is rare, and all others would carry its room.
        Box::pin(estimate::check(&door, &queue.policy, (&message, now_ms), &mut None)).await?;
    }
    let mut message = queue.policy.within_recipient_hours(message, now_ms);
    let span = trace.begin(&mut message.details);
    let sent = queue.policy.with_default_ttl(message.clone(), Origin::Producer);
    let mut answers = door.store().messages.schedule(&queue.policy.name, vec![message]).await?;
    let answer = match answers.pop() {
        // Boxed, as below.
        Some(Err(NotAccepted::Mismatch(first))) => {
            Some(Box::pin(repeat::settle(&door, &queue, &body, key.as_deref(), first)).await?)
        }
        answer => answer,
    };
    trace.end(span, queue.policy.name.as_str(), answer.as_ref());
    let estimate = match &answer {
        Some(Ok(accepted)) if wants_estimate => {
            Some(Box::pin(estimate::of(&door, &queue, &accepted.id)).await?)
        }
        _ => None,
    };
    match answer {
        // Boxed: it is rare, and all others would carry its room.
        Some(Ok(accepted)) if accepted.duplicate || accepted.collapsed => {
            Box::pin(first_message(&door, &accepted, estimate)).await
        }
        Some(Ok(accepted)) => taken(&door, &queue, sent, accepted, estimate).await,
        // Boxed, as above.
        Some(Err(refused)) => Err(Box::pin(refusal(&door, &queue, refused)).await),
        None => Err(Problem::new(Code::Internal, "the store gave no answer; please report this")),
    }
}

/// Whether the answer is to say when the message leaves.
pub(super) fn wants_estimate(query: Option<&str>) -> Result<bool, Problem> {
    let mut query = Query::read(query, &["estimate"]);
    let wants = query.truth("estimate").unwrap_or(false);
    query.finish()?;
    Ok(wants)
}

/// The same of a single message, with all that is known of its key.
pub(super) async fn refusal(door: &Door, queue: &Queue, refused: NotAccepted) -> Problem {
    let mut known = FullQueue::default();
    let room = known.room_for(door, queue, &refused).await;
    not_accepted(refused, queue, room)
}

/// Why a message was not taken in.
pub(super) fn not_accepted(refused: NotAccepted, queue: &Queue, room: Room<'_>) -> Problem {
    match refused {
        NotAccepted::Mismatch(first) => Problem::new(
            Code::IdempotencyMismatch,
            format!(
                "this idempotency key was given to a different message, {first}; use another key"
            ),
        )
        .with_id(first.to_string()),
        NotAccepted::Backlog(what) => backlog::full(&what, queue, room),
        NotAccepted::Store(
            StoreError::Unavailable(why) | StoreError::Denied(why) | StoreError::NotDurable(why),
        ) => Problem::store_unavailable(format!(
            "{why}; it is unknown whether the message was stored: retry with the same idempotency key"
        )),
        NotAccepted::Store(StoreError::Unfit(why)) => Problem::store_unavailable(format!(
            "{why}; the message was not stored: retry with the same idempotency key"
        )),
        NotAccepted::Store(StoreError::Full(why)) => Problem::store_full(format!(
            "{why}: the message was not stored; retry with the same idempotency key once there is room"
        )),
        NotAccepted::Store(other) => other.into(),
    }
}

/// 201 with the message as a GET would show it.
async fn taken(
    door: &Door,
    queue: &Queue,
    sent: NewMessage,
    accepted: Accepted,
    estimate: Option<EstimateView>,
) -> Result<Response, Problem> {
    let now_ms = door.store().clock().now_ms();
    let location = location(&accepted.id)?;
    if sent.details.collapse_key.is_some() {
        // How it stands depends on those before it.
        return Box::pin(beside_others(door, queue, (sent, accepted, estimate), location)).await;
    }
    let message = match as_scheduled(queue, sent, accepted.clone(), now_ms) {
        Some(message) => message,
        // The script's own time is needed, and it is kept with the message.
        None => Box::pin(door.store().messages.get_part(&accepted.id, Part::Head))
            .await?
            .ok_or_else(|| super::paths::no_message(&accepted.id.to_string()))?,
    };
    // What takes no question to Redis: the window.
    let gates = gates(&queue.policy, &Snapshot::default(), now_ms);
    let view = MessageView::new(&message, &gates, None, false).estimated(estimate);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], json(&view)?).into_response())
}

/// 201 with a message that has a collapse key.
async fn beside_others(
    door: &Door,
    queue: &Queue,
    (sent, accepted, estimate): (NewMessage, Accepted, Option<EstimateView>),
    location: HeaderValue,
) -> Result<Response, Problem> {
    let found = door.store().messages.get_part(&accepted.id, Part::Head).await?;
    let id = accepted.id.to_string();
    // It may have been sent and forgotten by now.
    let message =
        found.or_else(|| as_scheduled(queue, sent, accepted, door.store().clock().now_ms()));
    let message = message.ok_or_else(|| super::paths::no_message(&id))?;
    let hold = Hold::of(door, &message.id.queue, std::slice::from_ref(&message)).await?;
    let view = hold.view(&message, false).estimated(estimate);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], json(&view)?).into_response())
}

/// 200 with the first message of an idempotency key, or with the one whose place this one took; its bare id, if its retention
/// is over.
async fn first_message(
    door: &Door,
    accepted: &Accepted,
    estimate: Option<EstimateView>,
) -> Result<Response, Problem> {
    let location = [(header::LOCATION, location(&accepted.id)?)];
    let Some(message) = door.store().messages.get_part(&accepted.id, Part::Head).await? else {
        let bare = ForgottenMessage {
            id: accepted.id.to_string(),
            queue: accepted.id.queue.to_string(),
            state: None,
            duplicate: accepted.duplicate,
            collapsed: accepted.collapsed.then_some(true),
        };
        return Ok((StatusCode::OK, location, Json(bare)).into_response());
    };
    let hold = Hold::of(door, &message.id.queue, std::slice::from_ref(&message)).await?;
    let view = hold.view(&message, false).estimated(estimate);
    let view = if accepted.collapsed { view.collapsed() } else { view.duplicate() };
    Ok((StatusCode::OK, location, Json(view)).into_response())
}

pub(super) fn location(id: &MessageId) -> Result<HeaderValue, Problem> {
    HeaderValue::try_from(format!("/v1/messages/{id}")).map_err(|_| {
        Problem::new(Code::Internal, "an id is not a valid header value; please report this")
    })
}

/// The message as it stands right after the script took it; `None`: its expiry was counted by the
/// script's own clock, which the answer does not tell.
fn as_scheduled(
    queue: &Queue,
    sent: NewMessage,
    accepted: Accepted,
    now_ms: Option<u64>,
) -> Option<Message> {
    let due_at_ms = accepted.due_at_ms;
    let (taken_at_ms, is_due) = match sent.due {
        When::After(ms) => (Some(due_at_ms - ms.min(due_at_ms)), ms == 0),
        When::At(_) => (None, due_at_ms <= now_ms?),
    };
    let expires_at_ms = match sent.expires {
        None => None,
        Some(When::At(at_ms)) => Some(at_ms),
        Some(after) => Some(after.at_ms(taken_at_ms?)),
    };
    Some(Message {
        state: if is_due { MessageState::Ready } else { MessageState::Scheduled },
        payload: Some(sent.payload),
        callback: queue.policy.callback_on(&sent.details),
        details: sent.details,
        created_at_ms: accepted.id.ulid.timestamp_ms(),
        id: accepted.id,
        due_at_ms,
        expires_at_ms,
        priority: sent.priority,
        superseded: 0,
        waits_for_older: false,
        older: None,
        attempts: 0,
        throttles: 0,
        window_holds: 0,
        rescues: 0,
        last_attempt: None,
        final_at_ms: None,
        reason: None,
        probes: None,
        reference: None,
        accepted_at_ms: None,
        decided_by: None,
        is_edited: false,
        waited: None,
    })
}
