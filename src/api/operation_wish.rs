//! What an operation may be asked for: nothing without a filter or `all`.
//!
//! Owns the body of a start. Refuses to know whether its queues are there.

use axum::body::Bytes;
use serde_json::value::RawValue;

use super::fields::{Fields, Shape, pairs};
use super::problem::Problem;
use super::values::{delay, due_moment, moment, name, string, truth, words};
use crate::domain::filter::{Filter, Span};
use crate::domain::id::QueueName;
use crate::domain::limit::Rate;
use crate::domain::message::{LABELS_MAX, NAME_BYTES_MAX, When};
use crate::domain::operation::Action;
use crate::domain::state::State as MessageState;

pub(super) static START: Shape = Shape {
    known: &[
        "action", "queue", "state", "filter", "all", "rate", "dry_run", "reason", "due_at",
        "delay", "to",
    ],
    later: &[],
};
pub(super) static FILTER: Shape = Shape { known: &Filter::NAMES, later: &[] };

/// What a body asks for, checked as far as it can be without the store.
pub(super) struct Wish {
    pub(super) action: Action,
    pub(super) queue: QueueName,
    pub(super) state: MessageState,
    pub(super) filter: Filter,
    pub(super) rate: Option<Rate>,
    pub(super) is_dry: bool,
    pub(super) reason: String,
    pub(super) due: Option<When>,
    pub(super) to: Option<QueueName>,
}

pub(super) fn read_wish(body: &Bytes, now_ms: u64) -> Result<Wish, Problem> {
    let mut fields = Fields::of_body(body, &START)?;
    let action = fields.read_as("action", |raw| {
        let word = string(raw)?;
        Action::of_word(&word).ok_or_else(|| {
            format!("found \"{word}\", expected requeue, cancel, reschedule, move or retry")
        })
    });
    // Of callbacks, too: dead ones are many when their receiver was away.
    let queue = fields
        .read_as("queue", |raw| QueueName::any(&string(raw)?).map_err(|error| error.to_string()));
    let mut state = fields.read_as("state", |raw| {
        string(raw)?.parse::<MessageState>().map_err(|error| error.to_string())
    });
    let is_retry = action == Some(Action::Retry);
    if is_retry && fields.raw("state").is_none() {
        state = Some(MessageState::Scheduled);
    }
    for (name, example) in [("action", "requeue"), ("queue", "sms"), ("state", "dead")] {
        if fields.raw(name).is_none() && !(is_retry && name == "state") {
            fields.fault(name, format!("missing; expected for example \"{example}\""));
        }
    }
    let filter = read_filter(&mut fields);
    let is_dry = fields.read_as("dry_run", truth).unwrap_or(false);
    let rate =
        fields.read_as("rate", |raw| string(raw)?.parse::<Rate>().map_err(|e| e.to_string()));
    let reason = fields.read_as("reason", words).unwrap_or_default();
    if action == Some(Action::Cancel) && !is_dry && reason.trim().is_empty() {
        fields.fault(
            "reason",
            "missing; say why messages are cancelled: it is kept with the operation",
        );
    }
    let due = read_due(&mut fields, action, now_ms);
    let to = read_to(&mut fields, action, queue.as_ref());
    fields.finish()?;
    let (Some(action), Some(queue), Some(state)) = (action, queue, state) else {
        return Err(Problem::fault("", "expected action, queue and state"));
    };
    if !action.takes().contains(&state) {
        let takes: Vec<_> = action.takes().iter().map(|state| state.as_str()).collect();
        let detail = format!(
            "{} does not take {state} messages; expected {}",
            action.as_str(),
            takes.join(", ")
        );
        return Err(Problem::wrong_state(state.as_str(), detail));
    }
    Ok(Wish { action, queue, state, filter, rate, is_dry, reason, due, to })
}

fn queue_name(raw: &RawValue) -> Result<QueueName, String> {
    string(raw)?.parse::<QueueName>().map_err(|error| error.to_string())
}

/// Everything is never meant by silence.
fn read_filter(fields: &mut Fields<'_>) -> Filter {
    let is_all = fields.read_as("all", truth).unwrap_or(false);
    let mut faults = Vec::new();
    let filter = fields.read_as("filter", |raw| {
        let mut inner = Fields::within(raw, &FILTER, "/filter")?;
        let filter = filter_of(&mut inner);
        faults = inner.into_faults();
        Ok(filter)
    });
    let is_sound = faults.is_empty();
    faults.into_iter().for_each(|fault| fields.note(fault));
    let filter = filter.unwrap_or_default();
    if is_all && !filter.is_empty() {
        fields.fault("all", "contradicts filter; give one of them");
    } else if !is_all && filter.is_empty() && is_sound {
        let detail =
            "missing; say which messages are meant, or \"all\": true for every one in this state";
        fields.fault("filter", detail);
    }
    filter
}

fn filter_of(fields: &mut Fields<'_>) -> Filter {
    let text = |raw: &RawValue| name(raw, NAME_BYTES_MAX);
    let mut span = |name: &str| Span {
        after_ms: fields.read_as(&format!("{name}_after"), moment),
        before_ms: fields.read_as(&format!("{name}_before"), moment),
    };
    let [created, due, ended] = ["created", "due", "final"].map(&mut span);
    Filter {
        labels: fields.read_as("label", labels).unwrap_or_default(),
        group: fields.read_as("group", text),
        error_contains: fields.read_as("error_contains", text),
        created,
        due,
        ended,
    }
}

/// `{"name": "value", ...}`, or `"name=value"` for one.
fn labels(raw: &RawValue) -> Result<Vec<(String, String)>, String> {
    let labels: Vec<(String, String)> = if raw.get().starts_with('"') {
        let text = string(raw)?;
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| format!("found \"{text}\", expected \"name=value\""))?;
        vec![(name.to_owned(), value.to_owned())]
    } else {
        let mut labels: Vec<(String, String)> = Vec::new();
        for (name, raw) in pairs(raw)? {
            if labels.iter().any(|(known, _)| *known == name) {
                return Err(format!("\"{name}\" is given twice; give it once"));
            }
            if labels.len() >= LABELS_MAX {
                return Err(format!("a message has at most {LABELS_MAX} labels"));
            }
            labels.push((name, string(raw)?));
        }
        labels.sort();
        labels
    };
    if labels.is_empty() {
        return Err("found no label, expected at least one".to_owned());
    }
    Ok(labels)
}

fn read_due(fields: &mut Fields<'_>, action: Option<Action>, now_ms: u64) -> Option<When> {
    let at = fields.read_as("due_at", |raw| due_moment(raw, now_ms)).map(When::At);
    let after = fields.read_as("delay", delay).map(When::After);
    let given = ["due_at", "delay"].map(|name| fields.raw(name).is_some());
    let is_reschedule = action == Some(Action::Reschedule);
    match given {
        [true, true] => fields.fault("delay", "give due_at or delay, not both"),
        [false, false] if is_reschedule => {
            fields.fault("due_at", "missing; a reschedule needs due_at or delay");
        }
        [true, _] if action.is_some() && !is_reschedule => {
            fields.fault("due_at", "only a reschedule has a due time; leave it out");
        }
        [_, true] if action.is_some() && !is_reschedule => {
            fields.fault("delay", "only a reschedule has a due time; leave it out");
        }
        _ => {}
    }
    at.or(after)
}

fn read_to(
    fields: &mut Fields<'_>,
    action: Option<Action>,
    queue: Option<&QueueName>,
) -> Option<QueueName> {
    let to = fields.read_as("to", queue_name);
    let is_move = action == Some(Action::Move);
    if is_move && queue.is_some_and(|queue| queue.callbacks_of().is_some()) {
        fields.fault("queue", "carries callbacks, which belong to their queue; they are not moved");
    }
    match &to {
        Some(to) if is_move && Some(to) == queue => {
            fields.fault("to", "is the queue itself; a move leads into another one");
        }
        Some(_) if action.is_some() && !is_move => {
            fields.fault("to", "only a move leads into another queue; leave it out");
        }
        None if is_move && fields.raw("to").is_none() => {
            fields.fault("to", "missing; a move needs the queue to move to");
        }
        _ => {}
    }
    to
}

#[cfg(test)]
mod tests {
    use super::super::problem::Code;
    use super::*;

    const NOW_MS: u64 = 1_763_640_000_000;

    fn pointers(body: &str) -> Vec<String> {
        let problem =
            read_wish(&Bytes::copy_from_slice(body.as_bytes()), NOW_MS).err().expect(body);
        problem.faults().iter().map(|fault| fault.pointer.clone()).collect()
    }

    fn wish(body: &str) -> Wish {
        let read = read_wish(&Bytes::copy_from_slice(body.as_bytes()), NOW_MS);
        read.unwrap_or_else(|problem| panic!("{body}: {problem:?}"))
    }

    #[test]
    fn silence_never_means_everything() {
        let dead = r#""action": "requeue", "queue": "sms", "state": "dead""#;
        assert_eq!(pointers(&format!("{{{dead}}}")), ["/filter"]);
        assert_eq!(pointers(&format!(r#"{{{dead}, "filter": {{}}}}"#)), ["/filter"]);
        assert_eq!(pointers(&format!(r#"{{{dead}, "all": false}}"#)), ["/filter"]);
        assert_eq!(
            pointers(&format!(r#"{{{dead}, "all": true, "filter": {{"group": "g"}}}}"#)),
            ["/all"]
        );
        assert!(wish(&format!(r#"{{{dead}, "all": true}}"#)).filter.is_empty());
        let filtered = wish(&format!(
            r#"{{{dead}, "filter": {{"label": "shop=eu", "created_before": "2025-11-20T12:00:00Z"}}}}"#
        ));
        assert_eq!(filtered.filter.labels, [("shop".to_owned(), "eu".to_owned())]);
        assert_eq!(filtered.filter.created.before_ms, Some(NOW_MS));
    }

    #[test]
    fn everything_wrong_is_told_at_once() {
        assert_eq!(pointers("{}"), ["/action", "/queue", "/state", "/filter"]);
        assert_eq!(
            pointers(
                r#"{"action": "cancel", "queue": "a b", "state": "odd", "rate": "fast", "dry_run": 1,
                    "filter": {"label": "shop", "created_before": "soon", "grupp": "x"}, "to": "erp", "delay": "1h"}"#
            ),
            [
                "/queue",
                "/state",
                "/filter/grupp",
                "/filter/created_before",
                "/filter/label",
                "/dry_run",
                "/rate",
                "/reason",
                "/delay",
                "/to",
            ]
        );
    }

    #[test]
    fn each_action_has_its_own_needs() {
        let of = |action: &str, rest: &str| {
            format!(
                r#"{{"action": "{action}", "queue": "sms", "state": "scheduled", "all": true {rest}}}"#
            )
        };
        assert_eq!(pointers(&of("reschedule", "")), ["/due_at"]);
        assert_eq!(
            pointers(&of("reschedule", r#", "delay": "1h", "due_at": "2025-11-20T13:00:00Z""#)),
            ["/delay"]
        );
        assert_eq!(wish(&of("reschedule", r#", "delay": "1h""#)).due, Some(When::After(3_600_000)));
        assert_eq!(pointers(&of("move", "")), ["/to"]);
        assert_eq!(pointers(&of("move", r#", "to": "sms""#)), ["/to"]);
        assert_eq!(wish(&of("move", r#", "to": "erp""#)).to, Some("erp".parse().unwrap()));
        assert_eq!(pointers(&of("cancel", "")), ["/reason"]);
        assert!(wish(&of("cancel", r#", "dry_run": true"#)).is_dry);
        let told = |action: &str, to: &str| {
            format!(
                r#"{{"action": "{action}", "queue": "sms~callbacks", "state": "dead", "all": true {to}}}"#
            )
        };
        assert_eq!(
            wish(&told("requeue", "")).queue,
            "sms".parse::<QueueName>().unwrap().callbacks()
        );
        assert_eq!(pointers(&told("move", r#", "to": "erp""#)), ["/queue"]);
        assert_eq!(pointers(&of("move", r#", "to": "erp~callbacks""#)), ["/to"]);
        let retry = wish(r#"{"action": "retry", "queue": "sms", "all": true, "rate": "5/s"}"#);
        assert_eq!((retry.action, retry.state), (Action::Retry, MessageState::Scheduled));
        assert_eq!(pointers(r#"{"action": "retry", "queue": "sms"}"#), ["/filter"]);
        assert_eq!(pointers(&of("retry", r#", "delay": "1h""#)), ["/delay"]);
        let wrong = read_wish(&Bytes::from(of("requeue", "")), NOW_MS).err().unwrap();
        assert_eq!(wrong.code(), Code::WrongState);
    }
}
