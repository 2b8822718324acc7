//! What operators and producers do to messages that are there: cancel, reschedule, requeue, resolve,
//! purge; and to queues: pause, resume.

use bytes::Bytes;
use tokio::time::Instant;
use ulid::Ulid;

use super::queue::Queue;
use super::record::state_of;
use super::reply::Reply;
use super::tail::Tail;
use super::{Store, StoreError, Verb, arg, keys, when};
use crate::domain::id::{MessageId, QueueName};
use crate::domain::message::When;
use crate::domain::state::State;

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

pub(super) fn changed(reply: &mut Reply, in_due: bool) -> Result<Changed, StoreError> {
    let code = reply.int()?;
    let before = reply.bytes()?;
    let letter = before.first().copied().unwrap_or(b'w');
    Ok(match code {
        0 => Changed::Done,
        1 => Changed::Already,
        2 => Changed::Late,
        3 => Changed::NotFound,
        5 => Changed::WrongState(state_of(letter, in_due)),
        6 => Changed::ExpiresBeforeDue,
        other => return Err(StoreError::Reply(format!("code {other}"))),
    })
}

impl Store {
    /// scheduled, ready or uncertain → cancelled.
    ///
    /// # Errors
    /// [`StoreError::UnknownQueue`], [`StoreError::Unavailable`].
    pub async fn cancel(&self, id: &MessageId) -> Result<Changed, StoreError> {
        let queue = self.queue(&id.queue)?;
        let args = [arg(queue.policy.retention.delivered_ms), arg(id.ulid)];
        let mut reply = self.call(Verb::Cancel, queue.shard_of(id), &args).await?;
        let changed = changed(&mut reply, true)?;
        self.count_changed(&queue, "cancel", changed);
        Ok(changed)
    }

    /// Another due time, priority, expiry or payload for a waiting message.
    ///
    /// # Errors
    /// As [`Self::cancel`].
    pub async fn reschedule(&self, id: &MessageId, edit: &Edit) -> Result<Changed, StoreError> {
        let queue = self.queue(&id.queue)?;
        let shard = queue.shard_of(id);
        let ranks = edit.priority.map(|p| arg(format_args!("{p}{}", queue.policy.band(p))));
        let args = [
            arg(id.ulid),
            edit.due.map(when).unwrap_or_default(),
            ranks.unwrap_or_default(),
            edit.expires.map(|e| e.map_or_else(|| arg(0), when)).unwrap_or_default(),
            arg(u8::from(edit.payload.is_some())),
            edit.payload.as_ref().map(|p| p.to_vec()).unwrap_or_default(),
        ];
        let mut reply = self.call(Verb::Reschedule, shard, &args).await?;
        let changed = changed(&mut reply, true)?;
        shard.wake(reply.count()?);
        shard.expiry.notify_one();
        self.count_changed(&queue, "reschedule", changed);
        Ok(changed)
    }

    /// dead, uncertain, expired or cancelled → ready, attempts start over.
    ///
    /// # Errors
    /// As [`Self::cancel`].
    pub async fn requeue(&self, id: &MessageId) -> Result<Changed, StoreError> {
        let queue = self.queue(&id.queue)?;
        let shard = queue.shard_of(id);
        let mut reply = self.call(Verb::Requeue, shard, &[Vec::new(), arg(id.ulid)]).await?;
        let changed = changed(&mut reply, true)?;
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
        let queue = self.queue(&id.queue)?;
        let Some(message) = self.get(id).await? else { return Ok(Changed::NotFound) };
        let tail = Tail::decided(&message, reason, "operator").to_bytes();
        self.resolve_as(&queue, id, decision, tail, "").await
    }

    /// With the last words, and the fence of who decides; none: an operator.
    pub(super) async fn resolve_as(
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
            Decision::Resend => ("resend", 0),
            Decision::Dead => ("dead", queue.policy.retention.dead_ms),
        };
        let args = [arg(id.ulid), arg(word), arg(keep_ms), tail, arg(fence)];
        let mut reply = self.call(Verb::Resolve, shard, &args).await?;
        let changed = changed(&mut reply, true)?;
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
        let queue = self.queue(name)?;
        // Without it, what dies again at once would be requeued again and again.
        let cutoff_ms = self.read_time().await? / 1000;
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
                let mut args = vec![arg(cutoff_ms)];
                args.extend(page.ulids.iter().map(arg));
                let mut reply = self.call(Verb::Requeue, shard, &args).await?;
                let mut done = 0;
                while reply.len() > 0 {
                    done += u64::from(changed(&mut reply, true)? == Changed::Done);
                }
                shard.wake(2);
                self.metrics().count(name.as_str(), "requeue", usize::try_from(done).unwrap_or(0));
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
        let queue = self.queue(name)?;
        let now_ms = self.read_time().await? / 1000;
        let cutoff = match state {
            State::Scheduled | State::Ready => {
                Ulid::from_parts(now_ms, 0).to_string()[..10].to_owned()
            }
            _ => now_ms.to_string(),
        };
        let args =
            [arg(state), arg(STEP_MAX), arg(cutoff), arg(queue.policy.retention.delivered_ms)];
        let mut purged = 0;
        for shard in &queue.shards {
            loop {
                let mut reply = self.call(Verb::Purge, shard, &args).await?;
                let step = reply.count()?;
                let more = reply.int()? == 1;
                purged += step;
                self.metrics().count(name.as_str(), "purge", usize::try_from(step).unwrap_or(0));
                if !more {
                    break;
                }
                if purged >= most {
                    return Ok((purged, true));
                }
            }
        }
        Ok((purged, false))
    }

    /// Stops a queue until a moment, or until [`Self::resume`]; returns until when, 0: until resume.
    ///
    /// # Errors
    /// As [`Self::cancel`].
    pub async fn pause(
        &self,
        name: &QueueName,
        until: Option<When>,
        reason: &str,
        by: &str,
    ) -> Result<u64, StoreError> {
        let queue = self.queue(name)?;
        let args = [until.map_or_else(|| arg(0), when), arg(reason), arg(by)];
        let mut until_ms = 0;
        for shard in &queue.shards {
            let mut reply = self.call(Verb::Pause, shard, &args).await?;
            let _now_ms = reply.count()?;
            until_ms = reply.count()?;
        }
        queue.ready.notify_one();
        self.metrics().count(name.as_str(), "pause", 1);
        Ok(until_ms)
    }

    /// Ends a pause, and a gate that refusals had shut; returns whether there was one.
    ///
    /// # Errors
    /// As [`Self::cancel`].
    pub async fn resume(&self, name: &QueueName) -> Result<bool, StoreError> {
        let queue = self.queue(name)?;
        let mut was = false;
        for shard in &queue.shards {
            let mut reply = self.call(Verb::Resume, shard, &[]).await?;
            let _now_ms = reply.count()?;
            was |= reply.int()? == 1;
            shard.wake(2);
        }
        queue.doubt.notify_one();
        self.metrics().count(name.as_str(), "resume", 1);
        Ok(was)
    }

    /// Redis TIME in microseconds; sets the clock.
    pub(super) async fn read_time(&self) -> Result<u64, StoreError> {
        let called_at = Instant::now();
        let value = self.plain_at(&redis::cmd("TIME"), &keys::clock(self.namespace())).await?;
        self.saw_time(value, (called_at, Instant::now()))
    }

    /// Takes a reply to TIME of the server that holds what all nodes share.
    pub(super) fn saw_time(
        &self,
        time: redis::Value,
        called: (Instant, Instant),
    ) -> Result<u64, StoreError> {
        let (seconds, micros): (u64, u64) =
            redis::from_redis_value(time).map_err(|error| StoreError::Reply(error.to_string()))?;
        let now_us = seconds * 1_000_000 + micros;
        self.saw(None, now_us, called);
        Ok(now_us)
    }

    fn count_changed(&self, queue: &Queue, verb: &'static str, changed: Changed) {
        self.metrics().count(
            queue.policy.name.as_str(),
            verb,
            usize::from(changed == Changed::Done),
        );
    }
}
