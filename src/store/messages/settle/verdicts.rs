//! The calls of the verbs that end attempts, and what their scripts say of each message.
//!
//! Owns the reading of verdicts, what is counted and who is woken. Refuses to know which verb an outcome asks for.

use bytes::Bytes;
use tokio::time::Instant;

use super::{VERDICT_COLLAPSES, Verdict};
use crate::store::messages::Messages;
use crate::store::queue::{Queue, Shard};
use crate::store::redis::reply::Reply;
use crate::store::redis::script::{Call, fields, rows};
use crate::store::{StoreError, Verb};

impl Messages {
    /// In a shard in which this node has met no collapse key the first call leaves messages that have one as they are.
    pub(super) async fn call_ack(
        &self,
        queue: &Queue,
        shard: &Shard,
        call: Call,
        count: usize,
    ) -> Result<Vec<Verdict>, StoreError> {
        let verdicts = self.call_settling_some(queue, shard, &call, count).await?;
        if verdicts.iter().all(Option::is_some) {
            return Ok(verdicts.into_iter().flatten().collect());
        }
        shard.collapse_keys.seen();
        // Those that are done already answer so, and count no second time.
        let others = self.call_settling(queue, shard, &call.collapsing(true), count).await?;
        let both = verdicts.into_iter().zip(others);
        Ok(both.map(|(verdict, other)| verdict.unwrap_or(other)).collect())
    }

    pub(in crate::store) async fn call_settling(
        &self,
        queue: &Queue,
        shard: &Shard,
        call: &Call,
        count: usize,
    ) -> Result<Vec<Verdict>, StoreError> {
        let verdicts = self.call_settling_some(queue, shard, call, count).await?;
        let all: Option<Vec<_>> = verdicts.into_iter().collect();
        all.ok_or_else(|| {
            StoreError::Reply(format!("{} left a message as it is", call.verb.as_str()))
        })
    }

    /// A verdict for each message; none for one with a collapse key that this form of the script does not know.
    async fn call_settling_some(
        &self,
        queue: &Queue,
        shard: &Shard,
        call: &Call,
        count: usize,
    ) -> Result<Vec<Option<Verdict>>, StoreError> {
        let verb = call.verb;
        let (mut reply, safe) = self.wire.call_settling(shard, call).await?;
        // All of these verbs answer alike, as a test holds.
        fields!(reply as Ack; reports: Bytes);
        rows!(reply as Ack);
        let verdicts = read_verdicts(&mut reply)?;
        if verdicts.len() != count {
            return Err(StoreError::Reply(format!(
                "{} answered {} of {count}",
                verb.as_str(),
                verdicts.len()
            )));
        }
        self.take_reports(queue, shard, &reports).await;
        count_settled(verb, queue, &verdicts);
        if matches!(verb, Verb::Release | Verb::Defer) {
            shard.stir();
        }
        // A call of a key has ended.
        shard.keys_hold().forget();
        queue.ready.notify_one();
        safe?;
        Ok(verdicts)
    }
}

pub(super) fn count_settled(verb: Verb, queue: &Queue, verdicts: &[Option<Verdict>]) {
    let is_done = |verdict: &&Verdict| matches!(verdict, Verdict::Ok | Verdict::Late);
    let done = verdicts.iter().flatten().filter(is_done).count();
    queue.metrics.count(verb.as_str(), done);
    let leaves = matches!(verb, Verb::Ack | Verb::Accept | Verb::Bury | Verb::Park);
    if leaves && queue.policy.backlog.is_some() {
        queue.outflow.note(done, Instant::now());
    }
}

pub(super) fn read_verdicts(reply: &mut Reply) -> Result<Vec<Option<Verdict>>, StoreError> {
    let mut verdicts = Vec::with_capacity(reply.len());
    while reply.len() > 0 {
        fields!(row of reply as Ack; verdict: u64);
        let known = Verdict::ALL.into_iter().find(|known| *known as u64 == verdict);
        if known.is_none() && verdict != VERDICT_COLLAPSES {
            return Err(StoreError::Reply(format!("verdict {verdict}")));
        }
        verdicts.push(known);
    }
    Ok(verdicts)
}
