//! Recovery on a run of a server that this node did not know before, after a restart or a failover; and data
//! that was taken away while the same run went on (see `erasure`).
//!
//! Owns the recovery of a shard, before anything is scheduled or claimed there, and the review that
//! follows: which accepted messages are gone, which delivered ones wait again. A node
//! knows only what it acknowledged itself; other nodes report theirs. Refuses to mend: what is lost is lost, and its
//! producer sends it again under the same key.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use redis::RedisResult;
use ulid::Ulid;

use super::acknowledgements::Acknowledged;
use super::reviews::Reviews;
use crate::domain::id::{MessageId, QueueName};
use crate::domain::loss::LossCause;
use crate::store::queue::{Queue, Shard, queue_label};
use crate::store::redis::connect::timed_out;
use crate::store::redis::link::{Link, Standing};
use crate::store::redis::reply::Reply;
use crate::store::redis::script::arg;
use crate::store::redis::script::{Call, call, fields, rows};
use crate::store::wire::Wire;
use crate::store::{HORIZON_US, StoreError};

/// Ids asked about in one call.
const PAGE: usize = 500;
/// Rollbacks that are kept for reading; each has at most as many ids as a node remembers.
const KEPT: usize = 64;
/// Ids in one line of the log.
const LOGGED: usize = 20;
/// Looks at a server that does not answer, a second apart, before the review is given up.
const TRIES: u32 = 60;
/// A message that was accepted no longer ago than this is not gone by its retention.
const YOUNG_MS: u64 = 600_000;

/// Why what this node has told others may not hold any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RollbackCause {
    /// Another run of a server serves: after a restart or a failover.
    NewRun,
    /// The data was deleted or replaced while the same run went on.
    Erased {
        /// Until when all was as it had been, ms by Redis.
        intact_ms: u64,
    },
}

impl RollbackCause {
    /// What kind of cause it is.
    #[must_use]
    pub const fn kind(self) -> LossCause {
        match self {
            Self::NewRun => LossCause::Restart,
            Self::Erased { .. } => LossCause::Erased,
        }
    }
}

/// What Redis does not know any more of what this node had told others.
#[derive(Debug, Clone)]
pub struct Rollback {
    /// When the server was first met, or the loss was noticed, ms by Redis.
    pub at_ms: u64,
    /// How it came about.
    pub cause: RollbackCause,
    /// The queue.
    pub queue: QueueName,
    /// Which of its shards.
    pub shard: u16,
    /// Accepted, and gone.
    pub lost: Vec<MessageId>,
    /// Delivered, and waiting again: they will be sent once more.
    pub again: Vec<MessageId>,
}

/// The rollbacks that this node has seen, the newest last.
#[derive(Debug, Default)]
pub(in crate::store) struct Rollbacks {
    // A plain mutex: held to push and to copy, never across an await.
    seen: Mutex<VecDeque<Rollback>>,
    /// What the reviews find, for one line on all of them.
    pub(in crate::store) reviews: Reviews,
}

/// What a shard answers to `recover`.
struct Known {
    sequence: u64,
    met_ms: u64,
    /// Of the ids asked about; empty: gone.
    states: Vec<String>,
}

impl Rollbacks {
    /// The newest last.
    pub(in crate::store) fn all(&self) -> Vec<Rollback> {
        self.seen.lock().iter().cloned().collect()
    }
}

impl Wire {
    /// Which run of which server this shard is served by; 0: not known yet.
    fn run_of(&self, standing: &Standing, shard: &Shard) -> u64 {
        match standing.run() {
            0 => self.health().run(&shard.keys.all[0]),
            run => run,
        }
    }

    /// Sees to it that the shard is recovered on the server that this connection leads to.
    pub(in crate::store) async fn meet_server(
        &self,
        link: &Link,
        standing: &Arc<Standing>,
        shard: &Shard,
    ) -> RedisResult<()> {
        let run = self.run_of(standing, shard);
        if run == 0 || shard.met() == run {
            return Ok(());
        }
        let turn = shard.meeting.turn().await.ok_or_else(timed_out)?;
        let before = shard.met();
        if before == run {
            return Ok(());
        }
        let call = self.recover_call(run, before != 0, shard, &[]);
        let recovered = self.run(link, standing, shard.into(), &call, &[]).await;
        if recovered.is_ok() {
            shard.meet(run);
        }
        turn.end(recovered)?;
        if before != 0 {
            self.spawn_review(shard, RollbackCause::NewRun);
        }
        Ok(())
    }

    fn recover_call(&self, run: u64, knew_another: bool, shard: &Shard, ulids: &[Ulid]) -> Call {
        // Before Redis has told the time this node has started nothing.
        let (limit_lines, shares) = match self.clock().now_ms() {
            Some(now_ms) => (shard.limits().lines(now_ms), shard.limits().shares(now_ms)),
            None => (shard.limits().rate_lines().into(), String::new()),
        };
        let rows = ulids.iter().map(|ulid| [arg(ulid)]);
        call!(
            Recover,
            run = arg(run),
            knew_another = knew_another,
            node = self.node().as_str(),
            horizon_us = HORIZON_US,
            limit_lines = &*limit_lines,
            shares = shares,
            ..rows
        )
    }

    /// Recovers a shard that this node had recovered on the same run, and that is empty by now.
    pub(in crate::store) async fn recover_again(&self, shard: &Shard) -> Result<(), StoreError> {
        let failed = |error: redis::RedisError| StoreError::from_redis(&error);
        let link = &self.scripts;
        let standing = link.stand().await.map_err(failed)?;
        let turn = shard.meeting.turn().await.ok_or_else(|| failed(timed_out()))?;
        let run = self.run_of(&standing, shard);
        if run == 0 {
            return Err(StoreError::Unavailable("this run of Redis is not known yet".to_owned()));
        }
        let call = self.recover_call(run, true, shard, &[]);
        let recovered = self.run(link, &standing, shard.into(), &call, &[]).await;
        turn.end(recovered).map(drop).map_err(failed)
    }

    /// Recovers the shards that this node has used, wherever another run serves by now.
    pub(in crate::store) async fn meet_servers(&self) {
        for shard in self.met_shards() {
            let run = self.health().run(&shard.keys.all[0]);
            if run != 0 && run != shard.met() {
                let link = &self.scripts;
                let met = async { self.meet_server(link, &link.stand().await?, &shard).await };
                if let Err(error) = met.await {
                    tracing::debug!(%error, shard = shard.keys.tag, "not recovered yet");
                }
            }
        }
    }

    pub(in crate::store) fn spawn_review(&self, shard: &Shard, cause: RollbackCause) {
        let Some((name, number)) = self.read_tag(&shard.keys.tag) else { return };
        let store = self.clone();
        // That Redis was emptied is said for all shards together, see `erasure`.
        let is_restart = cause == RollbackCause::NewRun;
        let review = is_restart.then(|| self.rollbacks.reviews.begin());
        self.tasks.spawn("review", async move {
            let _review = review;
            let Ok(queue) = store.queue(&name) else { return };
            let Some(shard) = queue.shards.get(number).cloned() else { return };
            for _ in 0..TRIES {
                match store.review(&queue, &shard, cause).await {
                    Ok(()) => return,
                    Err(error) => tracing::debug!(%error, "the review waits"),
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            tracing::error!(
                shard = shard.keys.tag,
                "whether messages were lost could not be found out"
            );
        });
    }

    /// Compares what this node has acknowledged with what the shard knows.
    async fn review(
        &self,
        queue: &Queue,
        shard: &Shard,
        cause: RollbackCause,
    ) -> Result<(), StoreError> {
        let now_ms = self.time_ms().await?;
        let (accepted, delivered) = self.acknowledgements.of(shard.mark());
        let ulids: Vec<Ulid> = accepted.iter().map(|message| message.ulid).collect();
        let known = self.ask(shard, &ulids).await?;
        // Its downstream has it: nobody need send it again.
        let arrived: HashSet<Ulid> = delivered.iter().copied().collect();
        let lost: Vec<Ulid> = accepted
            .iter()
            .zip(&known.states)
            .filter(|(message, state)| {
                state.is_empty()
                    && !arrived.contains(&message.ulid)
                    && self.is_lost(queue, message, &known, (cause, now_ms))
            })
            .map(|(message, _)| message.ulid)
            .collect();
        let states = self.ask(shard, &delivered).await?.states;
        let waits = |state: &str| matches!(state, "w" | "L" | "U" | "A");
        let again: Vec<Ulid> = delivered
            .iter()
            .zip(&states)
            .filter(|(_, state)| waits(state))
            .map(|(ulid, _)| *ulid)
            .collect();
        self.acknowledgements.forget(&lost, &again);
        let at_ms = match cause {
            RollbackCause::NewRun => known.met_ms,
            RollbackCause::Erased { .. } => now_ms,
        };
        self.report(queue, shard, (at_ms, cause), &lost, &again);
        Ok(())
    }

    /// Whether an acknowledged message that is gone was lost, not deleted in its time.
    fn is_lost(
        &self,
        queue: &Queue,
        message: &Acknowledged,
        known: &Known,
        (cause, now_ms): (RollbackCause, u64),
    ) -> bool {
        // A shard that was emptied was recovered after that, and counts from the beginning since.
        let is_counted_anew = match cause {
            RollbackCause::NewRun => true,
            RollbackCause::Erased { intact_ms } => known.met_ms >= intact_ms,
        };
        if is_counted_anew && message.sequence > known.sequence {
            return true;
        }
        // In a cluster another node may have scheduled before the new master was met; and what came in
        // after a shard was emptied, and before it was recovered, has the numbers of what came before.
        let is_certain =
            message.sequence > 0 && cause == RollbackCause::NewRun && !self.target.is_cluster();
        let age_ms = now_ms.saturating_sub(message.ulid.timestamp_ms());
        let kept = &queue.policy.retention;
        let is_kept = kept.delivered_ms >= YOUNG_MS && !kept.is_limited();
        !is_certain && age_ms < YOUNG_MS && is_kept
    }

    async fn ask(&self, shard: &Shard, ulids: &[Ulid]) -> Result<Known, StoreError> {
        let mut known = Known { sequence: 0, met_ms: 0, states: Vec::with_capacity(ulids.len()) };
        let mut pages: Vec<&[Ulid]> = ulids.chunks(PAGE).collect();
        if pages.is_empty() {
            pages.push(&[]);
        }
        let failed = |error: redis::RedisError| StoreError::from_redis(&error);
        for page in pages {
            let link = &self.scripts;
            let standing = link.stand().await.map_err(failed)?;
            let run = self.run_of(&standing, shard);
            let knew_another = shard.met() != 0 && shard.met() != run;
            let call = self.recover_call(run, knew_another, shard, page);
            let asked = self.run(link, &standing, shard.into(), &call, &[]).await;
            let mut reply: Reply = asked.map_err(failed)?.0;
            fields!(reply as Recover; sequence: u64, met_ms: u64);
            (known.sequence, known.met_ms) = (sequence, met_ms);
            rows!(reply as Recover);
            for _ in page {
                fields!(row of reply as Recover; state: String);
                known.states.push(state);
            }
        }
        Ok(known)
    }

    fn report(
        &self,
        queue: &Queue,
        shard: &Shard,
        (at_ms, cause): (u64, RollbackCause),
        lost: &[Ulid],
        again: &[Ulid],
    ) {
        let name = &queue.policy.name;
        if cause == RollbackCause::NewRun {
            self.rollbacks.reviews.found(lost.is_empty() && again.is_empty());
        }
        if lost.is_empty() && again.is_empty() {
            return;
        }
        let ids = |ulids: &[Ulid]| -> Vec<MessageId> {
            ulids.iter().map(|ulid| MessageId { queue: name.clone(), ulid: *ulid }).collect()
        };
        let some = |ids: &[MessageId]| {
            let shown: Vec<String> = ids.iter().take(LOGGED).map(MessageId::to_string).collect();
            shown.join(" ")
        };
        let rollback = Rollback {
            at_ms,
            cause,
            queue: name.clone(),
            shard: shard.number,
            lost: ids(lost),
            again: ids(again),
        };
        tracing::error!(
            queue = %name,
            shard = shard.number,
            cause = cause.kind().as_str(),
            lost = lost.len(),
            sent_again = again.len(),
            lost_ids = some(&rollback.lost),
            sent_again_ids = some(&rollback.again),
            "rollback: Redis is without messages that it had confirmed; GET /v1/rollbacks lists all ids"
        );
        let label = queue_label(queue);
        let metrics = self.metrics();
        metrics.queue.rollbacks.get_or_create(&label).inc();
        metrics.queue.rollback_lost.get_or_create(&label).inc_by(lost.len() as u64);
        metrics.queue.rollback_sent_again.get_or_create(&label).inc_by(again.len() as u64);
        let mut seen = self.rollbacks.seen.lock();
        if seen.len() == KEPT {
            seen.pop_front();
        }
        seen.push_back(rollback);
    }
}
