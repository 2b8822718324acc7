//! What became of each item of a batch.
//!
//! Owns the chunks in which items go to the store, and their results in order. An item that is wrong
//! harms no neighbour. Refuses to know how items are cut out of a body.

use axum::body::Bytes;

use super::auth::Caller;
use super::backlog::FullQueue;
use super::pace::Pace;
use super::problem::{Code, FAULTS_IN_ALL_MAX, FAULTS_MAX, Problem};
use super::send::not_accepted;
use super::traced::RequestTrace;
use super::{Door, allowed, body, estimate, intake, repeat};
use crate::domain::gates::Gates;
use crate::domain::id::MessageId;
use crate::domain::message::NewMessage;
use crate::store::{Accepted, NotAccepted, Queue};
use crate::telemetry::IntakeSpan;
use crate::wire::Moment;
use crate::wire::new_message::BATCH_MESSAGES_MAX;
use crate::wire::problem::{BatchAnswer, BatchItemView};

/// Items that go to the store together.
const CHUNK_ITEMS_MAX: usize = 500;
/// Payload bytes that go to the store together; what is held of a stream at most.
const CHUNK_BYTES_MAX: usize = 4 * 1024 * 1024;

/// One item's fate.
#[derive(Debug)]
enum Fate {
    /// On its way to the store.
    Waiting,
    Accepted(Accepted),
    Refused(Problem),
}

impl Fate {
    /// As it is told of the item at this place.
    fn view(&self, index: u64) -> BatchItemView {
        let refused = |problem: &Problem| BatchItemView {
            index,
            id: None,
            due_at: None,
            duplicate: None,
            collapsed: None,
            problem: Some(problem.view()),
        };
        match self {
            Self::Accepted(accepted) => BatchItemView {
                index,
                id: Some(accepted.id.to_string()),
                due_at: Some(Moment(accepted.due_at_ms)),
                duplicate: Some(accepted.duplicate),
                collapsed: accepted.collapsed.then_some(true),
                problem: None,
            },
            Self::Refused(problem) => refused(problem),
            Self::Waiting => refused(&Problem::store_unavailable(
                "it is unknown whether the item was stored: retry with the same idempotency key",
            )),
        }
    }
}

/// An item on its way to the store: its place, its body and what was read.
struct Waiting {
    at: usize,
    body: Bytes,
    message: NewMessage,
    span: Option<IntakeSpan>,
}

/// A batch under way.
pub(super) struct Batch<'a> {
    door: &'a Door,
    caller: &'a Caller,
    queue: &'a Queue,
    trace: RequestTrace<'a>,
    fates: Vec<Fate>,
    chunk: Vec<Waiting>,
    chunk_bytes: usize,
    /// Why the rest is not tried: the store is away, or the node stops.
    given_up: Option<Problem>,
    /// What values of a key were given that have no room.
    full: FullQueue,
    /// The gates of the queue, once a message was asked whether it leaves in time.
    gates: Option<Gates>,
    /// Faults that may still be listed.
    faults_left: usize,
    pace: Pace,
}

impl<'a> Batch<'a> {
    pub(super) fn new(
        door: &'a Door,
        caller: &'a Caller,
        queue: &'a Queue,
        trace: RequestTrace<'a>,
    ) -> Self {
        let (fates, chunk) = (Vec::new(), Vec::new());
        Self {
            door,
            caller,
            queue,
            trace,
            fates,
            chunk,
            chunk_bytes: 0,
            given_up: None,
            full: FullQueue::default(),
            gates: None,
            faults_left: FAULTS_IN_ALL_MAX,
            pace: Pace::default(),
        }
    }

    /// Takes the next item.
    ///
    /// # Errors
    /// 413 when there are too many.
    pub(super) async fn push(&mut self, item: &Bytes) -> Result<(), Problem> {
        self.pace.step().await;
        self.check_room()?;
        let bytes_max = self.door.state.server.body_limit_bytes;
        if item.len() > bytes_max {
            self.fates.push(Fate::Refused(body::too_large("the item", bytes_max)));
            return Ok(());
        }
        // A part of a large body would keep all of it in memory while the item waits in the store.
        let item = Bytes::copy_from_slice(item);
        // Nobody looks for more faults than are listed.
        let faults_max = self.faults_left.clamp(1, FAULTS_MAX);
        let now_ms = self.door.now_ms()?;
        self.trace.next();
        let checked = match intake::message_up_to(&item, now_ms, None, faults_max) {
            Ok(message) => {
                let policy = &self.queue.policy;
                let by = (self.door, self.caller);
                let checked = allowed::check(by, &message.details, policy).await;
                let (now_ms, gates) = (self.door.now_ms()?, &mut self.gates);
                match checked {
                    // Boxed: it is rare, and all others would carry its room.
                    Ok(()) if message.details.must_dispatch_ms.is_some() => {
                        Box::pin(estimate::check(self.door, policy, (&message, now_ms), gates))
                            .await
                    }
                    checked => checked,
                }
                .map(|()| message)
            }
            Err(problem) => Err(problem),
        };
        match checked {
            Ok(mut message) => {
                self.chunk_bytes += item.len();
                let span = self.trace.begin(&mut message.details);
                self.chunk.push(Waiting { at: self.fates.len(), body: item, message, span });
                self.fates.push(Fate::Waiting);
            }
            Err(mut problem) => {
                problem.shorten(&mut self.faults_left);
                self.fates.push(Fate::Refused(problem));
            }
        }
        if self.chunk.len() >= CHUNK_ITEMS_MAX || self.chunk_bytes >= CHUNK_BYTES_MAX {
            self.flush().await?;
        }
        Ok(())
    }

    /// Takes note of an item that was too large to be kept.
    ///
    /// # Errors
    /// 413 when there are too many.
    pub(super) fn push_too_large(&mut self) -> Result<(), Problem> {
        self.check_room()?;
        let bytes_max = self.door.state.server.body_limit_bytes;
        self.fates.push(Fate::Refused(body::too_large("the item", bytes_max)));
        Ok(())
    }

    fn check_room(&self) -> Result<(), Problem> {
        if self.fates.len() < BATCH_MESSAGES_MAX { Ok(()) } else { Err(too_many()) }
    }

    /// Sends what has gathered to the store.
    async fn flush(&mut self) -> Result<(), Problem> {
        let chunk = std::mem::take(&mut self.chunk);
        self.chunk_bytes = 0;
        if chunk.is_empty() {
            return Ok(());
        }
        if self.given_up.is_none() {
            self.given_up = self.door.open_for_intake().err();
        }
        if let Some(problem) = &self.given_up {
            for Waiting { at, .. } in chunk {
                self.fates[at] = Fate::Refused(problem.clone());
            }
            return Ok(());
        }
        let (places, messages): (Vec<_>, Vec<_>) = chunk
            .into_iter()
            .map(|waiting| ((waiting.at, waiting.body, waiting.span), waiting.message))
            .unzip();
        let answers =
            self.door.store().messages.schedule(&self.queue.policy.name, messages).await?;
        let gone = answers.iter().all(|answer| matches!(answer, Err(NotAccepted::Store(_))));
        for ((at, body, span), answer) in places.into_iter().zip(answers) {
            let answer = match answer {
                Err(NotAccepted::Mismatch(first)) => {
                    repeat::settle(self.door, self.queue, &body, None, first).await?
                }
                answer => answer,
            };
            self.trace.end(span, self.queue.policy.name.as_str(), Some(&answer));
            self.fates[at] = match answer {
                Ok(accepted) => Fate::Accepted(accepted),
                Err(refused) => {
                    let room = self.full.room_for(self.door, self.queue, &refused).await;
                    Fate::Refused(not_accepted(refused, self.queue, room))
                }
            };
        }
        if gone {
            self.given_up = Some(Problem::store_unavailable(
                "the store refused the items before this one; this one was not sent to it: retry",
            ));
        }
        Ok(())
    }

    /// Everybody's fate.
    ///
    /// # Errors
    /// When the queue is gone meanwhile.
    pub(super) async fn finish(&mut self) -> Result<BatchAnswer, Problem> {
        self.flush().await?;
        let results: Vec<_> =
            (0u64..).zip(&self.fates).map(|(index, fate)| fate.view(index)).collect();
        let accepted = results.iter().filter(|item| item.problem.is_none()).count();
        let [accepted, rejected] = [accepted, results.len() - accepted].map(|count| count as u64);
        Ok(BatchAnswer { accepted, rejected, results, estimate: None })
    }

    /// The last message that was taken in.
    pub(super) fn last_accepted(&self) -> Option<MessageId> {
        self.fates.iter().rev().find_map(|fate| match fate {
            Fate::Accepted(accepted) => Some(accepted.id.clone()),
            _ => None,
        })
    }

    /// A batch that broke off: the problem, and what became of the items before it.
    pub(super) async fn broken(mut self, problem: Problem) -> Problem {
        match self.finish().await {
            Ok(batch) if !self.fates.is_empty() => problem.with_batch(batch),
            _ => problem,
        }
    }
}

/// 413 for a batch.
pub(super) fn too_many() -> Problem {
    Problem::new(
        Code::TooLarge,
        format!("the batch has more than {BATCH_MESSAGES_MAX} items; send it in several"),
    )
}
