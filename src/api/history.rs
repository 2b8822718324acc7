//! What went through a queue, minute by minute.

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse as _, Response};

use super::Shared;
use super::paths::InQueue;
use super::problem::Problem;
use super::query::Query;
use crate::domain::minutes::{MINUTE_MS, MINUTES_MAX};
use crate::wire::history::HistoryAnswer;

/// What went through a queue in the last minutes.
#[utoipa::path(
    get, path = "/v1/queues/{queue}/history", operation_id = "queue_history", tag = "queues",
    params(
        ("queue" = String, Path, description = "The queue's name"),
        ("minutes" = Option<u32>, Query, description = "How many minutes back, 1 to 1440; default 1440"),
    ),
    responses((status = 200, description = "The counts", body = HistoryAnswer)),
)]
pub(super) async fn history(
    State(door): Shared,
    InQueue(queue): InQueue,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let mut query = Query::read(query.as_deref(), &["minutes"]);
    let minutes = query.count("minutes", MINUTES_MAX).unwrap_or(MINUTES_MAX);
    query.finish()?;
    let now_ms = door.now_ms()?;
    let all = door.store().queues.minutes(&queue.policy.name, now_ms).await?;
    let wanted = usize::try_from(minutes).unwrap_or(usize::MAX).min(all.len());
    let begins = (now_ms / MINUTE_MS + 1).saturating_sub(wanted as u64);
    let shown = &all[all.len() - wanted..];
    Ok(Json(HistoryAnswer::new(begins * MINUTE_MS, shown)).into_response())
}
