//! What follows an attempt: ack, retry, release, defer, bury, park, and renew while it lasts.
//!
//! Owns the calls and their verdicts. Refuses to know which one an outcome asks for
//! (see `engine::decide`).

mod end;

use ulid::Ulid;

pub use end::{LeaseEnd, Way};

use super::queue::{Queue, Shard};
use super::reply::Reply;
use super::tail::Tail;
use super::trouble::row_of;
use super::{Store, StoreError, Verb, arg};
use crate::domain::failing::Sign;
use crate::domain::message::Attempt;

/// A claim on a message: what every later step must show.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Lease {
    /// The message.
    pub ulid: Ulid,
    /// The shard it lives in.
    pub shard: u16,
    /// The token of the claim: 20 characters, new for each.
    pub token: String,
}

/// What a step on a lease came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Done.
    Ok,
    /// It had been done before: a repeated call.
    Already,
    /// The lease is not ours any more: nothing changed.
    Stale,
    /// The message is gone.
    Gone,
    /// A late success on a message that was not final: it is delivered.
    Late,
}

/// One message and how its attempt ended.
#[derive(Debug, Clone)]
pub(super) struct Settled {
    /// The claim.
    pub(super) lease: Lease,
    /// What is kept of the attempt.
    pub(super) attempt: Option<Attempt>,
    /// Why it is given up or parked.
    pub(super) reason: Option<String>,
    /// For retry: how long to wait.
    pub(super) delay_ms: u64,
    /// For accept: the downstream's own name for it.
    pub(super) reference: Option<String>,
    /// For retry: nothing was tried, or not in earnest. The attempt is given back and counted as a
    /// throttle.
    pub(super) is_throttle: bool,
    /// The outcome of this attempt or an earlier one is unknown: the downstream may have the message.
    pub(super) is_in_doubt: bool,
    /// What its attempt shows of the downstream. Of a batch one message says so for all.
    pub(super) sign: Sign,
}

impl Settled {
    /// With nothing to say of the attempt.
    pub(super) const fn of(lease: Lease) -> Self {
        Self {
            lease,
            attempt: None,
            reason: None,
            delay_ms: 0,
            reference: None,
            is_throttle: false,
            is_in_doubt: false,
            sign: Sign::None,
        }
    }

    fn tail(&self) -> Vec<u8> {
        if self.attempt.is_none() && self.reason.is_none() {
            return Vec::new();
        }
        let (attempt, reason) = (self.attempt.as_ref(), self.reason.as_deref());
        Tail::of_attempt(attempt, reason, self.reference.as_deref(), self.is_in_doubt)
    }

    /// Ulid, token and last attempt, as most verbs take them.
    pub(super) fn whole(&self) -> [Vec<u8>; 3] {
        let [ulid, token] = self.head();
        [ulid, token, self.tail()]
    }

    fn head(&self) -> [Vec<u8>; 2] {
        [arg(self.lease.ulid), self.lease.token.clone().into_bytes()]
    }
}

/// How the gate shuts with a defer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum DeferKind {
    /// The downstream said "too fast".
    Throttle,
    /// The downstream refused our credentials.
    Alarm,
    /// The window would not hold the call; the gate stays open.
    Hold,
}

impl DeferKind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Throttle => "throttle",
            Self::Alarm => "alarm",
            Self::Hold => "hold",
        }
    }
}

/// What these attempts show of the downstream, in the scripts' form.
fn row(items: &[Settled]) -> Vec<u8> {
    row_of(items.iter().map(|item| {
        let attempt = item.attempt.as_ref();
        (item.sign, attempt.and_then(|attempt| attempt.error.as_deref()))
    }))
}

/// Tokens of exchanges that end, in the scripts' form.
pub(super) fn tokens(ended: &[String]) -> Vec<u8> {
    ended.concat().into_bytes()
}

impl Store {
    /// leased → delivered. `ended` are tokens of batches that are over with this.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: whether it happened is unknown; repeating is safe.
    pub(super) async fn ack(
        &self,
        queue: &Queue,
        shard: &Shard,
        ended: &[String],
        items: &[Settled],
    ) -> Result<Vec<Verdict>, StoreError> {
        self.look_at_tables(shard, items.len()).await;
        let keep_ms = queue.policy.retention.delivered_ms;
        let shown = items.iter().flat_map(|item| item.lease.token.bytes()).collect();
        let mut args = vec![tokens(ended), arg(keep_ms), shown];
        args.extend(items.iter().map(|item| arg(item.lease.ulid)));
        args.extend(items.iter().map(Settled::tail));
        let verdicts = self.call_settling(Verb::Ack, queue, shard, &args, items.len()).await?;
        let kept =
            |verdict: &Verdict| matches!(verdict, Verdict::Ok | Verdict::Already | Verdict::Late);
        let delivered = items.iter().zip(&verdicts).filter(|(_, verdict)| kept(verdict));
        let ulids = delivered.map(|(item, _)| item.lease.ulid);
        self.inner.promises.delivered(shard.mark(), ulids);
        Ok(verdicts)
    }

    /// leased → scheduled, after each item's `delay_ms`.
    ///
    /// # Errors
    /// As [`Self::ack`].
    pub(super) async fn retry(
        &self,
        queue: &Queue,
        shard: &Shard,
        ended: &[String],
        items: &[Settled],
    ) -> Result<Vec<Verdict>, StoreError> {
        let retention = queue.policy.retention;
        let mut args =
            vec![tokens(ended), row(items), arg(retention.delivered_ms), arg(retention.dead_ms)];
        for item in items {
            args.extend(item.head());
            args.extend([arg(item.delay_ms), arg(u8::from(item.is_throttle)), item.tail()]);
        }
        let mut reply = self.call(Verb::Retry, shard, &args).await?;
        let _now_ms = reply.count()?;
        shard.wake(reply.count()?);
        let reports = reply.bytes()?;
        let verdicts = read_verdicts(&mut reply)?;
        self.take_reports(queue, shard, &reports).await;
        self.count_settled(Verb::Retry, queue, &verdicts);
        Ok(verdicts)
    }

    /// leased → ready, at the head: no byte left, the attempt is given back.
    ///
    /// # Errors
    /// As [`Self::ack`].
    pub(super) async fn release(
        &self,
        queue: &Queue,
        shard: &Shard,
        ended: &[String],
        items: &[Settled],
    ) -> Result<Vec<Verdict>, StoreError> {
        let mut args = vec![tokens(ended)];
        for item in items {
            args.extend(item.head());
        }
        self.call_settling(Verb::Release, queue, shard, &args, items.len()).await
    }

    /// leased → ready, at the head, counted; a throttle or an alarm shuts the queue's gate for
    /// `gate_ms`, or, without it, by its streak.
    ///
    /// # Errors
    /// As [`Self::ack`].
    pub(super) async fn defer(
        &self,
        queue: &Queue,
        shard: &Shard,
        ended: &[String],
        kind: DeferKind,
        gate_ms: Option<u64>,
        items: &[Settled],
    ) -> Result<Vec<Verdict>, StoreError> {
        let why = items.iter().find_map(|item| item.attempt.as_ref()?.error.clone());
        let head = vec![
            tokens(ended),
            row(items),
            arg(kind.as_str()),
            gate_ms.map_or_else(|| arg(-1), arg),
            why.unwrap_or_default().into_bytes(),
        ];
        let mut args = head.clone();
        args.extend(items.iter().flat_map(Settled::whole));
        let verdicts = self.call_settling(Verb::Defer, queue, shard, &args, items.len()).await?;
        if kind != DeferKind::Hold {
            // The door is the downstream's: it is shut for every shard.
            for other in queue.shards.iter().filter(|other| other.number != shard.number) {
                self.call(Verb::Defer, other, &head).await?;
            }
        }
        Ok(verdicts)
    }

    /// leased → dead. `suspect`: the answer puts the downstream itself in doubt; five such in a row
    /// shut the gate.
    ///
    /// # Errors
    /// As [`Self::ack`].
    pub(super) async fn bury(
        &self,
        queue: &Queue,
        shard: &Shard,
        ended: &[String],
        suspect: bool,
        items: &[Settled],
    ) -> Result<Vec<Verdict>, StoreError> {
        let why = items.iter().find_map(|item| item.reason.clone()).unwrap_or_default();
        let mut args = vec![
            tokens(ended),
            row(items),
            arg(queue.policy.retention.dead_ms),
            arg(u8::from(suspect)),
            why.into_bytes(),
            arg(queue.policy.retention.delivered_ms),
        ];
        args.extend(items.iter().flat_map(Settled::whole));
        self.call_settling(Verb::Bury, queue, shard, &args, items.len()).await
    }

    /// leased → uncertain. The downstream is not asked about it before `asked_ms` are over.
    ///
    /// # Errors
    /// As [`Self::ack`].
    pub(super) async fn park(
        &self,
        queue: &Queue,
        shard: &Shard,
        ended: &[String],
        asked_ms: u64,
        items: &[Settled],
    ) -> Result<Vec<Verdict>, StoreError> {
        let retention = queue.policy.retention;
        let kept = [arg(retention.delivered_ms), arg(retention.dead_ms)];
        let mut args = vec![tokens(ended), row(items), queue.probe_after(asked_ms)];
        args.extend(kept);
        args.extend(items.iter().flat_map(Settled::whole));
        let verdicts = self.call_settling(Verb::Park, queue, shard, &args, items.len()).await?;
        queue.doubt.notify_one();
        Ok(verdicts)
    }

    /// A deadline `lease_ms` from now for leases that are still ours, unless theirs is later.
    ///
    /// # Errors
    /// As [`Self::ack`].
    pub async fn renew(
        &self,
        shard: &Shard,
        lease_ms: u64,
        ongoing: &[String],
        leases: &[Lease],
    ) -> Result<Vec<Verdict>, StoreError> {
        let mut args = vec![arg(lease_ms), tokens(ongoing)];
        for lease in leases {
            args.extend([arg(lease.ulid), lease.token.clone().into_bytes()]);
        }
        let mut reply = self.call(Verb::Renew, shard, &args).await?;
        let _now_ms = reply.count()?;
        read_verdicts(&mut reply)
    }

    pub(super) async fn call_settling(
        &self,
        verb: Verb,
        queue: &Queue,
        shard: &Shard,
        args: &[Vec<u8>],
        count: usize,
    ) -> Result<Vec<Verdict>, StoreError> {
        let mut reply = self.call(verb, shard, args).await?;
        let _now_ms = reply.count()?;
        let reports = reply.bytes()?;
        let verdicts = read_verdicts(&mut reply)?;
        if verdicts.len() != count {
            return Err(StoreError::Reply(format!(
                "{} answered {} of {count}",
                verb.as_str(),
                verdicts.len()
            )));
        }
        self.take_reports(queue, shard, &reports).await;
        self.count_settled(verb, queue, &verdicts);
        if matches!(verb, Verb::Release | Verb::Defer) {
            shard.stir();
        }
        queue.ready.notify_one();
        Ok(verdicts)
    }

    fn count_settled(&self, verb: Verb, queue: &Queue, verdicts: &[Verdict]) {
        let done = verdicts.iter().filter(|v| matches!(v, Verdict::Ok | Verdict::Late)).count();
        self.metrics().count(queue.policy.name.as_str(), verb.as_str(), done);
    }
}

fn read_verdicts(reply: &mut Reply) -> Result<Vec<Verdict>, StoreError> {
    let mut verdicts = Vec::with_capacity(reply.len());
    while reply.len() > 0 {
        verdicts.push(match reply.int()? {
            0 => Verdict::Ok,
            1 => Verdict::Already,
            2 => Verdict::Stale,
            3 => Verdict::Gone,
            4 => Verdict::Late,
            other => return Err(StoreError::Reply(format!("verdict {other}"))),
        });
    }
    Ok(verdicts)
}
