//! The rounds of this node: one look at every shard now and then, on behalf of the loops that sleep
//! until they are woken.
//!
//! The fallback for wake-ups that got lost. Plain readings of what stands first, many shards in one
//! round trip; whoever should know of a change is woken, and only then a script runs.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::engine::Pulse;
use crate::engine::cadence::{self, Next, Pass};
use crate::store::{EarliestScores, Shard, Store, StoreError};

/// About the time between two rounds.
const EVERY: Duration = Duration::from_secs(12);

/// The rounds.
#[derive(Debug)]
pub struct Rounds {
    store: Store,
    /// What stood first at the last round, by shard; what is empty is left out.
    known: HashMap<String, EarliestScores>,
}

impl Pass for Rounds {
    const FAILED_PAUSE: Duration = EVERY;

    /// One round.
    async fn run_once(&mut self) -> Result<Next, StoreError> {
        if self.store.servers.health().is_up() {
            self.look().await?;
        }
        Ok(Next::about(EVERY))
    }
}

impl Rounds {
    /// Rounds of everything that is stored.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { store, known: HashMap::new() }
    }

    /// The loop.
    pub async fn run(self, stop: CancellationToken, pulse: Pulse) {
        cadence::run(&stop, pulse, self).await;
    }

    async fn look(&mut self) -> Result<(), StoreError> {
        let queues = self.store.queues.all();
        let shards: Vec<Arc<Shard>> = queues
            .iter()
            .filter(|queue| !queue.retired)
            .flat_map(|queue| queue.shards.iter().cloned())
            .collect();
        let heads = self.store.queues.heads(&shards).await?;
        let now_ms = self.store.clock().require_ms()?;
        let mut known = HashMap::new();
        for (shard, heads) in shards.iter().zip(heads) {
            let before = self.known.get(shard.tag()).copied().unwrap_or_default();
            let news = WakeUps::of(before, heads, now_ms);
            if news.due {
                shard.due.notify_one();
            }
            if news.expiry {
                shard.expiry.notify_one();
            }
            if news.ready {
                shard.wake_ready();
            }
            if heads != EarliestScores::default() {
                known.insert(shard.tag().to_owned(), heads);
            }
        }
        self.known = known;
        Ok(())
    }
}

/// Whom to wake.
#[derive(Debug, Default, PartialEq, Eq)]
struct WakeUps {
    due: bool,
    expiry: bool,
    ready: bool,
}

impl WakeUps {
    /// A loop that looked since the last round knows what stood first then. It is woken for what is
    /// new, and for what should have been done already.
    fn of(before: EarliestScores, now: EarliestScores, now_ms: u64) -> Self {
        Self {
            due: now.due != before.due || now.due.has_come(now_ms),
            expiry: now.expiry != before.expiry || now.expiry.has_come(now_ms),
            ready: now.is_ready,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Earliest;

    #[test]
    fn who_is_woken_has_something_to_do_or_to_learn() {
        let nobody = WakeUps::default();
        let waits =
            |at_ms| EarliestScores { due: Earliest::At(at_ms), ..EarliestScores::default() };
        let due = WakeUps { due: true, ..WakeUps::default() };
        assert_eq!(WakeUps::of(EarliestScores::default(), EarliestScores::default(), 1000), nobody);
        assert_eq!(
            WakeUps::of(EarliestScores::default(), waits(5000), 1000),
            due,
            "an earlier head"
        );
        assert_eq!(WakeUps::of(waits(5000), waits(5000), 1000), nobody, "known, and not due yet");
        assert_eq!(WakeUps::of(waits(5000), waits(5000), 5000), due, "nobody promoted it");
        assert_eq!(WakeUps::of(waits(5000), waits(9000), 1000), due, "the one before went");
        let unread = EarliestScores { due: Earliest::Unknown, ..EarliestScores::default() };
        assert_eq!(WakeUps::of(unread, unread, 1000), due, "who cannot tell has somebody look");
        let ready = EarliestScores { is_ready: true, ..EarliestScores::default() };
        assert_eq!(WakeUps::of(ready, ready, 1000), WakeUps { ready: true, ..WakeUps::default() });
        let expires = EarliestScores { expiry: Earliest::At(5000), ..EarliestScores::default() };
        assert_eq!(
            WakeUps::of(expires, expires, 6000),
            WakeUps { expiry: true, ..WakeUps::default() }
        );
    }
}
