//! What a worker says of its attempts, and what follows.
//!
//! Owns the way from a word to a settlement and its verdict. When to try again is the queue's retry policy's
//! business; whether the lease is still the worker's, the scripts'.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;

use super::token::WorkerToken;
use crate::domain::id::MessageId;
use crate::domain::limit::Units;
use crate::domain::message::Attempt;
use crate::domain::outcome::Outcome;
use crate::domain::settlement::Settlement;
use crate::domain::waited::AttemptWait;
use crate::engine::age::age_ms;
use crate::engine::decide::{Facts, decide};
use crate::engine::tally;
use crate::store::{Lease, LeaseEnd, Part, Queue, Store, StoreError, Verdict, Way};

/// What a worker says of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerSays {
    /// The attempt succeeded.
    Delivered,
    /// The attempt failed; another one may succeed.
    Retry,
    /// No attempt will succeed.
    Dead,
    /// There was no attempt.
    Release,
    /// The attempt takes longer.
    Renew,
}

/// One message and what is said of it.
#[derive(Debug)]
pub struct WorkerWord {
    /// The message.
    pub id: MessageId,
    /// The token that came with its claim.
    pub token: WorkerToken,
    /// What is said.
    pub said: WorkerSays,
    /// When to try again, in milliseconds; `None`: by the retry policy.
    pub delay_ms: Option<u64>,
    /// How long to renew the lease for, in milliseconds; `None`: as long as the queue's.
    pub lease_ms: Option<u64>,
    /// What is kept as the answer, as JSON.
    pub result: Option<Bytes>,
    /// What went wrong.
    pub detail: Option<String>,
}

/// A word as the store carries it out.
#[derive(Debug)]
enum WordStep {
    End(Box<LeaseEnd>),
    Renew(Lease, u64),
}

/// What words that are carried out in one call have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WordsCall {
    End(Way),
    Renew { shard: u16, lease_ms: u64 },
}

/// Words that are carried out in one call, each with its place among all.
#[derive(Debug)]
struct Together {
    call: WordsCall,
    indexes: Vec<usize>,
    steps: Vec<WordStep>,
}

/// Carries out what workers say: one call for all that go the same way. The verdicts come in the order of the
/// words.
///
/// # Errors
/// [`StoreError::Unavailable`]: what was carried out is unknown; repeating is safe.
pub async fn settle(
    store: &Store,
    queue: &Queue,
    words: &[WorkerWord],
) -> Result<Vec<Verdict>, StoreError> {
    let mut verdicts = vec![Verdict::Gone; words.len()];
    let mut calls: Vec<Together> = Vec::new();
    for (index, word) in words.iter().enumerate() {
        let step = step_of(store, queue, word).await?;
        let call = step.call();
        match calls.iter_mut().find(|together| together.call == call) {
            Some(together) => {
                together.indexes.push(index);
                together.steps.push(step);
            }
            None => calls.push(Together { call, indexes: vec![index], steps: vec![step] }),
        }
    }
    for Together { call, indexes, steps } in calls {
        let found = carry_out(store, queue, call, &steps).await?;
        for ((index, verdict), step) in indexes.into_iter().zip(found).zip(&steps) {
            note(store, queue, step, verdict);
            verdicts[index] = verdict;
        }
    }
    Ok(verdicts)
}

impl WordStep {
    const fn call(&self) -> WordsCall {
        match self {
            Self::End(end) => WordsCall::End(end.way()),
            Self::Renew(lease, lease_ms) => {
                WordsCall::Renew { shard: lease.shard, lease_ms: *lease_ms }
            }
        }
    }

    const fn end(&self) -> Option<&LeaseEnd> {
        match self {
            Self::End(end) => Some(end),
            Self::Renew(..) => None,
        }
    }

    const fn lease(&self) -> &Lease {
        match self {
            Self::End(end) => &end.lease,
            Self::Renew(lease, _) => lease,
        }
    }
}

async fn carry_out(
    store: &Store,
    queue: &Queue,
    call: WordsCall,
    steps: &[WordStep],
) -> Result<Vec<Verdict>, StoreError> {
    match call {
        WordsCall::End(way) => {
            store.messages.settle(queue, way, &[], steps.iter().filter_map(WordStep::end)).await
        }
        WordsCall::Renew { shard, lease_ms } => {
            let leases: Vec<Lease> = steps.iter().map(WordStep::lease).cloned().collect();
            store.messages.renew(&queue.shards[usize::from(shard)], lease_ms, &[], &leases).await
        }
    }
}

async fn step_of(store: &Store, queue: &Queue, word: &WorkerWord) -> Result<WordStep, StoreError> {
    let shard = queue.shard_of(&word.id).number;
    let lease = Lease { ulid: word.id.ulid, shard, token: word.token.lease.clone() };
    let outcome = match word.said {
        WorkerSays::Renew => {
            return Ok(WordStep::Renew(lease, word.lease_ms.unwrap_or(queue.policy.lease_ms)));
        }
        WorkerSays::Release => {
            // Where the token does not say what the message costs, its record does.
            let slot_us = word.token.slot_ms.map_or(0, |slot_ms| slot_ms.saturating_mul(1000));
            let cost = if slot_us > 0 { word.token.cost } else { 0 };
            let units = Units { slot_us, calls: cost, messages: cost };
            let end = LeaseEnd { units, ..LeaseEnd::released(lease) };
            return Ok(WordStep::End(Box::new(end)));
        }
        WorkerSays::Delivered => Outcome::Delivered,
        WorkerSays::Dead => Outcome::Refused,
        WorkerSays::Retry => Outcome::Retry,
    };
    let attempt = attempt_of(store, queue, word, outcome)?;
    let settlement = settlement_of(store, queue, word, outcome, &attempt).await?;
    let end = LeaseEnd { settlement, attempt: Some(attempt), ..LeaseEnd::released(lease) };
    Ok(WordStep::End(Box::new(end)))
}

/// What follows from the outcome, by the message's own wishes and the queue's policy.
async fn settlement_of(
    store: &Store,
    queue: &Queue,
    word: &WorkerWord,
    outcome: Outcome,
    attempt: &Attempt,
) -> Result<Settlement, StoreError> {
    let (policy, token) = (&queue.policy, &word.token);
    // Only a retry depends on the message. One that is gone gets that verdict from the call.
    let message = match outcome {
        Outcome::Retry => store.messages.get_part(&word.id, Part::Head).await?,
        _ => None,
    };
    let retry = match &message {
        Some(message) => message.details.retry_policy(&policy.retry),
        None => Cow::Borrowed(&policy.retry),
    };
    let paused_ms = token.paused_since_first_ms;
    let facts = Facts {
        attempt: token.attempt,
        age_ms: age_ms(store, policy, token.first_attempt_ms, attempt.ended_at_ms, paused_ms),
        random: rand::random(),
        error: attempt.error.as_deref().unwrap_or_default(),
        reference: None,
        retry_after_ms: None,
    };
    Ok(match (decide(outcome, policy, &retry, facts), word.delay_ms) {
        (Settlement::Retry { .. }, Some(delay_ms)) => Settlement::Retry { delay_ms },
        (settlement, _) => settlement,
    })
}

/// What is kept of the try.
fn attempt_of(
    store: &Store,
    queue: &Queue,
    word: &WorkerWord,
    outcome: Outcome,
) -> Result<Attempt, StoreError> {
    // An attempt that ended at a time that nobody knows cannot be kept.
    let ended_at_ms = store.clock().require_ms()?;
    let started_at_ms = word.token.started_at_ms.min(ended_at_ms);
    let took = Duration::from_millis(ended_at_ms - started_at_ms);
    queue.metrics.attempt(outcome.as_str(), took);
    queue.calls.note(took);
    let error = || word.detail.clone().unwrap_or_else(|| "the worker said no more".to_owned());
    let kept = |body: &Bytes| body.slice(..body.len().min(queue.policy.keep_response_bytes));
    let response = word.result.as_ref().map(kept).filter(|body| !body.is_empty());
    Ok(Attempt {
        attempt: word.token.attempt,
        started_at_ms,
        ended_at_ms,
        outcome: outcome.as_str().to_owned(),
        status_code: None,
        error: (outcome != Outcome::Delivered).then(error),
        response: response.map(|body| (Some("application/json".to_owned()), body)),
        wait: AttemptWait::default(),
    })
}

/// Counts what is counted for other downstreams too. A word that was said before counts once: it is the
/// worker who repeats it, and not this node.
fn note(store: &Store, queue: &Queue, step: &WordStep, verdict: Verdict) {
    match (verdict, step.end().map(|end| &end.settlement)) {
        (Verdict::Ok, Some(Settlement::Bury { word, reason, .. })) => {
            tally::dead(store, queue, step.lease().ulid, word, reason);
        }
        _ => tally::late(queue, verdict),
    }
}
