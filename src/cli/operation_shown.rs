//! How an operation is shown: a line of progress, its end in a sentence, a row of the list, all its fields. Pure.

use super::describe::count;
use super::plain::plain;
use super::times::{Times, span};
use crate::domain::operation::Action;
use crate::wire::Moment;
use crate::wire::operation::{FilterView, OperationView};

/// How far it has come, in a line.
pub(super) fn progress_line(operation: &OperationView) -> String {
    let OperationView { matched, seen, done, skipped, remaining, .. } = operation;
    let text = if operation.dry_run {
        format!("{matched} of {seen} match")
    } else {
        format!("{done} done, {skipped} skipped, {remaining} remain")
    };
    match &operation.trouble {
        Some(trouble) => format!("{text}; waits: {}", plain(trouble)),
        None => text,
    }
}

/// What came of it, in a sentence.
pub(super) fn summary(operation: &OperationView) -> String {
    let (matched, seen) = (operation.matched, count(operation.seen, "message"));
    let queue = plain(&operation.queue);
    if operation.dry_run {
        let action = plain(operation.action.as_str());
        return format!(
            "dry run: {matched} of {seen} of {queue} would be taken by {action}; nothing was done"
        );
    }
    let done = match operation.action.known() {
        Some(Action::Requeue) => "requeued",
        Some(Action::Cancel) => "cancelled",
        Some(Action::Reschedule) => "rescheduled",
        Some(Action::Retry) => "made due now",
        Some(Action::Move) => "moved",
        None => "dealt with",
    };
    let skipped = match operation.skipped {
        0 => String::new(),
        n => format!(", {n} had moved on"),
    };
    format!(
        "{} of {queue} {done} ({matched} of {seen} matched{skipped})",
        count(operation.done, "message")
    )
}

/// Its row of the list.
pub(super) fn row(operation: &OperationView, times: &Times) -> Vec<String> {
    let action = operation.action.to_string();
    let (action, counted) = if operation.dry_run {
        (format!("{action} (dry run)"), operation.matched)
    } else {
        (action, operation.done)
    };
    vec![
        operation.id.clone(),
        operation.state.to_string(),
        action,
        operation.queue.clone(),
        counted.to_string(),
        operation.remaining.to_string(),
        operation.rate.clone().unwrap_or_default(),
        times.distance(operation.started_at.0),
        operation.by.clone(),
        operation.reason.clone(),
    ]
}

/// Everything that is known of it, without what is empty.
pub(super) fn pairs(operation: &OperationView, times: &Times) -> Vec<(&'static str, String)> {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let at = |moment: Moment| times.at_and_distance(moment.0);
    let took = operation.ended_at.map(|ended| ended.0.saturating_sub(operation.started_at.0));
    let mut pairs = vec![
        ("action", operation.action.to_string()),
        ("by", operation.by.clone()),
        ("done", operation.done.to_string()),
        ("dry run", operation.dry_run.to_string()),
        ("due at", operation.due_at.map(at).unwrap_or_default()),
        ("ended at", operation.ended_at.map(at).unwrap_or_default()),
        ("filter", operation.filter.as_ref().map(|filter| members(filter, at)).unwrap_or_default()),
        ("id", operation.id.clone()),
        ("matched", operation.matched.to_string()),
        ("message state", operation.message_state.to_string()),
        ("node", text(&operation.node)),
        ("queue", operation.queue.clone()),
        ("rate", text(&operation.rate)),
        ("reason", operation.reason.clone()),
        ("remaining", operation.remaining.to_string()),
        ("sample", operation.sample.join(", ")),
        ("seen", operation.seen.to_string()),
        ("skipped", operation.skipped.to_string()),
        ("started at", at(operation.started_at)),
        ("state", operation.state.to_string()),
        ("stopped by", text(&operation.stopped_by)),
        ("stopping", operation.stopping.to_string()),
        ("to", text(&operation.to)),
        ("trouble", text(&operation.trouble)),
        ("took", took.map(span).unwrap_or_default()),
    ];
    pairs.retain(|(_, value)| !value.is_empty());
    pairs
}

/// A filter in a line.
fn members(filter: &FilterView, at: impl Fn(Moment) -> String) -> String {
    let labels = filter.label.iter().flatten().map(|(name, value)| format!("{name}={value}"));
    let labels = labels.collect::<Vec<_>>().join(", ");
    let shown = [
        ("created_after", filter.created_after.map(&at)),
        ("created_before", filter.created_before.map(&at)),
        ("due_after", filter.due_after.map(&at)),
        ("due_before", filter.due_before.map(&at)),
        ("error_contains", filter.error_contains.clone()),
        ("final_after", filter.final_after.map(&at)),
        ("final_before", filter.final_before.map(&at)),
        ("group", filter.group.clone()),
        ("label", Some(labels).filter(|labels| !labels.is_empty())),
    ];
    let shown = shown.into_iter().filter_map(|(name, text)| Some(format!("{name}={}", text?)));
    shown.collect::<Vec<_>>().join(", ")
}
