//! The life of what was claimed together, from its slot until its outcomes are on their way to Redis.
//!
//! Owns the order of the steps, which is the same for a message, one with a host of its own and a batch: a message is a part of
//! one. What differs stands elsewhere: what one waits for and what its host learns (`host_call`), what a
//! request looks like (`request`), and when a batch is split and what its answer says of each message (`batch`).

use super::batch::{BatchParts, read_answer};
use super::exchange::{Began, Exchanges, Outcomes};
use super::host_call::{self, HostCall};
use super::rendering::rendered;
use crate::domain::message::Attempt;
use crate::domain::settlement::Settlement;
use crate::store::Claimed;

/// Whether a part may leave.
enum Leave<'a> {
    /// Now: to the host of its own, or, without one, to the queue's downstream.
    Now(Began, Option<HostCall<'a>>),
    /// Not now, or never: what becomes of it instead, and what is kept of that.
    Not(Settlement, Option<Attempt>),
}

/// Sends messages, as far as they may leave, and hands their outcomes over.
pub(super) async fn run(
    exchanges: &Exchanges,
    messages: Vec<Claimed>,
    held: bool,
    outcomes: &Outcomes,
) {
    let paused_ms = outcomes.paused_ms;
    let mut parts = BatchParts::new(exchanges.begin_spans(messages));
    while let Some(part) = parts.next() {
        // Gates, lease and expiry once more; one with a host of its own waits for that, a further part for a permit.
        let (began, host) = match may_leave(exchanges, &parts, &part, paused_ms).await {
            Leave::Now(began, host) => (began, host),
            Leave::Not(settlement, attempt) => {
                give_back(&part, &settlement, attempt.as_ref(), parts.is_last(), outcomes).await;
                continue;
            }
        };
        let (part, expired) = split_expired(part, began.at_ms);
        give_back(&expired, &Settlement::Release, None, false, outcomes).await;
        let Some(part) = within_hours(exchanges, part, began, parts.is_last(), outcomes).await
        else {
            continue;
        };
        // What templates make of them; those of which they make nothing are refused, and the others leave.
        let Some((part, rendered)) = rendered(exchanges, part, began, &mut parts, outcomes).await
        else {
            continue;
        };
        if parts.is_first_call() {
            for message in &part {
                exchanges.store.messages.note_start(&exchanges.queue, message, held);
            }
        }
        // One call under one deadline, whose answer is read as an outcome.
        let tried = match &host {
            Some(host) => host.call(exchanges, &part, began).await,
            None => exchanges.call(&part, began, &exchanges.transport, rendered).await,
        };
        // A refused batch is sent again in halves.
        let Some(part) = parts.answered(part, tried.outcome) else { continue };
        // What the answer says of each message, what follows from it, and what is kept of the attempt.
        let reading = read_answer(exchanges, &part, &tried).await;
        let mut endings = Vec::with_capacity(part.len());
        for (at, message) in part.iter().enumerate() {
            let own = reading.of_item(&tried, at, part.len());
            let settlement = match &host {
                Some(host) => host.settlement_of(exchanges, message, &own, paused_ms),
                None => exchanges.settlement_of(message, &own, own.outcome, paused_ms),
            };
            let attempt = exchanges.attempt_of(message, &own, &settlement);
            endings.push(outcomes.of(message, settlement, Some(attempt)));
        }
        // Redis takes them from the settler; the slot on this node comes free with the last of them.
        outcomes.settle(endings, parts.is_last()).await;
    }
}

async fn may_leave<'a>(
    exchanges: &'a Exchanges,
    parts: &BatchParts,
    part: &[Claimed],
    paused_ms: u64,
) -> Leave<'a> {
    if let (Some(hosts), [message]) = (&exchanges.hosts, part) {
        return match host_call::enter(exchanges, hosts, message, paused_ms).await {
            Ok((began, host)) => Leave::Now(began, Some(host)),
            Err(stays) => Leave::Not(stays.0, stays.1),
        };
    }
    if parts.are_given_up() {
        return Leave::Not(Settlement::Release, None);
    }
    let looked = if parts.is_first_call() {
        exchanges.last_look(part, true)
    } else {
        exchanges.permitted(part).await
    };
    match looked {
        Ok(began) => Leave::Now(began, None),
        Err(settlement) => Leave::Not(settlement, None),
    }
}

/// Those that may still be sent, and those that expired while they waited. At the last look some were left.
fn split_expired(part: Vec<Claimed>, now_ms: u64) -> (Vec<Claimed>, Vec<Claimed>) {
    if part.iter().all(|message| !message.is_expired(now_ms)) {
        return (part, Vec::new());
    }
    part.into_iter().partition(|message| !message.is_expired(now_ms))
}

/// Those whose recipients may be reached; the others go back, each as it has to. `None`: there are none.
async fn within_hours(
    exchanges: &Exchanges,
    part: Vec<Claimed>,
    began: Began,
    is_last: bool,
    outcomes: &Outcomes,
) -> Option<Vec<Claimed>> {
    let policy = &exchanges.queue.policy;
    if policy.recipient_hours.is_none() {
        return Some(part);
    }
    let reached = |message: &Claimed| policy.reaches_recipient(&message.details, began.at_ms);
    let (part, closed): (Vec<_>, Vec<_>) = part.into_iter().partition(reached);
    let back =
        |message: &Claimed| outcomes.of(message, exchanges.put_off(message, began.at_ms), None);
    if !closed.is_empty() {
        let endings = closed.iter().map(back).collect();
        outcomes.settle(endings, part.is_empty() && is_last).await;
    }
    (!part.is_empty()).then_some(part)
}

async fn give_back(
    part: &[Claimed],
    settlement: &Settlement,
    attempt: Option<&Attempt>,
    is_last: bool,
    outcomes: &Outcomes,
) {
    if part.is_empty() {
        return;
    }
    let back = |message| outcomes.of(message, settlement.clone(), attempt.cloned());
    outcomes.settle(part.iter().map(back).collect(), is_last).await;
}
