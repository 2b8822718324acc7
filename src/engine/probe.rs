//! Asks the downstream about uncertain messages, by their ids, before any is sent again.
//!
//! Owns when a probe is made and what follows from it. A probe is a call at the downstream: it keeps
//! the window, the pause and the gate, and takes a permit of the queue's limit; it has slots of its
//! own, a few, since those of the queue may all be waiting for a downstream that hangs. Refuses to
//! know how bytes travel and how a fence is kept.
//!
//! Its steps are those of `life`, and stand apart all the same: what is asked about is not claimed, so that there
//! is no lease to look at or to renew and no place among the queue's calls; what the answer says is not an outcome,
//! and what follows from it is written by verbs of its own. Only the gates and the permit are shared (`permits`).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::age::age_ms;
use super::cadence::{self, Next, Pass};
use super::exchange::error_of;
use super::permits::{PermitWait, permit};
use super::pulse::Pulse;
use super::tally;
use crate::domain::gates::{GateState, Snapshot, gates};
use crate::domain::message::Probes;
use crate::domain::outcome::Answer;
use crate::domain::probe::{ProbeFound, ProbePolicy};
use crate::domain::retry::RetryNext;
use crate::failpoint::failpoint;
use crate::shutdown::Tasks;
use crate::store::{
    Changed, Decision, Doubtful, FurtherCall, ProbeTimes, Queue, Store, StoreError,
};
use crate::telemetry::{FoundLabel, Kind};
use crate::transport::{Call, HttpParts, Transport};

/// Probes that one node makes at a time in one queue; fewer where the queue's concurrency is less.
const PROBES_MAX: u32 = 4;
/// Longest wait for a permit of the limit, before others are let ahead.
const PERMIT_PATIENCE: Duration = Duration::from_secs(5);
/// How late a probe that needs no permit may start: this node may have stood still.
const START_PATIENCE: Duration = Duration::from_secs(1);
/// What a probe's lease leaves for writing down what it found.
const MARGIN: Duration = Duration::from_secs(2);
/// When a message is taken up again whose probe was not made.
const GIVEN_BACK_MS: u64 = 1000;
/// The same where no token could be got: its endpoint is left alone for so long, or as long as it asks for.
const WITHHELD_MS: u64 = 10_000;
const WITHHELD_MS_MAX: u64 = 600_000;
/// A look at what other nodes left uncertain and may not live to ask about.
const LOOK: Duration = Duration::from_secs(15);

/// The prober of one queue on this node.
#[derive(Debug)]
pub struct Prober {
    asking: Arc<Asking>,
    tasks: Tasks,
    free: Arc<Semaphore>,
    /// Where the search for messages without a plan goes on, by shard.
    ranks: Vec<u64>,
    /// Which shard is looked at first: another one each time.
    turn: usize,
}

/// What every probe of a queue shares.
#[derive(Debug)]
struct Asking {
    store: Store,
    queue: Arc<Queue>,
    transport: Transport,
    policy: ProbePolicy,
    stop: CancellationToken,
}

impl Prober {
    /// A prober, if the queue asks for one.
    #[must_use]
    pub fn new(
        store: &Store,
        queue: &Arc<Queue>,
        transport: Transport,
        tasks: &Tasks,
    ) -> Option<Self> {
        let policy = queue.policy.probe.clone()?;
        let slots = PROBES_MAX.min(queue.policy.concurrency);
        Some(Self {
            asking: Arc::new(Asking {
                store: store.clone(),
                queue: Arc::clone(queue),
                transport,
                policy,
                stop: tasks.stop_token().clone(),
            }),
            tasks: tasks.clone(),
            free: Arc::new(Semaphore::new(usize::try_from(slots).unwrap_or(1))),
            ranks: vec![0; queue.shards.len()],
            turn: 0,
        })
    }

    /// The loop; ends when its queue stops.
    pub async fn run(self, pulse: Pulse) {
        let stop = self.tasks.stop_token().clone();
        cadence::run(&stop, pulse, self).await;
    }
}

impl Pass for Prober {
    async fn run_once(&mut self) -> Result<Next, StoreError> {
        let asking = Arc::clone(&self.asking);
        let now_ms = asking.store.clock().now_ms();
        if let GateState::Held { until_ms, why } = asking.gate(now_ms) {
            return Ok(Next::at_gate(until_ms, why, now_ms));
        }
        let count = asking.queue.shards.len();
        self.turn = (self.turn + 1) % count;
        let mut next = Next::about(LOOK);
        for number in (0..count).map(|n| (self.turn + n) % count) {
            let free = self.free.available_permits();
            if free == 0 {
                // Each probe that ends wakes us.
                return Ok(Next::Woken);
            }
            let shard = &asking.queue.shards[number];
            let (rank, times) = (self.ranks[number], asking.times());
            let due = asking.store.messages.probe(&asking.queue, shard, free, times, rank).await?;
            let taken_at = Instant::now();
            self.ranks[number] = due.rank;
            if due.rank > 0 {
                next = Next::Now;
            }
            if let Some(next_in) = due.next_in {
                next = next.at_latest(next_in);
            }
            for message in due.messages {
                let Ok(slot) = Arc::clone(&self.free).try_acquire_owned() else { break };
                let asks = Arc::clone(&asking).ask(message, due.paused_ms, taken_at, slot);
                self.tasks.spawn("probe", asks);
            }
        }
        Ok(next)
    }

    async fn woken(&mut self) {
        self.asking.queue.doubt.notified().await;
    }
}

impl Asking {
    fn times(&self) -> ProbeTimes {
        let ms = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let longest_ms = self.queue.policy.retry.max_ms.max(self.policy.after_ms);
        ProbeTimes {
            lease_ms: self.policy.timeout_ms + ms(self.patience() + MARGIN),
            after_ms: self.policy.after_ms,
            // A fifth is the spread.
            furthest_ms: longest_ms + longest_ms / 5,
        }
    }

    fn patience(&self) -> Duration {
        if self.queue.policy.has_wide_limits() { PERMIT_PATIENCE } else { START_PATIENCE }
    }

    /// Whether a probe may start, and end within the window.
    fn gate(&self, now_ms: Option<u64>) -> GateState {
        let snapshot = Snapshot { call_ms: self.policy.timeout_ms, ..Snapshot::default() };
        gates(&self.queue.policy, &snapshot, now_ms).latest()
    }

    /// One probe, from its permit to what it decides.
    async fn ask(
        self: Arc<Self>,
        message: Doubtful,
        paused_ms: u64,
        taken_at: Instant,
        slot: OwnedSemaphorePermit,
    ) {
        if let Some(now_ms) = self.may_start(taken_at + self.patience()).await {
            let answer = self.call(&message, now_ms).await;
            failpoint!("probed");
            if let Some(delay_ms) = not_asked(&answer) {
                self.give_back(&message, delay_ms).await;
            } else {
                self.follow(&message, now_ms, &answer, paused_ms).await;
            }
        } else {
            self.give_back(&message, GIVEN_BACK_MS).await;
        }
        // In this order: who is woken must find the slot free.
        drop(slot);
        self.queue.doubt.notify_one();
    }

    /// A permit of the queue's limit, if there is one; pause and throttles were asked when the message was
    /// taken. Returns the time by Redis at which the probe starts.
    async fn may_start(&self, latest: Instant) -> Option<u64> {
        let may_start = || {
            let is_in_time = Instant::now() <= latest && !self.stop.is_cancelled();
            let now_ms = self.store.clock().now_ms().filter(|_| is_in_time).ok_or(())?;
            if self.gate(Some(now_ms)).is_held() { Err(()) } else { Ok(now_ms) }
        };
        if !self.queue.policy.has_wide_limits() {
            return may_start().ok();
        }
        let waits = PermitWait { stop: &self.stop, looks_at: None };
        permit(&self.store, &self.queue, waits, FurtherCall::PROBE, may_start).await.ok()
    }

    async fn call(&self, message: &Doubtful, now_ms: u64) -> Answer {
        let Some(url) = self.policy.url_of(&message.id) else {
            // Any other address would be asked about another message.
            let error = "the probe's url is not a valid address with this id in it".to_owned();
            return Answer::NotSent { error, is_local: false };
        };
        let call = Call {
            id: message.id.to_string(),
            content_type: String::new(),
            message_headers: Vec::new(),
            facts: vec![
                ("tidegate-queue", self.queue.policy.name.to_string()),
                ("tidegate-attempt", message.attempt.to_string()),
            ],
            http: HttpParts { url: Some(url), headers: Vec::new() },
            body: Bytes::new(),
            now_ms,
            deadline: Instant::now() + Duration::from_millis(self.policy.timeout_ms),
            response_bytes_max: self.queue.policy.keep_response_bytes,
        };
        self.transport.send(call).await
    }

    /// What follows from an answer. Where Redis is away meanwhile, the probe is made again when its
    /// lease is over.
    async fn follow(&self, message: &Doubtful, now_ms: u64, answer: &Answer, paused_ms: u64) {
        let found = self.policy.read(answer);
        let (queue, id) = (&self.queue.policy.name, &message.id);
        let label = FoundLabel { queue: queue.to_string(), found: found.as_str() };
        self.store.metrics().queue.probes.get_or_create(&label).inc();
        let words = Probes {
            count: message.probes + 1,
            last_at_ms: now_ms,
            status_code: status_of(answer),
            error: (found == ProbeFound::Unknown).then(|| error_of(answer)),
            next_at_ms: None,
        };
        let changed = match found {
            ProbeFound::Delivered => self.resolve(message, Decision::Delivered, &words, None).await,
            ProbeFound::Absent => self.send_again(message, &words, paused_ms, now_ms).await,
            ProbeFound::Unknown => self.ask_later(message, &words, answer).await,
        };
        let digest = &self.store.metrics().digest;
        let shown = || id.to_string();
        match changed {
            Ok(Changed::Done) => digest.note(Kind::Asked, queue.as_str(), found.as_str(), shown),
            Ok(_) => digest.note(Kind::ProbedLate, queue.as_str(), "", shown),
            Err(error) => {
                digest.note(Kind::NotKept, queue.as_str(), &error.to_string(), shown);
            }
        }
    }

    async fn resolve(
        &self,
        message: &Doubtful,
        decision: Decision,
        words: &Probes,
        reason: Option<&str>,
    ) -> Result<Changed, StoreError> {
        self.store.messages.resolve_probed(&self.queue, message, decision, words, reason).await
    }

    /// The downstream does not have it: sent again at once, while its attempts and its age last.
    async fn send_again(
        &self,
        message: &Doubtful,
        words: &Probes,
        paused_ms: u64,
        now_ms: u64,
    ) -> Result<Changed, StoreError> {
        let policy = &self.queue.policy;
        let error = message.reason.clone().unwrap_or_default();
        let paused_since_first_ms = paused_ms.saturating_sub(message.paused_at_first_ms);
        let first_ms = message.first_attempt_ms;
        let age_ms = age_ms(&self.store, policy, first_ms, now_ms, paused_since_first_ms);
        // The attempt failed after all, and counts like any other that did; the time until the probe was
        // its delay.
        match message.details.retry_policy(&policy.retry).next(message.attempt, age_ms, 0.0) {
            RetryNext::RetryAfter(_) => self.resolve(message, Decision::Resend, words, None).await,
            RetryNext::GiveUp(why) => {
                let reason = why.reason(message.attempt, &error);
                let changed = self.resolve(message, Decision::Dead, words, Some(&reason)).await;
                if let Ok(Changed::Done) = changed {
                    tally::dead(&self.store, &self.queue, message.id.ulid, why.word(), &reason);
                }
                changed
            }
        }
    }

    async fn ask_later(
        &self,
        message: &Doubtful,
        words: &Probes,
        answer: &Answer,
    ) -> Result<Changed, StoreError> {
        let retry = &self.queue.policy.retry;
        let (asked_ms, random) = (retry.obeyed_ms(answer.retry_after_ms()), rand::random());
        let delay_ms = self.policy.next_in_ms(words.count, asked_ms, retry.max_ms, random);
        if delay_ms.is_none() {
            let error = words.error.as_deref().unwrap_or_default();
            let (digest, queue) = (&self.store.metrics().digest, self.queue.policy.name.as_str());
            digest.note(Kind::Undecided, queue, error, || message.id.to_string());
        }
        self.store.messages.postpone(&self.queue, message, Some(words), delay_ms).await
    }

    /// Nothing was asked: no probe is counted, and another node may ask.
    async fn give_back(&self, message: &Doubtful, delay_ms: u64) {
        let delay_ms = if self.stop.is_cancelled() { 0 } else { delay_ms };
        if let Err(error) =
            self.store.messages.postpone(&self.queue, message, None, Some(delay_ms)).await
        {
            tracing::debug!(id = %message.id, %error, "a probe was not given back; its lease will end");
        }
    }
}

/// Where nobody was asked, for a reason that says nothing about the downstream, when to try again: no probe is counted.
fn not_asked(answer: &Answer) -> Option<u64> {
    match answer {
        Answer::NotSent { is_local: true, .. } => Some(GIVEN_BACK_MS),
        Answer::Withheld { retry_after_ms, .. } => {
            Some(retry_after_ms.unwrap_or_default().clamp(WITHHELD_MS, WITHHELD_MS_MAX))
        }
        Answer::NotSent { .. }
        | Answer::NotAllowed { .. }
        | Answer::Answered { .. }
        | Answer::Unknown { .. } => None,
    }
}

fn status_of(answer: &Answer) -> Option<u16> {
    match answer {
        Answer::Answered { status, .. } => Some(*status),
        Answer::NotSent { .. }
        | Answer::NotAllowed { .. }
        | Answer::Withheld { .. }
        | Answer::Unknown { .. } => None,
    }
}
