//! Starting an operation, first as a preview, and stopping one.

use std::sync::Arc;

use axum::extract::{FromRequest as _, Path, Request, State};
use axum::http::Method;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Map, Value};

use crate::dashboard::cookies::see;
use crate::dashboard::form::{FormBody, FormFields};
use crate::dashboard::problem_page::ShownProblem;
use crate::dashboard::state::Dashboard;
use crate::dashboard::step::Step;
use crate::dashboard::words::encoded;
use crate::wire::operation::OperationView;

/// The filters that are texts.
const TEXTS: [&str; 8] = [
    "group",
    "error_contains",
    "created_after",
    "created_before",
    "due_after",
    "due_before",
    "final_after",
    "final_before",
];

pub(in crate::dashboard) async fn start(step: Step) -> Result<Response, ShownProblem> {
    let Step { visit, fields } = step;
    let made: OperationView = visit.post("/v1/operations", &wish(&fields)).await?;
    Ok(see(&format!("/ui/operations/{}", encoded(&made.id))))
}

pub(in crate::dashboard) async fn stop(
    State(dashboard): State<Arc<Dashboard>>,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    let visit = match Step::from_request(request, &dashboard).await {
        Ok(step) => step.visit,
        Err(response) => return response,
    };
    let path = format!("/v1/operations/{}/stop", encoded(&id));
    match visit.change(Method::POST, &path, Some("{}")).await {
        Ok(()) => see(&format!("/ui/operations/{}?note=stopping", encoded(&id))),
        Err(problem) => problem.into_response(),
    }
}

/// The operation that a form asks for. Without a filter it is refused, unless all messages are meant.
fn wish(fields: &FormFields) -> String {
    let mut filter = Map::new();
    let labels: Map<String, Value> = fields
        .all("label")
        .map(|label| label.split_once('=').unwrap_or((label, "")))
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect();
    if !labels.is_empty() {
        filter.insert("label".to_owned(), labels.into());
    }
    for name in TEXTS {
        if let Some(text) = fields.some(name) {
            filter.insert(name.to_owned(), text.into());
        }
    }
    let mut body = FormBody::default();
    for name in ["action", "queue", "state", "rate", "reason", "to", "delay", "due_at"] {
        body = body.text(name, fields.some(name));
    }
    if !filter.is_empty() {
        body = body.value("filter", filter.into());
    }
    for name in ["all", "dry_run"] {
        if fields.some(name).is_some() {
            body = body.value(name, true.into());
        }
    }
    body.json()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_a_wish() {
        let fields = FormFields::read(
            b"action=requeue&queue=sms&state=dead&label=shop%3Deu&label=&error_contains=timed+out&rate=5/s&dry_run=1&to=",
        );
        let expected = r#"{"action":"requeue","dry_run":true,"filter":{"error_contains":"timed out","label":{"shop":"eu"}},"queue":"sms","rate":"5/s","state":"dead"}"#;
        assert_eq!(wish(&fields), expected);
        assert_eq!(
            wish(&FormFields::read(b"action=retry&all=1")),
            r#"{"action":"retry","all":true}"#
        );
    }
}
