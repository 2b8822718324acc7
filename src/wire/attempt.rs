//! Attempts at the downstream, and what it answered.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Moment;
use super::payload::{present, text_or_base64};
use crate::domain::message::Attempt;

/// A try at the downstream.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Attempt)]
pub struct AttemptView<'a> {
    /// Which one, from 1
    pub attempt: u32,
    /// When it began
    pub started_at: Moment,
    /// When it ended
    pub ended_at: Moment,
    /// What it came to: delivered, accepted, retry, throttled, unknown, refused, suspect, denied
    pub outcome: Cow<'a, str>,
    /// What the downstream answered; null: nothing
    #[schema(required)]
    pub status_code: Option<u16>,
    /// What went wrong
    #[schema(required)]
    pub error: Option<Cow<'a, str>>,
    /// The downstream's answer, as far as it was kept; in the list of attempts only
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub response: Option<ResultView<'a>>,
}

impl<'a> AttemptView<'a> {
    /// Without what the downstream answered.
    #[must_use]
    pub fn brief(attempt: &'a Attempt) -> Self {
        Self {
            attempt: attempt.attempt,
            started_at: Moment(attempt.started_at_ms),
            ended_at: Moment(attempt.ended_at_ms),
            outcome: attempt.outcome.as_str().into(),
            status_code: attempt.status_code,
            error: attempt.error.as_deref().map(Cow::Borrowed),
            response: None,
        }
    }

    /// With what the downstream answered, as far as it was kept.
    #[must_use]
    pub fn full(attempt: &'a Attempt) -> Self {
        let response = attempt.response.is_some().then(|| ResultView::new(attempt, None));
        Self { response, ..Self::brief(attempt) }
    }
}

/// The attempts of a message, the oldest first.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Attempts)]
pub struct AttemptList<'a> {
    /// The attempts, as far as they are kept
    pub attempts: Vec<AttemptView<'a>>,
}

/// What the downstream answered.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Result)]
pub struct ResultView<'a> {
    /// Its status
    #[schema(required)]
    pub status_code: Option<u16>,
    /// The media type of the body
    #[schema(required)]
    pub content_type: Option<Cow<'a, str>>,
    /// As text, as far as it was kept; absent where `body_base64` is given
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub body: Option<Option<Cow<'a, str>>>,
    /// In place of body where it is not text
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, content_encoding = "base64")]
    pub body_base64: Option<String>,
    /// Who decided, where it was not the answer to an attempt: probe, receipt, timeout or operator
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub by: Option<Cow<'a, str>>,
}

impl<'a> ResultView<'a> {
    pub(super) fn new(attempt: &'a Attempt, by: Option<&'a str>) -> Self {
        Self::of(attempt.status_code, attempt.response.as_ref(), by)
    }

    pub(super) fn of(
        status_code: Option<u16>,
        response: Option<&'a (Option<String>, bytes::Bytes)>,
        by: Option<&'a str>,
    ) -> Self {
        let (body, body_base64) = text_or_base64(response.map(|(_, body)| &**body));
        Self {
            status_code,
            content_type: response
                .and_then(|(content_type, _)| content_type.as_deref().map(Cow::Borrowed)),
            body,
            body_base64,
            by: by.map(Cow::Borrowed),
        }
    }
}
