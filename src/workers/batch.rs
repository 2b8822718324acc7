//! A batch: one call for many messages, each settled by itself.
//!
//! On a permanent refusal the batch is split in halves until the guilty items are alone; each half is
//! a call of its own, with its own permit, inside the window. Sequential, so that one exchange stays
//! one exchange.

use std::collections::HashMap;
use std::time::Duration;

use serde::Deserialize;

use super::decide::Action;
use super::exchange::{Exchanges, Outcomes, Tried};
use super::request::batch_call;
use crate::domain::id::MessageId;
use crate::domain::outcome::{Answer, Outcome};
use crate::domain::receipt::Pending;
use crate::failpoint::failpoint;
use crate::store::{Claimed, Permit};
use crate::telemetry::Kind;

/// Guilty items in a row, each refused as if the downstream itself were at fault, after which the
/// rest goes back: the gate shuts, and the night is not buried.
const SUSPECTS_MAX: usize = 5;
/// Longest wait for a permit between two looks at the window.
const PERMIT_WAIT_MAX: Duration = Duration::from_millis(500);

/// What a downstream may say of each item.
#[derive(Debug, Deserialize)]
struct Results {
    results: Vec<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
struct ItemResult {
    id: String,
    status: String,
    #[serde(default)]
    detail: Option<String>,
    /// Under which name the receipt of an accepted item will come.
    #[serde(default, rename = "ref")]
    reference: Option<String>,
}

/// What an answer says of one item.
#[derive(Debug, Clone)]
struct Word {
    outcome: Outcome,
    detail: Option<String>,
    pending: Option<Pending>,
}

/// Whether the next call of an exchange may start.
enum Start {
    /// Now.
    Now,
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
            Start::Release
        };
        let back = match start {
            Start::Now => None,
            Start::Hold => Some(Action::Hold),
            Start::Release => Some(Action::Release),
        };
        if let Some(action) = back {
            give_back(&part, &action, parts.is_empty(), outcomes).await;
            continue;
        }
        let (part, expired) = split_expired(exchanges, part);
        let is_last = part.is_empty() && parts.is_empty();
        give_back(&expired, &Action::Release, is_last, outcomes).await;
        if part.is_empty() {
            continue;
        }
        let tried = send(exchanges, &part, number).await;
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
async fn next_start(exchanges: &Exchanges, part: &[Claimed], number: usize) -> Start {
    let policy = &exchanges.queue.policy;
    let mut granted = number == 0;
    loop {
        if !policy.window_holds(exchanges.store.clock().now_ms()) {
            return Start::Hold;
        }
        if !part.iter().all(|message| exchanges.in_flight.may_start(&message.lease)) {
            return Start::Release;
        }
        if number == 0 && exchanges.is_too_late(&part[0]) {
            return Start::Release;
        }
        if granted {
            return Start::Now;
        }
        let wait = match exchanges.store.permit(&exchanges.queue).await {
            Ok(Permit::Granted(slot)) => {
                tokio::time::sleep_until(slot).await;
                // That took time: once more through the gates above.
                granted = true;
                continue;
            }
            Ok(Permit::Wait(wait)) => wait.min(PERMIT_WAIT_MAX),
            Ok(Permit::Shut) => return Start::Release,
            Err(_) => PERMIT_WAIT_MAX,
        };
        tokio::select! {
            () = exchanges.stop.cancelled() => return Start::Release,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

fn split_expired(exchanges: &Exchanges, part: Vec<Claimed>) -> (Vec<Claimed>, Vec<Claimed>) {
    let now_ms = exchanges.store.clock().now_ms();
    part.into_iter().partition(|message| message.expires_ms.is_none_or(|at_ms| at_ms > now_ms))
}

async fn give_back(part: &[Claimed], action: &Action, is_last: bool, outcomes: &Outcomes) {
    let back = part.iter().map(|message| outcomes.of(message, action.clone(), None));
    outcomes.settle(back.collect(), is_last).await;
}

async fn send(exchanges: &Exchanges, part: &[Claimed], number: usize) -> Tried {
    let queue = &exchanges.queue.policy.name;
    for message in part {
        if number == 0 {
            exchanges.store.note_start(&exchanges.queue.policy, message, true, &exchanges.lateness);
        }
    }
    let batch_id = format!("{queue}_{}{number:02}", part[0].lease.token);
    let (now_ms, deadline) = exchanges.times();
    let call = batch_call(queue, &batch_id, part, (now_ms, deadline));
    failpoint!("before-send"; &part.iter().flat_map(|item| item.payload.to_vec()).collect::<Vec<_>>());
    let answer = exchanges.transport.send(call).await;
    failpoint!("after-send"; &part.iter().flat_map(|item| item.payload.to_vec()).collect::<Vec<_>>());
    exchanges.judge(&part[0], now_ms, answer)
}

async fn settle_part(
    exchanges: &Exchanges,
    part: &[Claimed],
    tried: &Tried,
    is_last: bool,
    outcomes: &Outcomes,
) {
    let results = item_results(exchanges, part, tried);
    let mut settlements = Vec::with_capacity(part.len());
    for (at, message) in part.iter().enumerate() {
        let word = match &results {
            Some(results) => results.get(&at).cloned().unwrap_or_else(Word::none),
            None => Word::of_all(tried, part.len()),
        };
        let own = own_try(tried, word);
        let action = exchanges.action_of(message, &own, own.outcome, outcomes.paused_ms);
        let attempt = exchanges.attempt_of(message, &own);
        settlements.push(outcomes.of(message, action, Some(attempt)));
    }
    outcomes.settle(settlements, is_last).await;
}

/// The try as one item sees it: with its own word in place of the whole answer.
fn own_try(tried: &Tried, word: Word) -> Tried {
    let mut own = tried.clone();
    own.outcome = word.outcome;
    if let Answer::Answered { content_type, body, pending, .. } = &mut own.answer {
        *pending = word.pending;
        if let Some(detail) = word.detail {
            *content_type = Some("text/plain".to_owned());
            *body = detail.into();
        }
    }
    own
}

impl Word {
    /// Of an item that the results leave out.
    fn none() -> Self {
        let detail = Some("the answer's results leave this item out".to_owned());
        Self { outcome: Outcome::Unknown, detail, pending: None }
    }

    /// Of an answer without results. Its reference is one message's, and cannot be all of theirs.
    fn of_all(tried: &Tried, count: usize) -> Self {
        let pending = match &tried.answer {
            Answer::Answered { pending: Some(pending), .. } => {
                Some(if count == 1 { pending.clone() } else { Pending::default() })
            }
            Answer::Answered { .. } | Answer::NotSent { .. } | Answer::Unknown { .. } => None,
        };
        Self { outcome: tried.outcome, detail: None, pending }
    }
}

type ByItem = HashMap<usize, Word>;

/// Readable `results` of a 2xx, by position in the batch. `None`: the answer settles all alike.
fn item_results(exchanges: &Exchanges, part: &[Claimed], tried: &Tried) -> Option<ByItem> {
    let Answer::Answered { body, truncated, .. } = &tried.answer else { return None };
    if !matches!(tried.outcome, Outcome::Delivered | Outcome::Accepted) {
        return None;
    }
    if *truncated {
        // It may have held results that say otherwise: nobody can tell.
        return Some(ByItem::new());
    }
    let results = read_results(body)?;
    let queue = &exchanges.queue.policy.name;
    let positions: HashMap<String, usize> = part
        .iter()
        .enumerate()
        .map(|(at, m)| (MessageId { queue: queue.clone(), ulid: m.lease.ulid }.to_string(), at))
        .collect();
    let mut by_item = ByItem::new();
    let mut foreign = 0;
    for result in results {
        let Some(at) = positions.get(&result.id) else {
            foreign += 1;
            continue;
        };
        by_item.insert(*at, result.word());
    }
    if foreign > 0 {
        exchanges.store.metrics().count(queue.as_str(), "foreign_result", foreign);
        exchanges.store.metrics().digest.add(Kind::Foreign, queue.as_str(), foreign as u64, "");
    }
    Some(by_item)
}

/// The results of an answer, as far as they can be read. `None`: it has none, or its `results` are
/// something else that only has the name in common.
fn read_results(body: &[u8]) -> Option<Vec<ItemResult>> {
    let Results { results } = serde_json::from_slice(body).ok()?;
    let count = results.len();
    let readable: Vec<ItemResult> =
        results.into_iter().filter_map(|result| serde_json::from_value(result).ok()).collect();
    (count == 0 || !readable.is_empty()).then_some(readable)
}

impl ItemResult {
    fn word(self) -> Word {
        let outcome = self.outcome();
        let accepted = outcome == Outcome::Accepted;
        let pending = accepted.then(|| Pending::of(self.reference.as_deref()));
        Word { outcome, detail: self.detail, pending }
    }

    /// A word that is none of ours says nothing certain about its item.
    fn outcome(&self) -> Outcome {
        match self.status.as_str() {
            "delivered" => Outcome::Delivered,
            "accepted" => Outcome::Accepted,
            "retry" => Outcome::Retry,
            "dead" => Outcome::Refused,
            _ => Outcome::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_read_as_far_as_they_can_be() {
        let outcomes = |text: &str| {
            let results = read_results(text.as_bytes())?;
            Some(results.iter().map(|r| (r.id.clone(), r.outcome())).collect::<Vec<_>>())
        };
        let item = |outcome| vec![("a".to_owned(), outcome)];
        assert_eq!(
            outcomes(r#"{"results":[{"id":"a","status":"retry","detail":"later"}],"more":1}"#),
            Some(item(Outcome::Retry))
        );
        assert_eq!(
            outcomes(r#"{"results":[{"id":"a","status":"failed"}]}"#),
            Some(item(Outcome::Unknown))
        );
        assert_eq!(
            outcomes(r#"{"results":[7,{"id":"a","status":"dead"}]}"#),
            Some(item(Outcome::Refused))
        );
        assert_eq!(outcomes(r#"{"results":[]}"#), Some(Vec::new()));
        for other in ["", "ok", "[]", "{}", r#"{"results":3}"#, r#"{"results":[{"sku":7}]}"#] {
            assert_eq!(outcomes(other), None, "{other}");
        }
    }
}
