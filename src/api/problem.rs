//! Every refusal, as `application/problem+json` (RFC 9457).
//!
//! Owns the statuses and titles of the codes (which are in `wire::problem`), and what the store's errors are called at the door.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::store::StoreError;
use crate::wire::Vocabulary as _;
use crate::wire::problem::BatchAnswer;
use crate::wire::problem::ProblemView;
pub(super) use crate::wire::problem::{FaultView as Fault, ProblemCode as Code};

/// Faults listed in one problem; a body with more is told the first ones.
pub(super) const FAULTS_MAX: usize = 50;
/// Faults listed in one answer that carries a problem for each item; further items are told the first one.
pub(super) const FAULTS_IN_ALL_MAX: usize = 1000;
/// What `Retry-After` says while the store is away, or this node is stopping.
const RETRY_SOON_S: u32 = 1;
/// What `Retry-After` says while Redis is full: room is made by deliveries, not by asking.
const RETRY_FULL_S: u32 = 5;

/// The status of a kind of refusal, and its title.
const fn status_and_title(code: Code) -> (StatusCode, &'static str) {
    match code {
        Code::InvalidRequest => (StatusCode::BAD_REQUEST, "The request is not valid"),
        Code::Unauthorized => (StatusCode::UNAUTHORIZED, "A valid token is needed"),
        Code::Forbidden => (StatusCode::FORBIDDEN, "This is not allowed"),
        Code::NotFound => (StatusCode::NOT_FOUND, "There is no such thing"),
        Code::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "No such method here"),
        Code::RequestTimeout => (StatusCode::REQUEST_TIMEOUT, "The request came too slowly"),
        Code::WrongState => (StatusCode::CONFLICT, "The state forbids this"),
        Code::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "That is too large"),
        Code::UnsupportedMediaType => {
            (StatusCode::UNSUPPORTED_MEDIA_TYPE, "The content type is not supported")
        }
        Code::IdempotencyMismatch => {
            (StatusCode::UNPROCESSABLE_ENTITY, "The idempotency key belongs to a different message")
        }
        Code::CostTooLarge => {
            (StatusCode::UNPROCESSABLE_ENTITY, "The cost is above a quota of the queue")
        }
        Code::WindowMissed => (StatusCode::UNPROCESSABLE_ENTITY, "It cannot leave by then"),
        Code::HeadersTooLarge => (
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "The request's address and headers are too large",
        ),
        Code::BacklogFull => (StatusCode::TOO_MANY_REQUESTS, "The backlog of the queue is full"),
        Code::TooManyListeners => (StatusCode::TOO_MANY_REQUESTS, "Too many listen to events"),
        Code::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "Something broke"),
        Code::StoreUnavailable => (StatusCode::SERVICE_UNAVAILABLE, "The store is unavailable"),
        Code::StoreFull => (StatusCode::SERVICE_UNAVAILABLE, "The store is full"),
        Code::Draining => (StatusCode::SERVICE_UNAVAILABLE, "This node is stopping"),
    }
}

/// The code that a bare status is told as.
fn code_of_status(status: StatusCode) -> Code {
    match status {
        StatusCode::UNAUTHORIZED => Code::Unauthorized,
        StatusCode::FORBIDDEN => Code::Forbidden,
        StatusCode::NOT_FOUND => Code::NotFound,
        StatusCode::METHOD_NOT_ALLOWED => Code::MethodNotAllowed,
        StatusCode::REQUEST_TIMEOUT => Code::RequestTimeout,
        StatusCode::PAYLOAD_TOO_LARGE => Code::TooLarge,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Code::UnsupportedMediaType,
        status if status.is_client_error() => Code::InvalidRequest,
        _ => Code::Internal,
    }
}

/// What few problems have.
#[derive(Debug, Clone, Default)]
struct Extra {
    state: Option<&'static str>,
    id: Option<String>,
    batch: Option<BatchAnswer>,
    for_reader: Option<String>,
}

/// What is said in place of a problem's detail where a request only reads, so that nothing can have been done.
#[derive(Debug, Clone)]
pub(super) struct ForReader(String);

impl ForReader {
    /// The problem for a request that only reads.
    pub(super) fn problem(self) -> Problem {
        Problem::store_unavailable(self.0)
    }
}

/// A refusal.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    code: Code,
    detail: String,
    faults: Vec<Fault>,
    /// Members of its own; boxed, since few have any.
    extra: Option<Box<Extra>>,
    retry_after_s: Option<u32>,
}

impl Problem {
    pub(super) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), faults: Vec::new(), extra: None, retry_after_s: None }
    }

    /// 400 with everything that is wrong; the first fault is the detail.
    pub(super) fn invalid(mut faults: Vec<Fault>) -> Self {
        faults.truncate(FAULTS_MAX);
        let first = faults.first().map(|fault| fault.detail.clone()).unwrap_or_default();
        let detail = match faults.len() {
            0 | 1 => first,
            count => format!("{first} (and {} more, see errors)", count - 1),
        };
        Self { faults, ..Self::new(Code::InvalidRequest, detail) }
    }

    /// Keeps as many faults as are left to be listed, at least the first, for an answer that carries many
    /// problems.
    pub(super) fn shorten(&mut self, faults_left: &mut usize) {
        let (found, kept) = (self.faults.len(), (*faults_left).max(1));
        if found > kept {
            self.faults.truncate(kept);
            let first = &self.faults[0].detail;
            self.detail = format!("{first} (and {} more)", found - 1);
        }
        *faults_left = faults_left.saturating_sub(self.faults.len());
    }

    /// 400 with one fault.
    pub(super) fn fault(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::invalid(vec![Fault::new(pointer, detail)])
    }

    /// What it says for people.
    pub(super) fn detail_text(&self) -> String {
        self.detail.clone()
    }

    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(Code::NotFound, detail)
    }

    pub(super) fn too_large(detail: impl Into<String>) -> Self {
        Self::new(Code::TooLarge, detail)
    }

    /// 422 for a cost that no period of a quota has room for.
    pub(super) fn cost_too_large(detail: String) -> Self {
        let faults = vec![Fault::new("/cost", detail.clone())];
        Self { faults, ..Self::new(Code::CostTooLarge, detail) }
    }

    /// 422 for a message that cannot leave by the moment that it names.
    pub(super) fn window_missed(detail: String) -> Self {
        let faults = vec![Fault::new("/must_dispatch_by", detail.clone())];
        Self { faults, ..Self::new(Code::WindowMissed, detail) }
    }

    pub(super) fn store_unavailable(detail: impl Into<String>) -> Self {
        Self::new(Code::StoreUnavailable, detail).retry_after(RETRY_SOON_S)
    }

    pub(super) fn store_full(detail: impl Into<String>) -> Self {
        Self::new(Code::StoreFull, detail).retry_after(RETRY_FULL_S)
    }

    pub(super) fn draining() -> Self {
        let detail = "this node is stopping and takes no messages; send to another node, or again in a moment";
        Self::new(Code::Draining, detail).retry_after(RETRY_SOON_S)
    }

    /// 409 with the state that forbids the step.
    pub(super) fn wrong_state(state: &'static str, detail: impl Into<String>) -> Self {
        let mut problem = Self::new(Code::WrongState, detail);
        problem.extra.get_or_insert_default().state = Some(state);
        problem
    }

    /// A bare status that some layer answered.
    pub(super) fn of_status(status: StatusCode) -> Self {
        let code = code_of_status(status);
        Self::new(code, status_and_title(code).1)
    }

    /// With what the idempotency key belongs to.
    pub(super) fn with_id(mut self, id: String) -> Self {
        self.extra.get_or_insert_default().id = Some(id);
        self
    }

    /// With what became of the items before.
    pub(super) fn with_batch(mut self, batch: BatchAnswer) -> Self {
        self.extra.get_or_insert_default().batch = Some(batch);
        self
    }

    /// Says this where a request only reads.
    fn for_reader(mut self, detail: String) -> Self {
        self.extra.get_or_insert_default().for_reader = Some(detail);
        self
    }

    /// As it is written.
    pub(super) fn view(&self) -> ProblemView {
        let (status, title) = status_and_title(self.code);
        let extra = self.extra.as_deref();
        let batch = extra.and_then(|extra| extra.batch.as_ref());
        ProblemView {
            r#type: format!("urn:tidegate:problem:{}", self.code.word()),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: self.detail.clone(),
            code: self.code.into(),
            errors: self.faults.clone(),
            accepted: batch.map(|batch| batch.accepted),
            id: extra.and_then(|extra| extra.id.clone()),
            retry_after_s: self.retry_after_s,
            rejected: batch.map(|batch| batch.rejected),
            results: batch.map(|batch| batch.results.clone()),
            state: extra.and_then(|extra| extra.state).map(str::to_owned),
        }
    }

    pub(super) fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    #[cfg(test)]
    pub(super) const fn code(&self) -> Code {
        self.code
    }

    #[cfg(test)]
    pub(super) fn faults(&self) -> &[Fault] {
        &self.faults
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let json = serde_json::to_vec(&self.view()).unwrap_or_default();
        let mut response = (status_and_title(self.code).0, json).into_response();
        if let Some(for_reader) = self.extra.and_then(|extra| extra.for_reader) {
            response.extensions_mut().insert(ForReader(for_reader));
        }
        let headers = response.headers_mut();
        let kind = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, kind);
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.code == Code::Unauthorized {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// For everything but intake, which says more (see `send`).
impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) | StoreError::Denied(_) | StoreError::NotDurable(_) => {
                Self::store_unavailable(format!("{error}; it is unknown whether this was done"))
                    .for_reader(format!("{error}; try again"))
            }
            StoreError::TimeUnknown => {
                Self::store_unavailable(format!("{error}; nothing was done, try again"))
            }
            StoreError::Unfit(_) => {
                Self::store_unavailable(format!("{error}; until then this is not done"))
            }
            StoreError::Full(_) => Self::store_full(error.to_string()),
            StoreError::UnknownQueue(_) => Self::not_found(error.to_string()),
            StoreError::TooLarge(_) => Self::too_large(error.to_string()),
            StoreError::Reply(_) => {
                tracing::error!(%error, "the store gave an answer that cannot be understood; please report this");
                Self::new(
                    Code::Internal,
                    "the store gave an answer that cannot be understood; please report this",
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_has_the_members_of_the_contract() {
        let problem = Problem::wrong_state("leased", "it is under way");
        let json = serde_json::to_value(problem.view()).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "type": "urn:tidegate:problem:wrong-state", "title": "The state forbids this",
                "status": 409, "detail": "it is under way", "code": "wrong-state", "state": "leased",
            })
        );
    }

    #[test]
    fn many_faults_are_cut_and_counted() {
        let faults = (0..60).map(|n| Fault::new(format!("/{n}"), "wrong")).collect();
        let json = serde_json::to_value(Problem::invalid(faults).view()).unwrap();
        assert_eq!(json["errors"].as_array().unwrap().len(), FAULTS_MAX);
        assert_eq!(json["detail"], "wrong (and 49 more, see errors)");
        assert_eq!(json["errors"][3], serde_json::json!({"pointer": "/3", "detail": "wrong"}));
    }

    #[test]
    fn what_passes_says_when_to_come_back() {
        for problem in [
            Problem::draining(),
            StoreError::Full("x".to_owned()).into(),
            StoreError::NotDurable("x".to_owned()).into(),
        ] {
            let response = problem.into_response();
            assert_eq!(response.status(), 503);
            assert!(response.headers().contains_key(header::RETRY_AFTER));
        }
    }
}
