//! The limits of a queue, a line for each.
//!
//! Owns their words. Refuses to know how a limit is kept.

use super::describe::count;
use super::plain::plain;
use super::times::Times;
use crate::domain::limit::LimitKindName;
use crate::wire::Moment;
use crate::wire::limit::LimitView;
use crate::wire::queue::QueueView;

/// The name in front of its line.
pub(crate) fn title(limit: &LimitView) -> String {
    format!("limit.{}", plain(&limit.name))
}

/// What it allows, how much of that is left, and whether it holds messages now; by a key: how many values of it.
/// `value`: one of these, where it is known.
pub(crate) fn line(limit: &LimitView, value: Option<&str>, times: &Times) -> String {
    let holds = limit.held_keys > 0;
    let left = limit.used.zip(limit.left).map(|(used, left)| format!(": {used} used, {left} left"));
    let begins = |at: Moment| format!("{} ({})", times.distance(at.0), times.at(at.0));
    let resets = limit.resets_at.map(|at| format!(", begins again {}", begins(at)));
    let is_rate = limit.kind.is(LimitKindName::Rate);
    let next = limit.next_at.filter(|_| is_rate && holds);
    let next = next.map(|at| format!("; the next unit passes {}", times.distance(at.0)));
    let per = limit.per.as_deref().map(plain);
    let holding = holds.then(|| match &per {
        None => "; it holds messages now".to_owned(),
        Some(_) => {
            let values = count(limit.held_keys, "value");
            let named = value.map(|value| match limit.held_keys {
                1 => format!(" ({})", plain(value)),
                _ => format!(" (one of them {})", plain(value)),
            });
            format!("; it holds the messages of {values} now{}", named.unwrap_or_default())
        }
    });
    let is_calls = limit.kind.is(LimitKindName::Concurrency);
    let what = if is_calls { " in flight" } else { "" };
    let per = per.map(|key| format!(" for each value of {key}"));
    let value = format!("{}{what}", plain(&limit.value));
    [Some(value), per, left, resets, next, holding].into_iter().flatten().collect()
}

/// What a limit is to allow, as it was given on the command line.
pub(crate) enum GivenLimit {
    /// Calls in flight.
    Calls(u32),
    /// Units in each period.
    Quota(String),
    /// Units per time.
    Rate(String),
}

/// Which of them a text is: the queue says of which kind the limit is, since `5/day` may be a rate or a quota.
pub(crate) fn given(queue: &QueueView, name: &str, value: &str) -> GivenLimit {
    let known = queue.limits.iter().find(|limit| limit.name == name);
    let is = |kind| known.is_some_and(|limit| limit.kind.is(kind));
    match value.parse() {
        Ok(calls) if !is(LimitKindName::Rate) => GivenLimit::Calls(calls),
        _ if is(LimitKindName::Quota) => GivenLimit::Quota(value.to_owned()),
        _ => GivenLimit::Rate(value.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::cli::tests::answers;

    fn shown_with(given: &Value, value: Option<&str>) -> (String, String) {
        let view: LimitView = serde_json::from_value(answers::limit(given)).unwrap();
        let times = Times { now_ms: 1_763_640_000_000, zone: None };
        (title(&view), line(&view, value, &times))
    }

    fn shown(given: &Value) -> (String, String) {
        shown_with(given, None)
    }

    #[test]
    fn each_limit_has_a_line() {
        let quota = json!({"name": "contract", "kind": "quota", "value": "5/day", "used": 5, "left": 0,
            "resets_at": "2025-11-20T16:00:00.000Z", "held_keys": 1});
        let (title, line) = shown(&quota);
        assert_eq!(title, "limit.contract");
        assert_eq!(
            line,
            "5/day: 5 used, 0 left, begins again in 4h (2025-11-20 16:00:00 UTC); it holds messages now"
        );
        assert_eq!(shown(&json!({"next_at": "2025-11-20T12:00:00.000Z"})).1, "20/s");
        let holding = shown(&json!({"held_keys": 1, "next_at": "2025-11-20T12:00:01.000Z"})).1;
        assert!(holding.starts_with("20/s; the next unit passes in 1s"), "{holding}");
        let by_key = |held: u64| {
            let given = json!({"name": "per_to", "value": "1/min", "per": "labels.to",
                "next_at": null, "held_keys": held});
            shown(&given).1
        };
        assert_eq!(by_key(0), "1/min for each value of labels.to");
        assert!(by_key(1).ends_with("of labels.to; it holds the messages of 1 value now"));
        let named = json!({"value": "1/min", "per": "labels.to", "held_keys": 1, "next_at": null});
        assert!(
            shown_with(&named, Some("+49"))
                .1
                .ends_with("it holds the messages of 1 value now (+49)")
        );
        assert!(by_key(7).ends_with("of labels.to; it holds the messages of 7 values now"));
        let calls = json!({"kind": "concurrency", "value": "2", "per": "group", "next_at": null});
        assert_eq!(shown(&calls).1, "2 in flight for each value of group");
    }
}
