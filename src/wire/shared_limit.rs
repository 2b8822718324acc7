//! Limits that several queues share.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::limit::LimitKindWord;
use super::{Moment, Reason};

/// How a shared limit stands.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = SharedLimit)]
pub struct SharedLimitView {
    /// Its name: `limit:<name>` holds messages under it
    pub name: String,
    /// What it is: a rate or a quota
    pub kind: LimitKindWord,
    /// What it allows, such as `20/s` or `10000/day`
    pub value: String,
    /// Of a quota: the time zone of its periods
    #[schema(required)]
    pub time_zone: Option<String>,
    /// Of a quota: units that were used in this period, by queues and from outside
    #[schema(required)]
    pub used: Option<u64>,
    /// Of a quota: units that are left in this period
    #[schema(required)]
    pub left: Option<u64>,
    /// Of a quota: when the next period begins
    #[schema(required)]
    pub resets_at: Option<Moment>,
    /// Of a rate: when one unit passes
    #[schema(required)]
    pub next_at: Option<Moment>,
    /// Of a quota: units that were charged from outside in this period
    #[schema(required)]
    pub charged: Option<u64>,
    /// What each queue used: of a quota in this period, of a rate in the last minute. All queues that name the limit, and others that used it before
    pub by_queue: Vec<LimitUseView>,
}

/// What a queue used of a shared limit.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = LimitUse)]
pub struct LimitUseView {
    /// The queue
    pub queue: String,
    /// Units
    pub used: u64,
}

/// The shared limits, by name.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = SharedLimitList)]
pub struct SharedLimitList {
    /// The limits
    pub limits: Vec<SharedLimitView>,
}

/// What is charged to a shared quota.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Charge)]
#[serde(deny_unknown_fields)]
pub struct ChargeRequest {
    /// Units that others used; below zero, units that they gave back
    pub units: i64,
    /// Why, for the colleagues; it is kept with the action
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Reason>)]
    pub reason: Option<String>,
}
