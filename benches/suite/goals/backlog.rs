//! A backlog that comes due at one instant.

use std::ops::Range;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::kit::daemon::Daemon;
use crate::kit::meter::{Cost, Meter};
use crate::kit::pause;
use crate::kit::redis::Server;

/// Between the end of the intake and the due time, at least.
const EARLY_MS: u64 = 300;
const TRIES: u32 = 4;

/// Taken in, not yet due.
pub(super) struct Backlog {
    pub(super) daemon: Daemon,
    pub(super) due_ms: u64,
    /// Of each message's way in.
    pub(super) intake: Cost,
}

impl Backlog {
    /// Starts a daemon and fills its queue `bench`, with a due time that is far enough away for this machine.
    pub(super) async fn take_in(
        server: &mut Server,
        queues: &str,
        messages: usize,
    ) -> Result<Self> {
        Self::take_in_keyed(server, queues, messages, 0..0).await
    }

    /// The same of messages that have a label `k` with these values by turns.
    pub(super) async fn take_in_keyed(
        server: &mut Server,
        queues: &str,
        messages: usize,
        keys: Range<usize>,
    ) -> Result<Self> {
        // At 50,000 messages a second, then slower.
        let mut lead_ms = EARLY_MS * 2 + messages as u64 / 50;
        for _ in 0..TRIES {
            let daemon = Daemon::start(server, queues).await?;
            let before = Meter::read(server, &daemon).await?;
            let due_ms = server.now_ms().await? + lead_ms;
            daemon.fill_keyed(messages, (due_ms, 0), keys.clone()).await?;
            let intake = before.cost(server, &daemon, messages).await?;
            if server.now_ms().await? + EARLY_MS < due_ms {
                return Ok(Self { daemon, due_ms, intake });
            }
            drop(daemon);
            server.clear().await?;
            lead_ms *= 4;
        }
        bail!("{messages} messages were not taken in within {} ms", lead_ms / 4)
    }

    /// Waits for the due time.
    pub(super) async fn until_due(&self, server: &mut Server) -> Result<()> {
        let left_ms = self.due_ms.saturating_sub(server.now_ms().await?);
        pause(Duration::from_millis(left_ms)).await;
        Ok(())
    }
}
