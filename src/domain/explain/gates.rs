//! Every gate that can hold a message in its queue, and what each says.

use super::details::detail;
use super::setting::setting;
use super::{BLOCKERS_MAX, ExplainFacts, GateAnswer, GateBlocker};
use crate::domain::gates::{Gate, GateState, HeldGate};
use crate::domain::limit::LimitRule;
use crate::domain::message::Message;
use crate::domain::outcome::OnUncertain;
use crate::domain::policy::QueuePolicy;
use crate::domain::state::State;

/// The answers, in the documented order of the gates.
pub(super) fn answers(facts: &ExplainFacts<'_>) -> Vec<GateAnswer> {
    let message = facts.message;
    let gates = facts.gates.of_message(message);
    let gates = match facts.keys {
        Some(keys) => gates.with_keys(keys),
        None => gates,
    };
    let gates = gates.with_workers(message);
    // A limit says the same of what is not due yet: a quota may be used until after its due time.
    let early = facts.gates.limits_at(message.details.cost);
    let mut answers = Vec::new();
    for (gate, state) in gates.iter().filter(|(gate, _)| can_hold(*gate, facts.policy, message)) {
        if gate != Gate::Limit {
            answers.push(answer(facts, gate, None, state));
            continue;
        }
        for rule in &facts.policy.limits {
            let is_early = message.state == State::Scheduled && rule.per.is_none();
            let found = if is_early {
                early.iter().find(|(name, _)| *name == rule.name).map(|(_, state)| *state)
            } else {
                gates.limit(&rule.name)
            };
            answers.push(answer(facts, gate, Some(rule), found.unwrap_or(GateState::OPEN)));
        }
    }
    answers
}

/// Whether a gate can hold this message in a queue with this policy at all.
fn can_hold(gate: Gate, policy: &QueuePolicy, message: &Message) -> bool {
    match gate {
        Gate::Due | Gate::Retry | Gate::Pause | Gate::Concurrency => true,
        Gate::Window => policy.window.is_some(),
        Gate::Hours => policy.recipient_hours.is_some(),
        Gate::Throttled => policy.downstream.capabilities().is_called,
        Gate::Limit => !policy.limits.is_empty(),
        Gate::Order => policy.ordering.is_some(),
        Gate::Collapse => message.details.collapse_key.is_some(),
        Gate::Fairness => policy.fairness.is_some(),
        Gate::Batch => policy.batch.is_some(),
        Gate::Probe => {
            message.state == State::Uncertain || policy.on_uncertain == OnUncertain::Probe
        }
        Gate::Workers => policy.downstream.capabilities().is_pulled,
    }
}

fn answer(
    facts: &ExplainFacts<'_>,
    gate: Gate,
    rule: Option<&LimitRule>,
    state: GateState,
) -> GateAnswer {
    let until_ms = match state {
        GateState::Open { .. } => None,
        GateState::Held { until_ms, .. } => until_ms,
    };
    // Nobody sends what a retired queue keeps, and what is uncertain waits for a decision although no probe is to come.
    let is_shut = match gate {
        Gate::Pause => facts.is_retired,
        Gate::Probe => facts.message.state == State::Uncertain,
        _ => false,
    };
    let passes = !state.is_held() && !is_shut;
    let setting = setting(facts, gate, rule);
    let (blocked_by, blocked_by_total) =
        if passes { (Vec::new(), 0) } else { blockers(facts, gate, rule, setting.as_deref()) };
    GateAnswer {
        gate: HeldGate { gate, limit: rule.map(|rule| rule.name.clone()) },
        passes,
        opens_at_ms: until_ms,
        detail: detail(facts, gate, rule, state),
        setting,
        blocked_by,
        blocked_by_total,
    }
}

/// Who or what blocks the message at a gate that holds it, and how many there are.
fn blockers(
    facts: &ExplainFacts<'_>,
    gate: Gate,
    rule: Option<&LimitRule>,
    setting: Option<&str>,
) -> (Vec<GateBlocker>, u64) {
    let line = facts.line.as_ref();
    let found: Vec<GateBlocker> = match gate {
        Gate::Concurrency => {
            let ids = line.into_iter().flat_map(|line| &line.on_their_way).take(BLOCKERS_MAX);
            let ids: Vec<_> = ids.cloned().map(GateBlocker::Message).collect();
            let total = facts.calls_in_flight.max(u64::try_from(ids.len()).unwrap_or(u64::MAX));
            return (ids, total);
        }
        Gate::Order => facts
            .keys
            .and_then(|keys| keys.ahead.clone())
            .map(GateBlocker::Message)
            .into_iter()
            .collect(),
        Gate::Collapse => {
            facts.message.older.clone().map(GateBlocker::Message).into_iter().collect()
        }
        Gate::Fairness => {
            line.and_then(|line| line.turn.clone()).map(GateBlocker::Message).into_iter().collect()
        }
        Gate::Limit => match rule.and_then(|rule| rule.per.as_ref()) {
            Some(key) => {
                let value = key.value_of(&facts.message.details).unwrap_or_default();
                vec![GateBlocker::Key(value.to_owned())]
            }
            None => setting.map(|it| GateBlocker::Setting(it.to_owned())).into_iter().collect(),
        },
        Gate::Pause | Gate::Window | Gate::Hours => {
            setting.map(|it| GateBlocker::Setting(it.to_owned())).into_iter().collect()
        }
        _ => Vec::new(),
    };
    let total = u64::try_from(found.len()).unwrap_or(u64::MAX);
    (found, total)
}
