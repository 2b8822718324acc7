//! Pages of a queue's messages, by state or by idempotency key.
//!
//! Owns the cursor that clients carry: the state being listed and the store's own cursor, opaque and
//! safe in a URL.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse as _, Response};

use super::held_by::Gates;
use super::paths::InQueue;
use super::problem::Problem;
use super::query::Query;
use super::values::check_name;
use super::view::MessageView;
use super::{Door, Shared, cursor};
use crate::domain::id::QueueName;
use crate::domain::message::{Message, NAME_BYTES_MAX};
use crate::domain::state::State as MessageState;
use crate::store::Queue;

/// Messages on a page, unless asked otherwise.
const LIMIT_DEFAULT: usize = 100;
/// Most messages on a page.
const LIMIT_MAX: u32 = 1000;
/// Most payload bytes on a page with payloads; at least one message is shown.
const PAYLOAD_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Messages read at once: their payloads come along, wanted or not.
const STEP: usize = 100;

/// Where a page begins.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cursor {
    state: MessageState,
    within: Option<String>,
}

impl Cursor {
    fn read(queue: &QueueName, text: &str) -> Result<Self, String> {
        let place = cursor::open(&list_of(queue), text)?;
        let bad = || "this cursor is of another version; list from the beginning".to_owned();
        let (state, within) = place.split_once('/').ok_or_else(bad)?;
        let state = state.parse().map_err(|_| bad())?;
        Ok(Self { state, within: (!within.is_empty()).then(|| within.to_owned()) })
    }

    fn write(&self, queue: &QueueName) -> String {
        let within = self.within.as_deref().unwrap_or_default();
        cursor::seal(&list_of(queue), &format!("{}/{within}", self.state))
    }
}

fn list_of(queue: &QueueName) -> String {
    format!("messages/{queue}")
}

/// What is asked for.
struct Wish {
    /// One state, or all of them in turn.
    state: Option<MessageState>,
    limit: usize,
    is_full: bool,
    cursor: Cursor,
}

/// Messages of a queue, a page at a time; or the one that an idempotency key belongs to.
///
/// Without `state`, state after state: scheduled, ready, leased, uncertain, accepted, and finals.
#[utoipa::path(
    get, path = "/v1/queues/{queue}/messages", operation_id = "list_messages", tag = "messages",
    params(
        ("queue" = String, Path, description = "The queue's name"),
        ("state" = Option<String>, Query, description = "Only messages in this state"),
        ("limit" = Option<u32>, Query, description = "Messages on a page, 1 to 1000; default 100"),
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before"),
        ("view" = Option<String>, Query, description = "full: with payload and headers"),
        ("idempotency_key" = Option<String>, Query, description = "Only the message of this key"),
    ),
    responses((status = 200, description = "A page", body = ref("#/components/schemas/Messages"))),
)]
pub(super) async fn messages(
    State(door): Shared,
    InQueue(queue): InQueue,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let known = ["state", "limit", "cursor", "view", "idempotency_key"];
    let mut query = Query::read(query.as_deref(), &known);
    let key = query.read_as("idempotency_key", |text| {
        check_name(text, NAME_BYTES_MAX).map(|()| text.to_owned())
    });
    let wish = read_wish(&mut query, &queue.policy.name);
    query.finish()?;
    let (messages, next) = match key {
        Some(key) => (by_key(&door, &queue, &key, wish.state).await?, None),
        None => page(&door, &queue, &wish).await?,
    };
    let gates = gates(&door, &queue, &messages).await?;
    let views: Vec<_> = messages
        .iter()
        .map(|message| MessageView::new(message, gates.hold(message.state), wish.is_full))
        .collect();
    Ok(Json(Page { messages: views, next_cursor: next }).into_response())
}

#[derive(serde::Serialize)]
struct Page<'a> {
    messages: Vec<MessageView<'a>>,
    next_cursor: Option<String>,
}

fn read_wish(query: &mut Query, queue: &QueueName) -> Wish {
    let state = query
        .read_as("state", |text| text.parse::<MessageState>().map_err(|error| error.to_string()));
    let limit = query.count("limit", LIMIT_MAX);
    let is_full = query.view();
    let cursor = query.read_as("cursor", |text| Cursor::read(queue, text));
    if let (Some(state), Some(cursor)) = (state, &cursor)
        && cursor.state != state
    {
        let why = format!("this cursor lists {}, not {state}; leave state as it was", cursor.state);
        query.fault("cursor", why);
    }
    let first = state.unwrap_or(MessageState::ALL[0]);
    Wish {
        state,
        limit: limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(LIMIT_DEFAULT),
        is_full,
        cursor: cursor.unwrap_or(Cursor { state: first, within: None }),
    }
}

async fn by_key(
    door: &Door,
    queue: &Queue,
    key: &str,
    state: Option<MessageState>,
) -> Result<Vec<Message>, Problem> {
    let Some(id) = door.store().find_key(&queue.policy.name, key).await? else {
        return Ok(Vec::new());
    };
    let found = door.store().get(&id).await?;
    Ok(found.filter(|found| state.is_none_or(|state| found.state == state)).into_iter().collect())
}

/// Goes on from the cursor until the page is full or nothing is left.
async fn page(
    door: &Door,
    queue: &Queue,
    wish: &Wish,
) -> Result<(Vec<Message>, Option<String>), Problem> {
    let name = &queue.policy.name;
    let mut at = wish.cursor.clone();
    let (mut messages, mut bytes) = (Vec::new(), 0);
    loop {
        let left = wish.limit - messages.len();
        let step = left.min(STEP);
        let mut found = door.store().list(name, at.state, step, at.within.as_deref()).await?;
        for message in &mut found.messages {
            if wish.is_full {
                bytes += message.payload.as_ref().map_or(0, Bytes::len);
            } else {
                message.payload = None;
            }
        }
        messages.extend(found.messages);
        match found.next_cursor {
            Some(within) => at.within = Some(within),
            None => match next_state(at.state).filter(|_| wish.state.is_none()) {
                Some(state) => at = Cursor { state, within: None },
                None => return Ok((messages, None)),
            },
        }
        if messages.len() >= wish.limit || bytes >= PAYLOAD_BYTES_MAX {
            return Ok((messages, Some(at.write(name))));
        }
    }
}

fn next_state(state: MessageState) -> Option<MessageState> {
    let at = MessageState::ALL.iter().position(|known| *known == state)?;
    MessageState::ALL.get(at + 1).copied()
}

/// One reading of the gates for a whole page; none where nobody waits.
async fn gates(door: &Door, queue: &Arc<Queue>, messages: &[Message]) -> Result<Gates, Problem> {
    let waits = |m: &Message| matches!(m.state, MessageState::Scheduled | MessageState::Ready);
    if !messages.iter().any(waits) {
        return Ok(Gates::default());
    }
    let counts = door.store().counts(&queue.policy.name).await?;
    Ok(Gates::new(&queue.policy, &counts, door.now_ms()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_read_back_and_foreign_ones_are_refused() {
        for within in [None, Some("0.1763640000000:01ARZ3NDEKTSV4RRFFQ69G5FAV0;]".to_owned())] {
            let cursor = Cursor { state: MessageState::Dead, within };
            let [sms, erp] = ["sms", "erp"].map(|name| name.parse::<QueueName>().unwrap());
            let text = cursor.write(&sms);
            assert_eq!(Cursor::read(&sms, &text), Ok(cursor));
            assert!(Cursor::read(&erp, &text).is_err(), "of another queue");
        }
        let queue = "q".parse().unwrap();
        for foreign in ["", "x", "0.", "ZGVhZA", "/w8", "bm9uZS8"] {
            assert!(Cursor::read(&queue, foreign).is_err(), "{foreign}");
        }
    }
}
