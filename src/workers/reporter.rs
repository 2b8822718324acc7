//! Logs once a second what has happened to single messages and is due to be logged.
//!
//! Owns the rhythm, and that nothing is left out when the node stops. Refuses to know the words (see
//! `telemetry::Digest`).

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::engine::Pulse;
use crate::engine::cadence::{self, Next, Pass};
use crate::store::{Store, StoreError};

/// How often it looks: a burst of dead letters is one line.
const EVERY: Duration = Duration::from_secs(1);

/// The reporter of this node.
#[derive(Debug)]
pub struct Reporter {
    store: Store,
}

impl Reporter {
    /// A reporter of what the loops on this store note.
    #[must_use]
    pub const fn new(store: Store) -> Self {
        Self { store }
    }

    /// The loop; logs the rest when it ends.
    pub async fn run(self, stop: CancellationToken, pulse: Pulse) {
        let ended = cadence::run(&stop, pulse, self).await;
        ended.store.metrics().digest.log_rest(Instant::now());
    }
}

impl Pass for Reporter {
    async fn run_once(&mut self) -> Result<Next, StoreError> {
        self.store.metrics().digest.log(Instant::now());
        self.store.servers.log_restart(Instant::now());
        Ok(Next::In(EVERY))
    }
}
