//! `POST /v1/queues/{queue}/messages/batch`: a JSON array, or NDJSON that is taken in as it arrives.
//!
//! Owns cutting items out of the body. What becomes of them is in `batch_results`.

use axum::body::{Body, Bytes};
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use tokio::time::Instant;

use super::auth::Caller;
use super::batch_results::{Batch, too_many};
use super::body::PAUSE_PATIENCE;
use super::fields::{bad_json, json_of};
use super::items::items;
use super::lines::{Line, Lines};
use super::pace::Pace;
use super::paths::InQueue;
use super::problem::Problem;
use super::request_head::{Media, media};
use super::send::wants_estimate;
use super::traced::RequestTrace;
use super::{Door, Shared, body, estimate, idempotency};
use crate::wire::new_message::{BATCH_MESSAGES_MAX, MessageRequests};
use crate::wire::problem::BatchAnswer;

/// Arrays up to this size are cut where they are: it takes less than a millisecond.
const CUT_HERE_BYTES_MAX: usize = 256 * 1024;

/// What a body that is not NDJSON should be.
const EXPECTED: &str =
    "a JSON array of messages (or NDJSON, with Content-Type: application/x-ndjson)";

/// Hands over up to 10,000 messages, each for itself: one bad item never rejects its neighbours.
///
/// Each item may carry its own `idempotency_key`; the header of that name is refused here. A batch
/// that breaks off (too large, too slow) is answered with a problem that carries the results so far.
#[utoipa::path(
    post, path = "/v1/queues/{queue}/messages/batch", tag = "messages",
    params(
        ("queue" = String, Path, description = "The queue's name"),
        ("estimate" = Option<bool>, Query, description = "true: the answer says when the last message leaves that was taken in"),
        ("traceparent" = Option<String>, Header, description = "The trace that items without a header traceparent of their own belong to, by W3C Trace Context"),
    ),
    request_body(content(
        (MessageRequests = "application/json"),
        (String = "application/x-ndjson"),
    )),
    responses(
        (status = 200, description = "What became of each item, in order", body = BatchAnswer),
        (status = 408, description = "The body stood still"),
        (status = 413, description = "More than 10,000 items, or larger than server.batch_body_limit"),
        (status = 415, description = "The body is neither JSON nor NDJSON"),
        (status = 503, description = "The store is unavailable or full, or this node holds too many unfinished bodies"),
    ),
)]
pub(super) async fn send_batch(
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
    if headers.contains_key(idempotency::HEADER) {
        return Err(Problem::fault(
            "",
            "the header Idempotency-Key names one message; give each item its own idempotency_key",
        ));
    }
    // Without a clock no item could be judged: one answer for all.
    door.now_ms()?;
    let trace = RequestTrace::of_many(&door, &headers);
    let mut batch = Batch::new(&door, &caller, &queue, trace);
    let taken = match media(&headers) {
        Media::Lines => take_lines(&door, &mut batch, body).await,
        Media::Json | Media::Silent | Media::Form | Media::Foreign => {
            take_array(&door, &mut batch, body).await
        }
    };
    match taken {
        Ok(()) => {
            let mut answer = batch.finish().await?;
            if wants_estimate && let Some(id) = batch.last_accepted() {
                answer.estimate = Some(estimate::of(&door, &queue, &id).await?);
            }
            Ok(Json(answer).into_response())
        }
        Err(problem) => Err(batch.broken(problem).await),
    }
}

/// Line by line, as they arrive: memory stays bounded however long the stream is.
async fn take_lines(door: &Door, batch: &mut Batch<'_>, mut body: Body) -> Result<(), Problem> {
    let bytes_max = door.state.server.batch_body_limit_bytes;
    let mut lines = Lines::new(door.state.server.body_limit_bytes);
    let (mut bytes, mut pace, mut share) = (0, Pace::default(), door.bodies.share());
    while let Some(piece) = body::next(&mut body, Instant::now() + PAUSE_PATIENCE).await? {
        bytes += piece.len();
        if bytes > bytes_max {
            return Err(body::too_large("the batch", bytes_max));
        }
        pace.step().await;
        lines.feed(&piece);
        while let Some(line) = lines.next() {
            take_line(batch, line).await?;
        }
        // A line whose end has not come yet counts with the other unfinished bodies.
        share.shrink(lines.bytes_held());
        body::hold(&mut share, lines.bytes_held()).await?;
    }
    match lines.finish() {
        Some(line) => take_line(batch, line).await,
        None => Ok(()),
    }
}

async fn take_line(batch: &mut Batch<'_>, line: Line) -> Result<(), Problem> {
    match line {
        Line::Item(item) => batch.push(&item).await,
        Line::TooLong => batch.push_too_large(),
    }
}

/// A whole array: nothing of it is taken in before all of it is known to be JSON.
async fn take_array(door: &Door, batch: &mut Batch<'_>, body: Body) -> Result<(), Problem> {
    let body = door.bodies.read_large(body, door.state.server.batch_body_limit_bytes).await?;
    for item in cut(body).await? {
        batch.push(&item).await?;
    }
    Ok(())
}

/// The items of an array; a large one is cut on a thread of its own, as nobody else would be served while
/// it is read.
async fn cut(body: Bytes) -> Result<Vec<Bytes>, Problem> {
    if body.len() <= CUT_HERE_BYTES_MAX {
        return items_of(&body);
    }
    let cut = tokio::task::spawn_blocking(move || items_of(&body)).await;
    cut.unwrap_or_else(|_| Err(Problem::of_status(StatusCode::INTERNAL_SERVER_ERROR)))
}

fn items_of(body: &Bytes) -> Result<Vec<Bytes>, Problem> {
    let items =
        items(json_of(body), BATCH_MESSAGES_MAX, EXPECTED).map_err(|error| bad_json(&error))?;
    let items = items.ok_or_else(too_many)?;
    Ok(items.into_iter().map(|item| body.slice_ref(item.get().as_bytes())).collect())
}

#[cfg(test)]
mod tests {
    use super::super::problem::Code;
    use super::*;

    fn read(body: &str) -> Result<Vec<String>, Code> {
        items_of(&Bytes::copy_from_slice(body.as_bytes()))
            .map(|items| items.iter().map(|i| String::from_utf8_lossy(i).into_owned()).collect())
            .map_err(|problem| problem.code())
    }

    #[test]
    fn items_stay_as_they_came() {
        assert_eq!(read("[]"), Ok(vec![]));
        assert_eq!(
            read(" [ {\"a\" : 1} , 2,\n[3] ] "),
            Ok(vec!["{\"a\" : 1}".into(), "2".into(), "[3]".into()])
        );
    }

    #[test]
    fn broken_arrays_are_refused_as_a_whole() {
        for bad in ["", "[", "[1,]", "[1] 2", "{}", "[1 2]", "{\"payload\": 1}\n{\"payload\": 2}"] {
            assert_eq!(read(bad), Err(Code::InvalidRequest), "{bad}");
        }
        let most = format!("[{}0]", "0,".repeat(BATCH_MESSAGES_MAX - 1));
        assert_eq!(read(&most).unwrap().len(), BATCH_MESSAGES_MAX);
        let over = format!("[{}0]", "0,".repeat(BATCH_MESSAGES_MAX));
        assert_eq!(read(&over), Err(Code::TooLarge));
    }
}
