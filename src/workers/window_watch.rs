//! Notes when the window of a queue closes, for those who ask later what a message waited for.
//!
//! Every node notes it, and the same moment, so that one of them is enough. Refuses to decide by it: senders ask the gates.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::domain::gates::{GateState, Snapshot, gates};
use crate::domain::time::MOMENT_MS_MAX;
use crate::engine::Pulse;
use crate::engine::cadence::{self, Next, Pass};
use crate::store::{Queue, Store, StoreError, WindowTurn};

/// Where a window that is closed when the watch begins is looked back for its close.
const LOOK_BACK_MS: u64 = 40 * 24 * 3600 * 1000;
/// So long after a window has turned it surely has, ms: no node looks a moment too early.
const AFTER_MS: u64 = 10;

/// The watch over the window of one queue on this node.
#[derive(Debug)]
pub(super) struct WindowWatch {
    pub(super) store: Store,
    pub(super) queue: Arc<Queue>,
    /// How it was found last; `None`: it was not looked at.
    pub(super) found: Option<WindowTurn>,
}

impl WindowWatch {
    /// The loop.
    pub(super) async fn run(self, stop: CancellationToken, pulse: Pulse) {
        cadence::run(&stop, pulse, self).await;
    }

    /// When a window that is closed now did so.
    fn closed_since_ms(&self, now_ms: u64) -> u64 {
        let from_ms = now_ms.saturating_sub(LOOK_BACK_MS);
        let openings = self.queue.policy.window.as_ref().map(|it| it.openings(from_ms, now_ms));
        let last = openings.and_then(|openings| openings.last().copied());
        last.and_then(|(_, close_ms)| close_ms).unwrap_or(from_ms).min(now_ms)
    }
}

impl Pass for WindowWatch {
    async fn run_once(&mut self) -> Result<Next, StoreError> {
        let now_ms = self.store.clock().require_ms()?;
        let state = gates(&self.queue.policy, &Snapshot::default(), Some(now_ms)).latest();
        let (turn, next_ms) = match state {
            GateState::Open { before_ms } => (WindowTurn::Open, before_ms),
            GateState::Held { until_ms, .. } => {
                let since_ms = self.closed_since_ms(now_ms);
                let turn =
                    WindowTurn::Closed { since_ms, until_ms: until_ms.unwrap_or(MOMENT_MS_MAX) };
                (turn, until_ms)
            }
        };
        // A close that was noted ends by itself: an opening is only news where this node begins.
        let is_news = match turn {
            WindowTurn::Open => self.found.is_none(),
            WindowTurn::Closed { .. } => self.found != Some(turn),
        };
        if is_news {
            self.store.queues.window_turned(&self.queue, turn).await?;
        }
        self.found = Some(turn);
        Ok(next_ms.map_or(Next::Woken, |at_ms| {
            Next::In(Duration::from_millis(at_ms.saturating_sub(now_ms) + AFTER_MS))
        }))
    }
}
