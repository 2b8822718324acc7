//! Numbers within bounds: the schemas of fields that hold one.

use serde_json::json;

use super::schema::{number, schema_of, whole};
use crate::domain::limit::COST_MAX;
use crate::domain::message::PRIORITY_MAX;
use crate::domain::retry::{ATTEMPTS_MAX, FACTOR_MAX};

/// A message's priority.
#[derive(Debug)]
pub struct Priority;

/// What a message takes of limits.
#[derive(Debug)]
pub struct CostUnits;

/// Most attempts of a message.
#[derive(Debug)]
pub struct MaxAttempts;

/// By how much a delay between attempts grows.
#[derive(Debug)]
pub struct RetryFactor;

/// A part of a whole.
#[derive(Debug)]
pub struct Fraction;

schema_of!(
    Priority,
    "Priority",
    whole(0..=u64::from(PRIORITY_MAX)).description(Some("9 goes first")).default(Some(json!(0)))
);
schema_of!(
    CostUnits,
    "Cost",
    whole(1..=u64::from(COST_MAX))
        .description(Some("Units that it takes of the limits of its queue"))
        .default(Some(json!(1)))
);
schema_of!(
    MaxAttempts,
    "MaxAttempts",
    whole(1..=u64::from(ATTEMPTS_MAX)).description(Some("Attempts before a message is given up"))
);
schema_of!(
    RetryFactor,
    "RetryFactor",
    number(1.0..=FACTOR_MAX)
        .description(Some("By how much the delay grows from one attempt to the next"))
);
schema_of!(Fraction, "Fraction", number(0.0..=1.0).description(Some("A part of a whole")));
