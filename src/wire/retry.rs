//! What a message changes in its queue's retry policy.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::schema::{list_of, schema_of};
use super::{DurationMs, DurationText, Fraction, MaxAttempts, RetryFactor};
use crate::domain::message::RetryOverride;
use crate::domain::retry::SCHEDULE_MAX;

/// What a message changes in its queue's retry policy, as it is asked for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = Retry)]
#[serde(deny_unknown_fields)]
pub struct RetryRequest {
    /// Attempts before the message is given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<MaxAttempts>)]
    pub max_attempts: Option<u32>,
    /// The delay before the second attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initial: Option<DurationMs>,
    /// By how much the delay grows from one attempt to the next.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<RetryFactor>)]
    pub factor: Option<f64>,
    /// The longest delay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<DurationMs>,
    /// Which part of a delay is random.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Fraction>)]
    pub jitter: Option<f64>,
    /// The age at which the message is given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age: Option<DurationMs>,
    /// Every delay by itself, in place of initial, factor and max; the last one is repeated.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<RetryDelays>)]
    pub schedule: Option<Vec<DurationMs>>,
}

/// Delays, named one by one.
#[derive(Debug)]
pub struct RetryDelays;

schema_of!(
    RetryDelays,
    "RetryDelays",
    list_of::<DurationMs>().min_items(Some(1)).max_items(Some(SCHEDULE_MAX)),
    uses DurationMs
);

/// What a message changes in its queue's retry policy; only what it changes is there.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RetryView {
    /// Attempts before the message is given up
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub max_attempts: Option<u32>,
    /// The delay before the second attempt
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub initial: Option<DurationText>,
    /// By how much the delay grows from one attempt to the next
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub factor: Option<f64>,
    /// The longest delay
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub max: Option<DurationText>,
    /// Which part of a delay is random
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub jitter: Option<f64>,
    /// The age at which the message is given up
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub max_age: Option<DurationText>,
    /// Every delay by itself; the last one is repeated
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub schedule: Option<Vec<DurationText>>,
}

impl RetryView {
    /// The wishes of a message.
    #[must_use]
    pub fn new(retry: &RetryOverride) -> Self {
        let delays = |delays: &Vec<u64>| delays.iter().copied().map(DurationText).collect();
        Self {
            max_attempts: retry.max_attempts,
            initial: retry.initial_ms.map(DurationText),
            factor: retry.factor,
            max: retry.max_ms.map(DurationText),
            jitter: retry.jitter,
            max_age: retry.max_age_ms.map(DurationText),
            schedule: retry.schedule_ms.as_ref().map(delays),
        }
    }
}

/// What is asked for, so that a message gets what another one has.
impl From<RetryView> for RetryRequest {
    fn from(view: RetryView) -> Self {
        Self {
            max_attempts: view.max_attempts,
            initial: view.initial.map(Into::into),
            factor: view.factor,
            max: view.max.map(Into::into),
            jitter: view.jitter,
            max_age: view.max_age.map(Into::into),
            schedule: view.schedule.map(|delays| delays.into_iter().map(Into::into).collect()),
        }
    }
}
