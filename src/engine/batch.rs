//! A batch: one call for many messages, each settled by itself.
//!
//! On a permanent refusal the batch is split in halves until the guilty items are alone; each half is
//! a call of its own, with its own permit, inside the window. Sequential, so that one exchange stays
//! one exchange.

use tokio::time::Instant;

use super::batch_answer::{self, BatchAnswer, ItemSaid, Reading};
use super::episode::Turn;
use super::exchange::{Began, Exchanges, Outcomes, Tried};
use super::permits::{NoPermit, permit};
use super::request::{batch_call, item_ids};
use crate::domain::outcome::{Answer, Outcome};
use crate::domain::receipt::Pending;
use crate::domain::settlement::Settlement;
use crate::failpoint::failpoint;
use crate::store::Claimed;
use crate::telemetry::QueueLabel;

/// Guilty items in a row, each refused as if the downstream itself were at fault, after which the
/// rest goes back: the gate shuts, and the night is not buried.
const SUSPECTS_MAX: usize = 5;
/// A longer answer is read aside: meanwhile this thread has other exchanges to serve.
const READ_HERE_BYTES_MAX: usize = 64 << 10;

/// Why the next call of an exchange does not start.
#[derive(Debug, Clone, Copy)]
enum NoStart {
    /// The window would not hold it.
    Hold,
    /// The queue is paused, shut or stopping, or the lease is lost: back as if not claimed.
    Release,
}

/// Sends a batch, and, where it is refused, its halves.
pub(super) async fn run(exchanges: &Exchanges, messages: Vec<Claimed>, outcomes: &Outcomes) {
    let mut parts = vec![messages];
    let mut suspects = 0;
    let mut number = 0;
    while let Some(part) = parts.pop() {
        let start = if suspects < SUSPECTS_MAX {
            next_start(exchanges, &part, number).await
        } else {
            Err(NoStart::Release)
        };
        if let Err(why) = start {
            let settlement = match why {
                NoStart::Hold => Settlement::Hold,
                NoStart::Release => Settlement::Release,
            };
            give_back(&part, &settlement, parts.is_empty(), outcomes).await;
            continue;
        }
        let began = match exchanges.begins() {
            Ok(began) => began,
            Err(settlement) => {
                give_back(&part, &settlement, parts.is_empty(), outcomes).await;
                continue;
            }
        };
        let (part, expired) = split_expired(part, began.at_ms);
        let is_last = part.is_empty() && parts.is_empty();
        give_back(&expired, &Settlement::Release, is_last, outcomes).await;
        if part.is_empty() {
            continue;
        }
        let tried = send(exchanges, &part, began, number).await;
        number += 1;
        let refused = matches!(tried.outcome, Outcome::Refused | Outcome::Suspect);
        if refused && part.len() > 1 {
            let (first, second) = part.split_at(part.len() / 2);
            // The last pushed is the next sent: order is kept.
            parts.push(second.to_vec());
            parts.push(first.to_vec());
            continue;
        }
        suspects = if tried.outcome == Outcome::Suspect { suspects + 1 } else { 0 };
        settle_part(exchanges, &part, &tried, parts.is_empty(), outcomes).await;
    }
}

/// A permit, an open window and a lease that lasts; the first call has its permit from the claim.
async fn next_start(exchanges: &Exchanges, part: &[Claimed], number: usize) -> Result<(), NoStart> {
    let may_start = || may_start(exchanges, part, number);
    if number == 0 {
        return may_start();
    }
    match permit(&exchanges.store, &exchanges.queue, &exchanges.stop, may_start).await {
        Ok(()) => Ok(()),
        Err(NoPermit::Ended(why)) => Err(why),
        Err(NoPermit::Shut) => Err(NoStart::Release),
    }
}

fn may_start(exchanges: &Exchanges, part: &[Claimed], number: usize) -> Result<(), NoStart> {
    if exchanges.is_held() {
        return Err(NoStart::Hold);
    }
    let lasts = part.iter().all(|message| exchanges.in_flight.may_start(&message.lease));
    if !lasts || (number == 0 && exchanges.is_too_late(&part[0])) {
        return Err(NoStart::Release);
    }
    Ok(())
}

fn split_expired(part: Vec<Claimed>, now_ms: u64) -> (Vec<Claimed>, Vec<Claimed>) {
    part.into_iter().partition(|message| message.expires_ms.is_none_or(|at_ms| at_ms > now_ms))
}

async fn give_back(part: &[Claimed], settlement: &Settlement, is_last: bool, outcomes: &Outcomes) {
    let back = part.iter().map(|message| outcomes.of(message, settlement.clone(), None));
    outcomes.settle(back.collect(), is_last).await;
}

async fn send(exchanges: &Exchanges, part: &[Claimed], began: Began, number: usize) -> Tried {
    let policy = &exchanges.queue.policy;
    for message in part {
        if number == 0 {
            exchanges.store.messages.note_start(policy, message, true, &exchanges.lateness);
        }
    }
    let call = batch_call(&policy.name, part, (began.at_ms, exchanges.deadline(began)));
    failpoint!("before-send"; &part.iter().flat_map(|item| item.payload.to_vec()).collect::<Vec<_>>());
    let answer = exchanges.transport.send(call).await;
    failpoint!("after-send"; &part.iter().flat_map(|item| item.payload.to_vec()).collect::<Vec<_>>());
    exchanges.judge(part.iter().any(|message| message.is_in_doubt), began, answer)
}

async fn settle_part(
    exchanges: &Exchanges,
    part: &[Claimed],
    tried: &Tried,
    is_last: bool,
    outcomes: &Outcomes,
) {
    let reading = read_answer(exchanges, part, tried).await;
    let mut endings = Vec::with_capacity(part.len());
    for (at, message) in part.iter().enumerate() {
        let own = own_try(tried, &reading, at, part.len());
        let settlement = exchanges.settlement_of(message, &own, own.outcome, outcomes.paused_ms);
        let attempt = exchanges.attempt_of(message, &own);
        endings.push(outcomes.of(message, settlement, Some(attempt)));
    }
    outcomes.settle(endings, is_last).await;
}

/// What a success says of the items; any other answer is that of all of them.
async fn read_answer(exchanges: &Exchanges, part: &[Claimed], tried: &Tried) -> Reading {
    let Answer::Answered { body, .. } = &tried.answer else { return Reading::All };
    if !matches!(tried.outcome, Outcome::Delivered | Outcome::Accepted) {
        return Reading::All;
    }
    let ids = item_ids(&exchanges.queue.policy.name, part);
    let reading = if body.len() <= READ_HERE_BYTES_MAX {
        read_body(&tried.answer, &ids)
    } else {
        let answer = tried.answer.clone();
        let read = tokio::task::spawn_blocking(move || read_body(&answer, &ids));
        read.await.unwrap_or_else(|error| Reading::Unreadable(error.to_string()))
    };
    note_reading(exchanges, &reading);
    reading
}

fn read_body(answer: &Answer, ids: &[String]) -> Reading {
    let Answer::Answered { content_type, encoding, body, missing, .. } = answer else {
        return Reading::All;
    };
    let answer = BatchAnswer {
        content_type: content_type.as_deref(),
        encoding: encoding.as_deref(),
        body,
        missing: missing.as_deref(),
    };
    batch_answer::read(answer, ids)
}

/// Counts what cannot be read or used, and says in the log when that begins and when it is over.
fn note_reading(exchanges: &Exchanges, reading: &Reading) {
    let queue = &exchanges.queue.policy.name;
    let (unreadable, foreign) = match reading {
        Reading::All => (None, 0),
        Reading::Each(each) => {
            let some = (each.unreadable > 0).then_some("results that do not name their message");
            (some, each.foreign)
        }
        Reading::Unreadable(why) => (Some(why.as_str()), 0),
    };
    if unreadable.is_some() {
        let label = QueueLabel { queue: queue.to_string() };
        exchanges.store.metrics().queue.unreadable_answers.get_or_create(&label).inc();
    }
    if foreign > 0 {
        exchanges.store.metrics().count(queue.as_str(), "foreign_result", foreign);
    }
    let now = Instant::now();
    match exchanges.unreadable.note(unreadable.is_some(), now) {
        Some(Turn::Begins) => {
            tracing::warn!(%queue, why = unreadable, "answers to batches cannot be read; what they may say of their items is unknown");
        }
        Some(Turn::Ends { count }) => {
            tracing::info!(%queue, unreadable = count, "answers to batches can be read again");
        }
        None => {}
    }
    match exchanges.foreign.note(foreign > 0, now) {
        Some(Turn::Begins) => {
            tracing::warn!(%queue, foreign, "answers to batches name messages that were not in them");
        }
        Some(Turn::Ends { count }) => {
            tracing::info!(%queue, answers = count, "answers to batches name no foreign messages any more");
        }
        None => {}
    }
}

/// The try as one item sees it: with what the answer says of it in place of the whole answer.
fn own_try(tried: &Tried, reading: &Reading, at: usize, count: usize) -> Tried {
    let mut own = tried.clone();
    let Answer::Answered { content_type, body, pending, .. } = &mut own.answer else { return own };
    let nothing = match reading {
        Reading::All => {
            // Its reference is one message's, and cannot be all of theirs.
            if count > 1 {
                *pending = pending.take().map(|_| Pending::default());
            }
            return own;
        }
        Reading::Unreadable(why) => why,
        Reading::Each(each) => match &each.items[at] {
            ItemSaid::Status { outcome, detail, reference } => {
                own.outcome = *outcome;
                let is_accepted = *outcome == Outcome::Accepted;
                *pending = is_accepted.then(|| Pending::of(reference.as_deref()));
                if let Some(detail) = detail {
                    *content_type = Some("text/plain".to_owned());
                    *body = detail.clone().into();
                }
                return own;
            }
            ItemSaid::Nothing(why) => why,
        },
    };
    *pending = None;
    own.outcome = Outcome::Unknown;
    own.error = Some(nothing.clone());
    own
}
