//! The limits that queues share: how much of each is used, by which queue, and counting what others used.

use std::sync::Arc;

use askama::Template;
use axum::extract::{FromRequest as _, Path, Request, State};
use axum::http::Method;
use axum::response::{IntoResponse as _, Response};

use crate::dashboard::charts::meter;
use crate::dashboard::cookies::see;
use crate::dashboard::form::FormBody;
use crate::dashboard::frame::{Frame, html};
use crate::dashboard::problem_page::ShownProblem;
use crate::dashboard::state::Dashboard;
use crate::dashboard::step::Step;
use crate::dashboard::visit::Visit;
use crate::dashboard::words::{encoded, grouped, shell_word};
use crate::dashboard::zones::Zones;
use crate::domain::limit::LimitKindName;
use crate::wire::shared_limit::{SharedLimitList, SharedLimitView};

/// How much a queue has used.
#[derive(Debug)]
struct UseRow {
    queue: String,
    path: String,
    used: String,
}

/// A shared limit in a line.
#[derive(Debug)]
struct SharedLimitRow {
    name: String,
    path: String,
    kind: String,
    value: String,
    zone: String,
    meter: Option<String>,
    used: Option<String>,
    charged: Option<String>,
    resets: Option<String>,
    next: Option<String>,
    by_queue: Vec<UseRow>,
    is_quota: bool,
    command: String,
}

#[derive(Template)]
#[template(path = "limits.html")]
struct LimitsPage {
    frame: Frame,
    rows: Vec<SharedLimitRow>,
}

pub(in crate::dashboard) async fn page(visit: Visit) -> Result<Response, ShownProblem> {
    let list: SharedLimitList = visit.read("/v1/limits").await?;
    let rows = list.limits.iter().map(|view| row(view, &visit.zones)).collect();
    Ok(html(&LimitsPage { frame: visit.frame("Limits", "/ui/limits").followed(), rows }))
}

pub(in crate::dashboard) async fn charge(
    State(dashboard): State<Arc<Dashboard>>,
    Path(name): Path<String>,
    request: Request,
) -> Response {
    let Step { visit, fields } = match Step::from_request(request, &dashboard).await {
        Ok(step) => step,
        Err(response) => return response,
    };
    let body = FormBody::default().number("units", fields.some("units"));
    let body = body.text("reason", fields.some("reason")).json();
    let path = format!("/v1/limits/{}/charge", encoded(&name));
    match visit.change(Method::POST, &path, Some(&body)).await {
        Ok(()) => see("/ui/limits?note=charged"),
        Err(problem) => problem.into_response(),
    }
}

fn row(view: &SharedLimitView, zones: &Zones) -> SharedLimitRow {
    let zone = view.time_zone.as_deref().and_then(|name| name.parse().ok());
    let zones = Zones { window: zone, ..zones.clone() };
    let of = view.used.zip(view.left).map(|(used, left)| (used, used + left));
    let said = of.map(|(used, of)| format!("{} of {} used", grouped(used), grouped(of)));
    let by_queue = view.by_queue.iter().map(|used| UseRow {
        queue: used.queue.clone(),
        path: encoded(&used.queue),
        used: grouped(used.used),
    });
    SharedLimitRow {
        name: view.name.clone(),
        path: encoded(&view.name),
        kind: view.kind.as_str().to_owned(),
        value: view.value.clone(),
        zone: view.time_zone.clone().unwrap_or_default(),
        meter: of.zip(said.as_ref()).map(|((used, of), said)| meter(used, of, said)),
        used: said,
        charged: view.charged.filter(|units| *units > 0).map(grouped),
        resets: view.resets_at.map(|at| zones.whole(at)),
        next: view.next_at.map(|at| zones.brief(at)),
        by_queue: by_queue.collect(),
        is_quota: view.kind.is(LimitKindName::Quota),
        command: format!("tidegate limit {} charge UNITS --reason TEXT", shell_word(&view.name)),
    }
}
