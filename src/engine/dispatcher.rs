//! Decides when a queue claims, and starts what was claimed.
//!
//! Owns the order of what this node looks at: stop, the gates that it knows (`domain::gates`), own slots;
//! then the claim asks the rest in Redis. One dispatcher a queue and node: only
//! it claims, so the claim sequence of a shard has one writer.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::cadence::{self, Next, Pass, WAIT_MIN};
use super::exchange::Exchanges;
use super::pacer::Pacer;
use super::pulse::Pulse;
use super::runners::Runners;
use super::settle::Ending;
use super::slots::Slots;
use super::work::Work;
use crate::domain::gates::{Gate, GateState, LastCalls, Snapshot, gates};
use crate::domain::limit::{Limit, LimitRule};
use crate::shutdown::Tasks;
use crate::store::{ClaimReply, ClaimStatus, ClaimWish, Claimed, HORIZON_US, StoreError};

/// With a limit, the next claim is made when its first slot is so near: what a stall may take, and no
/// claim for each message.
const REFILL: Duration = Duration::from_millis(30);
/// When all calls are in flight elsewhere, how often to look: other nodes' slots come free unheard.
pub(super) const CONCURRENCY_POLL: Duration = Duration::from_secs(1);

/// When a limit holds, the longest until it is asked again: units of a quota may come back unheard.
const LIMIT_WAIT_MAX: Duration = Duration::from_secs(5);

/// The dispatcher of one queue on this node.
#[derive(Debug)]
pub(super) struct Dispatcher {
    pub(super) exchanges: Arc<Exchanges>,
    pub(super) runners: Runners,
    pub(super) outcomes: mpsc::Sender<Vec<Ending>>,
    /// Calls in flight on this node: the queue's concurrency is the ceiling everywhere.
    pub(super) slots: Slots,
    pub(super) pacer: Option<Arc<Pacer>>,
    pub(super) tasks: Tasks,
    /// Whether the last claim left something behind: what comes next was held.
    pub(super) backlog: bool,
}

impl Pass for Dispatcher {
    /// The gates, a claim, the starts.
    async fn run_once(&mut self) -> Result<Next, StoreError> {
        let queue = Arc::clone(&self.exchanges.queue);
        let now_ms = self.exchanges.store.clock().now_ms();
        let before_ms = match gates(&queue.policy, &Snapshot::default(), now_ms).latest() {
            GateState::Open { before_ms } => before_ms,
            GateState::Held { until_ms, why } => {
                self.backlog = true;
                return Ok(Next::at_gate(until_ms, why, now_ms));
            }
        };
        if let Some(wait) = self.exchanges.shortage.wait(Instant::now()) {
            self.backlog = true;
            return Ok(Next::NotBefore(wait));
        }
        if queue.shards.len() == 1 && !queue.stirs() {
            // A call has ended, and the last claim left nothing behind.
            self.backlog = false;
            return Ok(Next::Woken);
        }
        let free = self.slots.free();
        if free == 0 {
            self.backlog = true;
            return Ok(Next::Woken);
        }
        let messages_max = match queue.policy.batch {
            Some(batch) => usize::try_from(batch.max_items).unwrap_or(usize::MAX),
            None => free.min(queue.messages_max()),
        };
        let last_calls =
            LastCalls::new(&queue.policy, before_ms, Duration::from_micros(HORIZON_US));
        let wish = ClaimWish {
            messages_max,
            horizon_us: HORIZON_US,
            before_us: before_ms.map(|ms| ms * 1000),
            batch_now: last_calls.batch_leaves(now_ms),
            lease_ms: None,
        };
        let mut reply = self.exchanges.store.messages.claim(&queue, wish).await?;
        self.note_line(&mut reply, now_ms);
        let next = self.next_after(&reply, messages_max);
        // No gate's own time is slept past the end of the window.
        let next = last_calls.next_in(now_ms).map_or(next, |left| next.at_latest(left));
        let held = self.backlog;
        let is_through = matches!(reply.status, ClaimStatus::Taken | ClaimStatus::Empty);
        self.backlog = reply.ready_left > 0 || !is_through;
        self.start(reply, held);
        Ok(next)
    }

    async fn woken(&mut self) {
        self.exchanges.queue.ready.notified().await;
    }
}

impl Dispatcher {
    /// The loop; ends when its queue stops.
    pub(super) async fn run(self, pulse: Pulse) {
        let stop = self.tasks.stop_token().clone();
        cadence::run(&stop, pulse, self).await;
    }

    /// Notes what held messages while they stood first, for whoever asks later.
    fn note_line(&self, reply: &mut ClaimReply, now_ms: Option<u64>) {
        let (line, policy) = (&self.exchanges.line, &self.exchanges.queue.policy);
        match (reply.status, now_ms) {
            (ClaimStatus::Taken, _) => line.claimed(policy, &mut reply.messages),
            (ClaimStatus::Held(Gate::Limit), Some(now_ms)) => {
                line.refused(policy, now_ms, reply.wait);
            }
            (
                ClaimStatus::Empty
                | ClaimStatus::KeysHold
                | ClaimStatus::Held(Gate::Concurrency | Gate::Batch),
                _,
            ) => line.free_of_limits(),
            _ => {}
        }
    }

    /// When to claim again.
    fn next_after(&self, reply: &ClaimReply, wanted: usize) -> Next {
        let wait =
            |wait: Option<Duration>| wait.map_or(Next::Woken, |wait| Next::In(wait.max(WAIT_MIN)));
        let shards = self.exchanges.queue.shards.len();
        match reply.status {
            ClaimStatus::Stale | ClaimStatus::OtherStructure => Next::Now,
            // With several shards, those that this round did not come to are not counted.
            ClaimStatus::Taken if reply.ready_left == 0 && shards == 1 => Next::Woken,
            ClaimStatus::Taken => self.after_last_slot(&reply.messages, wanted),
            ClaimStatus::Empty => {
                if shards > 1 {
                    self.exchanges.queue.look_everywhere();
                }
                Next::Woken
            }
            // Each call that ends wakes us, and none of them lets the next slot come sooner.
            ClaimStatus::Held(Gate::Limit) => match reply.wait {
                Some(wait) => Next::NotBefore(wait.clamp(WAIT_MIN, LIMIT_WAIT_MAX)),
                // The next slot is near, and the window ends before it.
                None => Next::Woken,
            },
            ClaimStatus::Held(Gate::Concurrency) => Next::In(CONCURRENCY_POLL),
            ClaimStatus::Held(_) | ClaimStatus::ClockInDoubt | ClaimStatus::KeysHold => {
                wait(reply.wait)
            }
        }
    }

    /// With rates, the next claim is worth a call when its first slot is near: by the fastest of them, since the next
    /// message may be one that the slower ones let pass at once.
    fn after_last_slot(&self, messages: &[Claimed], wanted: usize) -> Next {
        let queue = &self.exchanges.queue;
        let policy = &queue.policy;
        let periods_us = policy.claim_limits().filter_map(LimitRule::rate).map(Limit::period_us);
        let Some(period_us) = periods_us.min_by(f64::total_cmp) else { return Next::Now };
        let taken_all = messages.len() >= wanted && policy.batch.is_none();
        let Some(last) = messages.last().filter(|_| !taken_all) else { return Next::Now };
        let period = Duration::from_secs_f64(period_us / 1_000_000.0);
        let next_slot = last.slot + period;
        let lead = self.exchanges.store.messages.lead(queue);
        Next::NotBefore(wait_for_refill(next_slot, lead, Instant::now()))
    }

    /// Starts what was claimed, each at its slot.
    fn start(&self, reply: ClaimReply, held: bool) {
        if reply.messages.is_empty() {
            return;
        }
        for message in &reply.messages {
            self.exchanges.in_flight.insert(message);
        }
        let paused_ms = reply.paused_ms;
        let groups: Vec<Vec<Claimed>> = if self.exchanges.queue.policy.batch.is_some() {
            vec![reply.messages]
        } else {
            reply.messages.into_iter().map(|message| vec![message]).collect()
        };
        let mut works = Vec::with_capacity(groups.len());
        for messages in groups {
            let Some(slot) = self.slots.take() else {
                // Only this task takes slots, and it asked for no more than were free.
                tracing::error!(queue = %self.exchanges.queue.policy.name, "claimed more than can start");
                // Not kept alive: the lease runs out, and the reaper brings them back.
                for message in &messages {
                    self.exchanges.in_flight.remove(&message.lease);
                }
                continue;
            };
            works.push(Work { messages, paused_ms, held, outcomes: self.outcomes.clone(), slot });
        }
        match &self.pacer {
            None if self.exchanges.transport.immediate().is_some() => {
                self.runners.start_in_turn(works);
            }
            None => works.into_iter().for_each(|work| self.runners.start(work)),
            Some(pacer) => {
                let (pacer, exchanges) = (Arc::clone(pacer), Arc::clone(&self.exchanges));
                let pacing = pace(pacer, exchanges, self.runners.clone(), works);
                self.tasks.spawn("pace", pacing);
            }
        }
    }
}

/// How long until the claim for this slot. What a claim takes lies its `lead` ahead of it at least: one that is made later passes
/// over that slot, and no other node can use it any more.
fn wait_for_refill(slot: Instant, lead: Duration, now: Instant) -> Duration {
    slot.saturating_duration_since(now).saturating_sub(REFILL + lead).max(WAIT_MIN)
}

/// Hands out the starts of one claim, in the order of their slots.
async fn pace(pacer: Arc<Pacer>, exchanges: Arc<Exchanges>, runners: Runners, works: Vec<Work>) {
    for work in works {
        let Some(slot) = work.messages.first().map(|message| message.slot) else { continue };
        if !exchanges.stop.is_cancelled() && pacer.wait(slot).await.is_ok() {
            runners.start(work);
        } else {
            work.give_back(&exchanges).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_claimed_while_a_claim_can_still_take_it() {
        let now = Instant::now();
        let wait = |ahead_ms, lead_ms| {
            let [ahead, lead] = [ahead_ms, lead_ms].map(Duration::from_millis);
            wait_for_refill(now + ahead, lead, now)
        };
        assert_eq!(wait(100, 0), Duration::from_millis(70));
        assert_eq!(wait(100, 40), Duration::from_millis(30));
        assert_eq!(wait(100, 400), WAIT_MIN);
        assert_eq!(wait(0, 0), WAIT_MIN);
    }
}
