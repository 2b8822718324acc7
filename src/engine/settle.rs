//! Carries settlements out in Redis: gathered, one script call per verb and shard, repeated until done.
//!
//! Owns the order "outcome known → outcome kept". While Redis is away, outcomes wait here (bounded by
//! the exchanges in flight) and their slots stay taken, so nothing more is sent. An outcome that is written and not yet as safe
//! as `redis.settle` asks for holds up none that comes after it: they are written too, and their slots stay taken.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::renew::InFlight;
use super::slots::Slot;
use super::tally;
use crate::domain::failing::{self, Sign};
use crate::domain::id::MessageId;
use crate::domain::settlement::Settlement;
use crate::failpoint::failpoint;
use crate::store::{LeaseEnd, Queue, Store, StoreError, Verdict, Way};
use crate::telemetry::Kind;

/// Outcomes that are taken together; how many go into one call, the shard says.
const FLUSH_MAX: usize = 250;
/// Pause before an outcome that could not be written is tried again.
const REPEAT_PAUSE: Duration = Duration::from_millis(200);

/// A lease that ends, on its way to Redis.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) end: LeaseEnd,
    /// The batch that is over with this message.
    pub(super) exchange: Option<String>,
    /// The exchange's slot on this node; comes free when this is written and dropped.
    pub(super) _slot: Arc<Slot>,
}

/// Receives settlements until every sender is gone.
#[derive(Debug)]
pub(super) struct Settler {
    pub(super) store: Store,
    pub(super) queue: Arc<Queue>,
    pub(super) in_flight: Arc<InFlight>,
}

impl Settler {
    /// The loop; ends when all outcomes are written and no exchange is left.
    pub(super) async fn run(self, mut outcomes: mpsc::Receiver<Vec<Ending>>) {
        let mut gathered = Vec::with_capacity(FLUSH_MAX);
        let mut unsafe_yet = Vec::new();
        loop {
            if unsafe_yet.is_empty() {
                if outcomes.recv_many(&mut gathered, FLUSH_MAX).await == 0 {
                    return;
                }
            } else {
                tokio::time::sleep(REPEAT_PAUSE).await;
                while gathered.len() < FLUSH_MAX
                    && let Ok(exchange) = outcomes.try_recv()
                {
                    gathered.push(exchange);
                }
            }
            // What a host says of itself says nothing of the queue's other ones.
            if !self.queue.policy.downstream.capabilities().is_by_host {
                mark_row(&mut gathered);
            }
            unsafe_yet.extend(gathered.drain(..).flatten());
            unsafe_yet = self.run_once(unsafe_yet).await;
        }
    }

    /// Writes what was gathered. Returns what is written and not yet as safe as it must be: its call is to be repeated.
    async fn run_once(&self, gathered: Vec<Ending>) -> Vec<Ending> {
        let mut calls: HashMap<Way, Vec<Ending>> = HashMap::new();
        for ending in gathered {
            calls.entry(ending.end.way()).or_default().push(ending);
        }
        let mut calls: Vec<_> = calls.into_iter().collect();
        // Failures that count are those after the last answer, so they are written after it; and what goes
        // back while the gate stays open after what may shut it, or the same answer would meet it once more.
        let fails = |part: &[Ending]| part.iter().any(|ending| ending.end.sign == Sign::Failed);
        calls.sort_by_key(|(way, part)| (way.leaves_gate_open(), fails(part)));
        let mut unsafe_yet = Vec::new();
        for (way, mut endings) in calls {
            let most = self.queue.shards[usize::from(way.shard)].messages_max();
            // What goes to the head goes there in the order it had: its end first.
            if way.goes_to_head() {
                while !endings.is_empty() {
                    let part = endings.split_off((endings.len() - 1) / most * most);
                    unsafe_yet.extend(self.write(way, part).await);
                }
            }
            while !endings.is_empty() {
                let rest = endings.split_off(most.min(endings.len()));
                unsafe_yet.extend(self.write(way, std::mem::replace(&mut endings, rest)).await);
            }
        }
        unsafe_yet
    }

    /// Writes a part in one call; returns it where it is written and not yet safe.
    async fn write(&self, way: Way, endings: Vec<Ending>) -> Vec<Ending> {
        let exchanges: Vec<String> = endings.iter().filter_map(|e| e.exchange.clone()).collect();
        let verdicts = loop {
            let ends = endings.iter().map(|ending| &ending.end);
            match self.store.messages.settle(&self.queue, way, &exchanges, ends).await {
                Ok(verdicts) => break verdicts,
                Err(StoreError::Reply(error)) => {
                    self.not_kept(&endings, &error);
                    break Vec::new();
                }
                Err(StoreError::NotDurable(_) | StoreError::Unfit(_)) => return endings,
                Err(_) => tokio::time::sleep(REPEAT_PAUSE).await,
            }
        };
        failpoint!("settled");
        for (ending, verdict) in endings.iter().zip(verdicts) {
            self.note(&ending.end, verdict);
        }
        for ending in &endings {
            self.in_flight.remove(&ending.end.lease);
        }
        Vec::new()
    }

    fn note(&self, end: &LeaseEnd, verdict: Verdict) {
        let queue = &self.queue.policy.name;
        let digest = &self.store.metrics().digest;
        let id = || MessageId { queue: queue.clone(), ulid: end.lease.ulid }.to_string();
        match verdict {
            Verdict::Ok | Verdict::Already => {
                // The call may have been repeated: what had been done before was done by this node.
                if let Settlement::Bury { word, reason, .. } = &end.settlement {
                    tally::dead(&self.store, &self.queue, end.lease.ulid, word, reason);
                }
            }
            Verdict::Late => digest.note(Kind::Late, queue.as_str(), "", id),
            Verdict::Stale | Verdict::Gone => digest.note(Kind::Stale, queue.as_str(), "", id),
        }
        tally::late(&self.queue, verdict);
    }

    fn not_kept(&self, endings: &[Ending], error: &str) {
        let queue = &self.queue.policy.name;
        for ending in endings {
            let ulid = ending.end.lease.ulid;
            let id = || MessageId { queue: queue.clone(), ulid }.to_string();
            self.store.metrics().digest.note(Kind::NotKept, queue.as_str(), error, id);
        }
    }
}

/// Which exchanges failed after the last one that was answered. A batch is one exchange.
fn mark_row(exchanges: &mut [Vec<Ending>]) {
    for end in exchanges.iter_mut().filter_map(|exchange| Some(&mut exchange.first_mut()?.end)) {
        end.sign = end.attempt.as_ref().map_or(Sign::None, Sign::of);
    }
    failing::keep_row(
        exchanges.iter_mut().filter_map(|exchange| Some(&mut exchange.first_mut()?.end.sign)),
    );
}
