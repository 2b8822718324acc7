//! What operators and producers do to messages that are there: cancel, reschedule, requeue, resolve, purge.

use bytes::Bytes;
use ulid::Ulid;

use super::Messages;
use crate::domain::id::{MessageId, QueueName};
use crate::domain::message::When;
use crate::domain::state::State;
use crate::store::StoreError;
use crate::store::queue::Queue;
use crate::store::record::state_of;
use crate::store::redis::script::{arg, when};
use crate::store::redis::script::{call, fields};
use crate::store::tail::Tail;

/// Messages that one script call cancels, requeues or purges.
const STEP_MAX: usize = 250;

/// What an operator's step on a message came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// Done.
    Done,
    /// It was so already.
    Already,
    /// No such message.
    NotFound,
    /// Its state does not allow it.
    WrongState(State),
    /// `expires_at` would not be after `due_at`.
    ExpiresBeforeDue,
    /// A prober came too late: somebody else has asked, planned or decided since.
    Late,
    /// A newer message of its collapse key waits or is on its way.
    Superseded,
}

/// The decision on an uncertain message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The downstream has it.
    Delivered,
    /// The downstream does not have it: send it again.
    Resend,
    /// Give it up.
    Dead,
}

/// What is to change on a waiting message.
#[derive(Debug, Clone, Default)]
pub struct Edit {
    /// Another due time.
    pub due: Option<When>,
    /// Another priority, 0 to 9.
    pub priority: Option<u8>,
    /// Another expiry; `Some(None)`: never.
    pub expires: Option<Option<When>>,
    /// Another payload (also while dead or uncertain).
    pub payload: Option<Bytes>,
}

/// What a code means, and the state before.
pub(in crate::store) fn changed(
    code: i64,
    before: &[u8],
    in_due: bool,
) -> Result<Changed, StoreError> {
    let letter = before.first().copied().unwrap_or(b'w');
    Ok(match code {
        0 => Changed::Done,
        1 => Changed::Already,
        2 => Changed::Late,
        3 => Changed::NotFound,
        5 => Changed::WrongState(state_of(letter, in_due)),
        6 => Changed::ExpiresBeforeDue,
        8 => Changed::Superseded,
        other => return Err(StoreError::Reply(format!("code {other}"))),
    })
}

impl Messages {
    /// scheduled, ready or uncertain → cancelled.
    ///
    /// # Errors
    /// [`StoreError::UnknownQueue`], [`StoreError::Unavailable`].
    pub async fn cancel(&self, id: &MessageId) -> Result<Changed, StoreError> {
        let queue = self.wire.queue(&id.queue)?;
        let keep_ms = queue.policy.retention.delivered_ms;
        let call = call!(Cancel, keep_ms = keep_ms, ..[[arg(id.ulid)]]);
        let mut reply = self.wire.call(queue.shard_of(id), &call).await?;
        fields!(row of reply as Cancel; code: i64, before: Bytes);
        let changed = changed(code, &before, true)?;
        self.count_changed(&queue, "cancel", changed);
        Ok(changed)
    }

    /// Another due time, priority, expiry or payload for a waiting message.
    ///
    /// # Errors
    /// As [`Self::cancel`].
    pub async fn reschedule(&self, id: &MessageId, edit: &Edit) -> Result<Changed, StoreError> {
        let queue = self.wire.queue(&id.queue)?;
        let shard = queue.shard_of(id);
        let ranks = edit.priority.map(|p| arg(format_args!("{p}{}", queue.policy.band(p))));
        let call = call!(
            Reschedule,
            ulid = arg(id.ulid),
            due_at = edit.due.map(when).unwrap_or_default(),
            ranks = ranks.unwrap_or_default(),
            expires_at = edit.expires.map(|e| e.map_or_else(|| arg(0), when)).unwrap_or_default(),
            with_payload = edit.payload.is_some(),
            payload = edit.payload.as_ref().map(|p| p.to_vec()).unwrap_or_default(),
        );
        let mut reply = self.wire.call(shard, &call).await?;
        fields!(reply as Reschedule; code: i64, before: Bytes, wake: u64);
        let changed = changed(code, &before, true)?;
        shard.wake(wake);
        shard.expiry.notify_one();
        self.count_changed(&queue, "reschedule", changed);
        Ok(changed)
    }

    /// dead, uncertain, expired or cancelled → ready, attempts start over.
    ///
    /// # Errors
    /// As [`Self::cancel`].
    pub async fn requeue(&self, id: &MessageId) -> Result<Changed, StoreError> {
        let queue = self.wire.queue(&id.queue)?;
        let shard = queue.shard_of(id);
        let call = call!(Requeue, cutoff_ms = None::<u64>, ..[[arg(id.ulid)]]);
        let mut reply = self.wire.call(shard, &call).await?;
        fields!(row of reply as Requeue; code: i64, before: Bytes);
        let changed = changed(code, &before, true)?;
        shard.wake(2);
        self.count_changed(&queue, "requeue", changed);
        Ok(changed)
    }

    /// The decision on an uncertain message.
    ///
    /// # Errors
    /// As [`Self::cancel`].
    pub async fn resolve(
        &self,
        id: &MessageId,
        decision: Decision,
        reason: Option<&str>,
    ) -> Result<Changed, StoreError> {
        let queue = self.wire.queue(&id.queue)?;
        let Some(message) = self.get(id).await? else { return Ok(Changed::NotFound) };
        let tail = Tail::decided(&message, reason, "operator").to_bytes();
        self.resolve_as(&queue, id, decision, tail, "").await
    }

    /// With the last words, and the fence of who decides; none: an operator.
    pub(in crate::store) async fn resolve_as(
        &self,
        queue: &Queue,
        id: &MessageId,
        decision: Decision,
        tail: Vec<u8>,
        fence: &str,
    ) -> Result<Changed, StoreError> {
        let shard = queue.shard_of(id);
        let (word, keep_ms) = match decision {
            Decision::Delivered => ("delivered", queue.policy.retention.delivered_ms),
            // Kept so where a newer message of its collapse key takes its place.
            Decision::Resend => ("resend", queue.policy.retention.delivered_ms),
            Decision::Dead => ("dead", queue.policy.retention.dead_ms),
        };
        let call = call!(
            Resolve,
            ulid = arg(id.ulid),
            decision = word,
            keep_ms = keep_ms,
            tail = tail,
            probe_token = fence,
        );
        let mut reply = self.wire.call(shard, &call).await?;
        fields!(reply as Resolve; code: i64, before: Bytes, is_superseded: bool);
        let changed = changed(code, &before, true)?;
        queue.metrics.superseded(u64::from(is_superseded));
        shard.wake(2);
        self.count_changed(queue, "resolve", changed);
        Ok(changed)
    }

    /// Requeues up to `most` messages that stand in a final state (or uncertain) since before this
    /// call; returns how many, and whether more may remain.
    ///
    /// # Errors
    /// As [`Self::cancel`].
    pub async fn requeue_all(
        &self,
        name: &QueueName,
        state: State,
        most: usize,
    ) -> Result<(u64, bool), StoreError> {
        let queue = self.wire.queue(name)?;
        // Without it, what dies again at once would be requeued again and again.
        let cutoff_ms = self.wire.read_time().await? / 1000;
        let mut requeued = 0;
        for shard in &queue.shards {
            loop {
                let left = most.saturating_sub(usize::try_from(requeued).unwrap_or(usize::MAX));
                if left == 0 {
                    return Ok((requeued, true));
                }
                // Requeued messages leave the list, so its first page is always the next one.
                let page = self.list_shard(shard, state, left.min(STEP_MAX), "").await?;
                if page.ulids.is_empty() {
                    break;
                }
                let rows = page.ulids.iter().map(|ulid| [arg(ulid)]);
                let call = call!(Requeue, cutoff_ms = Some(cutoff_ms), ..rows);
                let mut reply = self.wire.call(shard, &call).await?;
                let mut done = 0;
                while reply.len() > 0 {
                    fields!(row of reply as Requeue; code: i64, before: Bytes);
                    done += u64::from(changed(code, &before, true)? == Changed::Done);
                }
                shard.wake(2);
                queue.metrics.count("requeue", usize::try_from(done).unwrap_or(0));
                requeued += done;
                if done == 0 || page.next.is_empty() {
                    break;
                }
            }
        }
        Ok((requeued, false))
    }

    /// Empties a state, up to `most` messages that stand in it since before this call; returns how
    /// many, and whether more may remain.
    ///
    /// # Errors
    /// As [`Self::cancel`].
    pub async fn purge(
        &self,
        name: &QueueName,
        state: State,
        most: u64,
    ) -> Result<(u64, bool), StoreError> {
        let queue = self.wire.queue(name)?;
        let now_ms = self.wire.read_time().await? / 1000;
        let cutoff = match state {
            State::Scheduled | State::Ready => {
                Ulid::from_parts(now_ms, 0).to_string()[..10].to_owned()
            }
            _ => now_ms.to_string(),
        };
        let keep_ms = queue.policy.retention.delivered_ms;
        let mut sum = 0;
        for shard in &queue.shards {
            let mut cursor = String::new();
            loop {
                let call = call!(
                    Purge,
                    what = arg(state),
                    most = STEP_MAX,
                    cutoff = &cutoff,
                    keep_ms = keep_ms,
                    cursor = &cursor,
                );
                let mut reply = self.wire.call(shard, &call).await?;
                fields!(reply as Purge; purged: u64, has_more: bool, next_cursor: String);
                cursor = next_cursor;
                sum += purged;
                queue.metrics.count("purge", usize::try_from(purged).unwrap_or(0));
                if !has_more {
                    break;
                }
                if sum >= most {
                    return Ok((sum, true));
                }
            }
        }
        Ok((sum, false))
    }

    fn count_changed(&self, queue: &Queue, verb: &'static str, changed: Changed) {
        queue.metrics.count(verb, usize::from(changed == Changed::Done));
    }
}
