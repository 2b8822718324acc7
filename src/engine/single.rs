//! The life of a single message on this node, from its slot until its outcome is on its way to Redis.
//!
//! Owns the order of the steps. A message of a queue and a callback differ in what they wait for and in what
//! their answer shows beside their outcome (see `callback`); a batch lives by the same steps, part by part
//! (see `batch`).

use super::callback::{self, HostCall};
use super::exchange::{Began, Exchanges, Outcomes};
use crate::domain::message::Attempt;
use crate::domain::settlement::Settlement;
use crate::store::Claimed;

/// Whether a message may leave.
pub(super) enum Leave<'a> {
    /// Now: to its callback host, or, without one, to the queue's downstream.
    Now(Began, Option<HostCall<'a>>),
    /// Not now, or never: what becomes of it instead, and what is kept of that.
    Not(Settlement, Option<Attempt>),
}

/// Sends a message, if it may leave, and hands its outcome over.
pub(super) async fn run(exchanges: &Exchanges, message: Claimed, held: bool, outcomes: &Outcomes) {
    let paused_ms = outcomes.paused_ms;
    // Gates, lease and expiry once more; a callback waits for its host and a permit.
    let (settlement, attempt) = match may_leave(exchanges, &message, paused_ms).await {
        Leave::Not(settlement, attempt) => (settlement, attempt),
        Leave::Now(began, host) => {
            exchanges.store.messages.note_start(
                &exchanges.queue.policy,
                &message,
                held,
                &exchanges.lateness,
            );
            // One call under one deadline, whose answer is read as an outcome.
            let tried = match &host {
                Some(host) => host.call(exchanges, &message, began).await,
                None => exchanges.call(&message, began, &exchanges.transport).await,
            };
            // What follows from the outcome, and what is kept of the attempt.
            let attempt = exchanges.attempt_of(&message, &tried);
            let settlement = match &host {
                Some(host) => host.settlement_of(exchanges, &message, &tried, paused_ms),
                None => exchanges.settlement_of(&message, &tried, tried.outcome, paused_ms),
            };
            (settlement, Some(attempt))
        }
    };
    // Redis takes it from the settler; the slot on this node comes free with that.
    outcomes.settle(vec![outcomes.of(&message, settlement, attempt)], true).await;
}

async fn may_leave<'a>(exchanges: &'a Exchanges, message: &Claimed, paused_ms: u64) -> Leave<'a> {
    match &exchanges.hosts {
        Some(hosts) => match callback::enter(exchanges, hosts, message, paused_ms).await {
            Ok((began, host)) => Leave::Now(began, Some(host)),
            Err(stays) => Leave::Not(stays.0, stays.1),
        },
        None => match exchanges.last_look(message) {
            Ok(began) => Leave::Now(began, None),
            Err(settlement) => Leave::Not(settlement, None),
        },
    }
}
