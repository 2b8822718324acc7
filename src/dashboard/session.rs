//! The session of a browser: a cookie with the token, which no script can read.
//!
//! Nothing is kept of it here, so that it holds at every node and over a restart, and ends with its token. Owns the
//! page that asks for a token. Refuses to know scopes.

use std::sync::Arc;

use askama::Template;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;

use super::cookies::{forget, own_place, see, set_token};
use super::form::FormFields;
use super::frame::{Frame, html};
use super::origin::check_origin;
use super::problem_page::ShownProblem;
use super::state::Dashboard;
use super::step::Step;
use crate::wire::problem::ProblemView;

/// Longest body of the form that logs in.
const LOGIN_BYTES_MAX: usize = 16 * 1024;

/// The page that asks for a token.
#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    frame: Frame,
    /// Where to go afterwards.
    next: String,
    /// Why the token that was given is refused.
    refused: Option<String>,
}

/// Asks for a token.
pub(super) async fn page(
    State(dashboard): State<Arc<Dashboard>>,
    RawQuery(query): RawQuery,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ShownProblem> {
    check_place(&dashboard, &uri, &headers)?;
    let next = FormFields::read(query.unwrap_or_default().as_bytes());
    if dashboard.guard.is_open() {
        // There are no tokens, and nothing to sign in with.
        return Ok(see(&own_place(next.text("next"))));
    }
    Ok(asking(&dashboard, own_place(next.text("next")), None))
}

/// Takes a token, and goes on to where the browser wanted to go.
pub(super) async fn login(
    State(dashboard): State<Arc<Dashboard>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, ShownProblem> {
    check_place(&dashboard, &uri, &headers)?;
    let wrong = |problem| ShownProblem::bare(&dashboard.base, problem);
    check_origin(&dashboard, &headers).map_err(wrong)?;
    let fields = FormFields::read(body.get(..LOGIN_BYTES_MAX).unwrap_or(&body));
    let next = own_place(fields.text("next"));
    let token = fields.text("token");
    if !dashboard.guard.is_open()
        && let Err(problem) = dashboard.guard.holder(token.as_bytes())
    {
        // What the API says of it is for programs, which are given a token otherwise.
        let why = match problem.status {
            401 => "This token is not known here, or is not valid any more.".to_owned(),
            _ => problem.detail,
        };
        let mut response = asking(&dashboard, next, Some(why));
        *response.status_mut() =
            StatusCode::from_u16(problem.status).unwrap_or(StatusCode::UNAUTHORIZED);
        return Ok(response);
    }
    let mut response = see(&next);
    set_token(&mut response, &dashboard.base, token, &headers);
    Ok(response)
}

/// Forgets the token.
pub(super) async fn logout(step: Step) -> Response {
    let mut response = see("/ui/login");
    forget(&mut response, &step.visit.dashboard.base);
    response
}

fn asking(dashboard: &Dashboard, next: String, refused: Option<String>) -> Response {
    html(&LoginPage { frame: Frame::bare(&dashboard.base, "Sign in"), next, refused })
}

fn check_place(dashboard: &Dashboard, uri: &Uri, headers: &HeaderMap) -> Result<(), ShownProblem> {
    let wrong = |problem: Box<ProblemView>| ShownProblem::bare(&dashboard.base, problem);
    dashboard.guard.check_place(uri, headers).map_err(wrong)
}
