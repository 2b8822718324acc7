//! Asking the API, inside the process.
//!
//! Owns the request that a page makes of it: the same route, token and host that a program on the outside would use, so
//! that the API's own checks hold. Refuses to know what is asked.

use std::sync::atomic::Ordering;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderValue, Method, Request, StatusCode, header};
use axum::response::Response;
use serde::de::DeserializeOwned;
use tower_service::Service as _;

use super::problem_page::{ShownProblem, problem};
use super::visit::Visit;
use crate::api::IdleTime;
use crate::wire::problem::{ProblemCode, ProblemView};
use crate::wire::receipt::RECEIPT_TYPE;

/// The largest answer that a page reads: a page of messages with payloads has less.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
const JSON: &str = "application/json";

impl Visit {
    /// What the API answers to a `GET`.
    pub(super) async fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T, ShownProblem> {
        let bytes = self.call(Method::GET, path, None).await?;
        self.parse(path, &bytes)
    }

    /// The same; `None` if the token does not reach it, or it is not there.
    pub(super) async fn read_if_allowed<T: DeserializeOwned>(
        &self,
        path: &str,
    ) -> Result<Option<T>, ShownProblem> {
        match self.read(path).await {
            Ok(answer) => Ok(Some(answer)),
            Err(problem) if matches!(problem.status(), 403 | 404) => Ok(None),
            Err(problem) => Err(problem),
        }
    }

    /// Asks the API to change something.
    pub(super) async fn change(
        &self,
        method: Method,
        path: &str,
        body: Option<&str>,
    ) -> Result<(), ShownProblem> {
        self.call(method, path, body.map(|body| (JSON, body))).await.map(drop)
    }

    /// Tells the API what became of a message, in its own words whatever those of the queue's downstream are.
    pub(super) async fn report(&self, path: &str, body: &str) -> Result<(), ShownProblem> {
        self.call(Method::POST, path, Some((RECEIPT_TYPE, body))).await.map(drop)
    }

    /// The same, with its answer.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &str,
    ) -> Result<T, ShownProblem> {
        let bytes = self.call(Method::POST, path, Some((JSON, body))).await?;
        self.parse(path, &bytes)
    }

    fn parse<T: DeserializeOwned>(&self, path: &str, bytes: &[u8]) -> Result<T, ShownProblem> {
        serde_json::from_slice(bytes).map_err(|error| {
            tracing::error!(path, %error, "an answer of the API could not be read by its own page; please report this");
            let detail = format!("the answer to {path} could not be read: {error}");
            self.broken(detail)
        })
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<(&'static str, &str)>,
    ) -> Result<Vec<u8>, ShownProblem> {
        let Ok(request) = self.request(method, path, body) else {
            return Err(self.broken(format!("{path} is not a valid path")));
        };
        // The error of a router is one that never is.
        let response: Response = match self.dashboard.api.clone().call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        let (head, body) = response.into_parts();
        if let Some(IdleTime(idle)) = head.extensions.get() {
            let idle_ms = u64::try_from(idle.as_millis()).unwrap_or_default();
            self.idle.0.fetch_add(idle_ms, Ordering::Relaxed);
        }
        let Ok(bytes) = to_bytes(body, ANSWER_BYTES_MAX).await else {
            return Err(self.broken(format!("the answer to {path} broke off")));
        };
        if head.status.is_success() {
            return Ok(bytes.into());
        }
        let told: Result<Box<ProblemView>, _> = serde_json::from_slice(&bytes);
        let told = told.unwrap_or_else(|_| {
            problem(head.status, ProblemCode::Internal, format!("{path} answered {}", head.status))
        });
        Err(self.problem(told))
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<(&'static str, &str)>,
    ) -> Result<Request<Body>, http::Error> {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(host) = &self.host {
            request = request.header(header::HOST, host);
        }
        let bearer = self.token.as_ref().map(|token| format!("Bearer {token}"));
        let bearer = bearer.map(|text| HeaderValue::from_bytes(text.as_bytes())).transpose()?;
        if let Some(mut bearer) = bearer {
            bearer.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, bearer);
        }
        match body {
            None => request.body(Body::empty()),
            Some((media_type, body)) => {
                request.header(header::CONTENT_TYPE, media_type).body(Body::from(body.to_owned()))
            }
        }
    }

    fn broken(&self, detail: String) -> ShownProblem {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        self.problem(problem(status, ProblemCode::Internal, detail))
    }
}
