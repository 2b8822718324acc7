//! A test call at a downstream, and what it answered.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Pairs;
use super::payload::present;
use crate::domain::answer_rules::{RulesSaid, rule_name};

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
    /// What decided that
    #[serde(default)]
    pub decision: DecisionView<'a>,
    /// How long it took
    pub duration_ms: u64,
}

/// What decided the meaning of an answer, and what was found in it.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[schema(as = Decision)]
pub struct DecisionView<'a> {
    /// The rule of the queue that holds, for example `answers[0]`, or of which nobody can tell whether it does; null: no
    /// rule does, and the table of outcomes decided
    #[schema(required)]
    pub rule: Option<Cow<'a, str>>,
    /// What the rule says: its `as`; null: none holds
    #[serde(rename = "as")]
    #[schema(required)]
    pub meaning: Option<Cow<'a, str>>,
    /// The downstream's own name for the message, as the rule found it
    #[serde(rename = "ref")]
    #[schema(required)]
    pub reference: Option<Cow<'a, str>>,
    /// The reason for people, as the rule found it
    #[schema(required)]
    pub detail: Option<Cow<'a, str>>,
    /// Why nobody can tell what the answer means; null: it can be told
    #[schema(required)]
    pub unreadable: Option<Cow<'a, str>>,
}

impl<'a> From<&'a RulesSaid> for DecisionView<'a> {
    fn from(said: &'a RulesSaid) -> Self {
        match said {
            RulesSaid::Nothing => Self::default(),
            RulesSaid::Rule(found) => Self {
                rule: Some(rule_name(found.rule).into()),
                meaning: Some(found.meaning.as_str().into()),
                reference: found.reference.as_deref().map(Into::into),
                detail: found.detail.as_deref().map(Into::into),
                unreadable: None,
            },
            RulesSaid::CannotTell { rule, why } => Self {
                rule: rule.map(|rule| rule_name(rule).into()),
                unreadable: Some(why.as_str().into()),
                ..Self::default()
            },
        }
    }
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
