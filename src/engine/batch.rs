//! A batch: one call for many messages, each settled by itself.
//!
//! Owns when a batch is split, and what its answer says of each message. On a permanent refusal it is split in
//! halves until the guilty messages are alone; each half is a call of its own, with its own permit, inside the
//! window. They are sent one after the other, so that one exchange stays one exchange. The steps of a call, see
//! `life`.

use std::borrow::Cow;

use tokio::time::Instant;

use super::batch_answer::{self, BatchReading, ItemSaid};
use super::episode::EpisodeTurn;
use super::exchange::{Exchanges, Tried};
use super::judge::{READ_HERE_BYTES_MAX, error_by_rules};
use super::request::item_ids;
use crate::domain::answer_rules::RulesSaid;
use crate::domain::limit::Units;
use crate::domain::outcome::{Answer, Outcome};
use crate::domain::receipt::Pending;
use crate::store::Claimed;
use crate::telemetry::QueueLabel;

/// Guilty messages in a row, each refused as if the downstream itself were at fault, after which the
/// rest goes back: the gate shuts, and the night is not buried.
const SUSPECTS_MAX: usize = 5;

/// The parts of what was claimed together: one, until it is refused and split.
#[derive(Debug)]
pub(super) struct BatchParts {
    /// What was claimed, until it is sent.
    whole: Option<Vec<Claimed>>,
    /// Halves that are still to be sent, the next one last.
    halves: Vec<Vec<Claimed>>,
    calls: usize,
    suspects: usize,
}

impl BatchParts {
    pub(super) const fn new(messages: Vec<Claimed>) -> Self {
        Self { whole: Some(messages), halves: Vec::new(), calls: 0, suspects: 0 }
    }

    /// The next part, in the order of the messages.
    pub(super) fn next(&mut self) -> Option<Vec<Claimed>> {
        self.whole.take().or_else(|| self.halves.pop())
    }

    /// Whether the part that was taken last is the last one.
    pub(super) const fn is_last(&self) -> bool {
        self.halves.is_empty()
    }

    /// Whether no call has been made yet.
    pub(super) const fn is_first_call(&self) -> bool {
        self.calls == 0
    }

    /// Whether what is left goes back without a call.
    pub(super) const fn are_given_up(&self) -> bool {
        self.suspects >= SUSPECTS_MAX
    }

    /// A call with this part came to this outcome. Returns the part, unless its halves are to be sent instead.
    pub(super) fn answered(
        &mut self,
        part: Vec<Claimed>,
        outcome: Outcome,
    ) -> Option<Vec<Claimed>> {
        self.calls += 1;
        if matches!(outcome, Outcome::Refused | Outcome::Suspect) && part.len() > 1 {
            let mut first = part;
            // What the claim had taken of limits is spent: each half gets a permit of its own.
            for message in &mut first {
                message.units = Units::NONE;
            }
            let second = first.split_off(first.len() / 2);
            // The last pushed is the next sent: order is kept.
            self.halves.push(second);
            self.halves.push(first);
            return None;
        }
        self.suspects = if outcome == Outcome::Suspect { self.suspects + 1 } else { 0 };
        Some(part)
    }
}

/// What a success says of the items; any other answer is that of all of them.
pub(super) async fn read_answer(
    exchanges: &Exchanges,
    part: &[Claimed],
    tried: &Tried,
) -> BatchReading {
    if exchanges.queue.policy.batch.is_none() {
        return BatchReading::All;
    }
    let Answer::Answered { body, .. } = &tried.answer else { return BatchReading::All };
    if let RulesSaid::CannotTell { why, .. } = &tried.said {
        let reading = BatchReading::Unreadable(why.clone());
        note_reading(exchanges, &reading);
        return reading;
    }
    let ids = item_ids(&exchanges.queue.policy.name, part);
    if let Some(elements) = &tried.elements {
        let reading = batch_answer::place(elements, &ids, names_messages(exchanges));
        note_reading(exchanges, &reading);
        return reading;
    }
    let is_by_rule = matches!(tried.said, RulesSaid::Rule(_));
    if is_by_rule || !tried.outcome.is_success() {
        return BatchReading::All;
    }
    let reading = if body.len() <= READ_HERE_BYTES_MAX {
        read_body(&tried.answer, &ids)
    } else {
        let answer = tried.answer.clone();
        let read = tokio::task::spawn_blocking(move || read_body(&answer, &ids));
        read.await.unwrap_or_else(|error| BatchReading::Unreadable(error.to_string()))
    };
    note_reading(exchanges, &reading);
    reading
}

/// Whether the elements of the list in an answer say for which message they are.
fn names_messages(exchanges: &Exchanges) -> bool {
    let each = exchanges.queue.policy.answer_rules().and_then(|rules| rules.each.as_ref());
    each.is_some_and(|each| each.id.is_some())
}

fn read_body(answer: &Answer, ids: &[String]) -> BatchReading {
    answer.body().map_or(BatchReading::All, |(_, body)| batch_answer::read(body, ids))
}

/// Counts what cannot be read or used, and says in the log when that begins and when it is over.
fn note_reading(exchanges: &Exchanges, reading: &BatchReading) {
    let queue = &exchanges.queue.policy.name;
    let (unreadable, foreign) = match reading {
        BatchReading::All => (None, 0),
        BatchReading::Each(each) => {
            let some = (each.unreadable > 0).then_some("results that do not name their message");
            (some, each.foreign)
        }
        BatchReading::Unreadable(why) => (Some(why.as_str()), 0),
    };
    if unreadable.is_some() {
        let label = QueueLabel { queue: queue.to_string() };
        exchanges.store.metrics().queue.unreadable_answers.get_or_create(&label).inc();
    }
    if foreign > 0 {
        exchanges.queue.metrics.count("foreign_result", foreign);
    }
    let now = Instant::now();
    match exchanges.unreadable.note(unreadable.is_some(), now) {
        Some(EpisodeTurn::Begins) => {
            tracing::warn!(%queue, why = unreadable, "answers to batches cannot be read; what they may say of their items is unknown");
        }
        Some(EpisodeTurn::Ends { count }) => {
            tracing::info!(%queue, unreadable = count, "answers to batches can be read again");
        }
        None => {}
    }
    match exchanges.foreign.note(foreign > 0, now) {
        Some(EpisodeTurn::Begins) => {
            tracing::warn!(%queue, foreign, "answers to batches name messages that were not in them");
        }
        Some(EpisodeTurn::Ends { count }) => {
            tracing::info!(%queue, answers = count, "answers to batches name no foreign messages any more");
        }
        None => {}
    }
}

impl BatchReading {
    /// The try as one message sees it: with what the answer says of it in place of the whole answer.
    pub(super) fn of_item<'a>(&self, tried: &'a Tried, at: usize, count: usize) -> Cow<'a, Tried> {
        let Answer::Answered { pending, .. } = &tried.answer else { return Cow::Borrowed(tried) };
        // A reference is one message's, and cannot be all of theirs.
        let is_shared = count > 1 && pending.is_some();
        if matches!(self, Self::All) && !is_shared {
            return Cow::Borrowed(tried);
        }
        let mut own = tried.clone();
        self.take_own(&mut own, at);
        Cow::Owned(own)
    }

    fn take_own(&self, own: &mut Tried, at: usize) {
        let Answer::Answered { content_type, body, pending, .. } = &mut own.answer else { return };
        let nothing = match self {
            Self::All => {
                *pending = Some(Pending::default());
                return;
            }
            Self::Unreadable(why) => why,
            Self::Each(each) => match &each.items[at] {
                ItemSaid::Status { outcome, detail, reference } => {
                    own.outcome = *outcome;
                    let is_accepted = *outcome == Outcome::Accepted;
                    *pending = is_accepted.then(|| Pending::of(reference.as_deref()));
                    if let Some(detail) = detail {
                        *content_type = Some("text/plain".to_owned());
                        *body = detail.clone().into();
                    }
                    return;
                }
                ItemSaid::Judged(classified) => {
                    own.outcome = classified.outcome;
                    own.error = error_by_rules(&mut own.answer, classified);
                    return;
                }
                ItemSaid::Nothing(why) => why,
            },
        };
        *pending = None;
        own.outcome = Outcome::Unknown;
        own.error = Some(nothing.clone());
    }
}
