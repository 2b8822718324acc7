//! Brings back what a lost node held.
//!
//! Looks at a shard when a lease there is known to end (those that workers hold are told); whether
//! there are leases is read of all shards at the start, when a node has vanished, and now and then.
//! Waits one lease after a restart of Redis or a clock alarm: what kept living nodes from renewing, or
//! put their deadlines into the past, would send everything twice.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::domain::spread::spread;
use crate::engine::Pulse;
use crate::engine::cadence::{self, Next, Pass};
use crate::failpoint::planted;
use crate::store::{Earliest, Queue, Shard, Store, StoreError};

/// A look at every shard, whatever is known: other nodes' leases are not announced. One bare command a
/// shard; a script runs only where there are leases.
const SWEEP_EVERY: Duration = Duration::from_secs(10);
/// Pause after a pass that Redis failed.
const FAILED_PAUSE: Duration = Duration::from_millis(500);

/// The reaper of this node, for all queues.
#[derive(Debug)]
pub struct Reaper {
    store: Store,
    /// Rung when a node has vanished.
    vanished: Arc<Notify>,
    /// When the next lease ends, by shard.
    deadlines: HashMap<String, Instant>,
    next_sweep: Instant,
    next_look: Instant,
}

impl Pass for Reaper {
    async fn run_once(&mut self) -> Result<Next, StoreError> {
        self.next_look = self.look().await;
        Ok(Next::In(self.next_look.saturating_duration_since(Instant::now())))
    }

    /// Until a node has vanished, or a lease will end before the next look.
    async fn woken(&mut self) {
        let (vanished, store) = (Arc::clone(&self.vanished), self.store.clone());
        loop {
            tokio::select! {
                () = vanished.notified() => {
                    self.next_sweep = Instant::now();
                    return;
                }
                lapses = store.messages.lapses() => {
                    if self.expect(lapses) < self.next_look {
                        return;
                    }
                }
            }
        }
    }
}

impl Reaper {
    /// A reaper that also looks when `vanished` rings.
    #[must_use]
    pub fn new(store: Store, vanished: Arc<Notify>) -> Self {
        let now = Instant::now();
        Self { store, vanished, deadlines: HashMap::new(), next_sweep: now, next_look: now }
    }

    /// The loop.
    pub async fn run(self, stop: CancellationToken, pulse: Pulse) {
        cadence::run(&stop, pulse, self).await;
    }

    /// Notes when leases end; returns when to look, if nothing else comes first.
    fn expect(&mut self, lapses: HashMap<String, Instant>) -> Instant {
        let mut earliest = self.next_sweep;
        for (shard, at) in lapses {
            let known = self.deadlines.entry(shard).or_insert(at);
            *known = at.min(*known);
            earliest = earliest.min(*known);
        }
        earliest
    }

    /// Looks at the shards whose leases end now (or at all of them); returns when to look again.
    async fn look(&mut self) -> Instant {
        let now = Instant::now();
        let sweep = now >= self.next_sweep;
        if sweep {
            self.next_sweep = now + spread(SWEEP_EVERY, 0.25, rand::random());
        }
        let queues = self.store.queues.all();
        if sweep {
            self.sweep(&queues, now).await;
        }
        let mut earliest = self.next_sweep;
        for queue in &queues {
            for shard in &queue.shards {
                let Some(at) = self.deadlines.get(shard.tag()).copied() else { continue };
                let next = if at <= now { self.reap(queue, shard).await } else { Some(at) };
                match next {
                    Some(at) => {
                        self.deadlines.insert(shard.tag().to_owned(), at);
                        earliest = earliest.min(at);
                    }
                    None => drop(self.deadlines.remove(shard.tag())),
                }
            }
        }
        earliest
    }

    /// Reads which shards have leases: these are looked at now.
    async fn sweep(&mut self, queues: &[Arc<Queue>], now: Instant) {
        let shards: Vec<Arc<Shard>> =
            queues.iter().flat_map(|queue| queue.shards.iter().cloned()).collect();
        // Unreadable: each is asked for itself, and says when to look again.
        let heads = self.store.queues.lease_heads(&shards).await;
        let heads = heads.unwrap_or_else(|_| vec![Earliest::Unknown; shards.len()]);
        for (shard, head) in shards.iter().zip(heads) {
            if head != Earliest::None {
                self.deadlines.insert(shard.tag().to_owned(), now);
            }
        }
    }

    /// Reaps a shard; returns when its next lease ends.
    async fn reap(&self, queue: &Queue, shard: &Shard) -> Option<Instant> {
        let lease = Duration::from_millis(queue.policy.lease_ms);
        let grace = self.store.servers.calm_for();
        if grace < lease && !planted!("reap-without-grace") {
            return Some(Instant::now() + (lease - grace).min(lease).max(FAILED_PAUSE));
        }
        loop {
            match self.store.messages.reap(queue, shard).await {
                Ok(reaped) => {
                    let moved = reaped.reaped + reaped.parked + reaped.poisoned;
                    if moved > 0 {
                        tracing::warn!(
                            queue = %queue.policy.name,
                            back_to_ready = reaped.reaped,
                            uncertain = reaped.parked,
                            poison = reaped.poisoned,
                            "leases ran out"
                        );
                    }
                    match reaped.next_in {
                        Some(Duration::ZERO) => {}
                        next_in => return next_in.map(|wait| Instant::now() + wait),
                    }
                }
                Err(_) => return Some(Instant::now() + FAILED_PAUSE),
            }
        }
    }
}
