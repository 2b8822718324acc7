//! What each gate says of a message, as a sentence.

use super::{ExplainFacts, whole_queue};
use crate::domain::gates::{Gate, GateState, Why, concurrency_of_shard};
use crate::domain::human::{count, why_failed};
use crate::domain::keys::LimitValue;
use crate::domain::limit::{LimitKind, LimitRule};
use crate::domain::overrides::{Override, OverrideChange};
use crate::domain::state::State;
use crate::domain::units::format_duration;
use crate::domain::window::WindowState;

/// What a gate says.
pub(super) fn detail(
    facts: &ExplainFacts<'_>,
    gate: Gate,
    rule: Option<&LimitRule>,
    state: GateState,
) -> String {
    let until = match state {
        GateState::Held { until_ms: Some(until_ms), .. } => {
            Some(facts.times.at_and_distance(until_ms))
        }
        _ => None,
    };
    let until = until.as_deref();
    let is_held = state.is_held();
    match gate {
        Gate::Due => due(facts, until),
        Gate::Retry => retry(facts, until),
        Gate::Pause => pause(facts, is_held, until),
        Gate::Window => window(facts, state),
        Gate::Hours => hours(facts, until),
        Gate::Throttled => throttled(facts, until),
        Gate::Limit => rule.map_or_else(String::new, |rule| limit(facts, rule, state)),
        Gate::Concurrency => concurrency(facts, is_held),
        Gate::Order => order(facts, is_held),
        Gate::Collapse => collapse(facts, is_held),
        Gate::Fairness => fairness(facts, is_held),
        Gate::Batch => batch(facts, until),
        Gate::Probe => probe(facts, until),
        Gate::Workers => workers(is_held),
    }
}

/// What was put off, because its host takes no calls, keeps why as its reason.
fn due(facts: &ExplainFacts<'_>, until: Option<&str>) -> String {
    match (until, &facts.message.reason) {
        (Some(at), Some(why)) => format!("It is due at {at}. It was put off: {}.", unended(why)),
        (Some(at), None) => format!("It is due at {at}."),
        (None, _) if facts.message.attempts > 0 => "It has been due, and was tried.".to_owned(),
        (None, _) => format!("It was due at {}.", facts.times.at(facts.message.due_at_ms)),
    }
}

fn retry(facts: &ExplainFacts<'_>, until: Option<&str>) -> String {
    let Some(at) = until else { return "It does not wait for another attempt.".to_owned() };
    let next = facts.message.attempts.saturating_add(1);
    let last = facts.message.last_attempt.as_ref();
    let error = last.and_then(|last| last.error.as_deref());
    let why = why_failed(None, last.and_then(|last| last.status_code), error);
    let why = why.map(|why| format!("; the last one failed: {}", unended(&why)));
    format!("Attempt {next} is due at {at}{}.", why.unwrap_or_default())
}

fn pause(facts: &ExplainFacts<'_>, is_held: bool, until: Option<&str>) -> String {
    if facts.is_retired {
        return whole_queue::RETIRED.to_owned();
    }
    if !is_held {
        return "The queue is not paused.".to_owned();
    }
    let (by, reason) = facts.paused.as_ref().map_or(("", ""), |(by, why)| (by, why));
    whole_queue::paused(&facts.policy.name, (by, reason), until)
}

fn window(facts: &ExplainFacts<'_>, state: GateState) -> String {
    let at = |at_ms| facts.times.at_and_distance(at_ms);
    let by = |it: &Override| matches!(it.change, OverrideChange::Window(_));
    let by = facts.policy.overrides.iter().find(|it| by(it));
    let by = by.map_or_else(String::new, |it| format!(", by an override of {}", it.by));
    match state {
        GateState::Open { before_ms: None } => format!("The window is open{by}."),
        GateState::Open { before_ms: Some(_) } => {
            let closes = facts.policy.window.as_ref().and_then(|window| {
                match window.state(facts.times.now_ms) {
                    WindowState::Open { closes_at_ms } => closes_at_ms,
                    WindowState::Closed { .. } => None,
                }
            });
            let until = closes.map_or_else(String::new, |ms| format!(" until {}", at(ms)));
            format!("The window is open{by}{until}.")
        }
        GateState::Held { why: Why::WindowCloses { closes_at_ms }, until_ms } => {
            let next =
                until_ms.map_or_else(String::new, |ms| format!(", and opens again at {}", at(ms)));
            format!("The window closes at {}, too soon for a call{next}.", at(closes_at_ms))
        }
        GateState::Held { why: Why::TimeUnknown, .. } => {
            "Redis has not told the time yet.".to_owned()
        }
        GateState::Held { until_ms, .. } => {
            whole_queue::closed(facts.policy, until_ms.map(at).as_deref(), at)
        }
    }
}

fn hours(facts: &ExplainFacts<'_>, until: Option<&str>) -> String {
    let hours = facts.policy.recipient_hours.as_ref();
    let zone = hours.and_then(|hours| hours.zone_of(&facts.message.details));
    match (zone, until) {
        (None, _) => "It goes by no recipient's hours.".to_owned(),
        (Some(zone), None) => format!("Its recipient, in {}, may be reached now.", zone.name()),
        (Some(zone), Some(at)) => {
            format!("Its recipient, in {}, may be reached from {at} on.", zone.name())
        }
    }
}

fn throttled(facts: &ExplainFacts<'_>, until: Option<&str>) -> String {
    let Some(at) = until else {
        return "The downstream has not asked for a pause.".to_owned();
    };
    let (kind, why) = facts.shut.as_ref().map_or(("", ""), |(kind, why)| (kind, why));
    whole_queue::shut(&facts.policy.name, (kind, why), at)
}

fn limit(facts: &ExplainFacts<'_>, rule: &LimitRule, state: GateState) -> String {
    let given =
        facts.given.get(&rule.name).map(|(_, given)| allowed_to_key(&rule.allowed_to_key(given)));
    let lets = given.unwrap_or_else(|| allowed(rule));
    let of = rule.per.as_ref().map_or_else(String::new, |key| {
        match key.value_of(&facts.message.details) {
            Some(value) => format!(" for {key} = {value}"),
            None => format!(" for all messages without {key}"),
        }
    });
    let GateState::Held { until_ms, why } = state else {
        return format!("It lets {lets} start{of}, and has room now.");
    };
    let opens = match (until_ms, why) {
        (Some(at_ms), Why::QuotaUsed) => {
            format!(
                "all of it is used, and the next period begins at {}",
                facts.times.at_and_distance(at_ms)
            )
        }
        (Some(at_ms), _) => {
            format!("the next one may start at {}", facts.times.at_and_distance(at_ms))
        }
        (None, Why::TimeUnknown) => "Redis has not told the time yet".to_owned(),
        (None, _) if matches!(rule.kind, LimitKind::Concurrency(_)) => {
            "all of them are in flight, and nobody knows when one ends".to_owned()
        }
        (None, _) => {
            let cost = facts.message.details.cost.units();
            format!("the message costs {cost}, more than it ever lets start at once")
        }
    };
    format!("It lets {lets} start{of}: {opens}.")
}

fn allowed(rule: &LimitRule) -> String {
    match &rule.kind {
        LimitKind::Concurrency(calls) => format!("{calls} at a time"),
        kind => kind.to_string(),
    }
}

fn allowed_to_key(value: &LimitValue) -> String {
    match value {
        LimitValue::Rate(rate) => rate.to_string(),
        LimitValue::Quota(quota) => quota.to_string(),
        LimitValue::Concurrency(calls) => format!("{calls} at a time"),
    }
}

fn concurrency(facts: &ExplainFacts<'_>, is_held: bool) -> String {
    let most = concurrency_of_shard(facts.policy);
    if is_held {
        return format!(
            "As many calls as may be ({most}) are in flight; nobody knows when one ends."
        );
    }
    format!("{} of {most} calls are in flight.", facts.calls_in_flight)
}

fn order(facts: &ExplainFacts<'_>, is_held: bool) -> String {
    let ordering = facts.policy.ordering.as_ref();
    let key = ordering.map_or_else(String::new, |ordering| ordering.by.to_string());
    let ahead = facts.keys.and_then(|keys| keys.ahead.as_ref());
    match (is_held, ahead) {
        (true, Some(ahead)) => {
            let stall = match ordering.and_then(|ordering| ordering.stall_ms) {
                Some(ms) => {
                    format!("it is skipped after {} of failing (stall)", format_duration(ms))
                }
                None => "the queue has no stall, so it is not skipped".to_owned(),
            };
            format!("{ahead} of the same {key} goes first, and has to be decided; {stall}.")
        }
        _ => format!("No other message of the same {key} has to go first."),
    }
}

fn collapse(facts: &ExplainFacts<'_>, is_held: bool) -> String {
    match (is_held, &facts.message.older) {
        (true, Some(older)) => {
            format!(
                "{older}, the older message of its collapse key, is being sent or uncertain, and has to be decided first."
            )
        }
        (true, None) => "The older message of its collapse key has to be decided first.".to_owned(),
        (false, _) => "No older message of its collapse key is on its way.".to_owned(),
    }
}

fn fairness(facts: &ExplainFacts<'_>, is_held: bool) -> String {
    let key = facts.policy.fairness.as_ref();
    let key = key.map_or_else(String::new, |fairness| fairness.by.to_string());
    if is_held {
        return format!("Another value of {key} has the turn.");
    }
    format!("No other value of {key} goes before it.")
}

fn batch(facts: &ExplainFacts<'_>, until: Option<&str>) -> String {
    let most = facts.policy.batch.map_or(0, |batch| batch.max_items.into());
    match until {
        Some(at) => {
            format!(
                "A batch leaves with {}, or at {at} with what is there.",
                count(most, "message")
            )
        }
        None => "Its batch is full, or has waited long enough.".to_owned(),
    }
}

fn probe(facts: &ExplainFacts<'_>, until: Option<&str>) -> String {
    match (until, facts.message.state) {
        (Some(at), _) => format!("The downstream is asked at {at} whether it has the message."),
        (None, State::Uncertain) => {
            "Nobody knows whether the last attempt arrived: somebody has to decide.".to_owned()
        }
        (None, _) => "No attempt of unknown outcome holds it.".to_owned(),
    }
}

fn workers(is_held: bool) -> String {
    if is_held {
        return "It leaves as soon as a worker claims it; none has yet.".to_owned();
    }
    "Whether a worker asks shows when nothing else holds it.".to_owned()
}

/// Somebody else's words, to stand within a sentence.
pub(super) fn unended(text: &str) -> &str {
    text.trim_end().trim_end_matches('.')
}
