//! Overrides: what holds in place of a queue's configuration for a time.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::schema::{Object, Type};

use super::schema::schema_of;
use super::{DurationMs, Moment, Reason};

/// An override that is to begin: one of `rate`, `concurrency`, `window` and `limit`, with `until` or `for`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[schema(as = PutOverride)]
#[serde(deny_unknown_fields)]
pub struct OverrideRequest {
    /// Of the queue's own rate: units per time, such as 5/s
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<String>,
    /// Calls in flight over all nodes
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// `closed`: no call starts; `open`: calls may start whatever the hours, which needs `above`
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<WindowChangeText>)]
    pub window: Option<String>,
    /// What one limit allows
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<OverrideLimitRequest>,
    /// When it ends by itself
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Moment>,
    /// How long it lasts, such as 1h
    #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
    pub length: Option<DurationMs>,
    /// Why, for the colleagues
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Reason>)]
    pub reason: Option<String>,
    /// Whether it also holds where it lets through more than the configuration does; needs the scope `admin`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub above: Option<bool>,
}

/// What an override says of the window.
#[derive(Debug)]
pub struct WindowChangeText;

schema_of!(
    WindowChangeText,
    "WindowChange",
    Object::builder().schema_type(Type::String).enum_values(Some(["open", "closed"]))
);

/// What a limit is to allow for a time: of a rate, a quota or a concurrency what it is.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[schema(as = PutOverrideLimit)]
#[serde(deny_unknown_fields)]
pub struct OverrideLimitRequest {
    /// The name of the limit
    pub name: String,
    /// Units per time, such as 5/s
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<String>,
    /// Units in each period, such as 500/day; the period and its time zone are those of the configuration
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota: Option<String>,
    /// Calls in flight of each value of the limit's key
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
}

/// An override that is in force.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Override)]
pub struct OverrideView {
    /// Its id
    pub id: String,
    /// The queue
    pub queue: String,
    /// What it changes: `rate`, `concurrency`, `window` or `limit:<name>`
    pub kind: String,
    /// What it says, such as `5/s`, `500/day`, `3` or `closed`
    pub value: String,
    /// What the configuration says, in the same form; null: nothing
    #[schema(required)]
    pub configured: Option<String>,
    /// What is in force: the lesser of the two, unless `above`; null: the configuration has nothing of this kind any more
    #[schema(required)]
    pub in_force: Option<String>,
    /// Whether it also holds where it lets through more than the configuration does
    pub above: bool,
    /// Since when
    pub since: Moment,
    /// When it ends by itself
    pub until: Moment,
    /// Why; empty: nobody said
    pub reason: String,
    /// By whom: the token's name, or anonymous
    pub by: String,
}

/// The overrides of a queue that are in force.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Overrides)]
pub struct OverrideList {
    /// The overrides, the one that ends first before the others
    pub overrides: Vec<OverrideView>,
}
