//! What every request passes, in this order: size of its head, where it comes from, who sends it,
//! what its body claims to be; and what every answer gets on its way out.
//!
//! One layer instead of many: the door is on the hot path. Also the net below the handlers: a panic,
//! or a bare error of some layer, leaves as a problem like any other.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use http_body::Body as _;

use super::problem::{Code, ForReader, Problem};
use super::{Door, actions, auth, leftover, loopback, request_head, url_token};
use crate::config::Scope;

/// The one layer around all routes.
pub(super) async fn guard(
    State(door): State<Arc<Door>>,
    mut request: Request,
    next: Next,
) -> Response {
    let id = request_head::request_id(request.headers());
    let leftover = leftover::lend(&mut request);
    let reads = only_reads(&request);
    let mut response = match admit(&door, request) {
        Ok(request) => {
            match AssertUnwindSafe(actions::run(&door, request, next)).catch_unwind().await {
                Ok(response) => explained(response),
                Err(_) => {
                    tracing::error!(request_id = ?id, "a request ended by a panic; please report this");
                    Problem::new(Code::Internal, "this should not have happened; please report it")
                        .into_response()
                }
            }
        }
        Err(problem) => problem.into_response(),
    };
    // Whoever sent too slowly has been waited for already.
    if let Some(leftover) = leftover.filter(|_| is_error(&response))
        && response.status() != StatusCode::REQUEST_TIMEOUT
    {
        leftover.drain().await;
    }
    if let Some(for_reader) = response.extensions_mut().remove::<ForReader>().filter(|_| reads) {
        response = for_reader.problem().into_response();
    }
    let headers = response.headers_mut();
    headers.insert(request_head::REQUEST_ID, id);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// The request, if it may go on.
fn admit(door: &Door, request: Request) -> Result<Request, Problem> {
    let has_body = !request.body().is_end_stream();
    let (mut head, body) = request.into_parts();
    let tokens = door.state.tokens.load();
    request_head::check_size(&head)?;
    if tokens.is_empty() {
        loopback::check(&head.uri, &head.headers, &door.state.server.origins)?;
    }
    let route = head.extensions.get::<MatchedPath>().cloned();
    let route = route.as_ref().map(MatchedPath::as_str);
    let in_url = match route {
        Some(auth::RECEIPTS) => url_token::take(&mut head)?,
        _ => None,
    };
    if tokens.is_empty() && route == Some(auth::RECEIPTS) {
        loopback::check_no_page(&head.headers)?;
    }
    let needed = auth::scope_needed(&head.method, route);
    let caller = match in_url {
        Some(token) if !tokens.is_empty() && needed == Some(Scope::Receipt) => {
            auth::admit_in_url(&tokens, &token, || door.now_ms())?
        }
        _ => auth::admit(&tokens, &head.headers, needed, || door.now_ms())?,
    };
    if has_body {
        request_head::check_codings(&head.headers)?;
    }
    if let Some(route) = route {
        request_head::check_media(&head, route, has_body, tokens.is_empty())?;
    }
    head.extensions.insert(caller);
    Ok(Request::from_parts(head, body))
}

/// Whether a request changes nothing, whatever comes of it.
fn only_reads(request: &Request) -> bool {
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    // A receipt may come as a query.
    matches!(*request.method(), Method::GET | Method::HEAD) && route != Some(auth::RECEIPTS)
}

/// A bare error of some layer, as a problem; its other headers (such as `Allow`) stay.
fn explained(response: Response) -> Response {
    let is_problem = || {
        let kind = response.headers().get(header::CONTENT_TYPE);
        kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/problem+json"))
    };
    if !is_error(&response) || is_problem() {
        return response;
    }
    let mut explained = Problem::of_status(response.status()).into_response();
    let (parts, _) = response.into_parts();
    for (name, value) in &parts.headers {
        if !matches!(*name, header::CONTENT_TYPE | header::CONTENT_LENGTH) {
            explained.headers_mut().insert(name, value.clone());
        }
    }
    explained
}

fn is_error(response: &Response) -> bool {
    response.status().is_client_error() || response.status().is_server_error()
}
