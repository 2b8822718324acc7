//! A refusal, as `application/problem+json` (RFC 9457), and what became of a batch, whose items may be refused one by one.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::schema::{Object, Type};

use super::estimate::EstimateView;
use super::schema::schema_of;
use super::{Moment, Vocabulary, Word};
use crate::domain::schedule::Source;
use crate::domain::state::State;

/// What kind of refusal it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is its own name; docs/http.md says more")]
pub enum ProblemCode {
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
    CostTooLarge,
    WindowMissed,
    HeadersTooLarge,
    TooManyListeners,
    BacklogFull,
    Internal,
    StoreUnavailable,
    StoreFull,
    Draining,
}

impl Vocabulary for ProblemCode {
    const NAME: &'static str = "ProblemCode";
    const DESCRIPTION: &'static str = "What kind of refusal it is";
    const ALL: &'static [Self] = &[
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
        Self::CostTooLarge,
        Self::WindowMissed,
        Self::HeadersTooLarge,
        Self::TooManyListeners,
        Self::BacklogFull,
        Self::Internal,
        Self::StoreUnavailable,
        Self::StoreFull,
        Self::Draining,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid-request",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not-found",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::RequestTimeout => "request-timeout",
            Self::WrongState => "wrong-state",
            Self::TooLarge => "too-large",
            Self::UnsupportedMediaType => "unsupported-media-type",
            Self::IdempotencyMismatch => "idempotency-mismatch",
            Self::CostTooLarge => "cost-too-large",
            Self::WindowMissed => "window-missed",
            Self::HeadersTooLarge => "headers-too-large",
            Self::TooManyListeners => "too-many-listeners",
            Self::BacklogFull => "backlog-full",
            Self::Internal => "internal",
            Self::StoreUnavailable => "store-unavailable",
            Self::StoreFull => "store-full",
            Self::Draining => "draining",
        }
    }
}

/// The code of a problem, as a word.
pub type ProblemCodeWord = Word<ProblemCode>;

/// A refusal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemView {
    /// Says the code once more
    #[schema(example = "urn:tidegate:problem:not-found")]
    pub r#type: String,
    /// What kind of refusal it is, in words
    pub title: String,
    /// The status of the answer
    pub status: u16,
    /// What is wrong and what to do, in a sentence
    pub detail: String,
    /// What kind of refusal it is
    pub code: ProblemCodeWord,
    /// Everything that is wrong in the request
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FaultView>,
    /// Of a batch that broke off: items that were taken in before
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub accepted: Option<u64>,
    /// With idempotency-mismatch: what the key belongs to
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub id: Option<String>,
    /// After how many seconds to try again, as the header Retry-After says it: an item of a batch has no headers
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub retry_after_s: Option<u32>,
    /// Of a batch that broke off: items that were refused before
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub rejected: Option<u64>,
    /// Of a batch that broke off: what became of the items before
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, no_recursion)]
    pub results: Option<Vec<BatchItemView>>,
    /// With wrong-state: what forbids the step
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = ProblemState)]
    pub state: Option<String>,
}

/// One thing that is wrong in a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Fault)]
pub struct FaultView {
    /// A JSON pointer into the body; ?name for a query parameter
    pub pointer: String,
    /// What is wrong and what is expected
    pub detail: String,
}

impl FaultView {
    /// What is wrong at this place.
    #[must_use]
    pub fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into() }
    }
}

/// What forbids a step.
#[derive(Debug)]
pub struct ProblemState;

impl ProblemState {
    /// The queue sends by itself.
    pub const PUSHED: &'static str = "pushed";
    /// As many operations run as may.
    pub const RUNNING: &'static str = "running";
    /// There are as many schedules as there may be.
    pub const FULL: &'static str = "full";
}

schema_of!(
    ProblemState,
    "ProblemState",
    Object::builder()
        .schema_type(Type::String)
        .description(Some("The state of the message; pushed: the queue sends by itself; running: as many operations run as may; full: there are as many schedules as there may be; config: the schedule is in the configuration file"))
        .enum_values(Some(
            State::ALL.map(State::as_str).into_iter().chain([
                ProblemState::PUSHED,
                ProblemState::RUNNING,
                ProblemState::FULL,
                Source::Config.as_str(),
            ])
        ))
);

/// What became of a batch, item by item.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BatchAnswer {
    /// How many were taken in, now or before
    pub accepted: u64,
    /// How many were not
    pub rejected: u64,
    /// What became of each, in order
    pub results: Vec<BatchItemView>,
    /// With estimate=true: when the last one leaves that was taken in; absent where none was
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub estimate: Option<EstimateView>,
}

/// Either id, `due_at` and duplicate, or a problem
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = BatchItem)]
pub struct BatchItemView {
    /// Its place in the batch, from 0
    pub index: u64,
    /// The message's id
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub id: Option<String>,
    /// When it is due
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub due_at: Option<Moment>,
    /// Whether it had been taken in before
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub duplicate: Option<bool>,
    /// true where it took the place of the message with this id, by its collapse key; absent otherwise
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub collapsed: Option<bool>,
    /// Why it was not taken in
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub problem: Option<ProblemView>,
}
