//! Recurring messages: when each is due next, and pausing, resuming and running it.

use std::sync::Arc;

use askama::Template;
use axum::extract::{FromRequest as _, Path, RawQuery, Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};

use crate::dashboard::cookies::see;
use crate::dashboard::form::{FormBody, FormFields};
use crate::dashboard::frame::{Frame, html};
use crate::dashboard::problem_page::ShownProblem;
use crate::dashboard::state::Dashboard;
use crate::dashboard::step::Step;
use crate::dashboard::visit::Visit;
use crate::dashboard::words::{encoded, grouped};
use crate::dashboard::zones::Zones;
use crate::domain::human::span;
use crate::wire::schedule::{ScheduleList, ScheduleView};

/// Schedules on a page.
const LIMIT: usize = 100;

/// A schedule in a line.
#[derive(Debug)]
struct ScheduleRow {
    name: String,
    path: String,
    source: String,
    queue: String,
    queue_path: String,
    description: String,
    pattern: String,
    next: Vec<String>,
    last: Option<String>,
    last_id: Option<String>,
    overdue: Option<String>,
    paused: Option<String>,
    fired: String,
    missed: String,
}

#[derive(Template)]
#[template(path = "schedules.html")]
struct SchedulesPage {
    frame: Frame,
    rows: Vec<ScheduleRow>,
    next: Option<String>,
}

pub(in crate::dashboard) async fn page(
    visit: Visit,
    RawQuery(query): RawQuery,
) -> Result<Response, ShownProblem> {
    let fields = FormFields::read(query.unwrap_or_default().as_bytes());
    let cursor = fields.some("cursor").map(|cursor| format!("&cursor={}", encoded(cursor)));
    let path = format!("/v1/schedules?limit={LIMIT}{}", cursor.unwrap_or_default());
    let list: ScheduleList = visit.read(&path).await?;
    Ok(html(&SchedulesPage {
        frame: visit.frame("Schedules", "/ui/schedules").followed(),
        rows: list.schedules.iter().map(|view| row(view, &visit.zones)).collect(),
        next: list.next_cursor.map(|cursor| format!("/ui/schedules?cursor={}", encoded(&cursor))),
    }))
}

pub(in crate::dashboard) async fn step(
    State(dashboard): State<Arc<Dashboard>>,
    Path((name, word)): Path<(String, String)>,
    request: Request,
) -> Response {
    let Step { visit, fields } = match Step::from_request(request, &dashboard).await {
        Ok(step) => step,
        Err(response) => return response,
    };
    let (body, note) = match word.as_str() {
        "pause" => (FormBody::default().text("reason", fields.some("reason")), "schedule-paused"),
        "resume" => (FormBody::default(), "schedule-resumed"),
        "run" => (FormBody::default(), "schedule-run"),
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    let path = format!("/v1/schedules/{}/{word}", encoded(&name));
    match visit.change(Method::POST, &path, Some(&body.json())).await {
        Ok(()) => see(&format!("/ui/schedules?note={note}")),
        Err(problem) => problem.into_response(),
    }
}

fn row(view: &ScheduleView, zones: &Zones) -> ScheduleRow {
    let zone = view.time_zone.as_deref().and_then(|name| name.parse().ok());
    let zones = Zones { window: zone, ..zones.clone() };
    let every = view.every.as_ref().map(|every| format!("every {}", span(every.0)));
    ScheduleRow {
        name: view.name.clone(),
        path: encoded(&view.name),
        source: view.source.as_str().to_owned(),
        queue: view.queue.clone(),
        queue_path: encoded(&view.queue),
        description: view.description.clone(),
        pattern: view.cron.clone().or(every).unwrap_or_default(),
        // While it is paused it does not run then.
        next: match view.paused {
            Some(_) => Vec::new(),
            None => view.next.iter().take(3).map(|at| zones.brief(*at)).collect(),
        },
        last: view.last.as_ref().map(|last| zones.brief(last.fired_at)),
        last_id: view.last.as_ref().map(|last| last.message_id.clone()),
        overdue: view.overdue.as_ref().map(|overdue| span(overdue.late_ms)),
        paused: view.paused.as_ref().map(|paused| {
            let since = zones.clock(paused.since);
            format!("paused by {} since {since}: {}", paused.by, paused.reason)
        }),
        fired: grouped(view.fired),
        missed: grouped(view.missed),
    }
}
