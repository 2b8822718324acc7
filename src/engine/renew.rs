//! Keeps the leases of exchanges that are under way.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::cadence::{self, Next, Pass};
use super::pulse::Pulse;
use crate::domain::lease::latest_start_ms;
use crate::store::{Claimed, Lease, Queue, Store, StoreError, Verdict};
use crate::telemetry::Kind;

/// Leases in one call.
const RENEW_MAX: usize = 500;

/// The leases that this node holds in one queue, each with the moment until which a call may begin
/// under it: one that began later could outlive it.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    // A plain mutex: held for a look-up, never across an await.
    leases: Mutex<HashMap<Lease, Instant>>,
    /// Rung when there is a lease where there was none.
    began: Notify,
}

impl InFlight {
    pub(super) fn insert(&self, message: &Claimed) {
        let mut leases = self.lock();
        if leases.is_empty() {
            self.began.notify_one();
        }
        leases.insert(message.lease.clone(), message.start_before);
    }

    fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    pub(super) fn remove(&self, lease: &Lease) {
        self.lock().remove(lease);
    }

    /// Whether a call may begin now: a node that stood still may have lost its lease meanwhile.
    pub(super) fn may_start(&self, lease: &Lease) -> bool {
        self.lock().get(lease).is_some_and(|start_before| Instant::now() <= *start_before)
    }

    /// A renewal reached Redis for those that are still ours; the others are lost.
    fn renewed(&self, leases: &[Lease], verdicts: &[Verdict], start_before: Instant) {
        let mut held = self.lock();
        for (lease, verdict) in leases.iter().zip(verdicts) {
            match verdict {
                Verdict::Ok => {
                    // Unless it was settled meanwhile.
                    if let Some(known) = held.get_mut(lease) {
                        *known = start_before;
                    }
                }
                Verdict::Already | Verdict::Stale | Verdict::Gone | Verdict::Late => {
                    held.remove(lease);
                }
            }
        }
    }

    fn by_shard(&self) -> HashMap<u16, Vec<Lease>> {
        let mut by_shard: HashMap<u16, Vec<Lease>> = HashMap::new();
        for lease in self.lock().keys() {
            by_shard.entry(lease.shard).or_default().push(lease.clone());
        }
        by_shard
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Lease, Instant>> {
        self.leases.lock()
    }
}

/// Renews three times a lease, so that two renewals may fail.
#[derive(Debug)]
pub(super) struct Renewer {
    pub(super) store: Store,
    pub(super) queue: Arc<Queue>,
    pub(super) in_flight: Arc<InFlight>,
    /// Whether what is held has been held for a third of a lease.
    pub(super) is_due: bool,
}

impl Pass for Renewer {
    async fn run_once(&mut self) -> Result<Next, StoreError> {
        if self.in_flight.is_empty() {
            self.is_due = false;
            return Ok(Next::Woken);
        }
        // What was just claimed needs no renewal yet.
        if std::mem::replace(&mut self.is_due, true) {
            self.renew().await;
        }
        let third = Duration::from_millis((self.queue.policy.lease_ms / 3).max(10));
        Ok(Next::NotBefore(third))
    }

    /// Until there is a lease where there was none.
    async fn woken(&mut self) {
        self.in_flight.began.notified().await;
    }
}

impl Renewer {
    /// The loop.
    pub(super) async fn run(self, stop: CancellationToken, pulse: Pulse) {
        cadence::run(&stop, pulse, self).await;
    }

    async fn renew(&self) {
        let policy = &self.queue.policy;
        let start_within = latest_start_ms(policy.lease_ms, policy.downstream.timeout_ms());
        let start_within = Duration::from_millis(start_within);
        for (number, leases) in self.in_flight.by_shard() {
            let shard = &self.queue.shards[usize::from(number)];
            for leases in leases.chunks(RENEW_MAX) {
                let tokens: HashSet<&String> = leases.iter().map(|lease| &lease.token).collect();
                let ongoing: Vec<String> = if self.queue.policy.batch.is_some() {
                    tokens.into_iter().cloned().collect()
                } else {
                    Vec::new()
                };
                // Counted from before the call: the lease in Redis ends no sooner.
                let start_before = Instant::now() + start_within;
                match self.store.messages.renew(shard, policy.lease_ms, &ongoing, leases).await {
                    Ok(verdicts) => self.in_flight.renewed(leases, &verdicts, start_before),
                    Err(error) => {
                        let (digest, queue) = (&self.store.metrics().digest, policy.name.as_str());
                        let count = u64::try_from(leases.len()).unwrap_or(0);
                        digest.add(Kind::NotRenewed, queue, count, &error.to_string());
                    }
                }
            }
        }
    }
}
