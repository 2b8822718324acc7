//! What Redis holds is deleted, or replaced by other data, while the same run of it goes on: FLUSHALL,
//! FLUSHDB, SWAPDB, a restore, a DEL by hand.
//!
//! Owns the mark that shows it: each beat of this node writes its number beside what the node says of
//! itself, and reads what the beat before wrote. A number that is gone or lower than it was means that the
//! data is not what it was. It is said once, counted, and what this node has acknowledged is compared
//! with what is left (see `rollback`). Refuses to bring anything back but what the configuration says.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use redis::Value;
use tokio::time::Instant;

use super::rollback::RollbackCause;
use crate::store::StoreError;
use crate::store::queue::Shard;
use crate::store::wire::Wire;

/// Other nodes take one that was not seen for five minutes off the list, and its mark with it: by then a
/// mark that is gone means nothing.
const JUDGED_WITHIN: Duration = Duration::from_secs(60);

/// A beat that Redis has confirmed.
#[derive(Debug, Clone, Copy)]
struct ConfirmedBeat {
    number: u64,
    /// Which run of which server took it; see `Seen::run`.
    run: u64,
    at: Instant,
    /// The same by Redis.
    at_ms: u64,
}

/// What this node knows of its mark.
#[derive(Debug, Default)]
pub(in crate::store) struct Mark {
    // A plain mutex: held for a comparison, never across an await.
    last: Mutex<Option<ConfirmedBeat>>,
    /// The version of the records was not there any more when it was last looked for.
    is_schema_gone: AtomicBool,
    /// Until when all was as it had been, ms by Redis, if that was taken away and nothing has been done about it.
    unanswered: Mutex<Option<u64>>,
}

impl Mark {
    /// The number of the next beat.
    pub(in crate::store) fn next(&self) -> u64 {
        self.lock().map_or(0, |beat| beat.number) + 1
    }

    pub(in crate::store) fn note_schema_gone(&self) {
        self.is_schema_gone.store(true, Ordering::Release);
    }

    /// Until when all was as it had been, once for each time that it was taken away.
    pub(in crate::store) fn take_unanswered(&self) -> Option<u64> {
        self.unanswered.lock().take()
    }

    /// Takes a confirmed beat, before which this number was found. Returns until when, ms by Redis, all
    /// was as it had been, if it is not any more.
    fn judge(&self, found: Option<u64>, number: u64, run: u64, now: (Instant, u64)) -> Option<u64> {
        let is_schema_gone = self.is_schema_gone.swap(false, Ordering::AcqRel);
        let (at, at_ms) = now;
        let before = self.lock().replace(ConfirmedBeat { number, run, at, at_ms })?;
        // Another run is held against what this node knows in any case.
        let is_comparable =
            before.run == run && at.saturating_duration_since(before.at) < JUDGED_WITHIN;
        let is_mark_gone = found.is_none_or(|found| found < before.number);
        (is_comparable && (is_mark_gone || is_schema_gone)).then_some(before.at_ms)
    }

    fn lock(&self) -> parking_lot::MutexGuard<'_, Option<ConfirmedBeat>> {
        self.last.lock()
    }
}

impl Wire {
    /// Compares what the beat before wrote with what this one found. What follows from it is for
    /// [`Mark::take_unanswered`].
    ///
    /// # Errors
    /// [`StoreError::TimeUnknown`].
    pub(in crate::store) fn judge_mark(
        &self,
        found: Option<u64>,
        number: u64,
        key: &str,
    ) -> Result<(), StoreError> {
        let now = (Instant::now(), self.clock().require_ms()?);
        let run = self.health().run(key);
        let Some(intact_ms) = self.mark.judge(found, number, run, now) else { return Ok(()) };
        self.metrics().store.store_erased.inc();
        tracing::error!(
            "the data in Redis was deleted or replaced while Redis ran (FLUSHALL, FLUSHDB, SWAPDB, DEL or a restore); \
             GET /v1/rollbacks lists the ids that this node knows to be missing; what else was there, pauses as \
             well, is gone with them"
        );
        self.mark.unanswered.lock().get_or_insert(intact_ms);
        Ok(())
    }

    /// Recovers every shard that this node has used, after all of it was taken away.
    pub(in crate::store) async fn recover_all_erased(&self, intact_ms: u64) {
        for shard in self.met_shards() {
            self.recover_erased(&shard, intact_ms).await;
        }
    }

    /// The same for one shard that was emptied beside others, as by FLUSHALL on one master of a cluster. `met` is what
    /// each of the shards had met before it was asked.
    pub(in crate::store) fn judge_shards(
        &self,
        shards: &[Arc<Shard>],
        met: &[u64],
        servers: Vec<Value>,
    ) {
        let now_ms = self.clock().now_ms();
        for ((shard, met), server) in shards.iter().zip(met).zip(servers) {
            if *met == 0 || *met != shard.met() || *met != self.health().run(&shard.keys.all[0]) {
                continue;
            }
            match server {
                Value::Nil => {
                    let (store, shard) = (self.clone(), Arc::clone(shard));
                    let intact_ms = shard.intact_ms();
                    self.tasks.spawn("erased", async move {
                        tracing::error!(
                            shard = shard.keys.tag,
                            "what Redis held of this shard was deleted while it ran"
                        );
                        store.metrics().store.store_erased.inc();
                        store.recover_erased(&shard, intact_ms).await;
                    });
                }
                Value::ServerError(_) => {}
                _ => {
                    if let Some(now_ms) = now_ms {
                        shard.was_intact(now_ms);
                    }
                }
            }
        }
    }

    async fn recover_erased(&self, shard: &Shard, intact_ms: u64) {
        match self.recover_again(shard).await {
            Ok(()) => self.spawn_review(shard, RollbackCause::Erased { intact_ms }),
            Err(error) => tracing::debug!(%error, shard = shard.keys.tag, "not recovered yet"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_mark_that_is_gone_or_older_is_noticed_once_and_a_new_run_is_none_of_this() {
        let (mark, start) = (Mark::default(), Instant::now());
        let after = |s: u64| (start + Duration::from_secs(s), 1000 * s);
        assert_eq!(mark.next(), 1);
        assert_eq!(mark.judge(None, 1, 7, after(0)), None, "the first beat");
        assert_eq!(mark.judge(Some(1), 2, 7, after(1)), None);
        assert_eq!(mark.judge(None, 3, 7, after(2)), Some(1000), "gone");
        assert_eq!(mark.judge(Some(3), 4, 7, after(3)), None);
        assert_eq!(mark.judge(Some(2), 5, 7, after(4)), Some(3000), "older");
        // The reply to a beat was lost: it was counted all the same.
        assert_eq!(mark.judge(Some(6), 6, 7, after(5)), None);
        assert_eq!(mark.judge(None, 7, 8, after(6)), None, "another run");
        assert_eq!(mark.judge(None, 8, 8, after(90)), None, "this node was away for long");
        mark.note_schema_gone();
        assert_eq!(mark.judge(Some(8), 9, 8, after(91)), Some(90_000));
    }
}
