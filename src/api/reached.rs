//! Lists in which queues are only named, cut to what a caller reaches: actions and metrics.
//!
//! Owns how the queue of an entry is found. What cannot be told to belong to a reached queue is left out.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Door;
use super::auth::Caller;
use super::problem::Problem;
use crate::domain::id::{MessageId, QueueName};
use crate::domain::topic::TopicName;
use crate::store::{NewAction, NotedAction};

/// The actions on queues that the caller reaches.
pub(super) async fn reached_actions(
    door: &Door,
    caller: &Caller,
    mut actions: Vec<NotedAction>,
) -> Result<Vec<NotedAction>, Problem> {
    if caller.reaches_all() {
        return Ok(actions);
    }
    let mut operations = BTreeMap::new();
    for kept in door.store().operations.list().await? {
        operations.insert(kept.operation.id.clone(), caller.reaches_operation(&kept.operation));
    }
    let mut schedules: BTreeMap<String, bool> = BTreeMap::new();
    for action in actions.iter().map(|noted| &noted.action) {
        if is_of_schedule(action) && !schedules.contains_key(&action.on) {
            let kept = match action.on.parse() {
                Ok(name) => door.store().schedules.get(&name).await?,
                Err(_) => None,
            };
            let is_reached = kept.is_some_and(|kept| caller.reaches(&kept.schedule.queue));
            schedules.insert(action.on.clone(), is_reached);
        }
    }
    actions.retain(|NotedAction { action, .. }| {
        let named = |map: &BTreeMap<String, bool>| map.get(&action.on).copied().unwrap_or(false);
        match action.what.as_str() {
            "start operation" => {
                reaches_detail(caller, action, "queue", false)
                    && reaches_detail(caller, action, "to", true)
            }
            "stop operation" => named(&operations),
            // It is about all queues that name the limit.
            "charge limit" => false,
            _ if is_of_schedule(action) => {
                named(&schedules) && reaches_detail(caller, action, "queue", true)
            }
            // Of a queue or a message; whatever else there is names neither.
            _ => queue_of(&action.on).is_some_and(|queue| caller.reaches(&queue)),
        }
    });
    Ok(actions)
}

fn is_of_schedule(action: &NewAction) -> bool {
    action.what.split(' ').any(|word| word == "schedules")
}

fn queue_of(on: &str) -> Option<QueueName> {
    on.parse::<MessageId>().map(|id| id.queue).or_else(|_| QueueName::any(on)).ok()
}

/// Whether a queue that the action was asked for with is reached; `absent` is the answer where it names none.
fn reaches_detail(caller: &Caller, action: &NewAction, key: &str, absent: bool) -> bool {
    // Of a long request only the names of its fields are kept.
    if action.detail.contains_key("fields") {
        return false;
    }
    match action.detail.get(key) {
        None => absent,
        Some(Value::String(name)) => QueueName::any(name).is_ok_and(|queue| caller.reaches(&queue)),
        Some(_) => false,
    }
}

/// The metrics that name no queue or one that the caller reaches; those of schedules are left out.
pub(super) fn reached_metrics(door: &Door, caller: &Caller, text: &str) -> String {
    let topic_is_reached = |name: &str| {
        let topic = name.parse::<TopicName>().ok().and_then(|name| door.store().topics.get(&name));
        topic.is_some_and(|topic| caller.reaches_topic(&topic.policy))
    };
    let queue_is_reached =
        |name: &str| QueueName::any(name).is_ok_and(|name| caller.reaches(&name));
    cut_metrics(text, |label, value| match label {
        "queue" => queue_is_reached(value),
        "topic" => topic_is_reached(value),
        "schedule" => false,
        _ => true,
    })
}

/// The lines of which every label passes.
fn cut_metrics(text: &str, passes: impl Fn(&str, &str) -> bool) -> String {
    let is_kept = |line: &&str| {
        line.starts_with('#') || labels(line).into_iter().all(|(label, value)| passes(label, value))
    };
    let mut kept: String = text.lines().filter(is_kept).collect::<Vec<_>>().join("\n");
    kept.push('\n');
    kept
}

/// `name{a="b",c="d"} 1`: the labels of a line; an escaped value is given as it stands.
fn labels(line: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    let Some((_, mut rest)) = line.split_once('{') else { return found };
    while let Some((label, after)) = rest.split_once("=\"") {
        let end = closing_quote(after);
        found.push((label.trim_start_matches(','), &after[..end]));
        rest = after.get(end + 1..).unwrap_or_default();
        if rest.starts_with('}') {
            break;
        }
    }
    found
}

fn closing_quote(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            '"' if !is_escaped => return at,
            '\\' => is_escaped = !is_escaped,
            _ => is_escaped = false,
        }
    }
    text.len()
}

/// Those of these queues that the caller reaches.
pub(super) fn reached_queues(caller: &Caller, queues: Vec<String>) -> Vec<String> {
    let is_reached = |name: &String| name.parse().is_ok_and(|name| caller.reaches(&name));
    queues.into_iter().filter(is_reached).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read_as_they_are_written() {
        assert_eq!(labels("a_total 1"), []);
        assert_eq!(
            labels(r#"a{queue="sms",state="x\"}queue=\"erp"} 1 # {id="5"} 1"#),
            [("queue", "sms"), ("state", r#"x\"}queue=\"erp"#)]
        );
    }

    #[test]
    fn only_lines_whose_labels_pass_are_left() {
        let text = "# HELP a x\na{queue=\"sms\"} 1\na{state=\"r\",queue=\"erp\"} 2\nb 3\n# EOF\n";
        let cut = cut_metrics(text, |label, value| label != "queue" || value == "sms");
        assert_eq!(cut, "# HELP a x\na{queue=\"sms\"} 1\nb 3\n# EOF\n");
    }

    #[test]
    fn an_action_is_on_a_queue_or_a_message() {
        let of = |on: &str| queue_of(on).map(|queue| queue.to_string());
        assert_eq!(of("sms").as_deref(), Some("sms"));
        assert_eq!(of("sms~callbacks").as_deref(), Some("sms~callbacks"));
        assert_eq!(of("a_b_01M7XS0TGQSYCW0XD01MYK4MGE").as_deref(), Some("a_b"));
        assert_eq!(of(""), None);
        assert_eq!(of("op_01M7XS0TGQSYCW0XD01MYK4MGE").as_deref(), Some("op"));
    }
}
