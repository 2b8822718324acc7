//! One limit of a queue: its name, what it allows, and what it counts.

use std::fmt;

use super::cost::Cost;
use super::gcra::Limit;
use super::name::LimitName;
use super::quota::Quota;
use super::rate::Rate;

/// One limit of a queue.
#[derive(Debug, Clone, PartialEq)]
pub struct LimitRule {
    /// Under this name its state is kept and shown.
    pub name: LimitName,
    /// What it allows.
    pub kind: LimitKind,
    /// What it counts.
    pub unit: LimitUnit,
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
    /// The name of a limit that was given none.
    #[must_use]
    pub fn default_name(&self) -> LimitName {
        match self {
            Self::Rate { .. } => LimitName::given("rate"),
            Self::Quota(quota) => LimitName::given(&format!("quota_{}", quota.period().as_str())),
        }
    }

    /// The word for its kind: `rate` or `quota`.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Rate { .. } => "rate",
            Self::Quota(_) => "quota",
        }
    }
}

/// As it is written, for example `20/s`.
impl fmt::Display for LimitKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rate { rate, .. } => rate.fmt(f),
            Self::Quota(quota) => quota.fmt(f),
        }
    }
}

impl LimitRule {
    /// The `rate` and `burst` of a queue itself, which are its first limit.
    #[must_use]
    pub fn own_rate(rate: Rate, burst: u32) -> Self {
        let kind = LimitKind::Rate { rate, burst: burst.max(1) };
        Self { name: kind.default_name(), kind, unit: LimitUnit::Calls }
    }

    /// Rate and burst, if it may be written as those of the queue itself.
    #[must_use]
    pub fn as_own_rate(&self) -> Option<(Rate, u32)> {
        match self.kind {
            LimitKind::Rate { rate, burst }
                if self.unit == LimitUnit::Calls && self.name == self.kind.default_name() =>
            {
                Some((rate, burst))
            }
            _ => None,
        }
    }

    /// Its rate and burst for the arithmetic, if it is a rate.
    #[must_use]
    pub fn rate(&self) -> Option<Limit> {
        match self.kind {
            LimitKind::Rate { rate, burst } => Some(Limit::new(rate, burst)),
            LimitKind::Quota(_) => None,
        }
    }

    /// Its quota, if it is one.
    #[must_use]
    pub const fn quota(&self) -> Option<&Quota> {
        match &self.kind {
            LimitKind::Quota(quota) => Some(quota),
            LimitKind::Rate { .. } => None,
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
            assert_eq!((kind.default_name().as_str(), kind.to_string().as_str()), (name, text));
        }
    }
}
