//! The answer in a sentence or two, for somebody who is tired.
//!
//! Owns which gate is named: the one that opens last. What only sets the pace is not what holds a message that has others before it.

use super::{ExplainFacts, GateAnswer, LineOf, LinePosition};
use crate::domain::gates::{Gate, HeldGate};
use crate::domain::human::{count, why_failed};
use crate::domain::limit::{LimitKindName, LimitName};
use crate::domain::state::State;

/// Why the message waits, or that it does not.
pub(super) fn sentence(
    facts: &ExplainFacts<'_>,
    gates: &[GateAnswer],
    [earliest_ms, expected_ms]: [Option<u64>; 2],
) -> String {
    let message = facts.message;
    let times = &facts.times;
    let ago = message.final_at_ms.map(|at_ms| format!(" {}", times.distance(at_ms)));
    let ago = ago.unwrap_or_default();
    let last = message.last_attempt.as_ref();
    let error = last.and_then(|last| last.error.as_deref());
    let status = last.and_then(|last| last.status_code);
    let why = why_failed(message.reason.as_deref(), status, error);
    let why = why.map(|why| format!(": {}", why.trim_end_matches('.'))).unwrap_or_default();
    match message.state {
        State::Scheduled | State::Ready => {
            let opens_ms = gates.iter().filter_map(|answer| answer.opens_at_ms).max();
            let since_then =
                earliest_ms.filter(|at_ms| Some(*at_ms) > opens_ms && opens_ms.is_some());
            let later = since_then.map(|at_ms| {
                let at = facts.times.at_and_distance(at_ms);
                format!(" By then the window, or the hours of its recipient, are closed: it can leave at {at} at the earliest.")
            });
            let waiting = waiting(facts, gates, expected_ms.filter(|_| later.is_none()));
            format!("{waiting}{}", later.unwrap_or_default())
        }
        State::Uncertain => {
            let held = gates.iter().find(|it| it.gate.gate == Gate::Probe);
            held.map_or_else(String::new, |it| it.detail.clone())
        }
        State::Leased => format!("It is being sent: attempt {}.", message.attempts.max(1)),
        State::Accepted => "The downstream has accepted it, and its receipt is awaited.".to_owned(),
        State::Delivered => format!("It waits for nothing: it was delivered{ago}."),
        State::Dead => format!("It waits for nothing: it was given up{ago}{why}."),
        State::Expired => {
            format!("It waits for nothing: its time ran out{ago} before it was sent.")
        }
        State::Cancelled => format!("It waits for nothing: it was cancelled{ago}."),
    }
}

fn waiting(facts: &ExplainFacts<'_>, gates: &[GateAnswer], expected_ms: Option<u64>) -> String {
    let position = facts.line.as_ref().map(|line| line.position);
    let ahead = position.map_or(0, |position| position.ahead);
    let held: Vec<&GateAnswer> = gates.iter().filter(|answer| !answer.passes).collect();
    let opens_ms = held.iter().filter_map(|answer| answer.opens_at_ms).max();
    // Where it leaves as soon as the last gate opens, that moment is said already.
    let expected = expected_ms.filter(|at_ms| Some(*at_ms) > opens_ms).map(|at_ms| {
        format!(" It is expected to leave at {}.", facts.times.at_and_distance(at_ms))
    });
    let expected = expected.unwrap_or_default();
    let behind = position.filter(|_| ahead > 0).map(|position| stand_before(&position));
    if held.iter().all(|answer| sets_pace(facts, &answer.gate)) {
        return match (behind, last(&held)) {
            (Some(behind), None) => format!("{behind} Nothing else holds it.{expected}"),
            (Some(behind), Some(pace)) => format!("{behind} {}{expected}", named(pace)),
            (None, None) => "It is next in line, and nothing holds it.".to_owned(),
            (None, Some(pace)) => format!("It is next in line. {}", named(pace)),
        };
    }
    let others: Vec<&GateAnswer> =
        held.iter().copied().filter(|answer| !sets_pace(facts, &answer.gate)).collect();
    let Some(decides) = last(&others) else { return String::new() };
    let besides: Vec<String> = others
        .iter()
        .filter(|answer| answer.gate != decides.gate)
        .map(|answer| answer.gate.to_string())
        .collect();
    let besides = match besides.as_slice() {
        [] => String::new(),
        names => format!(" Held as well by: {}.", names.join(", ")),
    };
    let behind = behind.map(|behind| format!(" {behind}")).unwrap_or_default();
    format!("{}{besides}{behind}{expected}", named(decides))
}

/// The gate that opens last; of which nobody can know, before all others.
fn last<'a>(held: &[&'a GateAnswer]) -> Option<&'a GateAnswer> {
    let mut last: Option<&GateAnswer> = None;
    for answer in held {
        let opens = |it: &GateAnswer| it.opens_at_ms.unwrap_or(u64::MAX);
        if last.is_none_or(|it| opens(answer) > opens(it)) {
            last = Some(answer);
        }
    }
    last
}

/// A limit speaks of itself by its name.
fn named(answer: &GateAnswer) -> String {
    match &answer.gate.limit {
        Some(name) => match answer.detail.strip_prefix("It ") {
            Some(rest) => format!("The limit \"{name}\" {rest}"),
            None => answer.detail.clone(),
        },
        None => answer.detail.clone(),
    }
}

/// Whether a gate lets messages through one by one all the time: whoever stands behind others waits for those.
fn sets_pace(facts: &ExplainFacts<'_>, gate: &HeldGate) -> bool {
    let is_rate = |name: &LimitName| {
        let rule = facts.policy.limits.iter().find(|rule| rule.name == *name);
        rule.is_some_and(|rule| rule.per.is_none() && rule.kind.name() == LimitKindName::Rate)
    };
    matches!(gate.gate, Gate::Concurrency | Gate::Fairness | Gate::Batch)
        || gate.limit.as_ref().is_some_and(is_rate)
}

fn stand_before(position: &LinePosition) -> String {
    let more = if position.at_least { "More than " } else { "" };
    let messages = count(position.ahead, "message");
    let verb = if position.ahead == 1 { "stands" } else { "stand" };
    let whose = match position.of {
        LineOf::Key => " of its key",
        LineOf::Queue => "",
    };
    format!("{more}{messages}{whose} {verb} before it.")
}
