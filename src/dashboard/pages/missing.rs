//! An address of the dashboard at which there is no page.

use axum::http::StatusCode;

use crate::dashboard::problem_page::{ShownProblem, problem};
use crate::dashboard::visit::Visit;
use crate::wire::problem::ProblemCode;

pub(in crate::dashboard) async fn page(visit: Visit) -> ShownProblem {
    let path = visit.place.split('?').next().unwrap_or_default();
    let detail = format!("There is no page at {path}. Choose one from the navigation.");
    visit.problem(problem(StatusCode::NOT_FOUND, ProblemCode::NotFound, detail))
}
