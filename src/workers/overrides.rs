//! Watches which overrides hold, on behalf of whoever puts policies in force on this node.
//!
//! Looks once a second whether anything has changed, and exactly at the moments at which an override ends by itself. Refuses to
//! know what an override makes of a policy.

use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::domain::overrides::Override;
use crate::engine::Pulse;
use crate::engine::cadence::{self, Next, Pass};
use crate::store::{KeptOverrides, Store, StoreError};

/// About the time between two looks. An override holds on every node within a second.
const EVERY: Duration = Duration::from_millis(700);

/// The watch.
#[derive(Debug)]
pub struct OverrideWatch {
    store: Store,
    kept: KeptOverrides,
    /// The ids of those that held at the last look.
    holding: Vec<String>,
    seen: watch::Sender<Vec<Override>>,
}

impl Pass for OverrideWatch {
    const FAILED_PAUSE: Duration = EVERY;

    async fn run_once(&mut self) -> Result<Next, StoreError> {
        let is_changed = self.store.overrides.version().await? != self.kept.version;
        if is_changed {
            self.kept = self.store.overrides.read().await?;
        }
        let now_ms = self.store.clock().require_ms()?;
        let holding: Vec<String> = self.holding_at(now_ms).map(|it| it.id.clone()).collect();
        for it in self.kept.all.iter().filter(|it| !holding.contains(&it.id)) {
            if self.holding.contains(&it.id) {
                tracing::info!(queue = %it.queue, id = it.id, kind = %it.change.kind(), "an override has ended");
            }
        }
        if is_changed || holding != self.holding {
            self.holding = holding;
            self.seen.send_replace(self.kept.all.clone());
        }
        let next_end_ms = self.holding_at(now_ms).map(Override::end_ms).min();
        let next_end = next_end_ms.map(|at_ms| Duration::from_millis(at_ms.saturating_sub(now_ms)));
        Ok(Next::In(next_end.map_or(EVERY, |next_end| next_end.min(EVERY))))
    }

    async fn woken(&mut self) {
        self.store.overrides.changed().await;
    }
}

impl OverrideWatch {
    /// A watch that goes on from what was read at the start; and where it tells what it sees.
    #[must_use]
    pub fn new(
        store: Store,
        kept: KeptOverrides,
        now_ms: u64,
    ) -> (Self, watch::Receiver<Vec<Override>>) {
        let (seen, receiver) = watch::channel(kept.all.clone());
        let mut watch = Self { store, kept, holding: Vec::new(), seen };
        watch.holding = watch.holding_at(now_ms).map(|it| it.id.clone()).collect();
        (watch, receiver)
    }

    /// The loop.
    pub async fn run(self, stop: CancellationToken, pulse: Pulse) {
        cadence::run(&stop, pulse, self).await;
    }

    fn holding_at(&self, now_ms: u64) -> impl Iterator<Item = &Override> {
        self.kept.all.iter().filter(move |it| it.holds_at(now_ms))
    }
}
