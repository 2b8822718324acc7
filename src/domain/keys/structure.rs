//! What of a policy is names and not values: the structure, which stands in Redis and is in force on all nodes.
//!
//! Rates, quotas and weights are not part of it: they hold at the next claim, and need nothing to be moved.

use serde::{Deserialize, Serialize};

use super::key::MessageKey;
use super::ordering::Ordering;
use crate::domain::limit::{LimitKindName, LimitName, LimitRule};
use crate::domain::policy::CollapsePolicy;

/// The keys and limits of a queue by their names, and what decides between its levels.
///
/// Its JSON stands in Redis: members that are not known are ignored, and those that are not there have their default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Structure {
    /// Order, and by which key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Ordering>,
    /// The key of the shares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fair_by: Option<MessageKey>,
    /// Number of priority levels.
    pub levels: u8,
    /// A waiting message gains a priority level per this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aging_ms: Option<u64>,
    /// How long messages with a collapse key wait for newer ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collapse: Option<CollapsePolicy>,
    /// All limits, also those without a key, by their names: in the configuration they may change places.
    #[serde(default)]
    pub limits: Vec<StructureLimit>,
    /// Each message of the backlog is counted, since its bytes or those of one value of a key are limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backlog: Option<CountedBacklog>,
}

/// What is counted of a backlog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountedBacklog {
    /// The key whose values are counted each by itself; `None`: all together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per: Option<MessageKey>,
}

/// A limit by its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StructureLimit {
    /// The name.
    pub name: LimitName,
    /// What it is.
    pub kind: LimitKindName,
    /// The key that it counts by; `None`: it counts all messages together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per: Option<MessageKey>,
}

impl Structure {
    /// Whether the messages of the queue stand in lanes: a key decides what leaves next, or levels age.
    #[must_use]
    pub fn has_lanes(&self) -> bool {
        self.key_of_lanes().is_some() || self.aging_ms.is_some()
    }

    /// The key that all go by where the queue has several shards; of several keys the first one.
    #[must_use]
    pub fn first_key(&self) -> Option<&MessageKey> {
        let of_backlog = || self.backlog.as_ref().and_then(|backlog| backlog.per.as_ref());
        self.key_of_lanes().or_else(of_backlog)
    }

    fn key_of_lanes(&self) -> Option<&MessageKey> {
        let order = self.order.as_ref().map(|order| &order.by);
        let mut of_limits = self.limits.iter().filter_map(|limit| limit.per.as_ref());
        order.or(self.fair_by.as_ref()).or_else(|| of_limits.next())
    }

    /// The limits by their names.
    #[must_use]
    pub fn names_of(limits: &[LimitRule]) -> Vec<StructureLimit> {
        let names = limits.iter().map(|limit| StructureLimit {
            name: limit.name.clone(),
            kind: limit.kind.name(),
            per: limit.per.clone(),
        });
        let mut names: Vec<_> = names.collect();
        names.sort_by(|one, other| one.name.cmp(&other.name));
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::keys::Until;

    fn whole() -> Structure {
        Structure {
            order: Some(Ordering {
                by: "labels.conversation".parse().unwrap(),
                until: Until::Final,
                stall_ms: Some(3_600_000),
            }),
            fair_by: Some("labels.tenant".parse().unwrap()),
            levels: 3,
            aging_ms: Some(600_000),
            collapse: Some(CollapsePolicy { wait_ms: 5000, max_wait_ms: 60_000 }),
            limits: vec![
                StructureLimit {
                    name: "per_to".parse().unwrap(),
                    kind: LimitKindName::Concurrency,
                    per: Some(MessageKey::Group),
                },
                StructureLimit {
                    name: "quota_day".parse().unwrap(),
                    kind: LimitKindName::Quota,
                    per: None,
                },
            ],
            backlog: Some(CountedBacklog { per: Some(MessageKey::Group) }),
        }
    }

    const JSON: &str = r#"{"order":{"by":"labels.conversation","until":"final","stall_ms":3600000},"fair_by":"labels.tenant","levels":3,"aging_ms":600000,"collapse":{"wait_ms":5000,"max_wait_ms":60000},"limits":[{"name":"per_to","kind":"concurrency","per":"group"},{"name":"quota_day","kind":"quota"}],"backlog":{"per":"group"}}"#;

    /// This text stands in Redis: programs of two versions read it from one another.
    #[test]
    fn its_form_stays() {
        assert_eq!(serde_json::to_string(&whole()).unwrap(), JSON);
        assert_eq!(serde_json::from_str::<Structure>(JSON).unwrap(), whole());
        let plain = Structure {
            order: None,
            fair_by: None,
            levels: 1,
            aging_ms: None,
            collapse: None,
            limits: Vec::new(),
            backlog: None,
        };
        assert_eq!(serde_json::to_string(&plain).unwrap(), r#"{"levels":1,"limits":[]}"#);
        let newer = r#"{"hours":{"from":1},"levels":1,"order":{"by":"group","then":2}}"#;
        let order = Some(Ordering::by(MessageKey::Group));
        assert_eq!(
            serde_json::from_str::<Structure>(newer).unwrap(),
            Structure { order, ..plain.clone() }
        );
        for bad in [
            r#"{}"#,
            r#"{"levels":1,"fair_by":"Group"}"#,
            r#"{"levels":1,"limits":[{"name":"A","kind":"rate"}]}"#,
            r#"{"levels":1,"limits":[{"name":"a","kind":"speed"}]}"#,
        ] {
            assert!(serde_json::from_str::<Structure>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_key_is_that_of_order_shares_or_a_limit() {
        assert!(whole().has_lanes());
        let plain = Structure {
            order: None,
            fair_by: None,
            limits: whole().limits.split_off(1),
            aging_ms: None,
            ..whole()
        };
        assert!(!plain.has_lanes());
        assert_eq!(plain.first_key(), Some(&MessageKey::Group), "that of the backlog");
        for keys in [
            Structure { order: whole().order, ..plain.clone() },
            Structure { fair_by: whole().fair_by, ..plain.clone() },
            Structure { limits: whole().limits, ..plain },
        ] {
            assert!(keys.has_lanes(), "{keys:?}");
        }
    }
}
