//! Carries actions out in Redis: gathered, one script call per verb and shard, repeated until done.
//!
//! Owns the order "outcome known → outcome kept". While Redis is away, outcomes wait here (bounded by
//! the exchanges in flight) and their slots stay taken, so nothing more is sent.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::decide::Action;
use super::renew::InFlight;
use super::slots::Slot;
use crate::domain::failing::{self, Sign};
use crate::domain::id::MessageId;
use crate::domain::message::Attempt;
use crate::failpoint::failpoint;
use crate::store::{DeferKind, Lease, Queue, Settled, Store, StoreError, Verdict};
use crate::telemetry::{Kind, ReasonLabel, VerdictLabel};

/// Outcomes that are taken together; how many go into one call, the shard says.
const FLUSH_MAX: usize = 250;
/// Pause before an outcome that could not be written is tried again.
const REPEAT_PAUSE: Duration = Duration::from_millis(200);

/// An outcome on its way to Redis.
#[derive(Debug)]
pub(super) struct Settlement {
    pub(super) lease: Lease,
    pub(super) action: Action,
    pub(super) attempt: Option<Attempt>,
    /// Whether the outcome of this attempt or an earlier one is unknown.
    pub(super) is_in_doubt: bool,
    /// What its exchange shows of the downstream: set here, at its first message alone.
    pub(super) sign: Sign,
    /// The batch that is over with this message.
    pub(super) ends: Option<String>,
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

/// What goes into one call together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Call {
    Ack,
    Accept,
    Retry,
    Release,
    Defer(&'static str, Option<u64>),
    Bury(bool),
    Park(u64),
}

impl Call {
    fn of(action: &Action) -> Self {
        match action {
            Action::Ack => Self::Ack,
            Action::Accept { .. } => Self::Accept,
            Action::Retry { .. } | Action::Postpone { .. } => Self::Retry,
            Action::Release => Self::Release,
            Action::Hold => Self::Defer("hold", None),
            Action::Throttle { gate_ms } => Self::Defer("throttle", *gate_ms),
            Action::Alarm => Self::Defer("alarm", None),
            Action::Bury { suspect, .. } => Self::Bury(*suspect),
            Action::Park { asked_ms, .. } => Self::Park(*asked_ms),
        }
    }

    /// Whether messages become ready again, before all others.
    fn goes_to_head(&self) -> bool {
        matches!(self, Self::Release | Self::Defer(..))
    }

    /// Whether it makes messages ready again and leaves the gate open: written after what may shut
    /// it, or the same answer would meet them once more.
    fn goes_back(&self) -> bool {
        matches!(self, Self::Release | Self::Defer("hold", _))
    }
}

impl Settler {
    /// The loop; ends when all outcomes are written and no exchange is left.
    pub(super) async fn run(self, mut outcomes: mpsc::Receiver<Vec<Settlement>>) {
        let mut gathered = Vec::with_capacity(FLUSH_MAX);
        while outcomes.recv_many(&mut gathered, FLUSH_MAX).await > 0 {
            mark_row(&mut gathered);
            self.run_once(gathered.drain(..).flatten()).await;
        }
    }

    /// Writes what was gathered.
    async fn run_once(&self, gathered: impl Iterator<Item = Settlement>) {
        let mut calls: HashMap<(u16, Call), Vec<Settlement>> = HashMap::new();
        for settlement in gathered {
            let call = Call::of(&settlement.action);
            calls.entry((settlement.lease.shard, call)).or_default().push(settlement);
        }
        let mut calls: Vec<_> = calls.into_iter().collect();
        // Failures that count are those after the last answer, so they are written after it.
        let fails = |part: &[Settlement]| part.iter().any(|s| s.sign == Sign::Failed);
        calls.sort_by_key(|((_, call), part)| (call.goes_back(), fails(part)));
        for ((shard, call), settlements) in calls {
            let most = self.queue.shards[usize::from(shard)].messages_max();
            let parts = settlements.chunks(most);
            // What goes to the head goes there in the order it had: its end first.
            let parts: Vec<_> =
                if call.goes_to_head() { parts.rev().collect() } else { parts.collect() };
            for part in parts {
                self.write(shard, &call, part).await;
            }
        }
    }

    async fn write(&self, shard: u16, call: &Call, settlements: &[Settlement]) {
        let ended: Vec<String> = settlements.iter().filter_map(|s| s.ends.clone()).collect();
        let items: Vec<Settled> = settlements.iter().map(settled).collect();
        let verdicts = loop {
            match self.call(shard, call, &ended, &items).await {
                Ok(verdicts) => break verdicts,
                Err(StoreError::Reply(error)) => {
                    self.not_kept(settlements, &error);
                    break Vec::new();
                }
                Err(_) => tokio::time::sleep(REPEAT_PAUSE).await,
            }
        };
        failpoint!("settled");
        for (settlement, verdict) in settlements.iter().zip(verdicts) {
            self.note(settlement, verdict);
        }
        for settlement in settlements {
            self.in_flight.remove(&settlement.lease);
        }
    }

    async fn call(
        &self,
        shard: u16,
        call: &Call,
        ended: &[String],
        items: &[Settled],
    ) -> Result<Vec<Verdict>, StoreError> {
        let (store, queue) = (&self.store, &*self.queue);
        let shard = &queue.shards[usize::from(shard)];
        match call {
            Call::Ack => store.ack(queue, shard, ended, items).await,
            Call::Accept => store.accept(queue, shard, ended, items).await,
            Call::Retry => store.retry(queue, shard, ended, items).await,
            Call::Release => store.release(queue, shard, ended, items).await,
            Call::Defer("hold", gate_ms) => {
                store.defer(queue, shard, ended, DeferKind::Hold, *gate_ms, items).await
            }
            Call::Defer("alarm", gate_ms) => {
                store.defer(queue, shard, ended, DeferKind::Alarm, *gate_ms, items).await
            }
            Call::Defer(_, gate_ms) => {
                store.defer(queue, shard, ended, DeferKind::Throttle, *gate_ms, items).await
            }
            Call::Bury(suspect) => store.bury(queue, shard, ended, *suspect, items).await,
            Call::Park(asked_ms) => store.park(queue, shard, ended, *asked_ms, items).await,
        }
    }

    fn note(&self, settlement: &Settlement, verdict: Verdict) {
        let queue = &self.queue.policy.name;
        let digest = &self.store.metrics().digest;
        let id = || MessageId { queue: queue.clone(), ulid: settlement.lease.ulid }.to_string();
        match verdict {
            Verdict::Ok | Verdict::Already => {
                if let Action::Bury { word, reason, .. } = &settlement.action {
                    let label = ReasonLabel { queue: queue.to_string(), reason: word };
                    self.store.metrics().dead.get_or_create(&label).inc();
                    digest.note(Kind::Dead, queue.as_str(), reason, id);
                }
            }
            Verdict::Late => {
                self.count_late("late");
                digest.note(Kind::Late, queue.as_str(), "", id);
            }
            Verdict::Stale | Verdict::Gone => {
                self.count_late("stale");
                digest.note(Kind::Stale, queue.as_str(), "", id);
            }
        }
    }

    fn not_kept(&self, settlements: &[Settlement], error: &str) {
        let queue = &self.queue.policy.name;
        for settlement in settlements {
            let ulid = settlement.lease.ulid;
            let id = || MessageId { queue: queue.clone(), ulid }.to_string();
            self.store.metrics().digest.note(Kind::NotKept, queue.as_str(), error, id);
        }
    }

    fn count_late(&self, verdict: &'static str) {
        let label = VerdictLabel { queue: self.queue.policy.name.to_string(), verdict };
        self.store.metrics().late_results.get_or_create(&label).inc();
    }
}

/// Which exchanges failed after the last one that was answered. A batch is one exchange.
fn mark_row(exchanges: &mut [Vec<Settlement>]) {
    for settlement in exchanges.iter_mut().filter_map(|exchange| exchange.first_mut()) {
        settlement.sign = settlement.attempt.as_ref().map_or(Sign::None, Sign::of);
    }
    failing::keep_row(
        exchanges.iter_mut().filter_map(|exchange| Some(&mut exchange.first_mut()?.sign)),
    );
}

fn settled(settlement: &Settlement) -> Settled {
    let (mut reason, mut delay_ms, mut reference) = (None, 0, None);
    match &settlement.action {
        Action::Bury { reason: why, .. } | Action::Park { reason: why, .. } => {
            reason = Some(why.clone());
        }
        Action::Retry { delay_ms: later_ms } => delay_ms = *later_ms,
        Action::Postpone { delay_ms: later_ms, reason: why } => {
            delay_ms = *later_ms;
            reason.clone_from(why);
        }
        Action::Accept { reference: name } => reference.clone_from(name),
        Action::Ack | Action::Release | Action::Hold | Action::Throttle { .. } | Action::Alarm => {}
    }
    Settled {
        attempt: settlement.attempt.clone(),
        reason,
        delay_ms,
        reference,
        is_throttle: matches!(settlement.action, Action::Postpone { .. }),
        is_in_doubt: settlement.is_in_doubt,
        sign: settlement.sign,
        ..Settled::of(settlement.lease.clone())
    }
}
