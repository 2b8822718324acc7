//! A test call at a downstream, and what it answered.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Pairs;
use super::payload::present;

/// A test call and its answer.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Exchange)]
pub struct ExchangeView<'a> {
    /// What was sent
    pub request: ExchangeRequestView<'a>,
    /// What came back
    pub answer: ExchangeAnswerView<'a>,
    /// What it would have meant for a message
    pub outcome: Cow<'a, str>,
    /// How long it took
    pub duration_ms: u64,
}

/// The request of a test call; the values of secret headers are masked.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = ExchangeRequest)]
pub struct ExchangeRequestView<'a> {
    /// Its method
    pub method: Cow<'a, str>,
    /// Where it went, as the configuration wrote it
    pub url: Cow<'a, str>,
    /// Its headers
    #[schema(value_type = BTreeMap<String, String>)]
    pub headers: Pairs<'a>,
    /// Its body as text; absent where `body_base64` is given
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub body: Option<Option<Cow<'a, str>>>,
    /// In place of body where it is not text
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, content_encoding = "base64")]
    pub body_base64: Option<String>,
}

/// What a test call was answered.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = ExchangeAnswer)]
pub struct ExchangeAnswerView<'a> {
    /// Its status; null: there was no answer
    #[schema(required)]
    pub status_code: Option<u16>,
    /// The media type of its body
    #[schema(required)]
    pub content_type: Option<Cow<'a, str>>,
    /// Its body as text; absent where `body_base64` is given
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub body: Option<Option<Cow<'a, str>>>,
    /// In place of body where it is not text
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, content_encoding = "base64")]
    pub body_base64: Option<String>,
    /// Why there was no answer
    #[schema(required)]
    pub error: Option<Cow<'a, str>>,
}
