//! Long work between the work of others.
//!
//! Owns how long a request may be judged item by item before other tasks get their turn: on a machine with
//! few cores one thread serves everything. Refuses to know what the items are.

use std::time::Duration;

use tokio::time::Instant;

/// How long a task works before others go first.
const SLICE: Duration = Duration::from_millis(1);

/// The time that a task has worked since others could go.
#[derive(Debug)]
pub(super) struct Pace {
    since: Instant,
}

impl Default for Pace {
    fn default() -> Self {
        Self { since: Instant::now() }
    }
}

impl Pace {
    /// To be called between items: lets other tasks go first, if this one has worked for long.
    pub(super) async fn step(&mut self) {
        if self.since.elapsed() >= SLICE {
            tokio::task::yield_now().await;
            self.since = Instant::now();
        }
    }
}
