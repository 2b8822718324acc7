//! Overrides: what an operator puts in place of a part of a queue's configuration for a time.
//!
//! Owns what an override may be about, which of them hold at a moment, and why one does not fit a queue. What a policy is
//! while they hold stands in `in_force`. Pure; refuses to know where overrides are kept.

mod in_force;

use std::fmt;

pub use self::in_force::{PolicyStage, later_stages, put_in_force};
use super::id::QueueName;
use super::keys::LimitValue;
use super::limit::{LimitKindName, LimitName, LimitRule};
use super::policy::QueuePolicy;
use super::suggest::did_you_mean;

/// An override of a queue.
#[derive(Debug, Clone, PartialEq)]
pub struct Override {
    /// Its id.
    pub id: String,
    /// The queue.
    pub queue: QueueName,
    /// What it changes.
    pub change: OverrideChange,
    /// Whether it also holds where it lets through more than the configuration does.
    pub above: bool,
    /// From when on it holds, ms by Redis.
    pub from_ms: u64,
    /// When it ends by itself, ms by Redis.
    pub until_ms: u64,
    /// When somebody ended it, or put another one in its place; `None`: nobody has.
    pub ended_ms: Option<u64>,
    /// Why, by the operator's own word; may be empty.
    pub reason: String,
    /// Who: a token's name.
    pub by: String,
}

/// What an override changes.
#[derive(Debug, Clone, PartialEq)]
pub enum OverrideChange {
    /// What a limit allows. The queue's own rate is the limit `rate`.
    Limit {
        /// The name of the limit.
        name: LimitName,
        /// What it allows.
        value: LimitValue,
    },
    /// Calls in flight over all nodes.
    Concurrency(u32),
    /// The window, whatever the hours.
    Window(WindowChange),
}

/// What a window is for a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowChange {
    /// Calls may start.
    Open,
    /// No call starts.
    Closed,
}

impl WindowChange {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}

/// The kind of an override: of each there is one in a queue at most, and a newer one takes the place of the older.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OverrideKind {
    /// Of one limit.
    Limit(LimitName),
    /// Of the calls in flight.
    Concurrency,
    /// Of the window.
    Window,
}

impl fmt::Display for OverrideKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limit(name) => write!(f, "limit:{name}"),
            Self::Concurrency => f.write_str("concurrency"),
            Self::Window => f.write_str("window"),
        }
    }
}

impl OverrideChange {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> OverrideKind {
        match self {
            Self::Limit { name, .. } => OverrideKind::Limit(name.clone()),
            Self::Concurrency(_) => OverrideKind::Concurrency,
            Self::Window(_) => OverrideKind::Window,
        }
    }

    /// Why it does not fit a queue with this configuration, with the remedy; `None`: it does.
    #[must_use]
    pub fn why_unfit(&self, above: bool, configured: &QueuePolicy) -> Option<String> {
        match self {
            Self::Window(WindowChange::Open) if !above => Some(
                "\"open\" would change nothing, because the lesser of the configuration and an override is in force; set \"above\": true (with the scope admin), or leave the override out".to_owned(),
            ),
            Self::Window(_) | Self::Concurrency(_) => None,
            Self::Limit { name, value } => why_limit_unfit(name, value, configured),
        }
    }
}

fn why_limit_unfit(
    name: &LimitName,
    value: &LimitValue,
    configured: &QueuePolicy,
) -> Option<String> {
    let Some(rule) = configured.limits.iter().find(|rule| rule.name == *name) else {
        // A queue without a rate of its own gets one for a time.
        if *name == LimitRule::own_rate_name() && value.kind() == LimitKindName::Rate {
            return None;
        }
        let names: Vec<&str> = configured.limits.iter().map(|rule| rule.name.as_str()).collect();
        let there_are = match names.as_slice() {
            [] => format!("the queue \"{}\" has no limits", configured.name),
            names => {
                format!("the limits of the queue \"{}\" are {}", configured.name, names.join(", "))
            }
        };
        let hint = did_you_mean(name.as_str(), names.iter().copied());
        return Some(format!("there is no limit \"{name}\": {there_are}{hint}"));
    };
    if rule.shared {
        return Some(format!(
            "the limit \"{name}\" is shared by several queues ([limits.{name}]), so it cannot be overridden in one of them; override \"rate\" or \"concurrency\" of this queue, or change [limits.{name}] and reload"
        ));
    }
    if rule.kind.name() != value.kind() {
        return Some(format!(
            "the limit \"{name}\" is a {} ({}), and a {} cannot take its place; give \"{}\"",
            rule.kind.name().as_str(),
            rule.kind,
            value.kind().as_str(),
            rule.kind.name().as_str(),
        ));
    }
    match (rule.quota(), value) {
        (Some(configured), LimitValue::Quota(quota)) if configured.period() != quota.period() => {
            Some(format!(
                "the limit \"{name}\" counts by the {}, so the override does too; give for example {}/{}",
                configured.period().as_str(),
                quota.units(),
                configured.period().as_str(),
            ))
        }
        _ => None,
    }
}

impl Override {
    /// When it ended, or ends.
    #[must_use]
    pub fn end_ms(&self) -> u64 {
        self.ended_ms.map_or(self.until_ms, |ended_ms| ended_ms.min(self.until_ms))
    }

    /// Whether it holds at this moment.
    #[must_use]
    pub fn holds_at(&self, now_ms: u64) -> bool {
        (self.from_ms..self.end_ms()).contains(&now_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> QueuePolicy {
        let own = LimitRule::own_rate("20/s".parse().unwrap(), 1);
        let kind = crate::domain::limit::LimitKind::Quota("50000/day".parse().unwrap());
        let quota = LimitRule { name: kind.default_name(None), kind, ..own.clone() };
        let shared = LimitRule { name: "brand".parse().unwrap(), shared: true, ..quota.clone() };
        QueuePolicy {
            limits: vec![own, quota, shared],
            ..QueuePolicy::retired("sms".parse().unwrap(), 1)
        }
    }

    fn limit(name: &str, value: LimitValue) -> OverrideChange {
        OverrideChange::Limit { name: name.parse().unwrap(), value }
    }

    fn rate(text: &str) -> LimitValue {
        LimitValue::Rate(text.parse().unwrap())
    }

    fn quota(text: &str) -> LimitValue {
        LimitValue::Quota(text.parse().unwrap())
    }

    #[test]
    fn what_does_not_fit_says_why_and_what_to_do() {
        let policy = policy();
        for (change, part) in [
            (limit("rat", rate("1/s")), "are rate, quota_day, brand; did you mean \"rate\"?"),
            (limit("rate", quota("1/day")), "the limit \"rate\" is a rate (20/s)"),
            (limit("quota_day", quota("1/hour")), "give for example 1/day"),
            (limit("brand", quota("1/day")), "[limits.brand]"),
            (OverrideChange::Window(WindowChange::Open), "\"above\": true"),
        ] {
            let why = change.why_unfit(false, &policy).unwrap_or_default();
            assert!(why.contains(part), "{change:?}: {why}");
        }
    }

    #[test]
    fn what_fits_is_taken() {
        let without_rate = QueuePolicy::retired("q".parse().unwrap(), 1);
        assert_eq!(limit("rate", rate("1/s")).why_unfit(false, &without_rate), None);
        for change in [
            limit("rate", rate("1/s")),
            limit("quota_day", quota("9/day")),
            OverrideChange::Concurrency(1),
            OverrideChange::Window(WindowChange::Closed),
        ] {
            assert_eq!(change.why_unfit(false, &policy()), None, "{change:?}");
        }
        assert_eq!(OverrideChange::Window(WindowChange::Open).why_unfit(true, &policy()), None);
    }

    #[test]
    fn each_limit_is_a_kind_of_its_own() {
        let kinds = [
            limit("rate", rate("1/s")),
            OverrideChange::Concurrency(1),
            OverrideChange::Window(WindowChange::Open),
        ];
        let kinds = kinds.map(|change| change.kind().to_string());
        assert_eq!(kinds, ["limit:rate", "concurrency", "window"]);
    }
}
