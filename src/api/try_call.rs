//! `POST /v1/queues/{queue}/try`: one signed test call, nothing stored.
//!
//! Owns the answer's shape. Refuses to know how a call is made: whoever builds the door hands that
//! in, so that the test call is the very call that the queue's messages get.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;

use super::paths::InQueue;
use super::problem::Problem;
use super::{Shared, idempotency, intake};
use crate::domain::classify::Classified;
use crate::domain::message::NewMessage;
use crate::domain::outcome::Answer;
use crate::store::Queue;
use crate::wire::exchange::{ExchangeAnswerView, ExchangeRequestView, ExchangeView};
use crate::wire::new_message::MessageRequest;
use crate::wire::{Pairs, text_or_base64};

/// What a test call comes to; an error is a sentence for people.
pub type TryFuture = Pin<Box<dyn Future<Output = Result<TryReport, String>> + Send>>;

/// Makes one call at a queue's downstream, as its messages get it, and stores nothing.
pub trait TryCall: Send + Sync {
    /// Calls with this message as the only one, attempt 1, bounded by the downstream's timeout.
    ///
    /// An error means that no request could be made of it at all.
    fn call(&self, queue: Arc<Queue>, message: NewMessage, now_ms: u64) -> TryFuture;
}

/// A test call and its answer.
#[derive(Debug, Clone)]
pub struct TryReport {
    /// What was sent.
    pub request: TryRequest,
    /// What came back.
    pub answer: Answer,
    /// What it would have meant for a message, and what decided that.
    pub classified: Classified,
    /// How long the exchange took.
    pub duration_ms: u64,
}

/// The request of a test call, as it may be shown: the values of secret headers masked.
#[derive(Debug, Clone)]
pub struct TryRequest {
    /// Its method.
    pub method: String,
    /// Where it went, as the configuration wrote it.
    pub url: String,
    /// Its headers, in order.
    pub headers: Vec<(String, String)>,
    /// Its body, byte for byte.
    pub body: Bytes,
}

/// Makes one signed test call to the queue's downstream, stores nothing and shows the exchange.
#[utoipa::path(
    post, path = "/v1/queues/{queue}/try", operation_id = "try_queue", tag = "queues",
    params(("queue" = String, Path, description = "The queue's name")),
    request_body(content = MessageRequest, content_type = "application/json"),
    responses(
        (status = 200, description = "The exchange, whatever it came to", body = ExchangeView<'static>),
        (status = 413, description = "The body is larger than server.body_limit"),
        (status = 415, description = "The body is not JSON"),
    ),
)]
pub(super) async fn try_call(
    State(door): Shared,
    queue: InQueue,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let queue = queue.taking()?;
    let key = idempotency::from_header(&headers)?;
    let body = door.bodies.read(body, door.state.server.body_limit_bytes).await?;
    let now_ms = door.now_ms()?;
    let message = intake::message(&body, now_ms, key.as_deref())?;
    let called = door.state.try_call.call(queue, message, now_ms).await;
    let report = called.map_err(|why| Problem::fault("", format!("no call was made: {why}")))?;
    Ok(Json(view(&report)).into_response())
}

fn view(report: &TryReport) -> ExchangeView<'_> {
    let request = &report.request;
    let (body, body_base64) = text_or_base64(Some(&request.body));
    ExchangeView {
        request: ExchangeRequestView {
            method: request.method.as_str().into(),
            url: request.url.as_str().into(),
            headers: Pairs::from(&*request.headers),
            body,
            body_base64,
        },
        answer: answer(&report.answer),
        outcome: report.classified.outcome.as_str().into(),
        decision: (&report.classified.said).into(),
        duration_ms: report.duration_ms,
    }
}

fn answer(answer: &Answer) -> ExchangeAnswerView<'_> {
    let (status_code, content_type, bytes, error) = match answer {
        Answer::Answered { status, content_type, body, .. } => {
            (Some(*status), content_type.as_deref(), Some(&**body), None)
        }
        Answer::NotSent { error, .. }
        | Answer::NotAllowed { error }
        | Answer::Withheld { error, .. }
        | Answer::Unknown { error } => (None, None, None, Some(error.as_str())),
    };
    let (body, body_base64) = text_or_base64(bytes);
    ExchangeAnswerView {
        status_code,
        content_type: content_type.map(Into::into),
        body,
        body_base64,
        error: error.map(Into::into),
    }
}
