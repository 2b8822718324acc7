//! The steps on one message.

use std::sync::Arc;

use axum::extract::{FromRequest as _, Path, Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::value::RawValue;

use crate::dashboard::cookies::see;
use crate::dashboard::form::{FormBody, FormFields};
use crate::dashboard::problem_page::{ShownProblem, problem};
use crate::dashboard::state::Dashboard;
use crate::dashboard::step::Step;
use crate::dashboard::visit::Visit;
use crate::dashboard::words::encoded;
use crate::domain::message_step::MessageStep;
use crate::wire::problem::ProblemCode;

pub(in crate::dashboard) async fn step(
    State(dashboard): State<Arc<Dashboard>>,
    Path((id, word)): Path<(String, String)>,
    request: Request,
) -> Response {
    let Step { visit, fields } = match Step::from_request(request, &dashboard).await {
        Ok(step) => step,
        Err(response) => return response,
    };
    let Some(step) = MessageStep::of(&word) else { return StatusCode::NOT_FOUND.into_response() };
    match done(&visit, &id, step, &fields).await {
        Ok(note) => see(&format!("/ui/messages/{}?note={note}", encoded(&id))),
        Err(problem) => problem.into_response(),
    }
}

async fn done(
    visit: &Visit,
    id: &str,
    step: MessageStep,
    fields: &FormFields,
) -> Result<&'static str, ShownProblem> {
    let path = format!("/v1/messages/{}", encoded(id));
    let post = |word: &str| (Method::POST, format!("{path}/{word}"));
    let ((method, path), body, note) = match step {
        MessageStep::Run => (post("run"), "{}".to_owned(), "run"),
        MessageStep::Requeue => (post("requeue"), "{}".to_owned(), "requeued"),
        MessageStep::Cancel => ((Method::DELETE, path), String::new(), "cancelled"),
        MessageStep::Resolve => (post("resolve"), resolve(fields), "resolved"),
        MessageStep::Reschedule => ((Method::PATCH, path), reschedule(fields), "rescheduled"),
        MessageStep::Edit => ((Method::PATCH, path), edit(visit, fields)?, "edited"),
        MessageStep::Receipt => {
            let queue = id.rsplit_once('_').map_or(id, |(queue, _)| queue);
            let path = format!("/v1/queues/{}/receipts", encoded(queue));
            visit.report(&path, &receipt(id, fields)).await?;
            return Ok("resolved");
        }
    };
    let body = (!body.is_empty()).then_some(body);
    visit.change(method, &path, body.as_deref()).await?;
    Ok(note)
}

fn resolve(fields: &FormFields) -> String {
    let body = FormBody::default().text("as", fields.some("as"));
    body.text("reason", fields.some("reason")).json()
}

fn receipt(id: &str, fields: &FormFields) -> String {
    let body = FormBody::default().text("id", Some(id)).text("status", fields.some("as"));
    body.text("detail", fields.some("reason")).json()
}

fn reschedule(fields: &FormFields) -> String {
    FormBody::default()
        .text("delay", fields.some("delay"))
        .text("due_at", fields.some("due_at"))
        .number("priority", fields.some("priority"))
        .text("expires_at", fields.some("expires_at"))
        .json()
}

/// JSON is sent byte for byte as it was written.
fn edit(visit: &Visit, fields: &FormFields) -> Result<String, ShownProblem> {
    let text = fields.exact("payload").unwrap_or_default();
    match fields.text("kind") {
        "text" => Ok(FormBody::default().value("payload", text.into()).json()),
        "base64" => Ok(FormBody::default().text("payload_base64", Some(text.trim())).json()),
        _ => match serde_json::from_str::<&RawValue>(text.trim()) {
            Ok(raw) => Ok(format!(r#"{{"payload":{}}}"#, raw.get())),
            Err(error) => {
                let detail =
                    format!("the payload is not valid JSON: {error}; go back to correct it");
                let view = problem(StatusCode::BAD_REQUEST, ProblemCode::InvalidRequest, detail);
                Err(visit.problem(view))
            }
        },
    }
}
