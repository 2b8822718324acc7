//! Moving messages into another queue, whose shard may lie on another server: no loss and no double,
//! wherever a node dies.
//!
//! Four steps, each safe to repeat, each decided by what stands in Redis and not by who did it:
//!
//! 1. *begin*: in the old queue the message is cancelled, and says under which id it goes on. From then
//!    on nothing sends it from there, and neither retention nor a purge takes it.
//! 2. The other queue gets a copy under an id that follows from the operation and the old id, due a
//!    year ahead: so it cannot be sent, end and be forgotten yet, and a repeat finds it there.
//! 3. *end*: the old message loses its body, and its retention begins. After that, step 2 never comes
//!    again.
//! 4. The copy gets the due time of the old message, or now; only if it is still due a year ahead.
//!
//! Before 2 the message is in the old queue alone, with its body; after 3 in the new one alone; between
//! them it is in both and neither can send it. Steps 1 and 2 wait for the durability level: a failover
//! that forgot the first and kept the second would send both. Which messages are under way is known by
//! the hand, which was written down before step 1. A node that stands still between asking in step 1 and
//! step 2, for longer than the others need to take over, deliver the copy and forget it by retention, would
//! make another copy; it has lost its lease and does not release it.

use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use ulid::Ulid;

use crate::domain::id::{MessageId, is_same_but_for_its_shard, new_ulid, shard_of};
use crate::domain::message::{DELAY_MS_MAX, Message, NewMessage, Origin, When};
use crate::domain::message_step::MOVED_TO;
use crate::domain::operation::{Action, Operation};
use crate::domain::state::State;
use crate::store::messages::Messages;
use crate::store::queue::Queue;
use crate::store::record::{OptionalFields, Record, state_of};
use crate::store::redis::script::arg;
use crate::store::redis::script::{call, fields, row, rows};
use crate::store::tail::Tail;
use crate::store::{Changed, Edit, NotAccepted, Part, PresetId, Routing, StoreError};

/// Messages, with their bodies, that one call takes.
const TOGETHER_MAX: usize = 16;

/// A message that is on its way.
#[derive(Debug)]
struct Passage {
    old: Ulid,
    new: MessageId,
    due_ms: u64,
    /// By the run before, or by a call whose reply was lost: there may be a copy.
    was_begun: bool,
    /// Step 3 is still to come: the copy, made of this.
    copy: Option<Copy>,
}

/// What the other queue gets.
#[derive(Debug)]
struct Copy {
    message: NewMessage,
    /// As they stand in the old record: those that this program does not know go over as well.
    fields: OptionalFields,
}

impl Messages {
    /// Moves these messages of one shard; tells of each what it came to.
    pub(in crate::store) async fn move_some(
        &self,
        operation: &Operation,
        queue: &Arc<Queue>,
        shard: u16,
        ulids: &[Ulid],
    ) -> Result<Vec<Changed>, StoreError> {
        let mut came_to = Vec::with_capacity(ulids.len());
        for ulids in ulids.chunks(TOGETHER_MAX) {
            came_to.extend(self.pass(operation, queue, shard, ulids, "begin").await?);
        }
        let done = came_to.iter().filter(|changed| **changed == Changed::Done).count();
        queue.metrics.count("move", done);
        Ok(came_to)
    }

    /// Brings to their end the moves among these messages that were begun; returns how many.
    ///
    /// # Errors
    /// [`StoreError::UnknownQueue`], [`StoreError::Unavailable`]: some may be left.
    pub async fn finish_moves(
        &self,
        operation: &Operation,
        ulids: &[Ulid],
    ) -> Result<usize, StoreError> {
        if operation.action != Action::Move {
            return Ok(0);
        }
        let queue = self.wire.queue(&operation.queue)?;
        let mut done = 0;
        for ulid in ulids {
            let number = shard_of(*ulid, queue.policy.shards);
            let came_to = self.pass(operation, &queue, number, &[*ulid], "find").await?;
            done += came_to.iter().filter(|changed| **changed == Changed::Done).count();
        }
        Ok(done)
    }

    async fn pass(
        &self,
        operation: &Operation,
        queue: &Arc<Queue>,
        shard: u16,
        ulids: &[Ulid],
        what: &str,
    ) -> Result<Vec<Changed>, StoreError> {
        let Some(to) = &operation.to else {
            return Err(StoreError::Reply("a move without a queue to move to".to_owned()));
        };
        let to = self.wire.queue(to)?;
        let (came_to, passages) =
            self.begin_moves(operation, queue, shard, &to, ulids, what).await?;
        let held_ms = operation.started_ms + DELAY_MS_MAX;
        let mut copies = Vec::with_capacity(passages.len());
        for Passage { new, copy, was_begun, .. } in &passages {
            let Some(copy) = copy else { continue };
            // Written once more while it is as it was, so that the wait covers the first time.
            if *was_begun && self.get(new).await?.is_some_and(|found| found.due_at_ms != held_ms) {
                continue;
            }
            let Copy { message, fields } = copy;
            let given = PresetId { ulid: new.ulid, key: String::new(), fields: fields.clone() };
            copies.push((given, NewMessage { due: When::At(held_ms), ..message.clone() }));
        }
        for answer in self.schedule_given(&to.policy.name, copies, Origin::Move).await? {
            match answer {
                Ok(_) => {}
                Err(NotAccepted::Store(error)) => return Err(error),
                Err(NotAccepted::Backlog(_)) => {
                    return Err(StoreError::Reply(
                        "a move was refused by a full backlog".to_owned(),
                    ));
                }
                Err(NotAccepted::Mismatch(id)) => {
                    return Err(StoreError::Reply(format!("a copy without a key met {id}")));
                }
            }
        }
        let going = passages.iter().filter(|passage| passage.copy.is_some());
        let ended: Vec<_> = going
            .map(|passage| row!(Move: ulid = arg(passage.old), new_id = "", tail = ""))
            .collect();
        if !ended.is_empty() {
            let keep_ms = Some(queue.policy.retention.delivered_ms);
            let what = "end";
            let call = call!(
                Move,
                what = what,
                cutoff_ms = None::<u64>,
                wanted = "",
                keep_ms = keep_ms,
                ..ended
            );
            self.wire.call(&queue.shards[usize::from(shard)], &call).await?;
        }
        for passage in &passages {
            let found = self.get_part(&passage.new, Part::Head).await?;
            if found.is_some_and(|copy| copy.due_at_ms == held_ms) {
                // A message whose time had come takes its place now, behind what waits here.
                let now_ms = self.wire.time_ms().await?;
                let is_due = passage.due_ms <= now_ms;
                let due = Some(if is_due { When::After(0) } else { When::At(passage.due_ms) });
                self.reschedule(&passage.new, &Edit { due, ..Edit::default() }).await?;
            }
        }
        Ok(came_to)
    }

    /// Step 1: what it came to for each, and those that are on their way.
    async fn begin_moves(
        &self,
        operation: &Operation,
        queue: &Arc<Queue>,
        shard: u16,
        to: &Queue,
        ulids: &[Ulid],
        what: &str,
    ) -> Result<(Vec<Changed>, Vec<Passage>), StoreError> {
        let letter = match operation.state {
            State::Dead => "X",
            State::Expired => "E",
            State::Cancelled => "C",
            _ => "w",
        };
        let mut rows = Vec::with_capacity(ulids.len());
        let (mut ids, routing) = (Vec::with_capacity(ulids.len()), to.routing());
        for ulid in ulids {
            let old = MessageId { queue: queue.policy.name.clone(), ulid: *ulid };
            let found = self.get_part(&old, Part::Head).await?;
            let new = new_id(operation, &old, (to, &routing), found.as_ref());
            let last = found.and_then(|message| message.last_attempt);
            let reason = format!("{MOVED_TO}{new}");
            let tail = Tail::pack(last.as_ref(), Some(&reason));
            rows.push(row!(Move: ulid = arg(ulid), new_id = arg(&new), tail = tail));
            ids.push(new);
        }
        let shard = &queue.shards[usize::from(shard)];
        let call = call!(
            Move,
            what = what,
            cutoff_ms = Some(operation.started_ms),
            wanted = letter,
            keep_ms = None::<u64>,
            ..rows
        );
        let mut reply = self.wire.call_durably(shard, &call).await?;
        rows!(reply as Move);
        let (mut came_to, mut passages) = (Vec::new(), Vec::new());
        for (old, new) in ulids.iter().zip(ids) {
            fields!(
                row of reply as Move;
                code: i64, before: Bytes, due_ms: u64, expires_ms: u64, record: Bytes
            );
            let copy = match code {
                0 | 1 => Some(copy_of(Record::unpack(record)?, expires_ms)),
                _ => None,
            };
            came_to.push(match code {
                0..=2 => Changed::Done,
                3 => Changed::NotFound,
                _ => Changed::WrongState(state_of(before.first().copied().unwrap_or(b'w'), true)),
            });
            if code <= 2 {
                passages.push(Passage { old: *old, new, due_ms, was_begun: code == 1, copy });
            }
        }
        Ok((came_to, passages))
    }
}

/// The id of the copy: it follows from the operation, the old id and the key by which the other queue is divided, and keeps the
/// moment at which the message was handed over. Once the move has begun, the old message says which one it is: the other queue
/// may go by another key since.
fn new_id(
    operation: &Operation,
    old: &MessageId,
    (to, routing): (&Queue, &Routing),
    found: Option<&Message>,
) -> MessageId {
    let digest = Sha256::digest(format!("{} {old}", operation.id));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    let random = u128::from_be_bytes(bytes);
    let shards = to.policy.shards;
    let shard = u16::try_from(random % u128::from(shards.max(1))).unwrap_or(0);
    let ulid = new_ulid(old.ulid.timestamp_ms(), shard, shards, random.rotate_left(40));
    let said = found.and_then(|found| found.reason.as_deref()?.strip_prefix(MOVED_TO));
    let said = said
        .and_then(|id| id.parse::<MessageId>().ok())
        .filter(|said| said.queue == to.policy.name && is_same_but_for_its_shard(said.ulid, ulid));
    said.unwrap_or_else(|| {
        let ulid = found.map_or(ulid, |found| routing.ulid(ulid, &found.details));
        MessageId { queue: to.policy.name.clone(), ulid }
    })
}

/// Its idempotency key stays with the old queue, where its producer would repeat it.
fn copy_of(record: Record, expires_ms: u64) -> Copy {
    let mut details = record.details;
    details.idempotency_key = None;
    let message = NewMessage {
        payload: record.payload.unwrap_or_default(),
        details,
        due: When::After(0),
        expires: (expires_ms > 0).then_some(When::At(expires_ms)),
        priority: record.priority,
        fingerprint: [0; 16],
    };
    Copy { message, fields: record.fields }
}
