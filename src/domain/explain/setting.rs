//! Which setting decides at a gate, by where it comes from.

use super::ExplainFacts;
use crate::domain::gates::Gate;
use crate::domain::limit::LimitRule;
use crate::domain::overrides::{Override, OverrideChange};

/// Stands for a setting that nobody has set.
const DEFAULT: &str = "default";
/// Stands for what was done through the API, or by a command.
const API: &str = "api";

/// Where the setting comes from that decides; `None`: no setting does.
pub(super) fn setting(
    facts: &ExplainFacts<'_>,
    gate: Gate,
    rule: Option<&LimitRule>,
) -> Option<String> {
    let origin = |key: &str| Some(origin(facts, key));
    match gate {
        Gate::Due | Gate::Throttled => None,
        Gate::Pause => facts.gates.of(gate).is_held().then(|| API.to_owned()),
        Gate::Retry => origin("retry"),
        Gate::Window => match by_override(facts, is_of_window) {
            Some(it) => Some(it),
            None => origin("window"),
        },
        Gate::Hours => origin("recipient_hours"),
        Gate::Limit => rule.map(|rule| of_limit(facts, rule)),
        Gate::Concurrency => {
            let is_changed = facts.policy.concurrency != facts.policy.as_configured().concurrency;
            let changed = is_changed.then(|| by_override(facts, is_of_concurrency)).flatten();
            changed.or_else(|| origin("concurrency"))
        }
        Gate::Order => origin("ordering"),
        Gate::Collapse => origin("collapse"),
        Gate::Fairness => origin("fairness"),
        Gate::Batch => origin("batch"),
        Gate::Probe => origin("on_uncertain"),
        Gate::Workers => origin("downstream"),
    }
}

fn of_limit(facts: &ExplainFacts<'_>, rule: &LimitRule) -> String {
    let is_of_limit = |it: &Override| matches!(&it.change, OverrideChange::Limit { name, .. } if *name == rule.name);
    if let Some((value, given)) = facts.given.get(&rule.name) {
        let is_capped = rule.allowed_to_key(given) != *given;
        let capping = is_capped.then(|| by_override(facts, is_of_limit)).flatten();
        return capping.unwrap_or_else(|| format!("key {value}"));
    }
    let configured = facts.policy.as_configured().limits.iter().find(|it| it.name == rule.name);
    if configured.is_none_or(|it| it.kind != rule.kind)
        && let Some(it) = by_override(facts, is_of_limit)
    {
        return it;
    }
    if rule.shared {
        let key = format!("limits.{}", rule.name);
        return facts.policy.origins.of(&key).unwrap_or(DEFAULT).to_owned();
    }
    let policy = facts.policy.as_configured();
    match policy.further_limits().iter().position(|it| it.name == rule.name) {
        Some(at) => origin(facts, &format!("limits[{at}]")),
        None => origin(facts, "rate"),
    }
}

fn origin(facts: &ExplainFacts<'_>, key: &str) -> String {
    let key = format!("queues.{}.{key}", facts.policy.name);
    facts.policy.origins.of(&key).unwrap_or(DEFAULT).to_owned()
}

fn by_override(facts: &ExplainFacts<'_>, is_meant: impl Fn(&Override) -> bool) -> Option<String> {
    let found = facts.policy.overrides.iter().find(|it| is_meant(it));
    found.map(|it| format!("override {}", it.id))
}

fn is_of_window(it: &Override) -> bool {
    matches!(it.change, OverrideChange::Window(_))
}

fn is_of_concurrency(it: &Override) -> bool {
    matches!(it.change, OverrideChange::Concurrency(_))
}
