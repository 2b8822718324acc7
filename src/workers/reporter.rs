//! Logs once a second what has happened to single messages and is due to be logged.
//!
//! Owns the rhythm, and that nothing is left out when the node stops. Refuses to know the words (see
//! `telemetry::Digest`).

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::store::Store;

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

    /// The loop.
    pub async fn run(self, stop: CancellationToken) {
        let digest = &self.store.metrics().digest;
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(EVERY) => {
                    digest.log(Instant::now());
                    self.store.log_restart(Instant::now());
                }
            }
        }
        digest.log_rest(Instant::now());
    }
}
