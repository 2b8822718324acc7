//! What a policy says of limits and keys: which limits count all messages together, and which names stand in Redis.
//!
//! Refuses to know the arithmetic (see `limit`) and how messages with keys are found (see the store).

use std::borrow::Cow;

use super::QueuePolicy;
use crate::domain::backlog::BacklogPolicy;
use crate::domain::keys::{KeySettings, LimitValue, MessageKey, Structure};
use crate::domain::limit::{Cost, Limit, LimitKind, LimitName, LimitRule, Quota, Rate};

impl QueuePolicy {
    /// The `rate` and `burst` of the queue itself, where it has them.
    #[must_use]
    pub fn own_rate(&self) -> Option<(Rate, u32)> {
        self.limits.first().and_then(LimitRule::as_own_rate)
    }

    /// The limits beside the queue's own rate.
    #[must_use]
    pub fn further_limits(&self) -> &[LimitRule] {
        &self.limits[usize::from(self.own_rate().is_some())..]
    }

    /// The queue's own rate and burst, for the arithmetic; `None`: it has none.
    #[must_use]
    pub fn own_limit(&self) -> Option<Limit> {
        self.own_rate().map(|(rate, burst)| Limit::new(rate, burst))
    }

    /// The limits that count all messages together, in their order: rates and quotas.
    pub fn wide_limits(&self) -> impl Iterator<Item = &LimitRule> {
        self.limits.iter().filter(|limit| limit.per.is_none())
    }

    /// The limits that count each value of a key for itself, in their order.
    pub fn keyed_limits(&self) -> impl Iterator<Item = &LimitRule> {
        self.limits.iter().filter(|limit| limit.per.is_some())
    }

    /// Whether there is a limit that counts all messages together.
    #[must_use]
    pub fn has_wide_limits(&self) -> bool {
        self.wide_limits().next().is_some()
    }

    /// Whether it uses an account that other queues may use too.
    #[must_use]
    pub fn shares_limits(&self) -> bool {
        self.limits.iter().any(|limit| limit.shared)
    }

    /// Every rate without a key among the limits, for the arithmetic.
    pub fn rates(&self) -> impl Iterator<Item = Limit> {
        self.wide_limits().filter_map(LimitRule::rate)
    }

    /// Units a second that the rates by this key let one value of it have; `own`: what that value was given at run time. `None`: none
    /// of them goes by this key.
    #[must_use]
    pub fn key_pace(&self, key: &MessageKey, own: Option<&KeySettings>) -> Option<f64> {
        let of_key = self.keyed_limits().filter(|limit| limit.per.as_ref() == Some(key));
        let rates = of_key.filter_map(|limit| {
            let configured = limit.rate_and_burst()?.0;
            let given = own.and_then(|own| own.limits.get(&limit.name));
            match given.map(|given| limit.allowed_to_key(given)) {
                Some(LimitValue::Rate(rate)) => Some(rate.per_second()),
                _ => Some(configured.per_second()),
            }
        });
        rates.min_by(f64::total_cmp)
    }

    /// The same with what these limits by key allow a message whose values were given something at run time; itself, where none was.
    #[must_use]
    pub fn with_values<'v>(
        &self,
        values: impl Iterator<Item = (&'v LimitName, &'v LimitValue)>,
    ) -> Cow<'_, Self> {
        let mut own = Cow::Borrowed(self);
        for (name, value) in values {
            let Some(at) = self.limits.iter().position(|rule| rule.name == *name) else { continue };
            let rule = &self.limits[at];
            let kind = match (&rule.kind, rule.allowed_to_key(value)) {
                (LimitKind::Rate { burst, .. }, LimitValue::Rate(rate)) => {
                    LimitKind::Rate { rate, burst: *burst }
                }
                (LimitKind::Quota(quota), LimitValue::Quota(given)) => {
                    LimitKind::Quota(given.in_zone(quota.zone().clone()))
                }
                (LimitKind::Concurrency(_), LimitValue::Concurrency(calls)) => {
                    LimitKind::Concurrency(calls)
                }
                // The limit is another one now.
                _ => continue,
            };
            own.to_mut().limits[at].kind = kind;
        }
        own
    }

    /// Every quota without a key among the limits.
    pub fn quotas(&self) -> impl Iterator<Item = &Quota> {
        self.wide_limits().filter_map(LimitRule::quota)
    }

    /// The limits without a key that claims keep. Where each message has its host, it takes its permit later, once that lets it: those
    /// that a hung host holds back use none.
    pub fn claim_limits(&self) -> impl Iterator<Item = &LimitRule> {
        let by_claims = !self.downstream.capabilities().is_by_host;
        self.wide_limits().filter(move |_| by_claims)
    }

    /// Whether claims keep any limit without a key.
    #[must_use]
    pub fn has_claim_limits(&self) -> bool {
        self.claim_limits().next().is_some()
    }

    /// Whether there is a rate, or a quota, that counts each value of a key for itself: messages have slots by them.
    #[must_use]
    pub fn has_keyed_rates(&self) -> bool {
        self.keyed_limits().any(|limit| limit.rate().is_some() || limit.quota().is_some())
    }

    /// Whether the queue goes by any key.
    #[must_use]
    pub fn has_keys(&self) -> bool {
        let has_per = self.keyed_limits().next().is_some();
        self.ordering.is_some() || self.fairness.is_some() || has_per
    }

    /// What of this is names and not values.
    #[must_use]
    pub fn structure(&self) -> Structure {
        Structure {
            order: self.ordering.clone(),
            fair_by: self.fairness.as_ref().map(|fairness| fairness.by.clone()),
            levels: self.priority_levels,
            aging_ms: self.aging_ms,
            collapse: self.collapse,
            limits: Structure::names_of(&self.limits),
            backlog: self.backlog.as_ref().and_then(BacklogPolicy::counted),
        }
    }

    /// A quota with fewer units in a whole period never lets it pass. What an override lowers for a time refuses nothing.
    pub(super) fn check_cost(&self, cost: Cost) -> Result<(), String> {
        let Some(rule) = self.as_configured().quotas_below(cost).next() else { return Ok(()) };
        Err(self.too_costly(rule, cost, &rule.kind.to_string()))
    }

    /// The quotas that have fewer units in a whole period than a message of this cost takes.
    pub fn quotas_below(&self, cost: Cost) -> impl Iterator<Item = &LimitRule> {
        self.limits.iter().filter(move |rule| {
            let units = rule.unit.units(self.batch.is_some(), std::iter::once(cost));
            rule.quota().is_some_and(|quota| quota.units() < units)
        })
    }

    /// Says that a cost is above a quota, which is this one for the key of the message.
    #[must_use]
    pub fn too_costly(&self, rule: &LimitRule, cost: Cost, quota: &str) -> String {
        format!(
            "found {}, more than the limit \"{}\" of the queue \"{}\" lets through in a whole period ({quota}); lower the cost or raise the quota",
            cost.units(),
            rule.name,
            self.name,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::keys::{Fairness, MessageKey, Weight};
    use crate::domain::limit::{LimitKind, LimitUnit};
    use crate::domain::policy::BatchPolicy;

    #[test]
    fn a_cost_is_measured_by_what_a_call_takes_of_each_quota() {
        let quota = |text: &str, unit| {
            let kind = LimitKind::Quota(text.parse().unwrap());
            LimitRule {
                name: kind.default_name(None),
                kind,
                unit,
                per: None,
                shared: false,
                cap: None,
            }
        };
        let refused = |limits: &[LimitRule], batch| {
            let retired = QueuePolicy::retired("q".parse().unwrap(), 1);
            let policy = QueuePolicy { limits: limits.to_vec(), batch, ..retired };
            let costs = (1..=10).filter_map(Cost::new);
            let refused = costs.filter(|cost| policy.check_cost(*cost).is_err());
            refused.map(Cost::units).collect::<Vec<_>>()
        };
        let batch = Some(BatchPolicy { max_items: 2, max_bytes: 1, max_wait_ms: 0 });
        let calls = quota("7/day", LimitUnit::Calls);
        let messages = quota("8/hour", LimitUnit::Messages);
        assert_eq!(refused(&[calls.clone(), messages.clone()], None), [8, 9, 10]);
        assert_eq!(refused(std::slice::from_ref(&messages), batch), [9, 10]);
        let per = Some(MessageKey::Group);
        let by_key = LimitRule { per, unit: LimitUnit::Messages, ..calls.clone() };
        assert!(refused(&[calls], batch).is_empty(), "a batch is one call, whatever is in it");
        assert_eq!(refused(&[by_key], batch), [8, 9, 10], "by a key each message counts");
        let rate = LimitRule::own_rate("1/s".parse().unwrap(), 1);
        assert!(refused(&[rate], None).is_empty(), "a rate is passed with debt");
    }

    #[test]
    fn limits_by_a_key_are_apart_from_the_others() {
        let own = LimitRule::own_rate("1/s".parse().unwrap(), 1);
        let quota = LimitKind::Quota("5/day".parse().unwrap());
        let quota = LimitRule { name: quota.default_name(None), kind: quota, ..own.clone() };
        let of = |kind: &LimitKind| {
            let per = Some(MessageKey::Group);
            LimitRule {
                name: kind.default_name(per.as_ref()),
                kind: kind.clone(),
                per,
                ..own.clone()
            }
        };
        let calls = of(&LimitKind::Concurrency(2));
        let limits = vec![own.clone(), of(&own.kind), quota.clone(), of(&quota.kind), calls];
        let policy = QueuePolicy { limits, ..QueuePolicy::retired("q".parse().unwrap(), 1) };
        let names = |limits: Vec<&LimitRule>| -> Vec<String> {
            limits.iter().map(|limit| limit.name.to_string()).collect()
        };
        assert_eq!(names(policy.wide_limits().collect()), ["rate", "quota_day"]);
        assert_eq!(names(policy.claim_limits().collect()), ["rate", "quota_day"]);
        let keyed = ["per_group", "per_group_day", "per_group_concurrency"];
        assert_eq!(names(policy.keyed_limits().collect()), keyed);
        assert_eq!((policy.rates().count(), policy.quotas().count()), (1, 1));
        assert!(policy.has_keys() && policy.has_wide_limits() && policy.has_claim_limits());
        let alone = QueuePolicy { limits: vec![of(&own.kind)], ..policy };
        assert!(alone.has_keys() && !alone.has_wide_limits() && alone.own_limit().is_none());
    }

    #[test]
    fn the_structure_has_names_and_no_values() {
        let policy = |rate: &str, weight: f64| {
            let own = LimitRule::own_rate(rate.parse().unwrap(), 1);
            let per = LimitRule {
                name: "per_group".parse().unwrap(),
                per: Some(MessageKey::Group),
                ..own.clone()
            };
            let weight = Weight::of_number(weight).unwrap();
            QueuePolicy {
                limits: vec![own, per],
                fairness: Some(Fairness { weight, ..Fairness::by(MessageKey::Group) }),
                ..QueuePolicy::retired("q".parse().unwrap(), 1)
            }
        };
        let (one, mut other) = (policy("1/s", 1.0), policy("2/s", 3.0));
        assert_eq!(one.structure(), other.structure());
        other.limits.reverse();
        assert_eq!(one.structure(), other.structure(), "reordering resets nothing");
        other.limits[0].per = None;
        assert_ne!(one.structure(), other.structure());
        assert!(one.structure().has_lanes());
        assert!(!QueuePolicy::retired("q".parse().unwrap(), 1).structure().has_lanes());
    }
}
