//! Topics: one event in, a message in each of its queues.
//!
//! Owns what a publisher is told. The event is the promise: it is kept before anybody is answered, and
//! a queue that cannot take its message now gets it later.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use futures_util::{StreamExt as _, TryStreamExt as _};

use super::auth::Caller;
use super::paths::InTopic;
use super::problem::{Code, Problem};
use super::query::Query;
use super::traced::RequestTrace;
use super::{Door, Shared, allowed, estimate, idempotency, intake, repeat};
use crate::domain::id::QueueName;
use crate::domain::message::Details;
use crate::domain::topic::EventId;
use crate::store::{Published, StoreError, Topic, TopicEvent};
use crate::wire::Vocabulary as _;
use crate::wire::new_message::MessageRequest;
use crate::wire::topic::{EventAnswer, EventMessageView, TopicList, TopicView};

/// How long the answer waits for the queues: usually all have their messages by then, and who asks for
/// one at once finds it.
const HAND_OUT_PATIENCE: Duration = Duration::from_millis(250);
/// Topics read at once.
const READ_AT_ONCE: usize = 16;

/// Publishes an event: each queue of the topic gets a message of its own.
///
/// 201 is sent only once the event is as safe as `redis.durability` asks; each queue then has its
/// message, or gets it as soon as it can take it (`"pending": true`). A repeat with the same
/// idempotency key and the same body is answered 200 with the same ids and `"duplicate": true`.
#[utoipa::path(
    post, path = "/v1/topics/{topic}/messages", operation_id = "publish", tag = "topics",
    params(
        ("topic" = String, Path, description = "The topic's name"),
        ("Idempotency-Key" = Option<String>, Header, description = "In place of idempotency_key; quoted or bare"),
        ("traceparent" = Option<String>, Header, description = "The trace it belongs to, by W3C Trace Context; it goes with each message to its downstream, as tracestate does"),
    ),
    request_body(content = MessageRequest, content_type = "application/json"),
    responses(
        (status = 201, description = "Kept", body = EventAnswer),
        (status = 200, description = "Published before", body = EventAnswer),
        (status = 413, description = "The body is larger than server.body_limit"),
        (status = 415, description = "The body is not JSON"),
        (status = 422, description = "The idempotency key belongs to a different event, whose id is in id; or the cost is above a quota of a queue"),
    ),
)]
pub(super) async fn publish(
    State(door): Shared,
    Extension(caller): Extension<Caller>,
    topic: InTopic,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    door.open_for_intake()?;
    let topic = topic.taking()?;
    let key = idempotency::from_header(&headers)?;
    let trace = RequestTrace::of(&door, &headers);
    let body = door.bodies.read(body, door.state.server.body_limit_bytes).await?;
    let mut message = intake::message(&body, door.now_ms()?, key.as_deref())?;
    // A repeat has the same.
    let details = message.details.clone();
    for queue in &topic.policy.queues {
        let policy = &door.store().queues.get(queue)?.policy;
        allowed::check((&door, &caller), &message.details, policy).await?;
        estimate::check(&door, policy, (&message, door.now_ms()?), &mut None).await?;
    }
    let span = trace.begin(&mut message.details);
    let mut published = door.store().topics.publish(&topic, message).await.map_err(not_kept)?;
    if matches!(published, Published::Mismatch(_)) {
        // It may say the same in other words (see `repeat`).
        for spelling in repeat::other_spellings(&body, door.now_ms()?, key.as_deref()) {
            let again = door.store().topics.publish(&topic, spelling).await.map_err(not_kept)?;
            if !matches!(again, Published::Mismatch(_)) {
                published = again;
                break;
            }
        }
    }
    trace.ended(
        span,
        topic.policy.name.as_str(),
        match &published {
            Published::Kept(event) => (Ok(event.id.to_string()), false, false),
            Published::Before(id, _) => (Ok(id.to_string()), true, false),
            Published::Mismatch(_) => (Err(Code::IdempotencyMismatch.word()), false, false),
        },
    );
    let view = |id: &EventId, queues: &[QueueName], left: &[QueueName]| {
        view(&door, (id, &details), queues, left)
    };
    match published {
        Published::Kept(event) => {
            let (id, queues) = (event.id.clone(), event.queues.clone());
            let handed = door.store().hand_outs.soon(*event);
            let left = tokio::time::timeout(HAND_OUT_PATIENCE, handed).await;
            // Not known yet: said of all, since it may be true of any.
            let left = left.ok().and_then(Result::ok).unwrap_or_else(|| queues.clone());
            Ok((StatusCode::CREATED, Json(view(&id, &queues, &left))).into_response())
        }
        Published::Before(id, queues) => {
            let mut first = view(&id, &queues, &[]);
            first.duplicate = Some(true);
            Ok((StatusCode::OK, Json(first)).into_response())
        }
        Published::Mismatch(first) => Err(Problem::new(
            Code::IdempotencyMismatch,
            format!(
                "this idempotency key was given to a different event, {first}; use another key"
            ),
        )
        .with_id(first.to_string())),
    }
}

fn not_kept(error: StoreError) -> Problem {
    match error {
        StoreError::Unavailable(why) | StoreError::Denied(why) | StoreError::NotDurable(why) => {
            Problem::store_unavailable(format!(
                "{why}; it is unknown whether the event was stored: retry with the same idempotency key"
            ))
        }
        StoreError::Unfit(why) => Problem::store_unavailable(format!(
            "{why}; the event was not stored: retry with the same idempotency key"
        )),
        StoreError::Full(why) => Problem::store_full(format!("{why}: the event was not stored")),
        other => other.into(),
    }
}

fn view(
    door: &Door,
    (event, details): (&EventId, &Details),
    queues: &[QueueName],
    left: &[QueueName],
) -> EventAnswer {
    let message = |queue: &QueueName| {
        let routing = door.store().queues.get(queue).map(|queue| queue.routing());
        let id = TopicEvent::message_id(event, queue, &routing.unwrap_or_default(), details);
        let pending = left.contains(queue).then_some(true);
        EventMessageView { queue: queue.to_string(), id: id.to_string(), pending }
    };
    let messages = queues.iter().map(message).collect();
    EventAnswer { id: event.to_string(), messages, duplicate: None }
}

/// Every topic, by name; retired ones too.
#[utoipa::path(
    get, path = "/v1/topics", operation_id = "list_topics", tag = "topics",
    responses((status = 200, description = "The topics", body = TopicList)),
)]
pub(super) async fn topics(
    State(door): Shared,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    Query::read(query.as_deref(), &[]).finish()?;
    let mut topics = door.store().topics.all();
    topics.retain(|topic| caller.reaches_topic(&topic.policy));
    let topics: Vec<TopicView> = futures_util::stream::iter(topics)
        .map(|topic| shown(&door, topic))
        .buffered(READ_AT_ONCE)
        .try_collect()
        .await?;
    Ok(Json(TopicList { topics }).into_response())
}

/// A topic: its queues, and the events that some of them lack still.
#[utoipa::path(
    get, path = "/v1/topics/{topic}", operation_id = "get_topic", tag = "topics",
    params(("topic" = String, Path, description = "The topic's name")),
    responses((status = 200, description = "The topic", body = TopicView)),
)]
pub(super) async fn topic(
    State(door): Shared,
    InTopic(topic): InTopic,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    Query::read(query.as_deref(), &[]).finish()?;
    Ok(Json(shown(&door, topic).await?).into_response())
}

async fn shown(door: &Door, topic: Arc<Topic>) -> Result<TopicView, Problem> {
    let outstanding = door.store().topics.outstanding(&topic).await?;
    Ok(TopicView {
        topic: topic.policy.name.to_string(),
        queues: topic.policy.queues.iter().map(ToString::to_string).collect(),
        retired: topic.retired,
        pending: outstanding.events,
        oldest_pending_age_ms: outstanding.oldest_age_ms,
        waits_for: outstanding.waits_for,
    })
}
