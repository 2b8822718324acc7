//! The form in which it stands in Redis what a key was given at run time: for people, and for scripts.
//!
//! Scripts read it as `lua/put_key.lua` and `lua/include/lanes/own.lua` say. Refuses to know when it is written.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::keys::{KeyPart, KeySettings, LimitValue, Weight};
use crate::domain::limit::{LimitKindName, LimitName};
use crate::store::StoreError;
use crate::store::record::key_value_hash;

/// A key, and what it was given.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptKey {
    /// The value of the key; empty: that of messages without it.
    pub value: String,
    /// What it was given.
    pub settings: KeySettings,
    /// When.
    pub at_ms: u64,
    /// By whom.
    pub by: String,
}

/// As it stands in Redis.
#[derive(Debug, Serialize, Deserialize)]
struct StoredKey {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    weight: Option<f64>,
    #[serde(default)]
    limits: BTreeMap<LimitName, StoredValue>,
    at: u64,
    by: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredValue {
    Rate(String),
    Quota(String),
    Concurrency(u32),
}

/// What a key was given, as it stands in Redis.
pub(super) fn text_of(key: &KeptKey) -> String {
    serde_json::to_string(&StoredKey::from(key)).unwrap_or_default()
}

/// The hash of a value, as messages have it.
pub(super) fn hash_of(value: &str) -> Vec<u8> {
    // Messages without the key share the empty hash, which no value has.
    if value.is_empty() { vec![0; 8] } else { key_value_hash(value).to_vec() }
}

/// What a limit allows a key, as scripts read it.
pub(super) fn said(value: &LimitValue) -> String {
    match value {
        LimitValue::Rate(rate) => format!("rate {}", rate.period_us()),
        LimitValue::Quota(quota) => format!("quota {} {}", quota.units(), quota.period().as_str()),
        LimitValue::Concurrency(calls) => format!("concurrency {calls}"),
    }
}

impl From<&KeptKey> for StoredKey {
    fn from(key: &KeptKey) -> Self {
        let value = |value: &LimitValue| match value {
            LimitValue::Rate(rate) => StoredValue::Rate(rate.to_string()),
            LimitValue::Quota(quota) => StoredValue::Quota(quota.to_string()),
            LimitValue::Concurrency(calls) => StoredValue::Concurrency(*calls),
        };
        let KeptKey { settings, at_ms, by, .. } = key;
        let limits = settings.limits.iter();
        Self {
            weight: settings.weight.map(Weight::number),
            limits: limits.map(|(name, limit)| (name.clone(), value(limit))).collect(),
            at: *at_ms,
            by: by.clone(),
        }
    }
}

pub(super) fn read(value: String, text: &str) -> Result<KeptKey, StoreError> {
    let unreadable = |why: String| {
        StoreError::Reply(format!(
            "the settings of a key cannot be read ({why}); upgrade this node"
        ))
    };
    let StoredKey { weight, limits, at, by } =
        serde_json::from_str(text).map_err(|error| unreadable(error.to_string()))?;
    let weight = weight.map(Weight::of_number).transpose();
    let limits = limits.into_iter().map(|(name, limit)| {
        let value = match limit {
            StoredValue::Rate(text) => {
                text.parse().map(LimitValue::Rate).map_err(|it| it.to_string())
            }
            StoredValue::Quota(text) => {
                text.parse().map(LimitValue::Quota).map_err(|it| it.to_string())
            }
            StoredValue::Concurrency(calls) => Ok(LimitValue::Concurrency(calls)),
        };
        Ok((name, value?))
    });
    let settings = KeySettings {
        weight: weight.map_err(|error| unreadable(error.to_string()))?,
        limits: limits.collect::<Result<_, String>>().map_err(unreadable)?,
    };
    Ok(KeptKey { value, settings, at_ms: at, by })
}

/// `weight`, or `KIND NAME`, and the period of a quota; `None`: another version wrote it.
pub(super) fn read_part(text: &str) -> Option<KeyPart> {
    let mut words = text.split(' ');
    let kind = match words.next()? {
        "weight" => return Some(KeyPart::Weight),
        word => LimitKindName::ALL.into_iter().find(|kind| kind.as_str() == word)?,
    };
    let name = words.next()?.parse().ok()?;
    Some(KeyPart::Limit { name, kind, period: words.next().map(str::to_owned) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// This text stands in Redis: programs of two versions read it from one another.
    #[test]
    fn its_form_stays() {
        let json = r#"{"weight":5.0,"limits":{"per_to":{"rate":"2/min"},"per_to_concurrency":{"concurrency":3},"per_to_day":{"quota":"9/day"}},"at":7,"by":"ops"}"#;
        let key = read("acme".to_owned(), json).unwrap();
        assert_eq!(key.settings.weight.map(Weight::thousandths), Some(5000));
        assert_eq!(serde_json::to_string(&StoredKey::from(&key)).unwrap(), json);
        let newer = r#"{"limits":{},"at":7,"by":"","hours":1}"#;
        assert!(read(String::new(), newer).unwrap().settings.is_empty());
        for bad in ["", "{}", r#"{"limits":{"a":{"speed":1}},"at":7,"by":""}"#] {
            assert!(read(String::new(), bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn scripts_read_what_a_limit_allows() {
        for (value, text) in [
            (LimitValue::Rate("2/min".parse().unwrap()), "rate 30000000"),
            (LimitValue::Quota("9/week".parse().unwrap()), "quota 9 week"),
            (LimitValue::Concurrency(3), "concurrency 3"),
        ] {
            assert_eq!(said(&value), text);
        }
        assert_eq!(read_part("weight"), Some(KeyPart::Weight));
        let name: LimitName = "per_to".parse().unwrap();
        let quota = |period: Option<&str>, kind| {
            Some(KeyPart::Limit { name: name.clone(), kind, period: period.map(str::to_owned) })
        };
        assert_eq!(read_part("quota per_to week"), quota(Some("week"), LimitKindName::Quota));
        assert_eq!(read_part("rate per_to"), quota(None, LimitKindName::Rate));
        assert_eq!(read_part("speed per_to"), None);
    }
}
