//! What is wrong, and what to do about it.

use askama::Template;
use axum::response::Response;

use crate::dashboard::frame::{Frame, html};
use crate::dashboard::problem_page::ShownProblem;
use crate::dashboard::visit::Visit;
use crate::dashboard::words::encoded;
use crate::domain::doctor::Weight;
use crate::wire::doctor::DoctorAnswer;

/// A finding.
#[derive(Debug)]
struct FindingRow {
    code: String,
    is_problem: bool,
    about: String,
    queue_path: Option<String>,
    detail: String,
    remedy: String,
    runbook: Option<String>,
    at: Option<String>,
}

#[derive(Template)]
#[template(path = "health.html")]
struct HealthPage {
    frame: Frame,
    store: Option<String>,
    problems: usize,
    rows: Vec<FindingRow>,
}

pub(in crate::dashboard) async fn page(visit: Visit) -> Result<Response, ShownProblem> {
    let answer: DoctorAnswer = visit.read("/v1/doctor").await?;
    let rows = answer.findings.into_iter().map(|view| FindingRow {
        code: view.code.as_str().to_owned(),
        is_problem: !view.weight.is(Weight::Note),
        about: view.about,
        queue_path: view.queue.as_deref().map(encoded),
        detail: visit.zones.sentence(&view.detail),
        remedy: view.remedy,
        runbook: view.runbook,
        at: view.at.map(|at| visit.zones.whole(at)),
    });
    let rows: Vec<_> = rows.collect();
    Ok(html(&HealthPage {
        frame: visit.frame("Health", "/ui/health").followed(),
        store: answer.store,
        problems: rows.iter().filter(|row| row.is_problem).count(),
        rows,
    }))
}
