//! The API, and what it is lent because its floor may not reach it: a test call at a downstream.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use bytes::Bytes;
use http::Method;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::api::{
    self, ApiState, LastReload, PageGuard, Tokens, TryCall, TryFuture, TryReport, TryRequest,
};
use crate::config::Settings;
use crate::dashboard::{DashboardParts, with_dashboard};
use crate::domain::classify::classify_single;
use crate::domain::endpoint::HttpDownstream;
use crate::domain::id::{MessageId, new_ulid};
use crate::domain::message::NewMessage;
use crate::domain::policy::Downstream;
use crate::domain::request_template::{ShownRequest, TemplateError};
use crate::engine::{single_call, template_message, with_rendered};
use crate::store::{Queue, Store};
use crate::transport::{Call, Transport};

/// The API on this store, with its pages.
pub(super) fn api(
    settings: &Settings,
    (tokens, reload): (&Tokens, &LastReload),
    store: &Store,
    draining: &CancellationToken,
) -> Router {
    let router = api::router(ApiState {
        store: store.clone(),
        server: settings.server.clone(),
        tokens: tokens.clone(),
        reload: reload.clone(),
        draining: draining.clone(),
        try_call: Arc::new(TestCalls),
    });
    with_dashboard(DashboardParts {
        api: router,
        guard: PageGuard::new(tokens.clone(), store.clone(), &settings.server.origins),
        server: &settings.server,
        draining: draining.clone(),
    })
}

/// Makes test calls as a queue's messages get them, on connections of their own.
struct TestCalls;

impl TryCall for TestCalls {
    fn call(&self, queue: Arc<Queue>, message: NewMessage, now_ms: u64) -> TryFuture {
        Box::pin(test_call(queue, message, now_ms))
    }
}

async fn test_call(
    queue: Arc<Queue>,
    message: NewMessage,
    now_ms: u64,
) -> Result<TryReport, String> {
    let policy = &queue.policy;
    let named = policy.downstream.target(&message.details).map_err(|error| error.to_string())?;
    let Some(way) = Transport::new(&policy.downstream).map_err(|error| error.to_string())? else {
        return Err("nobody is called here: workers claim (downstream.type = \"pull\")".to_owned());
    };
    let transport = match &named {
        Some(target) => way.towards(target).map_err(|error| error.to_string())?,
        None => way,
    };
    let id = MessageId {
        queue: policy.name.clone(),
        ulid: new_ulid(now_ms, 0, policy.shards, rand::random()),
    };
    let started = Instant::now();
    let deadline = started + Duration::from_millis(policy.downstream.timeout_ms().max(1));
    let templates = policy.downstream.http().and_then(|http| http.request.as_deref());
    let seen = template_message(&id, &message.details, message.payload.clone(), 1);
    let call = single_call(
        &id,
        &message.details,
        message.payload,
        1,
        now_ms,
        (now_ms, deadline),
        policy.read_response_bytes(),
    );
    let (call, rendered) = match templates {
        None => (call, None),
        Some(templates) => {
            let messages = std::slice::from_ref(&seen);
            let said = |error: TemplateError| error.to_string();
            let rendered = templates.render(messages).map_err(said)?;
            (with_rendered(call, rendered, 1), Some(templates.show(messages).map_err(said)?))
        }
    };
    let called = named.as_ref().or(policy.downstream.http());
    let request = shown(called, &policy.downstream, &call, rendered);
    let answer = transport.send(call).await;
    let classified = classify_single(&answer, policy.answer_context(false));
    let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(TryReport { request, answer, classified, duration_ms })
}

/// The request as it may be shown: what the configuration adds may be secret.
/// `http`: who is called, if anybody is. `rendered`: what templates made of it, without the secrets that they refer to.
fn shown(
    http: Option<&HttpDownstream>,
    downstream: &Downstream,
    call: &Call,
    rendered: Option<ShownRequest>,
) -> TryRequest {
    let mut headers = Vec::new();
    if !call.content_type.is_empty() {
        headers.push(("content-type".to_owned(), call.content_type.clone()));
    }
    headers.extend([
        ("idempotency-key".to_owned(), call.id.clone()),
        ("webhook-id".to_owned(), call.id.clone()),
        ("webhook-timestamp".to_owned(), (call.now_ms / 1000).to_string()),
    ]);
    headers.extend(call.facts.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    headers.extend(call.message_headers.iter().cloned());
    let (method, url) = match (http, downstream) {
        (Some(http), _) => {
            headers.extend(operators_headers(http));
            (http.method.to_string(), http.url_shown.clone())
        }
        (None, downstream) if downstream.capabilities().is_pulled => {
            ("none".to_owned(), "pull".to_owned())
        }
        // Callbacks are not tried: their queue takes no messages.
        (None, _) => ("none".to_owned(), "null".to_owned()),
    };
    let has_body = http.is_none_or(|http| !matches!(http.method, Method::GET | Method::HEAD));
    let body = if has_body { call.body.clone() } else { Bytes::new() };
    let request = TryRequest { method, url, headers, body };
    match rendered {
        None => request,
        Some(rendered) => with_shown(request, rendered),
    }
}

fn with_shown(mut request: TryRequest, rendered: ShownRequest) -> TryRequest {
    request.headers.extend(rendered.headers);
    let url = rendered.url.unwrap_or(request.url);
    let body = rendered.body.map_or(request.body, Bytes::from);
    TryRequest { url, body, ..request }
}

fn operators_headers(http: &HttpDownstream) -> Vec<(String, String)> {
    let mut headers: Vec<_> =
        http.headers.iter().map(|(name, _)| (name.to_string(), "***".to_owned())).collect();
    if http.access.oauth2.is_some() {
        headers.push(("authorization".to_owned(), "Bearer ***".to_owned()));
    }
    if !http.signing_secrets.is_empty() {
        let signatures = vec!["v1,***"; http.signing_secrets.len()];
        headers.push(("webhook-signature".to_owned(), signatures.join(" ")));
    }
    headers
}
