//! Dead letters of a queue, grouped by their error: when each error was first and last seen, and sending them again.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::RawQuery;
use axum::response::Response;

use crate::dashboard::form::FormFields;
use crate::dashboard::frame::{Frame, html};
use crate::dashboard::problem_page::ShownProblem;
use crate::dashboard::visit::Visit;
use crate::dashboard::words::{counted, encoded, grouped, shell_word};
use crate::dashboard::zones::Zones;
use crate::wire::Moment;
use crate::wire::message::{MessageList, MessageView};
use crate::wire::queue::QueueList;

/// Messages that one page looks at: as many as one request of the API lists.
const LOOKED_AT: usize = 1000;
/// Errors that one page shows.
const GROUPS_SHOWN_MAX: usize = 50;
/// Characters of an error that tell it from others; the filter of an operation takes no more.
const ERROR_CHARS_MAX: usize = 200;

/// A queue with dead messages.
#[derive(Debug)]
struct DeadQueue {
    name: String,
    path: String,
    dead: String,
    is_chosen: bool,
}

/// Messages that died of the same error.
#[derive(Debug)]
struct ErrorGroup {
    error: String,
    /// What an operation finds them by, and perhaps others.
    filter: String,
    encoded: String,
    /// Whether an operation can find them by this error.
    has_filter: bool,
    count: String,
    statuses: String,
    first: String,
    last: String,
    example: String,
    example_path: String,
    command: String,
}

/// What is gathered of one group.
#[derive(Debug, Default)]
struct Gathered {
    count: u64,
    first_ms: u64,
    last_ms: u64,
    statuses: Vec<u16>,
    example: String,
}

#[derive(Template)]
#[template(path = "dead.html")]
struct DeadPage {
    frame: Frame,
    queues: Vec<DeadQueue>,
    queue: String,
    path: String,
    groups: Vec<ErrorGroup>,
    /// Errors of which fewer messages died, and that are not shown; empty: none.
    others: String,
    looked: String,
    of: String,
    next: Option<String>,
}

pub(in crate::dashboard) async fn page(
    visit: Visit,
    RawQuery(query): RawQuery,
) -> Result<Response, ShownProblem> {
    let fields = FormFields::read(query.unwrap_or_default().as_bytes());
    let all = visit.read::<QueueList>("/v1/queues").await?.queues;
    let with_dead = all.iter().filter(|queue| queue.counts.dead > 0);
    let first = with_dead.clone().next().map_or("", |queue| queue.name.as_str());
    let chosen = fields.some("queue").unwrap_or(first).to_owned();
    let queues = with_dead.map(|queue| DeadQueue {
        name: queue.name.clone(),
        path: encoded(&queue.name),
        dead: grouped(queue.counts.dead),
        is_chosen: queue.name == chosen,
    });
    let queues: Vec<_> = queues.collect();
    let path = encoded(&chosen);
    let cursor = fields.some("cursor").map(|cursor| format!("&cursor={}", encoded(cursor)));
    let list = format!("/v1/queues/{path}/messages?state=dead&limit={LOOKED_AT}");
    let list: Option<MessageList<'static>> = match chosen.as_str() {
        "" => None,
        _ => Some(visit.read(&format!("{list}{}", cursor.unwrap_or_default())).await?),
    };
    let known = all.iter().find(|queue| queue.name == chosen);
    let zones = match known {
        Some(queue) => visit.zones.clone().of_queue(&queue.policy),
        None => visit.zones.clone(),
    };
    let (looked, of) = list.as_ref().map_or((0, 0), |list| (list.looked, list.of));
    let mut groups = list.as_ref().map_or(Vec::new(), |list| gathered(&list.messages));
    let others = groups.split_off(groups.len().min(GROUPS_SHOWN_MAX));
    let groups =
        groups.into_iter().map(|(error, group)| error_group(&chosen, error, group, &zones));
    let groups: Vec<_> = groups.collect();
    let next = list.as_ref().and_then(|list| list.next_cursor.as_deref());
    Ok(html(&DeadPage {
        frame: visit.frame("Dead letters", "/ui/dead").followed(),
        next: next.map(|cursor| format!("/ui/dead?queue={path}&cursor={}", encoded(cursor))),
        groups,
        others: match others.iter().map(|(_, group)| group.count).sum() {
            0 => String::new(),
            count => {
                let errors = counted(others.len() as u64, "further error");
                format!("{errors}, of {}, of which fewer died", counted(count, "message"))
            }
        },
        queues,
        queue: chosen,
        path,
        looked: grouped(looked),
        of: grouped(of),
    }))
}

/// The groups, the largest first.
fn gathered(messages: &[MessageView<'_>]) -> Vec<(String, Gathered)> {
    let mut by_error: BTreeMap<String, Gathered> = BTreeMap::new();
    for message in messages {
        let last = message.last_attempt.as_ref();
        let at_ms = message.final_at.unwrap_or(message.created_at).0;
        let group = by_error.entry(error_of(message)).or_insert_with(|| Gathered {
            first_ms: at_ms,
            example: message.id.clone(),
            ..Gathered::default()
        });
        group.count += 1;
        group.first_ms = group.first_ms.min(at_ms);
        group.last_ms = group.last_ms.max(at_ms);
        if let Some(status) = last.and_then(|last| last.status_code)
            && !group.statuses.contains(&status)
        {
            group.statuses.push(status);
        }
    }
    let mut all: Vec<_> = by_error.into_iter().collect();
    all.sort_by_key(|(_, group)| std::cmp::Reverse(group.count));
    all
}

/// What an operation finds a message by.
fn error_of(message: &MessageView<'_>) -> String {
    let error = message.last_attempt.as_ref().and_then(|last| last.error.as_deref());
    let error = error.filter(|error| !error.is_empty()).or(message.reason.as_deref());
    error.unwrap_or_default().chars().take(ERROR_CHARS_MAX).collect()
}

/// The longest part of an error that a filter can have: none with a control character.
fn searchable(error: &str) -> &str {
    error.split(char::is_control).map(str::trim).max_by_key(|part| part.len()).unwrap_or_default()
}

fn error_group(queue: &str, error: String, group: Gathered, zones: &Zones) -> ErrorGroup {
    let statuses: Vec<_> = group.statuses.iter().map(ToString::to_string).collect();
    let filter = searchable(&error);
    ErrorGroup {
        encoded: encoded(filter),
        command: format!(
            "tidegate requeue-all {} --state dead --error-contains {} --rate 5/s",
            shell_word(queue),
            shell_word(filter)
        ),
        has_filter: !filter.is_empty(),
        filter: filter.to_owned(),
        count: grouped(group.count),
        statuses: statuses.join(", "),
        first: zones.brief(Moment(group.first_ms)),
        last: zones.brief(Moment(group.last_ms)),
        example_path: encoded(&group.example),
        example: group.example,
        error,
    }
}
