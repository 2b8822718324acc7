//! One limit of a queue: its name, what it allows, and what it counts.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::cost::Cost;
use super::gcra::Limit;
use super::name::LimitName;
use super::quota::Quota;
use super::rate::Rate;
use crate::domain::keys::{LimitCap, MessageKey};

/// Most calls in flight.
pub const CALLS_MAX: u32 = 100_000;

/// One limit of a queue.
#[derive(Debug, Clone, PartialEq)]
pub struct LimitRule {
    /// Under this name its state is kept and shown.
    pub name: LimitName,
    /// What it allows.
    pub kind: LimitKind,
    /// What it counts of a batch; with `per` always the messages, each for itself.
    pub unit: LimitUnit,
    /// The key of which each value is counted for itself; `None`: all messages are counted together.
    pub per: Option<MessageKey>,
    /// It is an account that several queues may use (`[limits.NAME]`), and stands beside all of them in Redis.
    pub shared: bool,
    /// Set while an override holds for a limit by key: it goes before what single keys were given.
    pub cap: Option<LimitCap>,
}

/// What a limit allows.
#[derive(Debug, Clone, PartialEq)]
pub enum LimitKind {
    /// Units per time, at an even pace.
    Rate {
        /// The pace.
        rate: Rate,
        /// Units that may start at once after a pause, ≥ 1.
        burst: u32,
    },
    /// Units in each calendar period.
    Quota(Quota),
    /// Calls in flight, of each value of a key.
    Concurrency(u32),
}

/// The kind of a limit, without what it allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitKindName {
    /// An even pace.
    Rate,
    /// Units in a period of the calendar.
    Quota,
    /// Calls in flight.
    Concurrency,
}

impl LimitKindName {
    /// Every kind, in the order of the documentation.
    pub const ALL: [Self; 3] = [Self::Rate, Self::Quota, Self::Concurrency];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Quota => "quota",
            Self::Concurrency => "concurrency",
        }
    }
}

/// What a limit counts of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LimitUnit {
    /// A batch is one unit.
    #[default]
    Calls,
    /// A batch is the sum of what its messages cost.
    Messages,
}

impl LimitUnit {
    /// The word in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Calls => "calls",
            Self::Messages => "messages",
        }
    }
}

impl LimitUnit {
    /// How many units a call takes that carries messages with these costs; `is_batch`: of a queue with batches.
    pub fn units(self, is_batch: bool, costs: impl Iterator<Item = Cost>) -> u64 {
        match self {
            Self::Calls if is_batch => 1,
            Self::Calls | Self::Messages => costs.map(|cost| u64::from(cost.units())).sum(),
        }
    }
}

impl LimitKind {
    /// The name of a limit that was given none, by what it allows and by the key that it counts by.
    #[must_use]
    pub fn default_name(&self, per: Option<&MessageKey>) -> LimitName {
        let (alone, behind) = match self {
            Self::Rate { .. } => ("rate", String::new()),
            Self::Quota(quota) => ("quota", format!("_{}", quota.period().as_str())),
            Self::Concurrency(_) => ("concurrency", String::new()),
        };
        match (self, per) {
            (_, None) => LimitName::given(alone, "", &behind),
            (Self::Concurrency(_), Some(key)) => {
                LimitName::given("per_", key.last_part(), "_concurrency")
            }
            (_, Some(key)) => LimitName::given("per_", key.last_part(), &behind),
        }
    }

    /// Its kind.
    #[must_use]
    pub const fn name(&self) -> LimitKindName {
        match self {
            Self::Rate { .. } => LimitKindName::Rate,
            Self::Quota(_) => LimitKindName::Quota,
            Self::Concurrency(_) => LimitKindName::Concurrency,
        }
    }
}

/// As it is written, for example `20/s`; of a concurrency its number.
impl fmt::Display for LimitKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rate { rate, .. } => rate.fmt(f),
            Self::Quota(quota) => quota.fmt(f),
            Self::Concurrency(calls) => calls.fmt(f),
        }
    }
}

impl LimitRule {
    /// The `rate` and `burst` of a queue itself, which are its first limit.
    #[must_use]
    pub fn own_rate(rate: Rate, burst: u32) -> Self {
        let kind = LimitKind::Rate { rate, burst: burst.max(1) };
        Self {
            name: kind.default_name(None),
            kind,
            unit: LimitUnit::Calls,
            per: None,
            shared: false,
            cap: None,
        }
    }

    /// The name of the rate of a queue itself.
    #[must_use]
    pub fn own_rate_name() -> LimitName {
        LimitName::given("rate", "", "")
    }

    /// Rate and burst, if it may be written as those of the queue itself.
    #[must_use]
    pub fn as_own_rate(&self) -> Option<(Rate, u32)> {
        match self.kind {
            LimitKind::Rate { rate, burst }
                if self.unit == LimitUnit::Calls
                    && self.per.is_none()
                    && !self.shared
                    && self.name == self.kind.default_name(None) =>
            {
                Some((rate, burst))
            }
            _ => None,
        }
    }

    /// Its rate and burst as they are set, if it is a rate.
    #[must_use]
    pub const fn rate_and_burst(&self) -> Option<(Rate, u32)> {
        match self.kind {
            LimitKind::Rate { rate, burst } => Some((rate, burst)),
            LimitKind::Quota(_) | LimitKind::Concurrency(_) => None,
        }
    }

    /// Its rate and burst for the arithmetic, if it is a rate.
    #[must_use]
    pub fn rate(&self) -> Option<Limit> {
        self.rate_and_burst().map(|(rate, burst)| Limit::new(rate, burst))
    }

    /// Its quota, if it is one.
    #[must_use]
    pub const fn quota(&self) -> Option<&Quota> {
        match &self.kind {
            LimitKind::Quota(quota) => Some(quota),
            LimitKind::Rate { .. } | LimitKind::Concurrency(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_one_unit_or_all_that_its_messages_cost() {
        let costs = || [1, 3].into_iter().map(|units| Cost::new(units).unwrap());
        assert_eq!(LimitUnit::Calls.units(true, costs()), 1);
        assert_eq!(LimitUnit::Messages.units(true, costs()), 4);
        for unit in [LimitUnit::Calls, LimitUnit::Messages] {
            assert_eq!(unit.units(false, costs().skip(1)), 3, "a message alone takes its cost");
        }
    }

    #[test]
    fn a_limit_without_a_name_has_that_of_its_kind() {
        let own = LimitRule::own_rate("20/s".parse().unwrap(), 0);
        assert_eq!((own.name.as_str(), own.kind.to_string().as_str()), ("rate", "20/s"));
        assert!(matches!(own.kind, LimitKind::Rate { burst: 1, .. }), "a burst is at least one");
        for (text, name) in [
            ("5/hour", "quota_hour"),
            ("50000/day", "quota_day"),
            ("5/week", "quota_week"),
            ("5/month", "quota_month"),
        ] {
            let kind = LimitKind::Quota(text.parse().unwrap());
            assert_eq!((kind.default_name(None).as_str(), kind.to_string().as_str()), (name, text));
        }
    }

    #[test]
    fn a_limit_by_a_key_is_named_after_the_key() {
        let rate = LimitKind::Rate { rate: "1/min".parse().unwrap(), burst: 1 };
        let quota = LimitKind::Quota("5/day".parse().unwrap());
        let calls = LimitKind::Concurrency(2);
        let long = format!("labels.{}", "x".repeat(64));
        for (kind, per, name) in [
            (&rate, "labels.to", "per_to".to_owned()),
            (&quota, "labels.to", "per_to_day".to_owned()),
            (&calls, "labels.to", "per_to_concurrency".to_owned()),
            (&rate, "group", "per_group".to_owned()),
            (&quota, "group", "per_group_day".to_owned()),
            (&calls, "group", "per_group_concurrency".to_owned()),
            (&rate, "labels.Ship.To", "per_ship_to".to_owned()),
            (&rate, "labels.a-b", "per_a-b".to_owned()),
            (&quota, "labels.__a  b__", "per_a_b_day".to_owned()),
            (&calls, "labels.客户", "per_concurrency".to_owned()),
            (&rate, "labels.客户", "per".to_owned()),
            (&rate, &long, format!("per_{}", "x".repeat(60))),
            (&calls, &long, format!("per_{}_concurrency", "x".repeat(48))),
        ] {
            let found = kind.default_name(Some(&per.parse().unwrap()));
            assert_eq!(found.as_str(), name, "{per}");
            assert_eq!(name.parse(), Ok(found), "it is a name that may be written");
        }
    }

    #[test]
    fn a_rate_by_a_key_is_not_that_of_the_queue() {
        let own = LimitRule::own_rate("20/s".parse().unwrap(), 1);
        assert!(own.as_own_rate().is_some());
        let by_key = LimitRule { per: Some(MessageKey::Group), ..own };
        assert!(by_key.as_own_rate().is_none());
    }
}
