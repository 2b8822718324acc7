//! Readings: a message, its past attempts, a page of a state, a key.

use bytes::Bytes;
use futures_util::future::join_all;
use ulid::Ulid;

use super::Messages;
use crate::domain::id::{MessageId, QueueName};
use crate::domain::message::{Attempt, Message};
use crate::domain::state::State;
use crate::store::StoreError;
use crate::store::callbacks;
use crate::store::queue::Shard;
use crate::store::record::{Record, StateEntry, to_message, with_last};
use crate::store::redis::script::arg;
use crate::store::redis::script::{call, fields, rows};
use crate::store::routing::shard_of_text;
use crate::store::tail::read_history;

/// Messages that one call reads at most; how many it does, their bytes decide (see `lua/get.lua`).
const GET_MAX: usize = 100;
/// Shards that are asked at the same time for an idempotency key.
const SHARDS_AT_ONCE: usize = 16;

/// How much of a message is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All but its payload.
    Head,
    /// All of it.
    Whole,
}

/// What a call answers of each message.
const FIELDS: usize = 6;

/// No further probe (see `lua/include/uncertain.lua`).
pub(in crate::store) const NEVER_MS: u64 = (1 << 53) - 1;

/// A page of messages in one state.
#[derive(Debug, Clone)]
pub struct Page {
    /// The messages.
    pub messages: Vec<Message>,
    /// Where the next page begins; `None`: this was the last.
    pub next_cursor: Option<String>,
}

/// A page of ids in one shard.
#[derive(Debug)]
pub(in crate::store) struct UlidPage {
    pub(in crate::store) ulids: Vec<Ulid>,
    /// Empty: the last page.
    pub(in crate::store) next: String,
}

impl Messages {
    /// A message; `None`: there is no such id (any more).
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]. An id of a queue that is not known reads as `None`.
    pub async fn get(&self, id: &MessageId) -> Result<Option<Message>, StoreError> {
        self.get_part(id, Part::Whole).await
    }

    /// A message, or what is not its payload.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn get_part(
        &self,
        id: &MessageId,
        part: Part,
    ) -> Result<Option<Message>, StoreError> {
        Ok(self.get_one(id, part, false).await?.map(|(message, _)| message))
    }

    /// A message's attempts, the oldest first, as far as they are kept.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn attempts(&self, id: &MessageId) -> Result<Option<Vec<Attempt>>, StoreError> {
        let found = self.get_one(id, Part::Head, true).await?;
        Ok(found.map(|(message, past)| with_last(&past, message.last_attempt.as_ref())))
    }

    async fn get_one(
        &self,
        id: &MessageId,
        part: Part,
        history: bool,
    ) -> Result<Option<(Message, Vec<Attempt>)>, StoreError> {
        let Ok(queue) = self.wire.queue(&id.queue) else { return Ok(None) };
        let shard = queue.shard_of(id);
        let mut found = self.get_many(shard, &id.queue, &[id.ulid], part, history).await?;
        Ok(found.pop())
    }

    async fn get_many(
        &self,
        shard: &Shard,
        queue: &QueueName,
        ulids: &[Ulid],
        part: Part,
        history: bool,
    ) -> Result<Vec<(Message, Vec<Attempt>)>, StoreError> {
        let mut found = Vec::with_capacity(ulids.len());
        // What a callback says is made of its payload.
        let is_whole = part == Part::Whole || queue.callbacks_of().is_some();
        let mut left = ulids;
        while !left.is_empty() {
            let rows = left.iter().take(GET_MAX).map(|ulid| [arg(ulid)]);
            let call = call!(Get, with_history = history, with_body = is_whole, ..rows);
            let mut reply = self.wire.read(shard, &call).await?;
            rows!(reply as Get);
            // At least one, or this would never end.
            let (read, rest) = left.split_at((reply.len() / FIELDS).clamp(1, left.len()));
            left = rest;
            for ulid in read {
                fields!(
                    row of reply as Get;
                    record: Bytes, state: Bytes, is_due: bool, moment_ms: Option<u64>, older: String,
                    history: Bytes
                );
                if record.is_empty() {
                    continue;
                }
                let past = read_history(&history);
                let state = some_bytes(state);
                let mut message = read_message(queue, *ulid, record, state, is_due, &past);
                if message.state == State::Accepted {
                    message.accepted_at_ms = moment_ms.filter(|ms| *ms > 0);
                }
                message.waits_for_older =
                    message.state == State::Scheduled && moment_ms == Some(NEVER_MS);
                let older = Ulid::from_string(&older).ok().filter(|_| message.waits_for_older);
                message.older = older.map(|ulid| MessageId { queue: queue.clone(), ulid });
                if message.state == State::Uncertain
                    && let Some(next_ms) = moment_ms.filter(|ms| (1..NEVER_MS).contains(ms))
                {
                    message.probes.get_or_insert_default().next_at_ms = Some(next_ms);
                }
                found.push((message, past));
            }
        }
        Ok(found)
    }

    /// A page of the messages in one state. Scheduled ones by due time, ready ones as they will go,
    /// finals by purge time. A cursor is opaque; a malformed one starts from the beginning.
    ///
    /// # Errors
    /// [`StoreError::UnknownQueue`], [`StoreError::Unavailable`].
    pub async fn list(
        &self,
        name: &QueueName,
        state: State,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Page, StoreError> {
        self.list_part(name, state, Part::Whole, limit, cursor).await
    }

    /// The same, or what is not their payloads.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub async fn list_part(
        &self,
        name: &QueueName,
        state: State,
        part: Part,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Page, StoreError> {
        let queue = self.wire.queue(name)?;
        let (mut number, mut within) = read_cursor(cursor);
        let mut messages = Vec::new();
        while let Some(shard) = queue.shards.get(number) {
            let page = self.list_shard(shard, state, limit - messages.len(), &within).await?;
            let found = self.get_many(shard, name, &page.ulids, part, false).await?;
            // What moved on between the two readings is not shown in a state it has left.
            messages.extend(found.into_iter().map(|(m, _)| m).filter(|m| m.state == state));
            within = page.next;
            if within.is_empty() {
                number += 1;
            }
            if messages.len() >= limit {
                break;
            }
        }
        let more = number < queue.shards.len();
        Ok(Page { messages, next_cursor: more.then(|| format!("{number}.{within}")) })
    }

    pub(in crate::store) async fn list_shard(
        &self,
        shard: &Shard,
        state: State,
        limit: usize,
        cursor: &str,
    ) -> Result<UlidPage, StoreError> {
        let call = call!(List, what = arg(state), most = limit, cursor = cursor);
        let mut reply = self.wire.read(shard, &call).await?;
        fields!(reply as List; next_cursor: String);
        rows!(reply as List);
        let mut ulids = Vec::with_capacity(reply.len());
        while reply.len() > 0 {
            // What is no message of ours has no id.
            fields!(row of reply as List; ulid: String);
            ulids.extend(Ulid::from_string(&ulid));
        }
        Ok(UlidPage { ulids, next: next_cursor })
    }

    /// The messages that an idempotency key belongs to, while the window lasts: one at most, but where the shards of a queue
    /// go by a key, one in each of them at most.
    ///
    /// # Errors
    /// [`StoreError::UnknownQueue`], [`StoreError::Unavailable`].
    pub async fn find_key(
        &self,
        name: &QueueName,
        key: &str,
    ) -> Result<Vec<MessageId>, StoreError> {
        let queue = self.wire.queue(name)?;
        let shards = if queue.routing().is_by_key() {
            queue.shards.as_slice()
        } else {
            let number = usize::from(shard_of_text(key, queue.policy.shards));
            &queue.shards[number..=number]
        };
        let mut found = Vec::new();
        for shards in shards.chunks(SHARDS_AT_ONCE) {
            let calls = shards.iter().map(|shard| self.find_in(shard, key));
            for ulid in join_all(calls).await {
                found.extend(ulid?.map(|ulid| MessageId { queue: name.clone(), ulid }));
            }
        }
        Ok(found)
    }

    async fn find_in(&self, shard: &Shard, key: &str) -> Result<Option<Ulid>, StoreError> {
        let mut reply = self.wire.call(shard, &call!(Find, key = key)).await?;
        fields!(reply as Find; ulid: String);
        Ok(Ulid::from_string(&ulid).ok())
    }
}

/// A message as it is kept. One that cannot be read is shown as far as it can be, with the reason.
pub(in crate::store) fn read_message(
    queue: &QueueName,
    ulid: Ulid,
    record: Bytes,
    entry: Option<Bytes>,
    in_due: bool,
    past: &[Attempt],
) -> Message {
    let record = Record::unpack(record).and_then(|record| {
        let (details, payload) = callbacks::told(queue, ulid, record.details, record.payload)?;
        Ok(Record { details, payload, ..record })
    });
    let (record, bad_record) = read_or(record, Record::unreadable);
    let (entry, bad_entry) = read_or(entry.map(StateEntry::unpack).transpose(), || None);
    let mut message = to_message(queue, ulid, record, entry, in_due, past);
    if let Some(error) = bad_record.or(bad_entry)
        && message.reason.is_none()
    {
        let what = "kept as it is, and not sent; `tidegate doctor` tells more";
        message.reason = Some(format!("it cannot be read ({error}): {what}"));
    }
    message
}

fn read_or<T>(
    read: Result<T, StoreError>,
    otherwise: impl FnOnce() -> T,
) -> (T, Option<StoreError>) {
    match read {
        Ok(value) => (value, None),
        Err(error) => (otherwise(), Some(error)),
    }
}

pub(in crate::store) fn some_bytes(bytes: Bytes) -> Option<Bytes> {
    (!bytes.is_empty()).then_some(bytes)
}

/// `<shard>.<cursor within it>`, as far as it has that form.
fn read_cursor(cursor: Option<&str>) -> (usize, String) {
    let parsed = cursor.and_then(|cursor| {
        let (number, within) = cursor.split_once('.')?;
        let well_formed = within.is_empty()
            || within.split_once(':').is_some_and(|(score, rest)| {
                score.bytes().all(|b| b.is_ascii_digit()) && !score.is_empty() && !rest.is_empty()
            });
        well_formed.then_some((number.parse().ok()?, within.to_owned()))
    });
    parsed.unwrap_or_default()
}
