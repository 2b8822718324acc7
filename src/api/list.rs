//! Pages of a queue's messages, by state or by idempotency key.
//!
//! Owns the cursor that clients carry: the state being listed and the store's own cursor, opaque and
//! safe in a URL.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};

use super::budget::{Budget, Share};
use super::held_by::Hold;
use super::page::{LIMIT_DEFAULT, LIMIT_MAX};
use super::paths::InQueue;
use super::problem::{Code, Problem};
use super::query::Query;
use super::search::{is_search, search};
use super::values::check_name;
use super::view::MessageList;
use super::{Door, Shared, cursor};
use crate::domain::id::QueueName;
use crate::domain::message::{Message, NAME_BYTES_MAX};
use crate::domain::state::State as MessageState;
use crate::store::{Part, Queue};

/// Most payload bytes on a page with payloads; at least one message is shown.
const PAYLOAD_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Messages read at once.
const STEP: usize = 100;
/// Messages with payloads that are read first; how many then, the payloads decide.
const STEP_FULL: usize = 4;
/// Payload bytes that are read at once, as far as the messages before tell.
const STEP_BYTES: usize = 1024 * 1024;
/// What the pages of all requests together may take, from the first reading until they are written.
const PAGES_BYTES_MAX: usize = 128 * 1024 * 1024;
/// How long a request waits for its place among them.
const PATIENCE: Duration = Duration::from_secs(10);
/// What a page counts for while it is put together: with payloads, without.
const FULL_PAGE_BYTES: usize = 2 * PAYLOAD_BYTES_MAX;
const PAGE_BYTES: usize = 1024 * 1024;
/// When to ask again for a page for which there was no place.
const RETRY_S: u32 = 2;

/// The pages that are being put together and written.
#[derive(Debug)]
pub(super) struct Pages(Budget);

impl Default for Pages {
    fn default() -> Self {
        Self(Budget::new(PAGES_BYTES_MAX))
    }
}

impl Pages {
    async fn place(&self, is_full: bool) -> Result<Share, Problem> {
        let mut share = self.0.share();
        if share.hold(if is_full { FULL_PAGE_BYTES } else { PAGE_BYTES }, PATIENCE).await {
            return Ok(share);
        }
        let detail = "this node answers as many large requests as it can; ask again in a moment";
        Err(Problem::store_unavailable(detail).retry_after(RETRY_S))
    }
}

/// Where a page begins.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cursor {
    state: MessageState,
    /// Messages on the pages before.
    looked: u64,
    within: Option<String>,
}

impl Cursor {
    fn read(queue: &QueueName, text: &str) -> Result<Self, String> {
        let place = cursor::open(&list_of(queue), text)?;
        let bad = || "this cursor is of another version; list from the beginning".to_owned();
        let mut parts = place.splitn(3, '/');
        let mut part = || parts.next().ok_or_else(bad);
        let state = part()?.parse().map_err(|_| bad())?;
        let looked = part()?.parse().map_err(|_| bad())?;
        let within = part()?;
        Ok(Self { state, looked, within: (!within.is_empty()).then(|| within.to_owned()) })
    }

    fn write(&self, queue: &QueueName) -> String {
        let within = self.within.as_deref().unwrap_or_default();
        cursor::seal(&list_of(queue), &format!("{}/{}/{within}", self.state, self.looked))
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

impl Wish {
    fn part(&self) -> Part {
        if self.is_full { Part::Whole } else { Part::Head }
    }
}

/// Messages of a queue, a page at a time; or the one that an idempotency key belongs to.
///
/// Without `state`, state after state: scheduled, ready, leased, uncertain, accepted, and finals.
#[utoipa::path(
    get, path = "/v1/queues/{queue}/messages", operation_id = "list_messages", tag = "messages",
    params(
        ("queue" = String, Path, description = "The queue's name"),
        ("state" = Option<String>, Query, description = "Only messages in this state, or in these, with commas"),
        ("label" = Option<String>, Query, description = "Only messages with this label, NAME=VALUE; may be repeated"),
        ("group" = Option<String>, Query, description = "Only messages of this group"),
        ("error_contains" = Option<String>, Query, description = "Only messages with these words in their last error or reason"),
        ("created_after" = Option<String>, Query, description = "Only messages handed over at this moment or later"),
        ("created_before" = Option<String>, Query, description = "Only messages handed over before this moment"),
        ("due_after" = Option<String>, Query, description = "Only messages due at this moment or later"),
        ("due_before" = Option<String>, Query, description = "Only messages due before this moment"),
        ("final_after" = Option<String>, Query, description = "Only messages that ended at this moment or later"),
        ("final_before" = Option<String>, Query, description = "Only messages that ended before this moment"),
        ("limit" = Option<u32>, Query, description = "Messages on a page, 1 to 1000; default 100"),
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before"),
        ("view" = Option<String>, Query, description = "full: with payload and headers"),
        ("idempotency_key" = Option<String>, Query, description = "Only the message of this key"),
    ),
    responses((status = 200, description = "A page", body = MessageList<'static>)),
)]
pub(super) async fn messages(
    State(door): Shared,
    InQueue(queue): InQueue,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    if is_search(query.as_deref()) {
        return search(&door, &queue, query.as_deref()).await;
    }
    let known = ["state", "limit", "cursor", "view", "idempotency_key"];
    let mut query = Query::read(query.as_deref(), &known);
    let key = query.read_as("idempotency_key", |text| {
        check_name(text, NAME_BYTES_MAX).map(|()| text.to_owned())
    });
    let wish = read_wish(&mut query, &queue.policy.name);
    query.finish()?;
    let mut share = door.pages.place(wish.is_full).await?;
    let found = match key {
        Some(key) => by_key(&door, &queue, &key, &wish).await?,
        None => page(&door, &queue, &wish).await?,
    };
    let Found { messages, next, looked } = found;
    let name = &queue.policy.name;
    let of = match next {
        Some(_) => count(&door, name, wish.state).await?,
        None => looked,
    };
    let hold = Hold::of(&door, name, &messages).await?;
    let views = messages.iter().map(|message| hold.view(message, wish.is_full)).collect();
    let mut text = Vec::new();
    let next_cursor = next.as_ref().map(|next| next.write(name));
    // More may have come in since the first page.
    let page = MessageList { messages: views, next_cursor, looked, of: of.max(looked) };
    serde_json::to_writer(&mut text, &page).map_err(|_| {
        Problem::new(Code::Internal, "a page is not valid JSON; please report this")
    })?;
    drop(messages);
    // What it takes from now on, until the caller has read it.
    share.shrink(text.len());
    let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    Ok((kind, share.over(text)).into_response())
}

/// A page as it was read.
struct Found {
    messages: Vec<Message>,
    next: Option<Cursor>,
    /// Messages on this page and those before.
    looked: u64,
}

/// How many messages the whole list has.
async fn count(door: &Door, name: &QueueName, state: Option<MessageState>) -> Result<u64, Problem> {
    let counts = door.store().queues.counts(name).await?;
    let states = state.map_or_else(|| MessageState::ALL.to_vec(), |state| vec![state]);
    Ok(states.into_iter().map(|state| counts.of(state)).sum())
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
        limit: usize::try_from(limit.unwrap_or(LIMIT_DEFAULT)).unwrap_or(usize::MAX),
        is_full,
        cursor: cursor.unwrap_or(Cursor { state: first, looked: 0, within: None }),
    }
}

async fn by_key(door: &Door, queue: &Queue, key: &str, wish: &Wish) -> Result<Found, Problem> {
    let mut messages = Vec::new();
    for id in door.store().messages.find_key(&queue.policy.name, key).await? {
        let found = door.store().messages.get_part(&id, wish.part()).await?;
        messages.extend(found.filter(|found| wish.state.is_none_or(|state| found.state == state)));
    }
    let looked = messages.len() as u64;
    Ok(Found { messages, next: None, looked })
}

/// Goes on from the cursor until the page is full or nothing is left.
async fn page(door: &Door, queue: &Queue, wish: &Wish) -> Result<Found, Problem> {
    let name = &queue.policy.name;
    let mut at = wish.cursor.clone();
    let (mut messages, mut bytes) = (Vec::new(), 0);
    let mut step = if wish.is_full { STEP_FULL } else { STEP };
    loop {
        let most = step.min(wish.limit - messages.len());
        let within = at.within.as_deref();
        let found =
            door.store().messages.list_part(name, at.state, wish.part(), most, within).await?;
        bytes += found.messages.iter().map(payload_bytes).sum::<usize>();
        at.looked += found.messages.len() as u64;
        messages.extend(found.messages);
        step = next_step(step, bytes, messages.len());
        match found.next_cursor {
            Some(within) => at.within = Some(within),
            None => match next_state(at.state).filter(|_| wish.state.is_none()) {
                Some(state) => at = Cursor { state, within: None, ..at },
                None => return Ok(Found { messages, next: None, looked: at.looked }),
            },
        }
        if messages.len() >= wish.limit || bytes >= PAYLOAD_BYTES_MAX {
            return Ok(Found { messages, looked: at.looked, next: Some(at) });
        }
    }
}

fn payload_bytes(message: &Message) -> usize {
    message.payload.as_ref().map_or(0, Bytes::len)
}

/// How many messages to read at once, after so many with so many payload bytes.
fn next_step(step: usize, bytes: usize, count: usize) -> usize {
    let average = bytes / count.max(1);
    (STEP_BYTES / average.max(1)).clamp(1, 2 * step).min(STEP)
}

fn next_state(state: MessageState) -> Option<MessageState> {
    let at = MessageState::ALL.iter().position(|known| *known == state)?;
    MessageState::ALL.get(at + 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_follow_the_payloads() {
        assert_eq!(next_step(STEP_FULL, 0, 0), 8);
        assert_eq!(next_step(STEP_FULL, 4 * 1000, 4), 8);
        assert_eq!(next_step(64, 64 * 1000, 64), STEP);
        assert_eq!(next_step(STEP_FULL, 4 * 250_000, 4), 4);
        assert_eq!(next_step(8, 9 * 2_000_000, 9), 1);
    }

    #[test]
    fn cursors_read_back_and_foreign_ones_are_refused() {
        for within in [None, Some("0.1763640000000:01ARZ3NDEKTSV4RRFFQ69G5FAV0;]".to_owned())] {
            let cursor = Cursor { state: MessageState::Dead, looked: 200, within };
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
