//! The steps on a queue: pause, resume, override, try.

use std::borrow::Cow;
use std::sync::Arc;

use askama::Template;
use axum::extract::{FromRequest as _, Path, Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::dashboard::cookies::see;
use crate::dashboard::form::{FormBody, FormFields};
use crate::dashboard::frame::{Frame, html};
use crate::dashboard::problem_page::ShownProblem;
use crate::dashboard::state::Dashboard;
use crate::dashboard::step::Step;
use crate::dashboard::visit::Visit;
use crate::dashboard::words::encoded;
use crate::domain::limit::LimitKindName;
use crate::wire::exchange::ExchangeView;
use crate::wire::queue::QueueView;

/// A header in a line.
#[derive(Debug)]
struct HeaderRow {
    name: String,
    value: String,
}

/// A test call and its answer.
#[derive(Template)]
#[template(path = "exchange.html")]
struct ExchangePage {
    frame: Frame,
    queue: String,
    path: String,
    method: String,
    url: String,
    headers: Vec<HeaderRow>,
    body: String,
    status: Option<u16>,
    answer: String,
    error: Option<String>,
    outcome: String,
    rule: Option<String>,
    duration_ms: u64,
}

pub(in crate::dashboard) async fn step(
    State(dashboard): State<Arc<Dashboard>>,
    Path((name, step)): Path<(String, String)>,
    request: Request,
) -> Response {
    let Step { visit, fields } = match Step::from_request(request, &dashboard).await {
        Ok(step) => step,
        Err(response) => return response,
    };
    let done = match step.as_str() {
        "try" => {
            return tried(&visit, &name, &fields).await.unwrap_or_else(ShownProblem::into_response);
        }
        "pause" => pause(&visit, &name, &fields).await,
        "resume" => {
            let path = format!("/v1/queues/{}/resume", encoded(&name));
            visit.change(Method::POST, &path, Some("{}")).await.map(|()| "resumed")
        }
        "override" => put_override(&visit, &name, &fields).await,
        "end-override" => {
            let id = encoded(fields.text("id"));
            let path = format!("/v1/queues/{}/overrides/{id}", encoded(&name));
            visit.change(Method::DELETE, &path, None).await.map(|()| "override-ended")
        }
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    match done {
        Ok(note) => see(&format!("/ui/queues/{}?note={note}", encoded(&name))),
        Err(problem) => problem.into_response(),
    }
}

async fn pause(
    visit: &Visit,
    name: &str,
    fields: &FormFields,
) -> Result<&'static str, ShownProblem> {
    let body = FormBody::default()
        .text("for", fields.some("for"))
        .text("until", fields.some("until"))
        .text("reason", fields.some("reason"))
        .json();
    let path = format!("/v1/queues/{}/pause", encoded(name));
    visit.change(Method::POST, &path, Some(&body)).await?;
    Ok("paused")
}

async fn put_override(
    visit: &Visit,
    name: &str,
    fields: &FormFields,
) -> Result<&'static str, ShownProblem> {
    let value = fields.some("value");
    let body = FormBody::default().text("for", fields.some("for"));
    let body = body.text("until", fields.some("until")).text("reason", fields.some("reason"));
    let body = match fields.text("kind") {
        "concurrency" => body.number("concurrency", value),
        "window" => body.text("window", value),
        "limit" => body.value("limit", limit(visit, name, fields).await?),
        _ => body.text("rate", value),
    };
    let above = fields.some("above").is_some();
    let body = if above { body.value("above", true.into()) } else { body };
    let path = format!("/v1/queues/{}/overrides", encoded(name));
    visit.change(Method::POST, &path, Some(&body.json())).await?;
    Ok("override")
}

/// Another value of one limit, of the kind that the limit has.
async fn limit(visit: &Visit, name: &str, fields: &FormFields) -> Result<Value, ShownProblem> {
    let wanted = fields.text("limit");
    let value = fields.text("value");
    let queue: QueueView = visit.read(&format!("/v1/queues/{}", encoded(name))).await?;
    let known = queue.limits.iter().find(|limit| limit.name == wanted);
    let mut limit = json!({ "name": wanted });
    match known.and_then(|limit| limit.kind.known()) {
        Some(LimitKindName::Quota) => limit["quota"] = value.into(),
        Some(LimitKindName::Concurrency) => {
            limit["concurrency"] = value.parse::<u32>().map_or_else(|_| value.into(), Value::from);
        }
        Some(LimitKindName::Rate) | None => limit["rate"] = value.into(),
    }
    Ok(limit)
}

async fn tried(visit: &Visit, name: &str, fields: &FormFields) -> Result<Response, ShownProblem> {
    let text = fields.exact("body").unwrap_or_default();
    let body = match serde_json::from_str::<&RawValue>(&text) {
        Ok(raw) => format!(r#"{{"payload":{}}}"#, raw.get()),
        Err(_) => {
            let body = FormBody::default().value("payload", text.into());
            body.text("content_type", Some("text/plain")).json()
        }
    };
    let path = format!("/v1/queues/{}/try", encoded(name));
    let exchange: ExchangeView<'static> = visit.post(&path, &body).await?;
    let text = |body: Option<Option<Cow<'_, str>>>, base64: Option<String>| {
        body.flatten().map(Cow::into_owned).or(base64).unwrap_or_default()
    };
    let ExchangeView { request, answer, outcome, decision, duration_ms } = exchange;
    let headers = request
        .headers
        .0
        .iter()
        .map(|(name, value)| HeaderRow { name: name.clone(), value: value.clone() });
    Ok(html(&ExchangePage {
        frame: visit.frame(format!("Test call of {name}"), "/"),
        headers: headers.collect(),
        queue: name.to_owned(),
        path: encoded(name),
        method: request.method.into_owned(),
        url: request.url.into_owned(),
        body: text(request.body, request.body_base64),
        status: answer.status_code,
        answer: text(answer.body, answer.body_base64),
        error: answer.error.map(Cow::into_owned),
        outcome: outcome.into_owned(),
        rule: decision.rule.map(Cow::into_owned),
        duration_ms,
    }))
}
