//! Receipts: a downstream that accepted a message tells what became of it.
//!
//! Owns what a receipt may say, one by one or as a list, and what is answered. Which message it closes
//! is decided by the store's script.

use axum::Json;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::StreamExt as _;
use serde_json::value::RawValue;

use super::fields::{Fields, Shape, bad_json, json_of, list_of_body};
use super::pace::Pace;
use super::paths::InQueue;
use super::problem::{Code, FAULTS_IN_ALL_MAX, Problem};
use super::receipt_words::{self, Pairs, WordsSaid};
use super::request_head::{Media, media};
use super::values::{check_name, string, words};
use super::{Door, Shared};
use crate::domain::id::MessageId;
use crate::domain::receipt::{REFERENCE_BYTES_MAX, Receipt, ReceiptOf, ReceiptSaid};
use crate::domain::state::State as MessageState;
use crate::store::{Queue, Received};
use crate::wire::receipt::{
    RECEIPT_TYPE, RECEIPTS_MAX, ReceiptList, ReceiptVerdict, ReceiptView, ReceiptsAnswer,
    ReceiptsRequest,
};

/// Receipts that are carried out at once.
const AT_ONCE: usize = 32;
/// What `Retry-After` says while too many receipts are kept: they go within the hour, or sooner.
const RETRY_S: u32 = 30;

pub(super) static RECEIPT: Shape = Shape { known: &["id", "ref", "status", "detail"], later: &[] };

/// Tells what became of a message that was accepted, by its id or the downstream's own reference.
///
/// A list tells of several, each with a result of its own. In a queue with `receipts.parse` the names and statuses are those
/// of the downstream. A single receipt may also be a form.
#[utoipa::path(
    post, path = "/v1/queues/{queue}/receipts", operation_id = "send_receipts", tag = "queues",
    params(
        ("queue" = String, Path, description = "The queue's name"),
        ("token" = Option<String>, Query, description = "A token with the scope receipt alone, in place of the header Authorization"),
    ),
    request_body(content = ReceiptsRequest, content_type = "application/json"),
    responses(
        (status = 200, description = "It closed the message, or had before; of a list, each result", body = ReceiptsAnswer),
        (status = 202, description = "It came before our own bookkeeping, and is kept", body = ReceiptsAnswer),
        (status = 409, description = "It contradicts what is known of the message"),
        (status = 415, description = "The body is neither JSON nor a form"),
    ),
)]
pub(super) async fn receive(
    State(door): Shared,
    InQueue(queue): InQueue,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let body = door.bodies.read(body, door.state.server.body_limit_bytes).await?;
    if media(&headers) == Media::Form {
        return take_words(&door, &queue, &Pairs::read(&body)).await;
    }
    let is_ours = queue.policy.receipts.names.is_none() || has_our_names(&headers);
    if !json_of(&body).trim_ascii_start().starts_with(b"[") {
        let read = if is_ours {
            WordsSaid::Receipt(read(Fields::of_body(&body, &RECEIPT)?, &queue)?)
        } else {
            read_words(
                serde_json::from_slice(json_of(&body)).map_err(|error| bad_json(&error))?,
                &queue,
            )?
        };
        let (status, told) = take(&door, &queue, &read).await?;
        return Ok((status, Json(told)).into_response());
    }
    let items = list_of_body(&body, RECEIPTS_MAX, "a list of receipts")?;
    let (mut receipts, mut pace) = (Vec::with_capacity(items.len()), Pace::default());
    for raw in items {
        pace.step().await;
        receipts.push(if is_ours { read_within(raw, &queue) } else { read_words(raw, &queue) });
    }
    let mut results = Vec::with_capacity(receipts.len());
    let mut faults_left = FAULTS_IN_ALL_MAX;
    let mut told = futures_util::stream::iter(receipts)
        .map(async |receipt| match receipt {
            Ok(receipt) => take(&door, &queue, &receipt).await.map(|(_, told)| told),
            Err(problem) => Err(problem),
        })
        .buffered(AT_ONCE);
    while let Some(told) = told.next().await {
        // A bad one does not reject its neighbours.
        let mut told = told.unwrap_or_else(|mut problem| {
            problem.shorten(&mut faults_left);
            ReceiptView { problem: Some(problem.view()), ..ReceiptView::default() }
        });
        told.index = Some(results.len() as u64);
        results.push(told);
    }
    Ok(Json(ReceiptList { results }).into_response())
}

/// Tells what became of a message that was accepted, with a query, as some downstreams can only do.
///
/// The names are those of `receipts.parse`; without it they are `id`, `ref`, `status` and `detail`. Other parameters are
/// ignored.
#[utoipa::path(
    get, path = "/v1/queues/{queue}/receipts", operation_id = "send_receipt", tag = "queues",
    params(
        ("queue" = String, Path, description = "The queue's name"),
        ("id" = Option<String>, Query, description = "The message"),
        ("ref" = Option<String>, Query, description = "The downstream's own reference"),
        ("status" = Option<String>, Query, description = "What became of it"),
        ("detail" = Option<String>, Query, description = "Why, kept with the message"),
        ("token" = Option<String>, Query, description = "A token with the scope receipt alone, in place of the header Authorization"),
    ),
    responses(
        (status = 200, description = "It closed the message, or had before, or says nothing certain", body = ReceiptView),
        (status = 202, description = "It came before our own bookkeeping, and is kept", body = ReceiptView),
        (status = 409, description = "It contradicts what is known of the message"),
    ),
)]
pub(super) async fn receive_query(
    State(door): Shared,
    InQueue(queue): InQueue,
    method: Method,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    // A HEAD asks what a GET would answer, and must change nothing.
    if method == Method::HEAD {
        let detail = "a receipt is sent with POST or GET; HEAD would change nothing";
        return Err(Problem::new(Code::MethodNotAllowed, detail));
    }
    take_words(&door, &queue, &Pairs::read(query.unwrap_or_default().as_bytes())).await
}

/// Whether a JSON body has the names of the API, whatever those of the downstream are.
fn has_our_names(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = content_type.and_then(|text| text.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case(RECEIPT_TYPE))
}

async fn take_words(door: &Door, queue: &Queue, pairs: &Pairs) -> Result<Response, Problem> {
    let read = receipt_words::read(pairs, queue, &queue.policy.receipts)?;
    let (status, told) = take(door, queue, &read).await?;
    Ok((status, Json(told)).into_response())
}

fn read_words(raw: &RawValue, queue: &Queue) -> Result<WordsSaid, Problem> {
    let fields = receipt_words::json_fields(raw)?;
    receipt_words::read(&fields, queue, &queue.policy.receipts)
}

/// One of a list.
fn read_within(raw: &RawValue, queue: &Queue) -> Result<WordsSaid, Problem> {
    let fields = Fields::within(raw, &RECEIPT, "").map_err(|detail| Problem::fault("", detail))?;
    read(fields, queue).map(WordsSaid::Receipt)
}

fn read(mut fields: Fields<'_>, queue: &Queue) -> Result<Receipt, Problem> {
    let id = fields.read_as("id", |raw| {
        let text = string(raw)?;
        let id: MessageId = text.parse().map_err(|error| format!("{error}"))?;
        if id.queue != queue.policy.name {
            return Err(format!("found an id of the queue \"{}\"", id.queue));
        }
        Ok(id)
    });
    let reference = fields.read_as("ref", |raw| {
        let text = string(raw)?;
        check_name(&text, REFERENCE_BYTES_MAX)?;
        Ok(text)
    });
    let said = fields.read_as("status", |raw| match string(raw)?.as_str() {
        "delivered" => Ok(ReceiptSaid::Delivered),
        "dead" => Ok(ReceiptSaid::Dead),
        other => Err(format!("found \"{other}\", expected delivered or dead")),
    });
    let detail = fields.read_as("detail", words);
    match (fields.raw("id").is_some(), fields.raw("ref").is_some()) {
        (false, false) => fields.fault("id", "missing; expected id, or ref"),
        (true, true) => fields.fault("ref", "give id or ref, not both"),
        _ => {}
    }
    if fields.raw("status").is_none() {
        fields.fault("status", "missing; expected delivered or dead");
    }
    fields.finish()?;
    let of = id.map(ReceiptOf::Id).or_else(|| reference.map(ReceiptOf::Reference));
    match (of, said) {
        (Some(of), Some(said)) => Ok(Receipt { of, said, detail }),
        _ => Err(Problem::fault("", "expected id or ref, and status")),
    }
}

async fn take(
    door: &Door,
    queue: &Queue,
    read: &WordsSaid,
) -> Result<(StatusCode, ReceiptView), Problem> {
    let WordsSaid::Receipt(receipt) = read else {
        queue.metrics.count("receipt_ignored", 1);
        let verdict = Some(ReceiptVerdict::Ignored.into());
        return Ok((StatusCode::OK, ReceiptView { verdict, ..ReceiptView::default() }));
    };
    let said = receipt.said.as_str();
    let view = |verdict: ReceiptVerdict| ReceiptView {
        verdict: Some(verdict.into()),
        ..ReceiptView::default()
    };
    let closed = |id: MessageId, verdict: ReceiptVerdict| {
        let state = match receipt.said {
            ReceiptSaid::Delivered => MessageState::Delivered,
            ReceiptSaid::Dead => MessageState::Dead,
        };
        let told =
            ReceiptView { id: Some(id.to_string()), state: Some(state.into()), ..view(verdict) };
        (StatusCode::OK, told)
    };
    match door.store().messages.receive(queue, receipt).await? {
        Received::Closed(id) => Ok(closed(id, ReceiptVerdict::Ok)),
        Received::Already(id) => Ok(closed(id, ReceiptVerdict::Already)),
        Received::Kept => Ok((StatusCode::ACCEPTED, view(ReceiptVerdict::Kept))),
        Received::Unknown => Err(Problem::not_found(
            "there is no message of this id or reference; it is wrong, or its retention is over",
        )),
        Received::Contradicts(Some(state)) => Err(Problem::wrong_state(
            state.as_str(),
            format!("the message is {state}; a receipt that says {said} does not fit"),
        )),
        Received::Contradicts(None) => Err(Problem::wrong_state(
            "leased",
            format!("another receipt is kept for this message, and does not say {said}"),
        )),
        Received::Full => Err(Problem::new(
            Code::StoreFull,
            "too many receipts are kept for messages that nobody knows; are the references right?",
        )
        .retry_after(RETRY_S)),
    }
}
