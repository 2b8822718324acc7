//! Schedule: concurrent requests become one script call.
//!
//! Owns the coalescing. Nobody waits for company that is not on its way: while one call is under way the
//! next one gathers, and before it is made, requests that have arrived are read; so an idle daemon answers
//! at once and a busy one takes hundreds of messages a call. One call at a time and shard, so that messages
//! become ready in the order in which they came.

mod call;

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use ulid::Ulid;

use super::Messages;
use crate::domain::backlog::Full;
use crate::domain::id::{MessageId, QueueName, shard_of};
use crate::domain::message::{NewMessage, Origin, When};
use crate::failpoint::failpoint;
use crate::store::StoreError;
use crate::store::preset_id::PresetId;
use crate::store::queue::{Queue, Shard};
use crate::store::record::OptionalFields;
use crate::store::redis::script::{fields, rows};
use crate::store::wire::recovery::acknowledgements::Acknowledged;
use crate::store::wire::recovery::rollback::RollbackCause;

/// Messages in one script call: more gains nothing and holds Redis up.
/// A message's number in its call is one byte of its record.
const CALL_MESSAGES_MAX: usize = 250;
/// What tells messages with the same idempotency key apart.
pub(in crate::store) const FINGERPRINT_BYTES: usize = 16;
/// The code of a message for which the backlog has no room: the number of messages; the next ones are bytes and a key.
pub(in crate::store) const BACKLOG_FULL: u64 = 5;
/// Bytes in one script call.
const CALL_BYTES_MAX: usize = 1 << 20;
/// Messages that may wait at this node's door; above it, requests wait for a place.
const WAITING_MAX: usize = 20_000;
/// A call is made after so many turns that brought nobody; more of them take time from those who come.
const BARREN_TURNS: u32 = 2;
/// A message that Redis has, at the configured durability level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// Its id: the first message's, if this one was a repeat.
    pub id: MessageId,
    /// When its first attempt is due, ms.
    pub due_at_ms: u64,
    /// It had been taken in before, under the same idempotency key.
    pub duplicate: bool,
    /// It took the place of a message with the same collapse key, whose id this is.
    pub collapsed: bool,
}

/// Why a message was not taken in.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NotAccepted {
    /// Its idempotency key belongs to a different message.
    #[error("the idempotency key belongs to a different message, {0}")]
    Mismatch(MessageId),
    /// The backlog of the queue is full.
    #[error("the backlog of the queue is full")]
    Backlog(Full),
    /// The store: full, or away (then it is unknown whether it was taken in).
    #[error(transparent)]
    Store(#[from] StoreError),
}

type IntakeAnswer = Result<Accepted, NotAccepted>;

#[derive(Debug)]
struct Waiting {
    ulid: Ulid,
    /// Under which a repeat is recognised; "": under none.
    key: String,
    message: NewMessage,
    fields: OptionalFields,
    origin: Origin,
    answer: oneshot::Sender<IntakeAnswer>,
    /// Its place at the door, given back with the answer.
    _place: Option<OwnedSemaphorePermit>,
}

impl Waiting {
    fn has_collapse_key(&self) -> bool {
        self.fields.has_collapse_key()
    }
}

#[derive(Debug, Default)]
struct Door {
    // A plain mutex: held to push and to drain, never across an await.
    line: Mutex<IntakeLine>,
}

/// Who waits at a door, in order. One call at a time: what came first becomes ready first.
#[derive(Debug, Default)]
struct IntakeLine {
    waiting: Vec<Waiting>,
    is_served: bool,
}

impl Door {
    /// Lets other tasks run for as long as they bring more: a call costs Redis as much as twenty messages
    /// in it, and those whose answers have just gone out are about to ask again.
    async fn gather(&self) {
        let length = || self.line.lock().waiting.len();
        let (mut known, mut barren) = (length(), 0);
        while known < CALL_MESSAGES_MAX && barren < BARREN_TURNS {
            // Comes back once every task that can run has run, and the sockets were looked at.
            tokio::task::yield_now().await;
            let now = length();
            barren = if now > known { 0 } else { barren + 1 };
            known = now;
        }
    }
}

/// The doors of all shards.
#[derive(Debug)]
pub(super) struct Intake {
    places: Arc<Semaphore>,
    doors: Mutex<HashMap<String, Arc<Door>>>,
}

impl Default for Intake {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(WAITING_MAX)), doors: Mutex::default() }
    }
}

impl Intake {
    fn door(&self, shard: &Shard) -> Arc<Door> {
        let mut doors = self.doors.lock();
        if let Some(door) = doors.get(&shard.keys.tag) {
            return Arc::clone(door);
        }
        Arc::clone(doors.entry(shard.keys.tag.clone()).or_default())
    }
}

impl Messages {
    /// Takes messages in; each is answered for itself, in order.
    ///
    /// # Errors
    /// [`StoreError::UnknownQueue`]; everything else is per message.
    pub async fn schedule(
        &self,
        name: &QueueName,
        messages: Vec<NewMessage>,
    ) -> Result<Vec<IntakeAnswer>, StoreError> {
        self.schedule_of(name, messages, Origin::Producer).await
    }

    /// The same, of messages that come in by this.
    ///
    /// # Errors
    /// As [`schedule`](Self::schedule).
    pub async fn schedule_of(
        &self,
        name: &QueueName,
        messages: Vec<NewMessage>,
        origin: Origin,
    ) -> Result<Vec<IntakeAnswer>, StoreError> {
        let messages = messages.into_iter().map(|message| (None, message)).collect();
        self.take_in(name, messages, origin).await
    }

    /// Takes messages in whose ids follow from what they come from: repeated, each is there once.
    ///
    /// # Errors
    /// [`StoreError::UnknownQueue`]; everything else is per message.
    pub async fn schedule_given(
        &self,
        name: &QueueName,
        messages: Vec<(PresetId, NewMessage)>,
        origin: Origin,
    ) -> Result<Vec<IntakeAnswer>, StoreError> {
        let messages = messages.into_iter().map(|(given, message)| (Some(given), message));
        self.take_in(name, messages.collect(), origin).await
    }

    async fn take_in(
        &self,
        name: &QueueName,
        messages: Vec<(Option<PresetId>, NewMessage)>,
        origin: Origin,
    ) -> Result<Vec<IntakeAnswer>, StoreError> {
        let queue = self.wire.queue(name)?;
        let known_ms = match self.wire.time_ms().await {
            Ok(known_ms) => known_ms,
            Err(error) => {
                return Ok(messages.iter().map(|_| Err(error.clone().into())).collect());
            }
        };
        let (mut answers, routing) = (Vec::with_capacity(messages.len()), queue.routing());
        for (given, message) in messages {
            let places = Arc::clone(&self.shared.intake.places);
            // The semaphore is never closed.
            let place = places.acquire_owned().await.ok();
            // The wait for a place may have been long.
            let now_ms = self.wire.clock().now_ms().unwrap_or(known_ms);
            let message = queue.policy.within_recipient_hours(message, now_ms);
            let given = given.unwrap_or_else(|| PresetId::drawn(&message, &routing, now_ms));
            answers.push(self.enqueue(&queue, given, message, origin, place));
        }
        let mut results = Vec::with_capacity(answers.len());
        for answer in answers {
            results.push(answer.await.unwrap_or_else(|_| {
                Err(StoreError::Unavailable("the daemon is stopping".to_owned()).into())
            }));
        }
        Ok(results)
    }

    fn enqueue(
        &self,
        queue: &Arc<Queue>,
        PresetId { ulid, key, fields }: PresetId,
        message: NewMessage,
        origin: Origin,
        place: Option<OwnedSemaphorePermit>,
    ) -> oneshot::Receiver<IntakeAnswer> {
        let shard = &queue.shards[usize::from(shard_of(ulid, queue.policy.shards))];
        let fields = fields.or_of_new(self.wire.format.version(), &message.details);
        let door = self.shared.intake.door(shard);
        let (answer, receiver) = oneshot::channel();
        let start = {
            let mut line = door.line.lock();
            let waiting = Waiting { ulid, key, message, fields, origin, answer, _place: place };
            line.waiting.push(waiting);
            !std::mem::replace(&mut line.is_served, true)
        };
        if start {
            let (store, queue, shard) = (self.clone(), Arc::clone(queue), Arc::clone(shard));
            self.wire
                .tasks
                .spawn("intake", async move { store.drain_door(&queue, &shard, &door).await });
        }
        receiver
    }

    /// Runs script calls until nobody waits at this door.
    async fn drain_door(&self, queue: &Queue, shard: &Shard, door: &Door) {
        loop {
            door.gather().await;
            let taken = {
                let mut line = door.line.lock();
                if line.waiting.is_empty() {
                    line.is_served = false;
                    return;
                }
                let count = call::fitting(&line.waiting);
                line.waiting.drain(..count).collect::<Vec<_>>()
            };
            self.schedule_call(queue, shard, taken).await;
        }
    }

    async fn schedule_call(&self, queue: &Queue, shard: &Shard, waiting: Vec<Waiting>) {
        let (taken, packed) = call::packed(waiting);
        if taken.is_empty() {
            return;
        }
        let outcome = self.schedule_script(queue, shard, &taken, packed).await;
        failpoint!("before-answer");
        match outcome {
            Ok(answers) => {
                let is_fresh = |accepted: &Accepted| !accepted.duplicate && !accepted.collapsed;
                let fresh = answers.iter().filter(|a| a.as_ref().is_ok_and(is_fresh)).count();
                queue.metrics.count("schedule", fresh);
                for (waiting, answer) in taken.into_iter().zip(answers) {
                    // Whoever asked may have hung up.
                    drop(waiting.answer.send(answer));
                }
            }
            Err(error) => {
                let (queue, messages) = (&queue.policy.name, taken.len());
                // That Redis is away, full or below the level was said once, when it began: here it is
                // one line for each call of each producer, who is told.
                tracing::debug!(%queue, messages, %error, "messages were not taken in");
                for waiting in taken {
                    drop(waiting.answer.send(Err(error.clone().into())));
                }
            }
        }
    }

    async fn schedule_script(
        &self,
        queue: &Queue,
        shard: &Shard,
        taken: &[Waiting],
        packed: Vec<Vec<u8>>,
    ) -> Result<Vec<IntakeAnswer>, StoreError> {
        self.wire.check_capacity(&shard.keys.all[0])?;
        // The call may be repeated below us (by the cluster client, or after a lost reply): by its
        // number it is recognised.
        let call = format!("{}{:016x}", self.wire.node().as_str(), rand::random::<u64>());
        let expires = taken.iter().any(|waiting| {
            waiting.message.expires.or(queue.policy.ttl_ms.map(When::After)).is_some()
        });
        let call = call::schedule(queue, call, self.wire.format.version(), taken, packed);
        let met = shard.met();
        let mut reply = self.wire.call_durably(shard, &call).await?;
        fields!(reply as Schedule; now_ms: u64, wake: u64, sequence: u64);
        shard.wake(wake);
        if expires {
            shard.expiry.notify_one();
        }
        let name = &queue.policy.name;
        let accepted = |waiting: &Waiting| Accepted {
            id: MessageId { queue: name.clone(), ulid: waiting.ulid },
            due_at_ms: waiting.message.due.at_ms(now_ms),
            duplicate: false,
            collapsed: false,
        };
        let mut superseded = 0;
        let mut answers: Vec<IntakeAnswer> =
            taken.iter().map(|waiting| Ok(accepted(waiting))).collect();
        // Only what was not simply accepted is told.
        rows!(reply as Schedule);
        while reply.len() > 0 {
            fields!(row of reply as Schedule; number: u64, code: i64, ulid: String, due_ms: u64);
            let (number, due_at_ms) = (usize::try_from(number).unwrap_or(usize::MAX), due_ms);
            let ulid = Ulid::from_string(&ulid).map_err(|e| StoreError::Reply(e.to_string()))?;
            let id = MessageId { queue: name.clone(), ulid };
            let answer = answers.get_mut(number).ok_or_else(|| {
                StoreError::Reply(format!("schedule answered for a message {number}"))
            })?;
            *answer = match code {
                0 | 1 | 3 | 4 => {
                    superseded += u64::from(code > 1);
                    Ok(Accepted { id, due_at_ms, duplicate: code == 1, collapsed: code == 3 })
                }
                2 => Err(NotAccepted::Mismatch(id)),
                _ => Err(NotAccepted::Backlog(full_of(code, queue, taken.get(number))?)),
            };
        }
        queue.metrics.superseded(superseded);
        if taken.iter().any(Waiting::has_collapse_key) {
            shard.collapse_keys.seen();
        }
        let full = answers.iter().filter_map(|answer| match answer {
            Err(NotAccepted::Backlog(full)) => Some(full),
            _ => None,
        });
        queue.refusals.note(full, queue);
        self.wire.acknowledgements.accepted(shard.mark(), acknowledged(&answers, sequence));
        if met != 0 && shard.met() != met {
            // Another connection met another server meanwhile: its review did not know of these.
            self.wire.spawn_review(shard, RollbackCause::NewRun);
        }
        Ok(answers)
    }
}

/// What is full for this message, as the script says it.
fn full_of(code: i64, queue: &Queue, refused: Option<&Waiting>) -> Result<Full, StoreError> {
    let at = u64::try_from(code).ok().and_then(|code| code.checked_sub(BACKLOG_FULL));
    match at {
        Some(0) => Ok(Full::Messages),
        Some(1) => Ok(Full::Bytes),
        Some(2) => {
            let per_key =
                queue.policy.backlog.as_ref().and_then(|backlog| backlog.per_key.as_ref());
            let value = per_key
                .zip(refused)
                .and_then(|(per_key, refused)| per_key.key.value_of(&refused.message.details));
            Ok(Full::Key(value.unwrap_or_default().to_owned()))
        }
        _ => Err(StoreError::Reply(format!("schedule answered the code {code}"))),
    }
}

/// What producers are about to be told. Messages have consecutive sequences; those of a repeat, older
/// ones.
fn acknowledged(answers: &[IntakeAnswer], sequence: u64) -> impl Iterator<Item = Acknowledged> {
    answers.iter().zip(sequence + 1..).filter_map(|(answer, sequence)| {
        let accepted = answer.as_ref().ok()?;
        let is_older = accepted.duplicate || accepted.collapsed;
        let sequence = if is_older { 0 } else { sequence };
        Some(Acknowledged { ulid: accepted.id.ulid, sequence })
    })
}
