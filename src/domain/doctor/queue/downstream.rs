//! What a queue's downstream says of itself: its gate is shut, it fails, or some of its hosts do.

use super::QueueFacts;
use crate::domain::doctor::finding::{Finding, FindingCode};
use crate::domain::failing::Failing;
use crate::domain::human::count;
use crate::domain::id::QueueName;
use crate::domain::time::rfc3339;

pub(super) fn shut(facts: &QueueFacts, until_ms: Option<u64>) -> Finding {
    let name = &facts.name;
    let until = until_ms.map_or_else(String::new, |at_ms| format!(" until {}", rfc3339(at_ms)));
    let (is_throttle, reason) = facts
        .shut
        .as_ref()
        .map_or((false, "unknown"), |shut| (shut.is_throttle, shut.reason.as_str()));
    let (detail, remedy) = if is_throttle {
        (
            format!(
                "its gate is shut{until}: the downstream asks for fewer calls, or no token for it can be got ({reason})"
            ),
            format!(
                "it opens by itself; lower the queue's rate if this happens often; `tidegate resume {name}` opens it at once"
            ),
        )
    } else {
        (
            format!(
                "its gate is shut{until}: the downstream, or the proxy before it, refuses our credentials or our address ({reason})"
            ),
            format!(
                "correct downstream.url or downstream.headers (of status 407: downstream.proxy) and reload; `tidegate try {name}` makes one test call; `tidegate resume {name}` opens the gate at once"
            ),
        )
    };
    Finding::problem(FindingCode::GateShut, name, detail, remedy).at(until_ms)
}

pub(super) fn fails(name: &QueueName, failing: &Failing) -> Finding {
    Finding::problem(
        FindingCode::DownstreamFailing,
        name,
        format!(
            "its downstream is failing since {}: {} in a row got no answer, 408 or 5xx; the last error: {}",
            rfc3339(failing.since_ms),
            count(failing.attempts, "attempt"),
            failing.last_error
        ),
        format!(
            "messages are kept and tried again; `tidegate try {name}` makes one test call; once the downstream is back, `tidegate retry {name}` makes due at once what waits for another attempt (--rate spreads it)"
        ),
    )
    .at(Some(failing.since_ms))
}

pub(super) fn hosts_fail(facts: &QueueFacts) -> Option<Finding> {
    let QueueFacts { name, hosts_left_alone: hosts, .. } = facts;
    let (code, what) = match name.callbacks_of() {
        Some(_) => (FindingCode::CallbacksFail, "callbacks"),
        None => (FindingCode::HostsFail, "messages"),
    };
    let verb = if *hosts == 1 { "gets" } else { "get" };
    let fails = format!("{what} fail: {hosts} of their hosts {verb} no calls, or one at a time");
    let remedy = format!(
        "they are tried again by themselves, and {what} are kept; the daemon's log names the hosts; `tidegate list {name} --state scheduled` shows the errors"
    );
    (*hosts > 0).then(|| Finding::problem(code, name, fails, remedy))
}
