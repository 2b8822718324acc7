//! What single keys of a queue are given at run time.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::Moment;
use super::problem::FaultView;
use super::schema::{number, schema_of, string_of, whole};
use crate::domain::keys::{WEIGHT_MAX, WEIGHT_MIN};
use crate::domain::limit::CALLS_MAX;
use crate::domain::message::NAME_BYTES_MAX;

/// What a key is to be given, in place of all that it had. Give weight or limits, or both.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[schema(as = PutKey)]
#[serde(deny_unknown_fields)]
pub struct KeyRequest {
    /// Its weight among the values of `fairness.by`
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<KeyWeight>)]
    pub weight: Option<f64>,
    /// What limits with per allow it, by their names
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<BTreeMap<String, KeyLimitRequest>>,
}

/// What a limit is to allow a key: one of the three, of the kind that the limit has.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[schema(as = PutKeyLimit)]
#[serde(deny_unknown_fields)]
pub struct KeyLimitRequest {
    /// Units per time, such as 2/min; the burst stays that of the configuration
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<String>,
    /// Units in each period, such as 500/day; the period and its time zone are those of the configuration
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota: Option<String>,
    /// Calls in flight
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<KeyCalls>)]
    pub concurrency: Option<u32>,
}

/// What a key was given at run time.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Key)]
pub struct KeyView {
    /// The value of the key; empty: that of all messages without it
    pub key: String,
    /// Its weight; null: that of the configuration
    #[schema(required)]
    pub weight: Option<f64>,
    /// The key that the weight goes by, such as `labels.tenant`; null: the queue has no fairness
    #[serde(default)]
    #[schema(required)]
    pub weight_by: Option<String>,
    /// What limits allow it, by their names; for all others the configuration holds
    pub limits: BTreeMap<String, KeyLimitView>,
    /// The key that each of these limits goes by, such as `labels.to`; a limit that is left out has no effect now
    #[serde(default)]
    #[schema(required)]
    pub limits_by: BTreeMap<String, String>,
    /// What of this has no effect now, and why: the configuration has changed since
    pub without_effect: Vec<FaultView>,
    /// When it was given this
    pub updated_at: Moment,
    /// By whom: the token's name, or anonymous
    pub by: String,
}

/// What a limit allows a key.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[schema(as = KeyLimit)]
pub struct KeyLimitView {
    /// Units per time
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub rate: Option<String>,
    /// Units in each period
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub quota: Option<String>,
    /// Calls in flight
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub concurrency: Option<u32>,
}

/// Keys in the order of their bytes.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Keys)]
pub struct KeyList {
    /// The keys of this page
    pub keys: Vec<KeyView>,
    /// Where the next page begins; null: this was the last one
    #[schema(required)]
    pub next_cursor: Option<String>,
}

/// The key that was asked for, or a page of keys.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = KeyOrKeys)]
#[serde(untagged)]
pub enum KeyAnswer {
    /// With `key`.
    One(KeyView),
    /// Without it.
    Page(KeyList),
}

/// A value of a key.
#[derive(Debug)]
pub struct KeyText;

/// The weight of a key.
#[derive(Debug)]
pub struct KeyWeight;

/// Calls in flight of a key.
#[derive(Debug)]
pub struct KeyCalls;

schema_of!(
    KeyText,
    "KeyText",
    string_of(0..=NAME_BYTES_MAX)
        .description(Some("Up to 256 bytes of UTF-8 without control characters; empty: the value of all messages without the key"))
        .pattern(Some(r"^[^\u0000-\u001f\u007f-\u009f]*$"))
);
schema_of!(
    KeyWeight,
    "KeyWeight",
    number(f64::from(WEIGHT_MIN) / 1000.0..=f64::from(WEIGHT_MAX) / 1000.0)
        .description(Some("At most three digits behind the point"))
);
schema_of!(KeyCalls, "KeyCalls", whole(1..=u64::from(CALLS_MAX)));

/// A limit is of one kind.
pub(super) fn limit_conditions() -> Value {
    let only = |kind: &str, of: &str| json!({ "required": [kind], "properties": { kind: { "type": of } } });
    json!({ "allOf": [{ "oneOf": [
        only("rate", "string"), only("quota", "string"), only("concurrency", "integer"),
    ] }] })
}

/// A key is given something; to take it all away is another request.
pub(super) fn conditions() -> Value {
    json!({ "allOf": [{ "anyOf": [
        { "required": ["weight"], "properties": { "weight": { "type": "number" } } },
        {
            "required": ["limits"],
            "properties": { "limits": { "type": "object", "minProperties": 1 } },
        },
    ] }] })
}
