//! Limits as they stand in Redis beside the structure in force, for nodes whose configuration does not have them.

use serde::{Deserialize, Serialize};

use crate::domain::keys::MessageKey;
use crate::domain::limit::{LimitKind, LimitName, LimitRule, LimitUnit, Quota, Rate};
use crate::domain::zone::NamedZone;

/// One limit, as people write it in a configuration.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoredRule {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    per: Option<MessageKey>,
    counts_messages: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    shared: bool,
    #[serde(flatten)]
    kind: StoredKind,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum StoredKind {
    Rate { rate: String, burst: u32 },
    Quota { quota: String, time_zone: String },
    Concurrency { calls: u32 },
}

impl From<&LimitRule> for StoredRule {
    fn from(rule: &LimitRule) -> Self {
        let kind = match &rule.kind {
            LimitKind::Rate { rate, burst } => {
                StoredKind::Rate { rate: rate.to_string(), burst: *burst }
            }
            LimitKind::Quota(quota) => {
                StoredKind::Quota { quota: quota.to_string(), time_zone: quota.zone().to_string() }
            }
            LimitKind::Concurrency(calls) => StoredKind::Concurrency { calls: *calls },
        };
        Self {
            name: rule.name.to_string(),
            per: rule.per.clone(),
            counts_messages: rule.unit == LimitUnit::Messages,
            shared: rule.shared,
            kind,
        }
    }
}

impl StoredRule {
    /// # Errors
    /// What of it cannot be read, as a sentence.
    pub(super) fn read(self) -> Result<LimitRule, String> {
        let name: LimitName = self.name.parse().map_err(text)?;
        let kind = match self.kind {
            StoredKind::Rate { rate, burst } => {
                LimitKind::Rate { rate: rate.parse::<Rate>().map_err(text)?, burst }
            }
            StoredKind::Quota { quota, time_zone } => {
                let zone = time_zone.parse::<NamedZone>().map_err(text)?;
                LimitKind::Quota(quota.parse::<Quota>().map_err(text)?.in_zone(zone))
            }
            StoredKind::Concurrency { calls } => LimitKind::Concurrency(calls),
        };
        let unit = if self.counts_messages { LimitUnit::Messages } else { LimitUnit::Calls };
        Ok(LimitRule { name, kind, unit, per: self.per, shared: self.shared, cap: None })
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
