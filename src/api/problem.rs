//! Every refusal, as `application/problem+json` (RFC 9457).
//!
//! Owns the codes, their statuses and titles, and what the store's errors are called at the door.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::{Map, Value};

use crate::store::StoreError;

/// Faults listed in one problem; a body with more is told the first ones.
pub(super) const FAULTS_MAX: usize = 50;
/// Faults listed in one answer that carries a problem for each item; further items are told the first one.
pub(super) const FAULTS_IN_ALL_MAX: usize = 1000;
/// What `Retry-After` says while the store is away, or this node is stopping.
const RETRY_SOON_S: u32 = 1;
/// What `Retry-After` says while Redis is full: room is made by deliveries, not by asking.
const RETRY_FULL_S: u32 = 5;

/// What kind of refusal it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    InvalidRequest,
    Unauthorized,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    RequestTimeout,
    WrongState,
    TooLarge,
    UnsupportedMediaType,
    IdempotencyMismatch,
    HeadersTooLarge,
    TooManyListeners,
    Internal,
    StoreUnavailable,
    StoreFull,
    Draining,
}

impl Code {
    /// Every one, for what is written down about them elsewhere.
    #[cfg(test)]
    pub(super) const ALL: [Self; 16] = [
        Self::InvalidRequest,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::RequestTimeout,
        Self::WrongState,
        Self::TooLarge,
        Self::UnsupportedMediaType,
        Self::IdempotencyMismatch,
        Self::HeadersTooLarge,
        Self::TooManyListeners,
        Self::Internal,
        Self::StoreUnavailable,
        Self::StoreFull,
        Self::Draining,
    ];

    #[cfg(test)]
    pub(super) const fn as_str(self) -> &'static str {
        self.parts().1
    }

    /// Status, word and title.
    const fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::InvalidRequest => {
                (StatusCode::BAD_REQUEST, "invalid-request", "The request is not valid")
            }
            Self::Unauthorized => {
                (StatusCode::UNAUTHORIZED, "unauthorized", "A valid token is needed")
            }
            Self::Forbidden => (StatusCode::FORBIDDEN, "forbidden", "This is not allowed"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not-found", "There is no such thing"),
            Self::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "No such method here")
            }
            Self::RequestTimeout => {
                (StatusCode::REQUEST_TIMEOUT, "request-timeout", "The request came too slowly")
            }
            Self::WrongState => (StatusCode::CONFLICT, "wrong-state", "The state forbids this"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too-large", "That is too large"),
            Self::UnsupportedMediaType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-media-type",
                "The content type is not supported",
            ),
            Self::IdempotencyMismatch => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency-mismatch",
                "The idempotency key belongs to a different message",
            ),
            Self::HeadersTooLarge => (
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "headers-too-large",
                "The request's address and headers are too large",
            ),
            Self::TooManyListeners => {
                (StatusCode::TOO_MANY_REQUESTS, "too-many-listeners", "Too many listen to events")
            }
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "Something broke"),
            Self::StoreUnavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, "store-unavailable", "The store is unavailable")
            }
            Self::StoreFull => (StatusCode::SERVICE_UNAVAILABLE, "store-full", "The store is full"),
            Self::Draining => {
                (StatusCode::SERVICE_UNAVAILABLE, "draining", "This node is stopping")
            }
        }
    }

    /// The code that a bare status is told as.
    fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::UNAUTHORIZED => Self::Unauthorized,
            StatusCode::FORBIDDEN => Self::Forbidden,
            StatusCode::NOT_FOUND => Self::NotFound,
            StatusCode::METHOD_NOT_ALLOWED => Self::MethodNotAllowed,
            StatusCode::REQUEST_TIMEOUT => Self::RequestTimeout,
            StatusCode::PAYLOAD_TOO_LARGE => Self::TooLarge,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::UnsupportedMediaType,
            status if status.is_client_error() => Self::InvalidRequest,
            _ => Self::Internal,
        }
    }
}

/// One thing that is wrong in a request.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(super) struct Fault {
    /// Where: a JSON pointer (RFC 6901) into the body; `?name` for a query parameter.
    pub(super) pointer: String,
    /// What is wrong and what is expected.
    pub(super) detail: String,
}

impl Fault {
    pub(super) fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into() }
    }
}

/// A refusal.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    code: Code,
    detail: String,
    faults: Vec<Fault>,
    /// Members of its own, such as `state`; boxed, since few have any.
    extra: Option<Box<Map<String, Value>>>,
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
    pub(super) fn wrong_state(state: &str, detail: impl Into<String>) -> Self {
        Self::new(Code::WrongState, detail).with("state", state)
    }

    /// A bare status that some layer answered.
    pub(super) fn of_status(status: StatusCode) -> Self {
        let code = Code::of_status(status);
        Self::new(code, code.parts().2)
    }

    /// With a member of its own.
    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.extra.get_or_insert_default().insert(name.to_owned(), value.into());
        self
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

impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (status, word, title) = self.code.parts();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", &format_args!("urn:tidegate:problem:{word}"))?;
        map.serialize_entry("title", title)?;
        map.serialize_entry("status", &status.as_u16())?;
        map.serialize_entry("detail", &self.detail)?;
        map.serialize_entry("code", word)?;
        if !self.faults.is_empty() {
            map.serialize_entry("errors", &self.faults)?;
        }
        for (name, value) in self.extra.iter().flat_map(|extra| extra.iter()) {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let json = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (self.code.parts().0, json).into_response();
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
        let json = serde_json::to_value(&problem).unwrap();
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
        let json = serde_json::to_value(Problem::invalid(faults)).unwrap();
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
