//! `GET /v1/queues/{queue}/windows`: when the downstream may be called in the next days.
//!
//! Refuses to know how openings follow from rules and dates (see `domain::window`).

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse as _, Response};

use super::Shared;
use super::paths::InQueue;
use super::problem::Problem;
use super::query::Query;
use super::view::Moment;
use crate::domain::window::{SaidBy, SpecialDate, Window};
use crate::domain::zone::ClockChange;
use crate::wire::window::{ClockChangeView, OpeningView, SpecialDateView, WindowsAnswer};

/// Days of windows, unless asked otherwise.
pub(super) const DAYS_DEFAULT: u32 = 14;
/// Most days of windows.
pub(super) const DAYS_MAX: u32 = 366;

/// The hours in which the queue's downstream may be called, from now on; the first and the last whole, too.
#[utoipa::path(
    get, path = "/v1/queues/{queue}/windows", operation_id = "list_windows", tag = "queues",
    params(
        ("queue" = String, Path, description = "The queue's name"),
        ("days" = Option<u32>, Query, description = "How many days ahead, 1 to 366; default 14"),
    ),
    responses((status = 200, description = "The openings", body = WindowsAnswer)),
)]
pub(super) async fn windows(
    State(door): Shared,
    InQueue(queue): InQueue,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let mut query = Query::read(query.as_deref(), &["days"]);
    let days = query.count("days", DAYS_MAX).unwrap_or(DAYS_DEFAULT);
    query.finish()?;
    let from_ms = door.now_ms()?;
    let to_ms = from_ms + u64::from(days) * 86_400_000;
    let window = queue.policy.window.as_ref();
    // Without a window it has always been open, and never closes.
    let openings =
        window.map_or_else(|| vec![(None, None)], |window| window.openings(from_ms, to_ms));
    let opening = |(opens_ms, closes_ms): (Option<u64>, Option<u64>)| OpeningView {
        opens_at: opens_ms.map(Moment),
        closes_at: closes_ms.map(Moment),
    };
    let time_zone = window.map_or("UTC", |window| window.time_zone()).to_owned();
    let windows = openings.into_iter().map(opening).collect();
    let dates = window.map_or_else(Vec::new, |window| special_dates(window, from_ms, to_ms));
    let changes = window.map_or_else(Vec::new, |window| {
        let changes = window.clock_changes(from_ms, to_ms);
        let view = |it: ClockChange| ClockChangeView {
            at: Moment(it.at_ms),
            before_s: it.before_s,
            after_s: it.after_s,
        };
        changes.map(view).collect()
    });
    let answer = WindowsAnswer { time_zone, windows, dates, clock_changes: changes };
    Ok(Json(answer).into_response())
}

fn special_dates(window: &Window, from_ms: u64, to_ms: u64) -> Vec<SpecialDateView> {
    let calendar = window.calendar().map(|calendar| calendar.name.to_string());
    let view = |it: &SpecialDate| SpecialDateView {
        date: it.date.to_string(),
        closed: it.is_closed(),
        calendar: calendar.clone().filter(|_| it.said_by == SaidBy::Calendar),
    };
    window.special_dates(from_ms, to_ms).map(view).collect()
}
