//! What a single key is given at run time: its weight among the others, and what limits by key allow it.
//!
//! Owns what fits the queue and what has no effect there, and why: the answer to a request, the view of a key and the doctor
//! say it in the same words. Refuses to know where it is kept.

use std::collections::BTreeMap;

use super::fairness::Weight;
use super::key::MessageKey;
use crate::domain::limit::{LimitKindName, LimitName, LimitRule, Quota, QuotaPeriod, Rate};
use crate::domain::suggest::did_you_mean;

/// What a single key is given at run time; it goes before the configuration.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct KeySettings {
    /// Its weight, where the queue has fairness by this key.
    pub weight: Option<Weight>,
    /// What limits allow it, by their names.
    pub limits: BTreeMap<LimitName, LimitValue>,
}

/// What a limit allows one key.
#[derive(Debug, Clone, PartialEq)]
pub enum LimitValue {
    /// Units per time; the burst is that of the configuration.
    Rate(Rate),
    /// Units in each period; the period and its time zone are those of the configuration.
    Quota(Quota),
    /// Calls in flight.
    Concurrency(u32),
}

/// An override of a limit by key, which goes before what single keys were given at run time.
#[derive(Debug, Clone, PartialEq)]
pub struct LimitCap {
    /// What the override allows each key.
    pub value: LimitValue,
    /// It holds whatever a key was given; else the lesser of the two.
    pub above: bool,
}

impl LimitCap {
    /// What a key is allowed that was given this at run time.
    fn of_key(&self, given: &LimitValue) -> LimitValue {
        let is_given_less = match (&self.value, given) {
            (LimitValue::Rate(cap), LimitValue::Rate(given)) => given.period_us() > cap.period_us(),
            (LimitValue::Quota(cap), LimitValue::Quota(given)) => given.units() < cap.units(),
            (LimitValue::Concurrency(cap), LimitValue::Concurrency(given)) => given < cap,
            // The limit is another one now, and says nothing of what the other allows.
            _ => true,
        };
        if is_given_less && !self.above { given.clone() } else { self.value.clone() }
    }
}

impl LimitRule {
    /// What a key is allowed that was given this at run time: that, unless an override says otherwise.
    #[must_use]
    pub fn allowed_to_key(&self, given: &LimitValue) -> LimitValue {
        self.cap.as_ref().map_or_else(|| given.clone(), |cap| cap.of_key(given))
    }
}

/// What settings of single keys can be about: what of a queue is in force.
#[derive(Debug, Clone, Default)]
pub struct KeyRules {
    /// The key whose values have weights; `None`: the queue has no fairness.
    pub fair_by: Option<MessageKey>,
    /// All limits.
    pub limits: Vec<LimitRule>,
}

/// A part of the settings of keys, without its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyPart {
    /// The weight.
    Weight,
    /// What this limit allows.
    Limit {
        /// The name.
        name: LimitName,
        /// What it is taken for.
        kind: LimitKindName,
        /// Of a quota: a period, as a word.
        period: Option<String>,
    },
}

/// A part of the settings of a key that has no effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WithoutEffect {
    /// Which part.
    pub part: KeyPart,
    /// Why, and the remedy.
    pub why: String,
}

impl LimitValue {
    /// What kind of limit allows such a value.
    #[must_use]
    pub const fn kind(&self) -> LimitKindName {
        match self {
            Self::Rate(_) => LimitKindName::Rate,
            Self::Quota(_) => LimitKindName::Quota,
            Self::Concurrency(_) => LimitKindName::Concurrency,
        }
    }

    const fn period(&self) -> Option<QuotaPeriod> {
        match self {
            Self::Quota(quota) => Some(quota.period()),
            Self::Rate(_) | Self::Concurrency(_) => None,
        }
    }
}

impl KeySettings {
    /// Whether any of it is for a value of the key `host`.
    #[must_use]
    pub fn go_by_host(&self, rules: &KeyRules) -> bool {
        let is_host = |key: Option<&MessageKey>| key == Some(&MessageKey::Host);
        let of_limit =
            |rule: &LimitRule| self.limits.contains_key(&rule.name) && is_host(rule.per.as_ref());
        (self.weight.is_some() && is_host(rules.fair_by.as_ref()))
            || rules.limits.iter().any(of_limit)
    }

    /// Whether nothing is said at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.weight.is_none() && self.limits.is_empty()
    }

    /// All parts.
    pub fn parts(&self) -> impl Iterator<Item = KeyPart> {
        let weight = self.weight.map(|_| KeyPart::Weight);
        weight.into_iter().chain(self.limits.iter().map(|(name, value)| KeyPart::Limit {
            name: name.clone(),
            kind: value.kind(),
            period: value.period().map(|period| period.as_str().to_owned()),
        }))
    }

    /// The parts that have no effect under these rules.
    #[must_use]
    pub fn without_effect(&self, rules: &KeyRules) -> Vec<WithoutEffect> {
        let judged = self.parts().filter_map(|part| {
            let why = part.why_no_effect(rules)?;
            Some(WithoutEffect { part, why })
        });
        judged.collect()
    }
}

impl KeyPart {
    /// Why it has no effect under these rules, with the remedy; `None`: it has.
    #[must_use]
    pub fn why_no_effect(&self, rules: &KeyRules) -> Option<String> {
        match self {
            Self::Weight if rules.fair_by.is_some() => None,
            Self::Weight => Some(
                "has no effect, because the queue has no fairness; set fairness for the queue, for example fairness = \"labels.tenant\", or leave the weight out".to_owned(),
            ),
            Self::Limit { name, kind, period } => {
                why_limit_has_no_effect(name, *kind, period.as_deref(), &rules.limits)
            }
        }
    }

    /// As it is called in messages.
    #[must_use]
    pub fn title(&self) -> String {
        match self {
            Self::Weight => "weight".to_owned(),
            Self::Limit { name, .. } => format!("limits.{name}"),
        }
    }
}

/// Why a value of this kind, and of this period if it is a quota, has no effect under a name; `None`: it has.
fn why_limit_has_no_effect(
    name: &LimitName,
    kind: LimitKindName,
    period: Option<&str>,
    limits: &[LimitRule],
) -> Option<String> {
    let Some(limit) = limits.iter().find(|limit| limit.name == *name) else {
        return Some(unknown(name, limits));
    };
    if limit.per.is_none() {
        return Some(format!(
            "the limit \"{name}\" counts all messages of the queue together, and only a limit with per allows each key something of its own; change it in the configuration, or leave it out"
        ));
    }
    let known = limit.kind.name();
    if known != kind {
        return Some(format!(
            "the limit \"{name}\" is a {}, and this is a {}; give for example {}",
            known.as_str(),
            kind.as_str(),
            example(limit)
        ));
    }
    let known = limit.quota()?.period().as_str();
    let period = period.filter(|period| *period != known)?;
    Some(format!(
        "the limit \"{name}\" is a quota for each {known}, and this one is for each {period}; give for example {}",
        example(limit)
    ))
}

fn unknown(name: &LimitName, limits: &[LimitRule]) -> String {
    let by_key: Vec<_> = limits.iter().filter(|limit| limit.per.is_some()).collect();
    let each =
        by_key.iter().map(|limit| format!("\"{}\" ({})", limit.name, limit.kind.name().as_str()));
    let known = each.collect::<Vec<_>>().join(", ");
    let meant = did_you_mean(name.as_str(), by_key.iter().map(|limit| limit.name.as_str()));
    if known.is_empty() {
        return format!(
            "the queue has no limit \"{name}\", and no other limit with per; add one to its configuration, for example {{ rate = \"1/min\", per = \"labels.to\" }}"
        );
    }
    format!("the queue has no limit \"{name}\"{meant}; its limits with per are {known}")
}

fn example(limit: &LimitRule) -> String {
    let (kind, value) = (limit.kind.name().as_str(), &limit.kind);
    let json = match limit.kind.name() {
        LimitKindName::Concurrency => format!("{{\"{kind}\": {value}}}"),
        LimitKindName::Rate | LimitKindName::Quota => format!("{{\"{kind}\": \"{value}\"}}"),
    };
    format!("{json} (--limit {}={value})", limit.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::limit::{LimitKind, LimitUnit};

    fn rule(kind: LimitKind, per: Option<&str>) -> LimitRule {
        let per = per.map(|key| key.parse().unwrap());
        LimitRule {
            name: kind.default_name(per.as_ref()),
            kind,
            unit: LimitUnit::Messages,
            per,
            shared: false,
            cap: None,
        }
    }

    fn rules() -> KeyRules {
        let limits = vec![
            LimitRule::own_rate("20/s".parse().unwrap(), 1),
            rule(LimitKind::Rate { rate: "1/min".parse().unwrap(), burst: 1 }, Some("labels.to")),
            rule(LimitKind::Quota("5/day".parse().unwrap()), Some("labels.to")),
            rule(LimitKind::Concurrency(2), Some("labels.to")),
        ];
        KeyRules { fair_by: "labels.tenant".parse().ok(), limits }
    }

    fn why(name: &str, value: LimitValue, rules: &KeyRules) -> Option<String> {
        let limits = [(name.parse().unwrap(), value)].into();
        let found = KeySettings { weight: None, limits }.without_effect(rules);
        found.into_iter().next().map(|found| found.why)
    }

    #[test]
    fn what_does_not_fit_says_what_would() {
        let rate = || LimitValue::Rate("2/min".parse().unwrap());
        let quota = |text: &str| LimitValue::Quota(text.parse().unwrap());
        assert_eq!(why("per_to", rate(), &rules()), None);
        assert_eq!(why("per_to_day", quota("9/d"), &rules()), None);
        assert_eq!(why("per_to_concurrency", LimitValue::Concurrency(9), &rules()), None);
        for (name, value, part) in [
            (
                "per_to",
                quota("9/day"),
                "the limit \"per_to\" is a rate, and this is a quota; give for example {\"rate\": \"1/min\"} (--limit per_to=1/min)",
            ),
            (
                "per_to_concurrency",
                rate(),
                "is a concurrency, and this is a rate; give for example {\"concurrency\": 2}",
            ),
            (
                "per_to_day",
                quota("9/week"),
                "is a quota for each day, and this one is for each week; give for example {\"quota\": \"5/day\"}",
            ),
            ("rate", rate(), "counts all messages of the queue together"),
            (
                "per_too",
                rate(),
                "has no limit \"per_too\"; did you mean \"per_to\"?; its limits with per are \"per_to\" (rate), \"per_to_day\" (quota), \"per_to_concurrency\" (concurrency)",
            ),
        ] {
            let found = why(name, value, &rules()).unwrap();
            assert!(found.contains(part), "{found}");
        }
        let none = KeyRules::default();
        assert!(why("per_to", rate(), &none).unwrap().contains("and no other limit with per"));
    }

    #[test]
    fn a_weight_needs_fairness() {
        let settings = KeySettings { weight: Some(Weight::DEFAULT), ..KeySettings::default() };
        assert!(!settings.is_empty() && settings.without_effect(&rules()).is_empty());
        let found = settings.without_effect(&KeyRules::default());
        assert_eq!(found[0].part, KeyPart::Weight);
        assert!(found[0].why.contains("the queue has no fairness"), "{}", found[0].why);
    }
}
