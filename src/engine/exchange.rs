//! What every exchange of a queue is made of, single or batch.
//!
//! Owns the last look before the first byte (window, expiry, lease), the deadline, the reading of the
//! answer, and the way to the settler. Refuses to know how bytes travel and how outcomes are kept.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

use super::age::age_ms;
use super::breaker::Hosts;
use super::decide::{Facts, decide};
use super::episode::Episode;
use super::first_in_line::FirstInLine;
use super::permits::{NoPermit, PermitWait, START_LATE_MAX, late_max, permit};
use super::renew::InFlight;
use super::request::{below, call_of};
use super::settle::Ending;
use super::shortage::Shortage;
use super::slots::Slot;
use super::wait_reports::WaitReports;
use crate::domain::answer_rules::RulesSaid;
use crate::domain::classify::ElementClassified;
use crate::domain::failing::Sign;
use crate::domain::gates::{GateState, Snapshot, gates};
use crate::domain::limit::LimitRule;
use crate::domain::message::Attempt;
use crate::domain::outcome::{Answer, Outcome};
use crate::domain::request_template::RenderedRequest;
use crate::domain::settlement::Settlement;
use crate::domain::trace_context::TraceParent;
use crate::domain::window::OnClose;
use crate::failpoint::failpoint;
use crate::store::{Claimed, FurtherCall, LeaseEnd, Queue, Store};
use crate::transport::Transport;

/// Longest error text that is kept of an attempt.
const ERROR_CHARS_MAX: usize = 500;

/// What every exchange of a queue shares.
#[derive(Debug)]
pub(super) struct Exchanges {
    pub(super) store: Store,
    pub(super) queue: Arc<Queue>,
    pub(super) transport: Transport,
    /// Where each message has a host of its own: which of them may be called now.
    pub(super) hosts: Option<Hosts>,
    pub(super) in_flight: Arc<InFlight>,
    /// While this machine is short of something, no call of this queue begins.
    pub(super) shortage: Shortage,
    /// Fires when the queue stops: what can be given back is not waited for.
    pub(super) stop: CancellationToken,
    /// What held messages while they stood first.
    pub(super) line: FirstInLine,
    /// Answers to batches that say something which nobody can read.
    pub(super) unreadable: Episode,
    /// Answers to batches that name messages which were not in them.
    pub(super) foreign: Episode,
    /// Finishes the spans of long waits; `None`: no traces are made.
    pub(super) waits: Option<WaitReports>,
}

/// When a call begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Began {
    /// Milliseconds by Redis.
    pub(super) at_ms: u64,
    /// The same by this node's own clock, which counts how long the call takes.
    pub(super) at: Instant,
}

impl Began {
    /// The moment by Redis at which it has lasted so long.
    pub(super) fn after(&self, took: Duration) -> u64 {
        self.at_ms + u64::try_from(took.as_millis()).unwrap_or(u64::MAX / 2)
    }
}

/// What an exchange came to, for all its messages alike.
#[derive(Debug, Clone)]
pub(super) struct Tried {
    pub(super) started_at_ms: u64,
    pub(super) ended_at_ms: u64,
    pub(super) answer: Answer,
    pub(super) outcome: Outcome,
    /// What the queue's own rules say of the answer.
    pub(super) said: RulesSaid,
    /// Of a batch: what the rules say of each element of the answer's list, where they judge those.
    pub(super) elements: Option<Arc<Vec<ElementClassified>>>,
    /// What went wrong, where that is not what the answer says.
    pub(super) error: Option<String>,
    /// The span of the call, where it was that of a batch and is recorded.
    pub(super) call_span: Option<TraceParent>,
    /// In [0, 1), for the delay: one for all messages of a call, so that a batch comes back together.
    pub(super) random: f64,
}

impl Tried {
    /// One line on what went wrong.
    pub(super) fn error(&self) -> String {
        match &self.error {
            Some(error) => shortened(error),
            None => error_of(&self.answer),
        }
    }
}

impl Exchanges {
    pub(super) fn new(
        store: Store,
        queue: Arc<Queue>,
        transport: Transport,
        in_flight: Arc<InFlight>,
        stop: CancellationToken,
        waits: Option<WaitReports>,
    ) -> Self {
        let hosts = Hosts::of(&queue.policy);
        let shortage = Shortage::default();
        let (unreadable, foreign) = (Episode::default(), Episode::default());
        let line = FirstInLine::default();
        Self {
            store,
            queue,
            transport,
            hosts,
            in_flight,
            shortage,
            stop,
            line,
            unreadable,
            foreign,
            waits,
        }
    }

    /// The gates once more, right before the first byte: the window may be closing, the messages may have
    /// expired while they waited for their slot. `is_first`: their slot is the one of the claim.
    pub(super) fn last_look(&self, part: &[Claimed], is_first: bool) -> Result<Began, Settlement> {
        let began = self.begins()?;
        if part.iter().all(|message| message.is_expired(began.at_ms)) {
            // Claimed again they expire, in Redis and by Redis time.
            return Err(Settlement::Release);
        }
        if !part.iter().all(|message| self.in_flight.may_start(&message.lease)) {
            // This node stood still: another may take a message while the answer is on its way.
            return Err(Settlement::Release);
        }
        if is_first && part.first().is_some_and(|message| self.is_too_late(message, began)) {
            return Err(Settlement::Release);
        }
        if !self.is_held(began.at_ms) {
            return Ok(began);
        }
        Err(if self.releases_at_close() { Settlement::Release } else { Settlement::Hold })
    }

    /// The same once there is a permit of the queue's limit, and its slot has come.
    pub(super) async fn permitted(&self, part: &[Claimed]) -> Result<Began, Settlement> {
        let look = || self.last_look(part, false);
        let further = FurtherCall::of(part);
        let wait = PermitWait { stop: &self.stop, looks_at: self.release_at() };
        permit(&self.store, &self.queue, wait, further, look).await.map_err(|why| match why {
            NoPermit::Ended(settlement) => settlement,
            NoPermit::Shut => Settlement::Release,
        })
    }

    fn releases_at_close(&self) -> bool {
        let window = self.queue.policy.window.as_ref();
        window.is_some_and(|window| window.on_close() == OnClose::Release)
    }

    /// When what waits goes back because its window closes; `None`: it does not, or nobody can know.
    fn release_at(&self) -> Option<Instant> {
        let now_ms = self.store.clock().now_ms().filter(|_| self.releases_at_close())?;
        match gates(&self.queue.policy, &Snapshot::default(), Some(now_ms)).latest() {
            GateState::Open { before_ms } => {
                let left = Duration::from_millis(before_ms?.saturating_sub(now_ms));
                Some(Instant::now() + left)
            }
            GateState::Held { .. } => None,
        }
    }

    /// A call that begins now. While the time is unknown none does: whether it may, nobody can say.
    pub(super) fn begins(&self) -> Result<Began, Settlement> {
        let at_ms = self.store.clock().now_ms().ok_or(Settlement::Release)?;
        Ok(Began { at_ms, at: Instant::now() })
    }

    /// Whether a gate that this node knows holds the next call.
    fn is_held(&self, now_ms: u64) -> bool {
        gates(&self.queue.policy, &Snapshot::default(), Some(now_ms)).latest().is_held()
    }

    /// Whether its permit has become void since the pace handed it out: this node stood still, and a call now would
    /// come too close to others of a rate, or lie in another period of a quota than the one that counted it.
    fn is_too_late(&self, message: &Claimed, began: Began) -> bool {
        let policy = &self.queue.policy;
        let late = began.at.saturating_duration_since(message.slot);
        if late <= START_LATE_MAX {
            return false;
        }
        let slot_ms = began.at_ms - u64::try_from(late.as_millis()).unwrap_or(0).min(began.at_ms);
        let has_slots = |limit: &&LimitRule| limit.rate().is_some() || limit.quota().is_some();
        let mut limits = policy.claim_limits().chain(policy.keyed_limits()).filter(has_slots);
        let is_void = limits.any(|limit| match limit.quota() {
            Some(quota) => {
                let [_, ends_ms, _] = quota.boundaries_ms(slot_ms);
                ends_ms <= began.at_ms
            }
            None => limit.rate().is_none_or(|pace| late > late_max(pace, START_LATE_MAX)),
        });
        if is_void {
            self.queue.metrics.permit_unused();
        }
        is_void
    }

    /// Makes one call with these messages this way; `rendered`: what the queue's templates say of it.
    pub(super) async fn call(
        &self,
        part: &[Claimed],
        began: Began,
        way: &Transport,
        rendered: Option<RenderedRequest>,
    ) -> Tried {
        failpoint!("before-send"; &part.iter().flat_map(|item| item.payload.to_vec()).collect::<Vec<_>>());
        let span = self.begin_call(part);
        let answer = match way.immediate() {
            Some(answer) => answer,
            None => {
                let times = (began.at_ms, self.deadline(part, began));
                way.send(below(span, call_of(&self.queue.policy, part, times, rendered))).await
            }
        };
        failpoint!("after-send"; &part.iter().flat_map(|item| item.payload.to_vec()).collect::<Vec<_>>());
        let is_in_doubt = part.iter().any(|message| message.is_in_doubt);
        let tried = self.judge_aside(is_in_doubt, began, answer).await;
        self.end_call(span, part, tried)
    }

    /// Until when the whole call may take: no message of it is held up for longer than it asks for.
    fn deadline(&self, part: &[Claimed], began: Began) -> Instant {
        let longest_ms = self.queue.policy.downstream.timeout_ms();
        let shortest_ms = part.iter().filter_map(|message| message.details.timeout_ms).min();
        let timeout_ms = shortest_ms.unwrap_or(longest_ms).min(longest_ms);
        began.at + Duration::from_millis(timeout_ms.max(1))
    }

    /// What follows for one message.
    pub(super) fn settlement_of(
        &self,
        message: &Claimed,
        tried: &Tried,
        outcome: Outcome,
        paused_ms: u64,
    ) -> Settlement {
        if outcome == Outcome::Delivered {
            return Settlement::Ack;
        }
        let policy = &self.queue.policy;
        let error = tried.error();
        let facts = Facts {
            attempt: message.attempt,
            age_ms: self.age_ms(message, tried.ended_at_ms, paused_ms),
            random: tried.random,
            error: &error,
            reference: reference_of(&tried.answer),
            retry_after_ms: tried.answer.retry_after_ms(),
        };
        let settlement =
            decide(outcome, policy, &message.details.retry_policy(&policy.retry), facts);
        let settlement = match settlement {
            Settlement::Retry { delay_ms } => {
                let due_ms = tried.ended_at_ms.saturating_add(delay_ms);
                let due_ms = policy.recipient_first_ms(&message.details, due_ms);
                Settlement::Retry { delay_ms: due_ms - tried.ended_at_ms }
            }
            other => other,
        };
        if outcome == Outcome::Unknown && matches!(settlement, Settlement::Retry { .. }) {
            self.queue.metrics.possible_duplicate();
        }
        settlement
    }

    /// What becomes of a message whose recipient cannot be reached any more: the next claim puts it off. Under an order nothing
    /// may start behind one that has begun, so that it is put off here.
    pub(super) fn put_off(&self, message: &Claimed, now_ms: u64) -> Settlement {
        let policy = &self.queue.policy;
        if policy.ordering.is_none() || message.attempt <= 1 {
            return Settlement::Hold;
        }
        let first_ms = policy.recipient_first_ms(&message.details, now_ms);
        Settlement::Postpone { delay_ms: first_ms.saturating_sub(now_ms), reason: None }
    }

    /// How old a message is.
    pub(super) fn age_ms(&self, message: &Claimed, now_ms: u64, paused_ms: u64) -> u64 {
        let paused_since_first_ms = paused_ms.saturating_sub(message.paused_at_first_ms);
        let (store, policy) = (&self.store, &self.queue.policy);
        age_ms(store, policy, message.first_attempt_ms, now_ms, paused_since_first_ms)
    }
}

/// The way to the settler, with what the exchange gives back at its end.
#[derive(Debug)]
pub(super) struct Outcomes {
    sender: mpsc::Sender<Vec<Ending>>,
    slot: Arc<Slot>,
    ends: Option<String>,
    pub(super) paused_ms: u64,
}

impl Outcomes {
    /// The way for one exchange; `ends` is the token of its batch.
    pub(super) fn new(
        sender: mpsc::Sender<Vec<Ending>>,
        slot: Slot,
        ends: Option<String>,
        paused_ms: u64,
    ) -> Self {
        Self { sender, slot: Arc::new(slot), ends, paused_ms }
    }

    /// One message's outcome.
    pub(super) fn of(
        &self,
        message: &Claimed,
        settlement: Settlement,
        attempt: Option<Attempt>,
    ) -> Ending {
        let lease = message.lease.clone();
        let is_unknown = |attempt: &Attempt| attempt.outcome == Outcome::Unknown.as_str();
        let is_in_doubt = message.is_in_doubt || attempt.as_ref().is_some_and(is_unknown);
        // What the attempt shows of the downstream, the settler says.
        let (sign, units) = (Sign::None, message.units);
        let end = LeaseEnd { lease, settlement, attempt, is_in_doubt, sign, units };
        Ending { end, exchange: None, _slot: Arc::clone(&self.slot) }
    }

    /// Hands outcomes over, in the order of their messages; `last`: the exchange is over with them.
    pub(super) async fn settle(&self, mut endings: Vec<Ending>, last: bool) {
        if let Some(end) = endings.last_mut().filter(|_| last) {
            end.exchange.clone_from(&self.ends);
        }
        // The settler ends after the last sender.
        drop(self.sender.send(endings).await);
    }
}

/// What a body says, in one line.
pub(super) fn said_in(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn reference_of(answer: &Answer) -> Option<&str> {
    match answer {
        Answer::Answered { pending: Some(pending), .. } => pending.reference.as_deref(),
        _ => None,
    }
}

/// One line on what went wrong.
pub(super) fn error_of(answer: &Answer) -> String {
    let text = match answer {
        Answer::Answered { status, body, .. } => {
            let said = said_in(body);
            if said.is_empty() {
                format!("status {status}")
            } else {
                format!("status {status}: {said}")
            }
        }
        Answer::NotSent { error, .. }
        | Answer::NotAllowed { error }
        | Answer::Withheld { error, .. }
        | Answer::Unknown { error } => error.clone(),
    };
    shortened(&text)
}

fn shortened(text: &str) -> String {
    text.chars().take(ERROR_CHARS_MAX).collect()
}
