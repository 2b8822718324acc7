//! Whether a queue sends now, and if not, why: the first reason that holds, in a sentence.
//!
//! Pure: the gates and what the store counted come in. Refuses to know single messages (see `held_by`), and
//! when a gate holds (see `domain::gates`).

use super::view::{FailingView, Moment};
use crate::domain::explain::whole_queue;
use crate::domain::gates::{Gate, GateState, Gates, Why};
use crate::domain::policy::QueuePolicy;
use crate::domain::state::State;
use crate::domain::time::rfc3339;
use crate::domain::window::WindowState;
use crate::store::{Counts, PauseInfo, Queue};
use crate::wire::queue::{SendingState, SendingView};

/// Whether a queue sends.
struct Sending {
    state: SendingState,
    reason: String,
    since_ms: Option<u64>,
    until_ms: Option<u64>,
}

/// `sending` of a queue's view.
pub(super) fn view(
    queue: &Queue,
    counts: &Counts,
    gates: &Gates,
    hours: Option<WindowState>,
) -> SendingView {
    let Sending { state, reason, since_ms, until_ms } = of(queue, counts, gates, hours);
    SendingView {
        state: state.into(),
        reason,
        since: since_ms.map(Moment),
        until: until_ms.map(Moment),
    }
}

/// `failing` of a queue's view.
pub(super) fn failing(counts: &Counts) -> Option<FailingView<'static>> {
    counts.failing.as_ref().map(|failing| FailingView::new(failing).into_owned())
}

fn of(queue: &Queue, counts: &Counts, gates: &Gates, hours: Option<WindowState>) -> Sending {
    let policy = &queue.policy;
    if let (GateState::Held { until_ms, .. }, Some(paused)) =
        (gates.of(Gate::Pause), &counts.paused)
    {
        return of_pause(paused, until_ms, policy);
    }
    if queue.retired {
        return Sending {
            state: SendingState::Paused,
            reason: whole_queue::RETIRED.to_owned(),
            since_ms: None,
            until_ms: None,
        };
    }
    if let (GateState::Held { until_ms, .. }, Some((_, kind, why))) =
        (gates.of(Gate::Throttled), &counts.gate)
    {
        return of_shut((kind, why), counts.gate_since_ms, until_ms, policy);
    }
    if let GateState::Held { why: Why::WindowClosed { opens_at_ms }, .. } = gates.of(Gate::Window) {
        let until = opens_at_ms.map(rfc3339);
        let reason = whole_queue::closed(policy, until.as_deref(), rfc3339);
        return Sending {
            state: SendingState::Closed,
            reason,
            since_ms: None,
            until_ms: opens_at_ms,
        };
    }
    let until_ms = match hours {
        Some(WindowState::Open { closes_at_ms }) => closes_at_ms,
        Some(WindowState::Closed { .. }) | None => None,
    };
    if let Some(failing) = &counts.failing {
        let reason = format!(
            "The downstream is failing: {} attempts in a row got no answer, 408 or 5xx; the last error: {}.",
            failing.attempts,
            unended(&failing.last_error)
        );
        let since_ms = Some(failing.since_ms);
        return Sending { state: SendingState::Failing, reason, since_ms, until_ms: None };
    }
    let reason = of_limits(policy, counts, gates)
        .unwrap_or_else(|| "Messages are sent when they are due.".to_owned());
    Sending { state: SendingState::Open, reason, since_ms: None, until_ms }
}

/// What limits and keys hold all that is ready, where they do: the queue is open, and nothing leaves all the same.
fn of_limits(policy: &QueuePolicy, counts: &Counts, gates: &Gates) -> Option<String> {
    if counts.of(State::Ready) == 0 {
        return None;
    }
    let last = gates.used_quotas().max_by_key(|(_, until_ms)| until_ms.unwrap_or(u64::MAX));
    if let Some((name, Some(until_ms))) = last {
        let until = rfc3339(until_ms);
        return Some(format!(
            "Its limit \"{name}\" is used up until {until}, and what is due waits until then."
        ));
    }
    let first = format!("`tidegate list {} --state ready --limit 1` shows the first", policy.name);
    let held = |gate| match gates.of(gate) {
        GateState::Held { why, .. } => Some(why),
        GateState::Open { .. } => None,
    };
    match (held(Gate::Limit), held(Gate::Order)) {
        (Some(Why::KeyUsed), _) => {
            let holding = counts.held_keys.iter().filter(|(_, keys)| **keys > 0);
            let names: Vec<_> = holding.map(|(name, _)| format!("\"{name}\"")).collect();
            let names = names.join(", ");
            Some(format!("Limits by key hold all messages that are ready ({names}); {first}."))
        }
        (_, Some(Why::MessageAhead)) => {
            Some(format!("Each ready message waits for another one of its key; {first}."))
        }
        _ => None,
    }
}

fn of_pause(paused: &PauseInfo, until_ms: Option<u64>, policy: &QueuePolicy) -> Sending {
    let until = until_ms.map(rfc3339);
    let words = (paused.by.as_str(), paused.reason.as_str());
    let reason = whole_queue::paused(&policy.name, words, until.as_deref());
    Sending { state: SendingState::Paused, reason, since_ms: paused.since_ms, until_ms }
}

fn of_shut(
    (kind, why): (&str, &str),
    since_ms: Option<u64>,
    until_ms: Option<u64>,
    policy: &QueuePolicy,
) -> Sending {
    let until = until_ms.map_or_else(|| "a moment that nobody knows".to_owned(), rfc3339);
    let reason = whole_queue::shut(&policy.name, (kind, why), &until);
    Sending { state: SendingState::Shut, reason, since_ms, until_ms }
}

/// Somebody else's words, to stand within a sentence.
fn unended(text: &str) -> &str {
    text.trim_end().trim_end_matches('.')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::failing::Failing;

    fn counts() -> Counts {
        let paused = PauseInfo {
            since_ms: Some(1000),
            until_ms: None,
            reason: "deploy".to_owned(),
            by: "ann".to_owned(),
        };
        let failing =
            Failing { since_ms: 500, attempts: 7, last_error: "connection refused".to_owned() };
        Counts {
            paused: Some(paused),
            gate: Some((90_000, "alarm".to_owned(), "status 401: bad token".to_owned())),
            gate_since_ms: Some(700),
            failing: Some(failing),
            ..Counts::default()
        }
    }

    #[test]
    fn the_first_reason_that_holds_is_shown() {
        let policy = QueuePolicy::retired("sms".parse().unwrap(), 1);
        let pause = of_pause(counts().paused.as_ref().unwrap(), None, &policy);
        assert_eq!(
            pause.reason,
            "The queue was paused by ann (deploy) until somebody resumes it; `tidegate resume sms` ends the pause."
        );
        let gate = of_shut(("alarm", "status 401: bad token"), Some(700), Some(90_000), &policy);
        assert_eq!(
            (gate.state, gate.since_ms, gate.until_ms),
            (SendingState::Shut, Some(700), Some(90_000))
        );
        assert_eq!(
            gate.reason,
            "The downstream refused our credentials or our address (it answered: status 401: bad token); \
             it is called again at 1970-01-01T00:01:30.000Z, or at once after `tidegate resume sms`."
        );
        assert_eq!(failing(&counts()).unwrap().attempts, 7);
        assert!(failing(&Counts::default()).is_none());
    }
}
