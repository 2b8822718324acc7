//! The one loop of a node that reads changes, for all who listen here.
//!
//! While nobody does, it sleeps. Owns the cursors; refuses to know the listeners.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::reading::{Cursors, ReadWindow};
use super::{BATCH_CHANGES_MAX, Batch, Events};
use crate::domain::change::Change;
use crate::store::StoreError;
use crate::store::queue::{Queue, Shard};

/// Between two looks: one bare reading a shard.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How often shards hear that somebody listens still, and listeners how far they are, when nothing changes.
const SIGN_EVERY: Duration = Duration::from_secs(60);
const PROGRESS_EVERY: Duration = Duration::from_secs(5);
/// After a look that failed.
const PAUSE: Duration = Duration::from_millis(500);
/// Shards told at once that somebody listens.
const SIGNS_AT_ONCE: usize = 16;

/// Where the reading stands.
#[derive(Debug, Default)]
struct FollowState {
    cursors: Cursors,
    signed_at: Option<Instant>,
    told_at: Option<Instant>,
}

impl Events {
    /// Reads changes for those who listen, until `stop`; run by one task of the node.
    pub async fn tell_changes(&self, stop: &CancellationToken) {
        let mut reading = FollowState::default();
        while !stop.is_cancelled() {
            let (version, wanted) = self.listeners.wanted();
            let pause = if wanted.as_ref().is_some_and(BTreeSet::is_empty) {
                reading = FollowState::default();
                None
            } else {
                let shards = self.shards_of(wanted.as_ref());
                match self.look_for_changes(&shards, &mut reading).await {
                    Ok(more) => {
                        self.listeners.served.send_replace(version);
                        Some(if more { Duration::ZERO } else { LOOK_EVERY })
                    }
                    Err(error) => {
                        tracing::debug!(%error, "changes could not be read");
                        Some(PAUSE)
                    }
                }
            };
            let rest = async {
                match pause {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = rest => {}
                () = self.listeners.changed.notified() => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// One look at all of these shards; whether there is more.
    async fn look_for_changes(
        &self,
        shards: &[(Arc<Queue>, Arc<Shard>)],
        reading: &mut FollowState,
    ) -> Result<bool, StoreError> {
        let tags: HashSet<&str> = shards.iter().map(|(_, shard)| shard.tag()).collect();
        reading.cursors.retain(|tag, _| tags.contains(tag.as_str()));
        let now = Instant::now();
        let is_time = reading.signed_at.is_none_or(|at| now.duration_since(at) >= SIGN_EVERY);
        let to_sign: Vec<Arc<Shard>> = shards
            .iter()
            .filter(|(_, shard)| is_time || !reading.cursors.contains_key(shard.tag()))
            .map(|(_, shard)| Arc::clone(shard))
            .collect();
        let signed: Vec<(Arc<Shard>, u64)> = futures_util::stream::iter(to_sign)
            .map(async |shard| {
                let (now_ms, _) = self.listen_to(&shard, None).await?;
                Ok::<_, StoreError>((shard, now_ms))
            })
            .buffer_unordered(SIGNS_AT_ONCE)
            .try_collect()
            .await?;
        if is_time {
            reading.signed_at = Some(now);
        }
        for (shard, now_ms) in signed {
            // Of what was before, listeners read for themselves what they want of it.
            reading.cursors.entry(shard.tag().to_owned()).or_insert_with(|| now_ms.to_string());
        }
        let ReadWindow { changes, until_ms, more } =
            self.changes_since(shards, &mut reading.cursors).await?;
        let is_due = reading.told_at.is_none_or(|at| now.duration_since(at) >= PROGRESS_EVERY);
        if !changes.is_empty() || is_due {
            reading.told_at = Some(now);
            self.fill_ring(changes, until_ms);
        }
        Ok(more)
    }

    fn fill_ring(&self, mut changes: Vec<Change>, until_ms: u64) {
        while changes.len() > BATCH_CHANGES_MAX {
            let rest = changes.split_off(BATCH_CHANGES_MAX);
            // Complete only up to where it ends.
            let reached_ms = changes.last().map_or(0, |change| change.at.ms).min(until_ms);
            let batch = Batch { changes, until_ms: reached_ms };
            // Nobody may be there any more.
            let _nobody = self.listeners.ring.send(Arc::new(batch));
            changes = rest;
        }
        let _nobody = self.listeners.ring.send(Arc::new(Batch { changes, until_ms }));
    }
}
