//! A search among a queue's messages: several states, and the filters of operations, in bounded steps.
//!
//! Owns how far one request looks, and the cursor that goes on from there: a page may be empty and not be
//! the last. Refuses to know what a filter means (see `domain::operation`).

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::response::{IntoResponse as _, Response};
use tokio::time::Instant;

use super::held_by::Hold;
use super::page::{LIMIT_DEFAULT, LIMIT_MAX};
use super::problem::Problem;
use super::query::Query;
use super::values::check_name;
use super::{Door, cursor};
use crate::domain::filter::{Filter, Span};
use crate::domain::id::QueueName;
use crate::domain::message::{Message, NAME_BYTES_MAX};
use crate::domain::state::State as MessageState;
use crate::domain::time::parse_rfc3339;
use crate::store::Queue;
use crate::wire::message::MessageList;

/// Messages that one request looks at.
const LOOKED_MAX: u64 = 10_000;
/// How long one request goes on looking.
const LOOKING_MAX: Duration = Duration::from_millis(100);
/// Messages looked at in one step.
const STEP_MAX: usize = 250;
/// Messages with payloads in one step.
const STEP_FULL: usize = 4;
/// Payload bytes of a page; the step that goes beyond is the last.
const PAYLOAD_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The parameters of every list; those of a filter come beside them.
const OWN: [&str; 5] = ["state", "limit", "cursor", "view", "idempotency_key"];

/// Where a search goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cursor {
    state: MessageState,
    shard: u16,
    within: String,
    looked: u64,
}

impl Cursor {
    fn read(queue: &QueueName, text: &str) -> Result<Self, String> {
        let place = cursor::open(&list_of(queue), text)?;
        let bad = || "this cursor is of another version; search from the beginning".to_owned();
        let mut parts = place.splitn(4, '/');
        let mut part = || parts.next().ok_or_else(bad);
        Ok(Self {
            state: part()?.parse().map_err(|_| bad())?,
            shard: part()?.parse().map_err(|_| bad())?,
            looked: part()?.parse().map_err(|_| bad())?,
            within: part()?.to_owned(),
        })
    }

    fn write(&self, queue: &QueueName) -> String {
        let Self { state, shard, looked, within } = self;
        cursor::seal(&list_of(queue), &format!("{state}/{shard}/{looked}/{within}"))
    }
}

fn list_of(queue: &QueueName) -> String {
    format!("search/{queue}")
}

/// What is asked for.
struct Wish {
    states: Vec<MessageState>,
    filter: Filter,
    limit: usize,
    is_full: bool,
    cursor: Option<Cursor>,
}

/// Whether a list is a search.
pub(super) fn is_search(query: Option<&str>) -> bool {
    let mut pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    pairs.any(|(name, value)| {
        Filter::NAMES.contains(&&*name) || (name == "state" && value.contains(','))
    })
}

/// Looks from the cursor on until the page is full, or this request has looked far enough.
pub(super) async fn search(
    door: &Door,
    queue: &std::sync::Arc<Queue>,
    query: Option<&str>,
) -> Result<Response, Problem> {
    let name = &queue.policy.name;
    let wish = read_wish(name, query)?;
    let counts = door.store().queues.counts(name).await?;
    let of: u64 = wish.states.iter().map(|state| counts.of(*state)).sum();
    let found = look(door, queue, &wish).await?;
    let hold = Hold::of(door, name, &found.messages).await?;
    let page = MessageList {
        messages: found.messages.iter().map(|message| hold.view(message, wish.is_full)).collect(),
        next_cursor: found.next.as_ref().map(|next| next.write(name)),
        looked: found.looked,
        // More may have come in since the first page.
        of: of.max(found.looked),
    };
    Ok(Json(page).into_response())
}

fn read_wish(queue: &QueueName, query: Option<&str>) -> Result<Wish, Problem> {
    let known = [&OWN[..], &Filter::NAMES].concat();
    let mut query = Query::read_with(query, &known, &["label"]);
    let states = query.read_as("state", read_states).unwrap_or_else(|| MessageState::ALL.to_vec());
    let text = |text: &str| check_name(text, NAME_BYTES_MAX).map(|()| text.to_owned());
    let mut labels = Vec::new();
    for text in query.all("label") {
        match text.split_once('=') {
            Some((name, value)) => labels.push((name.to_owned(), value.to_owned())),
            None => query.fault("label", format!("found \"{text}\", expected NAME=VALUE")),
        }
    }
    let mut span = |name: &str| Span {
        after_ms: query.read_as(&format!("{name}_after"), parse_rfc3339),
        before_ms: query.read_as(&format!("{name}_before"), parse_rfc3339),
    };
    let [created, due, ended] = ["created", "due", "final"].map(&mut span);
    let filter = Filter {
        labels,
        group: query.read_as("group", text),
        error_contains: query.read_as("error_contains", text),
        created,
        due,
        ended,
    };
    let limit = query.count("limit", LIMIT_MAX);
    let is_full = query.view();
    let cursor = query.read_as("cursor", |text| Cursor::read(queue, text));
    if cursor.as_ref().is_some_and(|cursor| !states.contains(&cursor.state)) {
        query.fault("cursor", "this cursor is of other states; leave state as it was");
    }
    if query.text("idempotency_key").is_some() {
        query.fault("idempotency_key", "names one message; leave the filters and the states out");
    }
    query.finish()?;
    let limit = usize::try_from(limit.unwrap_or(LIMIT_DEFAULT)).unwrap_or(usize::MAX);
    Ok(Wish { states, filter, limit, is_full, cursor })
}

/// One state, or several with commas between them, in the order in which states are shown.
fn read_states(text: &str) -> Result<Vec<MessageState>, String> {
    let mut states = text
        .split(',')
        .map(|word| word.trim().parse::<MessageState>().map_err(|error| error.to_string()))
        .collect::<Result<Vec<_>, _>>()?;
    states.sort();
    states.dedup();
    Ok(states)
}

/// What one request found.
struct Found {
    messages: Vec<Message>,
    next: Option<Cursor>,
    looked: u64,
}

async fn look(door: &Door, queue: &Queue, wish: &Wish) -> Result<Found, Problem> {
    let (store, name) = (door.store(), &queue.policy.name);
    let first = Cursor { state: wish.states[0], shard: 0, within: String::new(), looked: 0 };
    let mut at = wish.cursor.clone().unwrap_or(first);
    let (began, looked_before) = (Instant::now(), at.looked);
    let (mut messages, mut bytes) = (Vec::new(), 0);
    let step_max = if wish.is_full { STEP_FULL } else { STEP_MAX };
    let mut most = step_max.min(wish.limit);
    loop {
        let page = store.messages.walk_page(name, at.state, (at.shard, &at.within), most).await?;
        let looked = page.steps.len() as u64;
        let mut fit: Vec<Message> = page.steps.into_iter().map(|step| step.message).collect();
        fit.retain(|message| message.state == at.state && wish.filter.matches(message));
        // A cursor lies between steps: more than fit on the page are looked at once more, in a shorter step.
        let free = wish.limit - messages.len();
        if fit.len() > free && most > free {
            most = free;
            continue;
        }
        at.looked += looked;
        most = if fit.is_empty() { step_max } else { step_max.min((free - fit.len()).max(1)) };
        for message in fit {
            if !wish.is_full {
                messages.push(message);
            } else if let Some(whole) = store.messages.get(&message.id).await? {
                bytes += whole.payload.as_ref().map_or(0, Bytes::len);
                messages.push(whole);
            }
        }
        match page.next {
            Some((shard, within)) => (at.shard, at.within) = (shard, within),
            None => match wish.states.iter().find(|state| **state > at.state) {
                Some(state) => at = Cursor { state: *state, shard: 0, within: String::new(), ..at },
                None => return Ok(Found { messages, next: None, looked: at.looked }),
            },
        }
        let is_far = at.looked - looked_before >= LOOKED_MAX || began.elapsed() >= LOOKING_MAX;
        if messages.len() >= wish.limit || bytes >= PAYLOAD_BYTES_MAX || is_far {
            return Ok(Found { messages, looked: at.looked, next: Some(at) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_and_several_states_make_a_search() {
        assert!(is_search(Some("state=dead,uncertain")) && is_search(Some("label=shop%3Deu")));
        assert!(!is_search(Some("state=dead&limit=5")) && !is_search(None));
        let sms = "sms".parse().unwrap();
        let wish = read_wish(&sms, Some(
            "state=uncertain,dead&label=shop%3Deu&label=kind%3D&error_contains=timed+out&created_after=2025-11-20T12:00:00Z",
        ))
        .unwrap();
        assert_eq!(wish.states, [MessageState::Uncertain, MessageState::Dead]);
        assert_eq!(wish.filter.labels.len(), 2);
        assert_eq!(wish.filter.error_contains.as_deref(), Some("timed out"));
        assert_eq!(wish.filter.created.after_ms, Some(1_763_640_000_000));
        let problem =
            read_wish(&sms, Some("state=odd,dead&label=x&due_after=soon&grup=a")).err().unwrap();
        let pointers: Vec<_> = problem.faults().iter().map(|f| f.pointer.as_str()).collect();
        assert_eq!(pointers, ["?grup", "?state", "?label", "?due_after"]);
    }

    #[test]
    fn cursors_read_back_and_foreign_ones_are_refused() {
        let cursor = Cursor {
            state: MessageState::Dead,
            shard: 3,
            within: "1763640000000:01ARZ3NDEKTSV4RRFFQ69G5FAV/0;]".to_owned(),
            looked: 500,
        };
        let (sms, erp) = ("sms".parse().unwrap(), "erp".parse().unwrap());
        let text = cursor.write(&sms);
        assert!(Cursor::read(&erp, &text).is_err(), "another queue's");
        assert_eq!(Cursor::read(&sms, &text), Ok(cursor));
        for foreign in ["", "x", "ZGVhZC8"] {
            assert!(Cursor::read(&sms, foreign).is_err(), "{foreign}");
        }
    }
}
