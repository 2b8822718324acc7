//! The policy of a queue while overrides hold.
//!
//! Owns the rule of the lesser: of the configuration and an override the one that lets through less is in force, unless the
//! override says `above`. Refuses to know who asks.

use std::sync::Arc;

use super::{Override, OverrideChange, WindowChange};
use crate::domain::keys::{LimitCap, LimitValue};
use crate::domain::limit::{LimitKind, LimitName, LimitRule, Rate};
use crate::domain::policy::QueuePolicy;
use crate::domain::window::{Window, WindowSpan};

/// What is in force for a queue at this moment, by its configuration and these overrides, which may be those of all queues.
///
/// What an override of the window changed before stays in the policy, since the age of a message stands still while the window
/// is closed.
#[must_use]
pub fn put_in_force(
    configured: &Arc<QueuePolicy>,
    overrides: &[Override],
    now_ms: u64,
) -> Arc<QueuePolicy> {
    let of_queue = overrides.iter().filter(|it| it.queue == configured.name);
    let holding: Vec<&Override> = of_queue.clone().filter(|it| it.holds_at(now_ms)).collect();
    let spans: Vec<WindowSpan> = of_queue.filter_map(span).collect();
    if holding.is_empty() && spans.is_empty() {
        return Arc::clone(configured);
    }
    let mut policy = QueuePolicy::clone(configured);
    for it in &holding {
        match &it.change {
            OverrideChange::Limit { name, value } => limit(&mut policy, name, value, it.above),
            OverrideChange::Concurrency(calls) if it.above => policy.concurrency = *calls,
            OverrideChange::Concurrency(calls) => {
                policy.concurrency = policy.concurrency.min(*calls);
            }
            OverrideChange::Window(_) => {}
        }
    }
    if !spans.is_empty() {
        let window = policy.window.unwrap_or_else(Window::always);
        policy.window = Some(window.with_spans(spans));
    }
    policy.overrides = holding.into_iter().cloned().collect();
    policy.configured = Some(Arc::clone(configured));
    Arc::new(policy)
}

/// What is in force from some moment on.
#[derive(Debug, Clone)]
pub struct PolicyStage {
    /// The moment, ms by Redis.
    pub from_ms: u64,
    /// What is in force from then on.
    pub policy: Arc<QueuePolicy>,
}

/// What comes into force after this policy, as the overrides end that hold at this moment; the earliest first. Those of the window
/// are in the policy already, with their ends.
#[must_use]
pub fn later_stages(in_force: &QueuePolicy, now_ms: u64) -> Vec<PolicyStage> {
    let Some(configured) = &in_force.configured else { return Vec::new() };
    let of_window = |it: &&Override| matches!(it.change, OverrideChange::Window(_));
    let limiting = in_force.overrides.iter().filter(|it| !of_window(it));
    let mut ends: Vec<u64> = limiting.map(Override::end_ms).filter(|at| *at > now_ms).collect();
    ends.sort_unstable();
    ends.dedup();
    let stage = |from_ms| {
        let policy = put_in_force(configured, &in_force.overrides, from_ms);
        PolicyStage { from_ms, policy }
    };
    ends.into_iter().map(stage).collect()
}

/// From when until when an override decides about the window.
fn span(it: &Override) -> Option<WindowSpan> {
    let OverrideChange::Window(change) = it.change else { return None };
    if change == WindowChange::Open && !it.above {
        return None;
    }
    let is_open = change == WindowChange::Open;
    let span = WindowSpan { from_ms: it.from_ms, to_ms: it.end_ms(), is_open };
    (span.from_ms < span.to_ms).then_some(span)
}

fn limit(policy: &mut QueuePolicy, name: &LimitName, value: &LimitValue, above: bool) {
    let Some(rule) = policy.limits.iter_mut().find(|rule| rule.name == *name) else {
        if let LimitValue::Rate(rate) = value
            && *name == LimitRule::own_rate_name()
        {
            policy.limits.insert(0, LimitRule::own_rate(*rate, 1));
        }
        return;
    };
    if rule.per.is_some() && fits(&rule.kind, value) {
        rule.cap = Some(LimitCap { value: value.clone(), above });
    }
    match (&mut rule.kind, value) {
        (LimitKind::Rate { rate, .. }, LimitValue::Rate(other)) => {
            *rate = if above || is_slower(*other, *rate) { *other } else { *rate };
        }
        (LimitKind::Quota(quota), LimitValue::Quota(other))
            if quota.period() == other.period() && (above || other.units() < quota.units()) =>
        {
            *quota = other.clone().in_zone(quota.zone().clone());
        }
        (LimitKind::Concurrency(calls), LimitValue::Concurrency(other)) => {
            *calls = if above { *other } else { (*calls).min(*other) };
        }
        // The configuration has changed since: another kind of limit has this name now.
        _ => {}
    }
}

/// Whether a limit is of the kind that an override is about.
fn fits(kind: &LimitKind, value: &LimitValue) -> bool {
    match (kind, value) {
        (LimitKind::Rate { .. }, LimitValue::Rate(_))
        | (LimitKind::Concurrency(_), LimitValue::Concurrency(_)) => true,
        (LimitKind::Quota(quota), LimitValue::Quota(other)) => quota.period() == other.period(),
        _ => false,
    }
}

fn is_slower(one: Rate, other: Rate) -> bool {
    one.period_us() > other.period_us()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::window::WindowState;

    const NOW_MS: u64 = 1_800_000_000_000;
    const HOUR_MS: u64 = 3_600_000;

    fn configured() -> Arc<QueuePolicy> {
        let own = LimitRule::own_rate("20/s".parse().unwrap(), 3);
        let zone = "Asia/Tokyo".parse().unwrap();
        let kind = LimitKind::Quota(
            "100/day".parse::<crate::domain::limit::Quota>().unwrap().in_zone(zone),
        );
        let quota = LimitRule { name: kind.default_name(None), kind, ..own.clone() };
        let policy = QueuePolicy {
            limits: vec![own, quota],
            concurrency: 8,
            ..QueuePolicy::retired("sms".parse().unwrap(), 1)
        };
        Arc::new(policy)
    }

    fn with(change: OverrideChange, above: bool) -> Override {
        Override {
            id: "one".to_owned(),
            queue: "sms".parse().unwrap(),
            change,
            above,
            from_ms: NOW_MS,
            until_ms: NOW_MS + HOUR_MS,
            ended_ms: None,
            reason: String::new(),
            by: "test".to_owned(),
        }
    }

    fn limit_of(name: &str, value: LimitValue) -> OverrideChange {
        OverrideChange::Limit { name: name.parse().unwrap(), value }
    }

    fn in_force(change: OverrideChange, above: bool, now_ms: u64) -> Vec<String> {
        let policy = put_in_force(&configured(), &[with(change, above)], now_ms);
        let mut seen: Vec<String> =
            policy.limits.iter().map(|rule| rule.kind.to_string()).collect();
        seen.push(policy.concurrency.to_string());
        seen
    }

    #[test]
    fn the_lesser_is_in_force_unless_it_says_above() {
        let rate = |text: &str| limit_of("rate", LimitValue::Rate(text.parse().unwrap()));
        let quota = |text: &str| limit_of("quota_day", LimitValue::Quota(text.parse().unwrap()));
        for (change, above, expected) in [
            (rate("5/s"), false, ["5/s", "100/day", "8"]),
            (rate("50/s"), false, ["20/s", "100/day", "8"]),
            (rate("50/s"), true, ["50/s", "100/day", "8"]),
            (quota("7/day"), false, ["20/s", "7/day", "8"]),
            (quota("700/day"), false, ["20/s", "100/day", "8"]),
            (quota("700/day"), true, ["20/s", "700/day", "8"]),
            (OverrideChange::Concurrency(2), false, ["20/s", "100/day", "2"]),
            (OverrideChange::Concurrency(20), false, ["20/s", "100/day", "8"]),
            (OverrideChange::Concurrency(20), true, ["20/s", "100/day", "20"]),
        ] {
            assert_eq!(in_force(change.clone(), above, NOW_MS), expected, "{change:?}");
            for not_now in [NOW_MS - 1, NOW_MS + HOUR_MS] {
                assert_eq!(in_force(change.clone(), above, not_now), ["20/s", "100/day", "8"]);
            }
        }
    }

    #[test]
    fn burst_and_time_zone_stay_those_of_the_configuration() {
        let slower = with(limit_of("rate", LimitValue::Rate("1/s".parse().unwrap())), false);
        let fewer = with(limit_of("quota_day", LimitValue::Quota("7/day".parse().unwrap())), false);
        let policy = put_in_force(&configured(), &[slower, fewer], NOW_MS);
        assert_eq!(policy.own_rate().map(|(_, burst)| burst), Some(3));
        assert_eq!(
            policy.quotas().map(|quota| quota.zone().name()).collect::<Vec<_>>(),
            ["Asia/Tokyo"]
        );
        assert_eq!(policy.as_configured(), &*configured());
        assert_eq!(policy.overrides.len(), 2);
    }

    #[test]
    fn a_queue_without_a_rate_gets_one() {
        let bare = Arc::new(QueuePolicy::retired("sms".parse().unwrap(), 1));
        let rate = with(limit_of("rate", LimitValue::Rate("5/s".parse().unwrap())), false);
        let policy = put_in_force(&bare, &[rate], NOW_MS);
        assert_eq!(policy.own_rate().map(|(rate, _)| rate.to_string()).as_deref(), Some("5/s"));
    }

    #[test]
    fn others_and_none_change_nothing() {
        let configured = configured();
        assert!(Arc::ptr_eq(&put_in_force(&configured, &[], NOW_MS), &configured));
        let of_another = Override {
            queue: "erp".parse().unwrap(),
            ..with(OverrideChange::Concurrency(1), false)
        };
        assert!(Arc::ptr_eq(&put_in_force(&configured, &[of_another], NOW_MS), &configured));
    }

    #[test]
    fn a_closed_window_is_closed_until_it_ends_and_its_time_does_not_count_as_age() {
        let closed = with(OverrideChange::Window(WindowChange::Closed), false);
        for now_ms in [NOW_MS, NOW_MS + HOUR_MS] {
            let policy = put_in_force(&configured(), std::slice::from_ref(&closed), now_ms);
            let window = policy.window.as_ref().unwrap();
            let opens_at_ms = Some(NOW_MS + HOUR_MS);
            assert_eq!(window.state(NOW_MS + 1), WindowState::Closed { opens_at_ms });
            assert!(matches!(window.state(NOW_MS + HOUR_MS), WindowState::Open { .. }));
            assert_eq!(policy.age_ms(NOW_MS - 5, NOW_MS + HOUR_MS + 7, 0), 12);
        }
        let ended = Override { ended_ms: Some(NOW_MS + 10), ..closed };
        let policy = put_in_force(&configured(), &[ended], NOW_MS + 20);
        assert_eq!(policy.age_ms(NOW_MS, NOW_MS + 20, 0), 10);
        assert!(policy.overrides.is_empty());
    }
}
