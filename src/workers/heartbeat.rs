//! Shows that this node lives, once a second, and looks after the store's health.
//!
//! Owns the way from "Redis is away" to "Redis is back": it checks the server again (another one may
//! have taken over) before intake and claims go on.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::engine::Presence;
use crate::engine::Pulse;
use crate::engine::cadence::{self, Next, Pass};
use crate::failpoint::failpoint;
use crate::store::{NodeInfo, RollCall, StartRefused, Store, StoreError};

/// How often a node shows itself.
const EVERY: Duration = Duration::from_secs(1);
/// Shortest time between two beats: whoever doubts Redis asks for one at once.
const EVERY_MIN: Duration = Duration::from_millis(100);

/// The heartbeat of this node.
#[derive(Debug)]
pub struct Heartbeat {
    store: Store,
    info: NodeInfo,
    presence: Arc<Presence>,
    vanished: Arc<Notify>,
    living: HashSet<String>,
    gone: HashSet<String>,
    beat_at: Instant,
}

impl Pass for Heartbeat {
    const FAILED_PAUSE: Duration = EVERY;

    /// One beat.
    async fn run_once(&mut self) -> Result<Next, StoreError> {
        let beaten = self.beat().await;
        self.beat_at = Instant::now();
        beaten.map(|()| Next::In(EVERY))
    }

    /// Until somebody doubts Redis, or its clock: a second reading shows whether that stepped.
    async fn woken(&mut self) {
        tokio::select! {
            () = self.store.servers.health().doubted() => {}
            () = self.store.clock_alarms.doubted() => {}
        }
        tokio::time::sleep_until(self.beat_at + EVERY_MIN).await;
    }
}

impl Heartbeat {
    /// A heartbeat that rings `vanished` when another node is gone.
    #[must_use]
    pub fn new(
        store: Store,
        info: NodeInfo,
        presence: Arc<Presence>,
        vanished: Arc<Notify>,
    ) -> Self {
        let (living, gone) = (HashSet::new(), HashSet::new());
        Self { store, info, presence, vanished, living, gone, beat_at: Instant::now() }
    }

    /// The loop; takes this node off the list when it ends.
    pub async fn run(self, stop: CancellationToken, pulse: Pulse) {
        let ended = cadence::run(&stop, pulse, self).await;
        failpoint!("before-leave");
        if let Err(error) = ended.store.nodes.leave().await {
            tracing::debug!(%error, "could not take this node off the list");
        }
    }

    async fn beat(&mut self) -> Result<(), StoreError> {
        let was_up = self.store.servers.health().is_up();
        match self.store.servers.check().await {
            // Intake is closed, and was said to be. What it holds goes on, and so do we.
            Ok(()) | Err(StartRefused::NotDurable { .. } | StartRefused::Unfit(_)) => {}
            Err(StartRefused::Store(error)) => {
                self.store.servers.note_down(&error);
                return Err(error);
            }
        }
        if !was_up {
            self.wake_all();
            self.store.wake_ups.listen_anew();
            // What was leased when it went away may be leased still.
            self.vanished.notify_one();
        }
        self.presence.tell(&mut self.info);
        self.info.follows = self.followed();
        let roll = self.store.nodes.beat(&self.info).await;
        // What a beat noticed stands, even if the rest of it failed.
        self.store.erasures.answer().await;
        let roll = roll.inspect_err(|error| self.store.servers.note_down(error))?;
        failpoint!("heartbeat");
        if self.mourn(&roll) {
            self.vanished.notify_one();
        }
        Ok(())
    }

    /// The queues of which this node follows the structure of another one.
    fn followed(&self) -> Vec<String> {
        let mut queues = self.store.queues.all();
        queues.retain(|queue| queue.structure().is_some_and(|structure| !structure.is_own));
        queues.iter().map(|queue| queue.policy.name.to_string()).collect()
    }

    /// Whether a node is gone that was not before: one that left, or one that never beat again, even
    /// if it died before we had seen it alive.
    fn mourn(&mut self, roll: &RollCall) -> bool {
        let living = roll.living.iter().cloned().collect();
        let gone: HashSet<String> = roll.gone.iter().cloned().collect();
        let left = self.living.difference(&living).next().is_some();
        let died = gone.difference(&self.gone).next().is_some();
        (self.living, self.gone) = (living, gone);
        left || died
    }

    fn wake_all(&self) {
        self.store.schedules.wake();
        for queue in self.store.queues.all() {
            queue.ready.notify_one();
            for shard in &queue.shards {
                shard.due.notify_one();
                shard.expiry.notify_one();
            }
        }
    }
}
