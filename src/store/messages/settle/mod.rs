//! What follows an attempt: ack, retry, release, defer, bury, park, and renew while it lasts.
//!
//! Owns the calls and their verdicts. Refuses to know which one an outcome asks for
//! (see `engine::decide`).

mod end;
mod settled;
mod verdicts;

use bytes::Bytes;
use ulid::Ulid;

pub use end::{LeaseEnd, Way};
pub(in crate::store) use settled::Settled;
use verdicts::{count_settled, read_verdicts};

use super::Messages;
use super::trouble::row_of;
use crate::store::queue::{Queue, Shard};
use crate::store::redis::script::arg;
use crate::store::redis::script::{call, fields, row, rows};
use crate::store::{StoreError, Verb};

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

/// What `ack` says in place of a verdict of a message with a collapse key, where its form does not know of those: it is left as it
/// is.
pub(in crate::store) const VERDICT_COLLAPSES: u64 = Verdict::ALL.len() as u64;

impl Verdict {
    /// Every verdict; a script knows it by its number (see `script::numbers`).
    const ALL: [Self; 5] = [Self::Ok, Self::Already, Self::Stale, Self::Gone, Self::Late];
}

/// How the gate shuts with a defer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::store) enum DeferKind {
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
fn signs(items: &[Settled<'_>]) -> Vec<u8> {
    row_of(
        items
            .iter()
            .map(|item| (item.sign, item.attempt.and_then(|attempt| attempt.error.as_deref()))),
    )
}

impl Messages {
    /// leased → delivered. `ended` are tokens of batches that are over with this.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: whether it happened is unknown; repeating is safe.
    pub(in crate::store) async fn ack(
        &self,
        queue: &Queue,
        shard: &Shard,
        ended: &[String],
        items: &[Settled<'_>],
    ) -> Result<Vec<Verdict>, StoreError> {
        self.wire.look_at_tables(shard, items.len()).await;
        let keep_ms = queue.policy.retention.delivered_ms;
        let shown: String = items.iter().map(|item| item.lease.token.as_str()).collect();
        let rows = items
            .iter()
            .map(|item| row!(Ack: ulid = arg(item.lease.ulid), last_attempt = item.tail()));
        let call =
            call!(Ack, exchanges = ended.concat(), keep_ms = keep_ms, tokens = shown, ..rows);
        let call = call.collapsing(shard.collapse_keys.are_there());
        let verdicts = self.call_ack(queue, shard, call, items.len()).await?;
        let kept =
            |verdict: &Verdict| matches!(verdict, Verdict::Ok | Verdict::Already | Verdict::Late);
        let delivered = items.iter().zip(&verdicts).filter(|(_, verdict)| kept(verdict));
        let ulids = delivered.map(|(item, _)| item.lease.ulid);
        self.wire.acknowledgements.delivered(shard.mark(), ulids);
        Ok(verdicts)
    }

    /// leased → scheduled, after each item's `delay_ms`.
    ///
    /// # Errors
    /// As [`Self::ack`].
    pub(in crate::store) async fn retry(
        &self,
        queue: &Queue,
        shard: &Shard,
        ended: &[String],
        items: &[Settled<'_>],
    ) -> Result<Vec<Verdict>, StoreError> {
        let retention = queue.policy.retention;
        let rows = items.iter().map(|item| {
            row!(
                Retry: ulid = arg(item.lease.ulid),
                token = &item.lease.token,
                delay_ms = item.delay_ms,
                is_throttle = item.is_throttle,
                last_attempt = item.tail(),
            )
        });
        let call = call!(
            Retry,
            exchanges = ended.concat(),
            signs = signs(items),
            delivered_keep_ms = retention.delivered_ms,
            dead_keep_ms = retention.dead_ms,
            ..rows
        );
        let (mut reply, safe) = self.wire.call_settling(shard, &call).await?;
        fields!(reply as Retry; wake: u64, reports: Bytes);
        shard.wake(wake);
        rows!(reply as Retry);
        let verdicts = read_verdicts(&mut reply)?;
        self.take_reports(queue, shard, &reports).await;
        count_settled(Verb::Retry, queue, &verdicts);
        safe?;
        Ok(verdicts.into_iter().flatten().collect())
    }

    /// leased → ready, at the head: no byte left, the attempt is given back.
    ///
    /// # Errors
    /// As [`Self::ack`].
    pub(in crate::store) async fn release(
        &self,
        queue: &Queue,
        shard: &Shard,
        ended: &[String],
        items: &[Settled<'_>],
    ) -> Result<Vec<Verdict>, StoreError> {
        let limit_lines = self.lines_to_give_back(queue, items);
        let rows = items.iter().map(|item| {
            row!(
                Release: ulid = arg(item.lease.ulid),
                token = &item.lease.token,
                slot_us = item.units.slot_us,
                calls = item.units.calls,
                messages = item.units.messages,
            )
        });
        let call = call!(
            Release,
            exchanges = ended.concat(),
            limit_lines = &*limit_lines,
            keep_ms = queue.policy.retention.delivered_ms,
            ..rows
        );
        let verdicts = self.call_settling(queue, shard, &call, items.len()).await?;
        self.gave_back(queue, items, &verdicts).await;
        Ok(verdicts)
    }

    /// leased → ready, at the head, counted; a throttle or an alarm shuts the queue's gate for
    /// `gate_ms`, or, without it, by its streak.
    ///
    /// # Errors
    /// As [`Self::ack`].
    pub(in crate::store) async fn defer(
        &self,
        queue: &Queue,
        shard: &Shard,
        ended: &[String],
        kind: DeferKind,
        gate_ms: Option<u64>,
        items: &[Settled<'_>],
    ) -> Result<Vec<Verdict>, StoreError> {
        let why = items.iter().find_map(|item| item.attempt?.error.as_deref()).unwrap_or_default();
        let limit_lines = self.lines_to_give_back(queue, items);
        let call_for = |items: &[Settled<'_>]| {
            let rows = items.iter().map(|item| {
                row!(
                    Defer: ulid = arg(item.lease.ulid),
                    token = &item.lease.token,
                    last_attempt = item.tail(),
                    slot_us = item.units.slot_us,
                    calls = item.units.calls,
                    messages = item.units.messages,
                )
            });
            call!(
                Defer,
                exchanges = ended.concat(),
                signs = signs(items),
                kind = kind.as_str(),
                shut_ms = gate_ms,
                reason = why,
                limit_lines = &*limit_lines,
                keep_ms = queue.policy.retention.delivered_ms,
                ..rows
            )
        };
        let verdicts = self.call_settling(queue, shard, &call_for(items), items.len()).await?;
        self.gave_back(queue, items, &verdicts).await;
        if kind != DeferKind::Hold {
            // The door is the downstream's: it is shut for every shard.
            for other in queue.shards.iter().filter(|other| other.number != shard.number) {
                self.wire.call(other, &call_for(&[])).await?;
            }
        }
        Ok(verdicts)
    }

    /// leased → dead. `suspect`: the answer puts the downstream itself in doubt; five such in a row
    /// shut the gate.
    ///
    /// # Errors
    /// As [`Self::ack`].
    pub(in crate::store) async fn bury(
        &self,
        queue: &Queue,
        shard: &Shard,
        ended: &[String],
        suspect: bool,
        items: &[Settled<'_>],
    ) -> Result<Vec<Verdict>, StoreError> {
        let why = items.iter().find_map(|item| item.reason).unwrap_or_default();
        let call = call!(
            Bury,
            exchanges = ended.concat(),
            signs = signs(items),
            keep_ms = queue.policy.retention.dead_ms,
            is_suspect = suspect,
            reason = why,
            delivered_keep_ms = queue.policy.retention.delivered_ms,
            ..items.iter().map(Settled::whole)
        );
        self.call_settling(queue, shard, &call, items.len()).await
    }

    /// leased → uncertain. The downstream is not asked about it before `asked_ms` are over.
    ///
    /// # Errors
    /// As [`Self::ack`].
    pub(in crate::store) async fn park(
        &self,
        queue: &Queue,
        shard: &Shard,
        ended: &[String],
        asked_ms: u64,
        items: &[Settled<'_>],
    ) -> Result<Vec<Verdict>, StoreError> {
        let retention = queue.policy.retention;
        let call = call!(
            Park,
            exchanges = ended.concat(),
            signs = signs(items),
            probe_after_ms = queue.probe_after(asked_ms),
            delivered_keep_ms = retention.delivered_ms,
            dead_keep_ms = retention.dead_ms,
            ..items.iter().map(Settled::whole)
        );
        let verdicts = self.call_settling(queue, shard, &call, items.len()).await?;
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
        let rows =
            leases.iter().map(|lease| row!(Renew: ulid = arg(lease.ulid), token = &lease.token));
        let call = call!(Renew, lease_ms = lease_ms, exchanges = ongoing.concat(), ..rows);
        let mut reply = self.wire.call(shard, &call).await?;
        rows!(reply as Renew);
        Ok(read_verdicts(&mut reply)?.into_iter().flatten().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::redis::script::signature::Signature;

    #[test]
    fn the_verbs_that_settle_answer_alike() {
        for verb in [Verb::Ack, Verb::Release, Verb::Defer, Verb::Bury, Verb::Park, Verb::Accept] {
            let returns = Signature::returns(verb.source());
            returns.assert_named(&["now_ms", "reports"]);
            returns.assert_row(&["verdict"]);
        }
    }
}
