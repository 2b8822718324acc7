//! A form that changes something.
//!
//! Owns what protects it: a form carries what only its session knows, and comes from a page of this daemon. Refuses to
//! know what it changes.

use std::sync::Arc;

use axum::body::to_bytes;
use axum::extract::{FromRequest, FromRequestParts as _, Request};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};

use super::cookies;
use super::form::FormFields;
use super::origin::check_origin;
use super::problem_page::problem;
use super::state::Dashboard;
use super::visit::Visit;
use crate::wire::problem::ProblemCode;

/// The field with what binds a form to its session.
const FORM_TOKEN: &str = "form_token";
/// How much larger a form may be than the message in it: three bytes for one, and its other fields.
const FORM_GROWTH: usize = 3;
const FORM_REST_BYTES: usize = 64 * 1024;

/// A form that was let in.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) visit: Visit,
    pub(super) fields: FormFields,
}

impl FromRequest<Arc<Dashboard>> for Step {
    type Rejection = Response;

    async fn from_request(request: Request, dashboard: &Arc<Dashboard>) -> Result<Self, Response> {
        let (mut head, body) = request.into_parts();
        let visit = Visit::from_request_parts(&mut head, dashboard).await?;
        let refused = |problem| visit.problem(problem).into_response();
        check_origin(dashboard, &head.headers).map_err(refused)?;
        let bytes_max = dashboard.body_limit_bytes * FORM_GROWTH + FORM_REST_BYTES;
        let Ok(body) = to_bytes(body, bytes_max).await else {
            let detail = format!("the form is larger than {bytes_max} bytes");
            return Err(refused(problem(
                StatusCode::PAYLOAD_TOO_LARGE,
                ProblemCode::TooLarge,
                detail,
            )));
        };
        let fields = FormFields::read(&body);
        if !cookies::is_same(fields.text(FORM_TOKEN), &visit.form_token()) {
            let detail = "the form belongs to another session, or to a daemon that has restarted since; go back, reload the page, and send it again";
            return Err(refused(problem(StatusCode::FORBIDDEN, ProblemCode::Forbidden, detail)));
        }
        Ok(Self { visit, fields })
    }
}
