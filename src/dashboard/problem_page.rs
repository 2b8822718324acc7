//! A problem as a page.
//!
//! Owns how a refusal of the API looks to people, and what follows where a token is not valid any more.

use askama::Template;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::cookies::{forget, login_first};
use super::frame::{Frame, html};
use crate::wire::Vocabulary as _;
use crate::wire::problem::{ProblemCode, ProblemView};

/// The page of a problem.
#[derive(Debug, Template)]
#[template(path = "problem.html")]
struct ProblemPage {
    frame: Frame,
    problem: Box<ProblemView>,
    /// Where to go for another token, if this one is not valid any more.
    login: Option<String>,
}

/// A problem that is shown in place of a page.
#[derive(Debug)]
pub(super) struct ShownProblem(Box<ProblemPage>);

impl ShownProblem {
    /// A problem of somebody who is signed in.
    pub(super) fn new(frame: Frame, problem: Box<ProblemView>) -> Self {
        let login = (problem.status == 401).then(|| frame.place.clone());
        Self(Box::new(ProblemPage { frame, problem, login }))
    }

    /// A problem before anybody is signed in.
    pub(super) fn bare(base: &str, problem: Box<ProblemView>) -> Self {
        let frame = Frame::bare(base, &problem.title);
        Self(Box::new(ProblemPage { frame, problem, login: None }))
    }

    pub(super) const fn status(&self) -> u16 {
        self.0.problem.status
    }
}

impl IntoResponse for ShownProblem {
    fn into_response(self) -> Response {
        if let Some(place) = &self.0.login {
            let mut response = login_first(place);
            forget(&mut response, &self.0.frame.base);
            return response;
        }
        let mut response = html(&*self.0);
        if let Ok(status) = StatusCode::from_u16(self.0.problem.status) {
            *response.status_mut() = status;
        }
        response
    }
}

/// A problem that the dashboard finds itself.
pub(super) fn problem(
    status: StatusCode,
    code: ProblemCode,
    detail: impl Into<String>,
) -> Box<ProblemView> {
    Box::new(ProblemView {
        r#type: format!("urn:tidegate:problem:{}", code.word()),
        title: status.canonical_reason().unwrap_or("This did not work").to_owned(),
        status: status.as_u16(),
        detail: detail.into(),
        code: code.into(),
        errors: Vec::new(),
        accepted: None,
        id: None,
        retry_after_s: None,
        rejected: None,
        results: None,
        state: None,
    })
}
