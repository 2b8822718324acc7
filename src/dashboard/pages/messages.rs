//! A search for messages of a queue: its filters stand in the url.

use askama::Template;
use axum::extract::RawQuery;
use axum::response::Response;

use super::queue_choice::{QueueChoice, choices};
use crate::dashboard::cookies::see;
use crate::dashboard::form::FormFields;
use crate::dashboard::frame::{Frame, html};
use crate::dashboard::problem_page::ShownProblem;
use crate::dashboard::visit::Visit;
use crate::dashboard::words::{beginning, encoded, grouped};
use crate::dashboard::zones::Zones;
use crate::domain::human::why_failed;
use crate::domain::state::State;
use crate::wire::GateWord;
use crate::wire::message::{MessageList, MessageView};
use crate::wire::queue::QueueView;

/// Messages on a page.
const LIMIT: usize = 50;
/// What stands in the url, besides the queue.
const FILTERS: [&str; 10] = [
    "state",
    "label",
    "group",
    "error_contains",
    "created_after",
    "created_before",
    "due_after",
    "due_before",
    "final_after",
    "final_before",
];
const REASON_CHARS_MAX: usize = 160;

/// A message in a line.
#[derive(Debug)]
pub(super) struct MessageRow {
    pub(super) id: String,
    pub(super) path: String,
    pub(super) state: String,
    pub(super) created: String,
    pub(super) due: String,
    pub(super) attempts: u32,
    pub(super) reason: String,
    pub(super) group: String,
    pub(super) labels: Vec<String>,
}

/// A state that may be chosen.
#[derive(Debug)]
struct StateChoice {
    state: &'static str,
    count: String,
    is_chosen: bool,
}

/// The other filters as they were given.
#[derive(Debug)]
struct SearchFields {
    label: String,
    group: String,
    error_contains: String,
    key: String,
    moments: Vec<MomentField>,
}

/// A filter with a moment.
#[derive(Debug)]
struct MomentField {
    name: &'static str,
    label: &'static str,
    value: String,
}

#[derive(Template)]
#[template(path = "messages.html")]
struct MessagesPage {
    frame: Frame,
    choices: Vec<QueueChoice>,
    states: Vec<StateChoice>,
    search: SearchFields,
    is_searched: bool,
    rows: Vec<MessageRow>,
    /// How far the search has come.
    looked: String,
    of: String,
    /// The page after this one.
    next: Option<String>,
    first: String,
    command: String,
}

pub(in crate::dashboard) async fn page(
    visit: Visit,
    RawQuery(query): RawQuery,
) -> Result<Response, ShownProblem> {
    let fields = FormFields::read(query.unwrap_or_default().as_bytes());
    if let Some(id) = fields.some("id") {
        return Ok(see(&format!("/ui/messages/{}", encoded(id))));
    }
    let queue = fields.text("queue").to_owned();
    let listed = async {
        if queue.is_empty() {
            return Ok(None);
        }
        visit.read::<MessageList<'static>>(&api_path(&queue, &fields)).await.map(Some)
    };
    // Of a thousand queues the list takes as long as the search.
    let ((choices, queues), found) = tokio::try_join!(choices(&visit, &queue), listed)?;
    let known = queues.iter().find(|known| known.name == queue);
    let zones = match known {
        Some(known) => visit.zones.clone().of_queue(&known.policy),
        None => visit.zones.clone(),
    };
    let kept = fields.query(&FILTERS);
    let place = |cursor: &str| format!("/ui/messages?queue={}&{kept}{cursor}", encoded(&queue));
    let next = found.as_ref().and_then(|list| list.next_cursor.as_ref());
    let numbers = found.as_ref().map_or((0, 0), |list| (list.looked, list.of));
    let messages = found.iter().flat_map(|list| &list.messages);
    let frame = visit.frame("Messages", "/ui/messages");
    Ok(html(&MessagesPage {
        frame: if queue.is_empty() { frame } else { frame.followed() },
        states: states(&fields, known),
        search: search(&fields),
        is_searched: found.is_some(),
        looked: grouped(numbers.0),
        of: grouped(numbers.1),
        next: next.map(|cursor| place(&format!("&cursor={}", encoded(cursor)))),
        first: place(""),
        rows: messages.map(|message| message_row(message, &zones)).collect(),
        command: command(&queue, &fields),
        choices,
    }))
}

/// Where the API lists them. A state is needed; without one all waiting messages are meant.
fn api_path(queue: &str, fields: &FormFields) -> String {
    let queue = encoded(queue);
    if let Some(key) = fields.some("idempotency_key") {
        return format!("/v1/queues/{queue}/messages?idempotency_key={}", encoded(key));
    }
    let states: Vec<_> = fields.all("state").collect();
    let states =
        if states.is_empty() { "ready,scheduled,leased".to_owned() } else { states.join(",") };
    let rest = fields.query(&FILTERS[1..]);
    let cursor = fields.some("cursor").map(|cursor| format!("&cursor={}", encoded(cursor)));
    let rest = if rest.is_empty() { rest } else { format!("&{rest}") };
    format!(
        "/v1/queues/{queue}/messages?state={states}&limit={LIMIT}{rest}{}",
        cursor.unwrap_or_default()
    )
}

fn states(fields: &FormFields, queue: Option<&QueueView>) -> Vec<StateChoice> {
    let chosen: Vec<_> = fields.all("state").collect();
    let states = State::ALL.into_iter().map(|state| StateChoice {
        state: state.as_str(),
        count: queue.map(|queue| grouped(queue.counts.of(state))).unwrap_or_default(),
        is_chosen: chosen.contains(&state.as_str()),
    });
    states.collect()
}

fn search(fields: &FormFields) -> SearchFields {
    let moments = [
        ("created_after", "Created from"),
        ("created_before", "Created before"),
        ("due_after", "Due from"),
        ("due_before", "Due before"),
        ("final_after", "Ended from"),
        ("final_before", "Ended before"),
    ];
    let moments = moments.into_iter().map(|(name, label)| MomentField {
        name,
        label,
        value: fields.text(name).to_owned(),
    });
    SearchFields {
        label: fields.text("label").to_owned(),
        group: fields.text("group").to_owned(),
        error_contains: fields.text("error_contains").to_owned(),
        key: fields.text("idempotency_key").to_owned(),
        moments: moments.collect(),
    }
}

/// A message as a line.
pub(super) fn message_row(message: &MessageView<'_>, zones: &Zones) -> MessageRow {
    let labels = message.labels.iter().map(|(name, value)| format!("{name}={value}"));
    MessageRow {
        id: message.id.clone(),
        path: encoded(&message.id),
        state: message.state.as_str().to_owned(),
        created: zones.brief(message.created_at),
        due: zones.brief(message.next_attempt_at.unwrap_or(message.due_at)),
        attempts: message.attempts,
        reason: beginning(&reason(message), REASON_CHARS_MAX),
        group: message.group.as_deref().unwrap_or_default().to_owned(),
        labels: labels.collect(),
    }
}

/// What holds a message, or why it came to its end; of one that waits for another attempt both.
pub(super) fn reason(message: &MessageView<'_>) -> String {
    let held: Vec<_> = message.held_by.iter().map(GateWord::as_str).collect();
    let held = (!held.is_empty()).then(|| format!("held by {}", held.join(", ")));
    let last = message.last_attempt.as_ref();
    let is_delivered = message.state.is(State::Delivered);
    let failed = last.filter(|_| !is_delivered).and_then(|last| {
        why_failed(message.reason.as_deref(), last.status_code, last.error.as_deref())
    });
    let failed = failed.or_else(|| message.reason.as_deref().map(str::to_owned));
    match (held, failed) {
        (Some(held), Some(failed)) => format!("{held}; last attempt: {failed}"),
        (held, failed) => held.or(failed).unwrap_or_default(),
    }
}

/// The command that lists the same.
fn command(queue: &str, fields: &FormFields) -> String {
    use crate::dashboard::words::shell_word;
    let mut command = format!("tidegate list {}", shell_word(queue));
    let states: Vec<_> = fields.all("state").collect();
    if !states.is_empty() {
        command = format!("{command} --state {}", shell_word(&states.join(",")));
    }
    for name in &FILTERS[1..] {
        for value in fields.all(name) {
            command = format!("{command} --{} {}", name.replace('_', "-"), shell_word(value));
        }
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_stand_in_the_path_of_the_api() {
        let fields =
            FormFields::read(b"state=dead&state=expired&label=shop%3Deu&group=&cursor=a+b&x=y");
        assert_eq!(
            api_path("sms~callbacks", &fields),
            "/v1/queues/sms~callbacks/messages?state=dead,expired&limit=50&label=shop%3Deu&cursor=a%20b"
        );
        let fields = FormFields::read(b"idempotency_key=a%26b");
        assert_eq!(api_path("sms", &fields), "/v1/queues/sms/messages?idempotency_key=a%26b");
    }

    #[test]
    fn the_command_says_the_same() {
        let fields = FormFields::read(b"state=dead&error_contains=timed+out");
        assert_eq!(
            command("sms", &fields),
            "tidegate list sms --state dead --error-contains 'timed out'"
        );
    }
}
