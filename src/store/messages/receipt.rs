//! Receipts: messages that the downstream accepted, and what it tells of them later.
//!
//! Owns the calls, and the search for a reference that names no shard: every shard is asked, and one
//! that nobody knows yet is kept in each, since any of them may accept its message in the next moment.

use bytes::Bytes;
use ulid::Ulid;

use super::Messages;
use super::settle::{Settled, Verdict};
use crate::domain::id::MessageId;
use crate::domain::receipt::{OnTimeout, Receipt, ReceiptOf, ReceiptSaid};
use crate::domain::state::State;
use crate::store::StoreError;
use crate::store::queue::{Queue, Shard};
use crate::store::record::state_of;
use crate::store::redis::script::arg;
use crate::store::redis::script::{call, fields, row, timed_call};
use crate::store::wire::clock_watch::Timed;

/// Messages that one lapse touches, and looks that it makes.
const SWEEP_MAX: usize = 250;
/// How long a receipt is kept for a message that is not accepted yet; at least two leases.
const KEPT_MS: u64 = 3_600_000;

/// What a receipt came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// It closed this message.
    Closed(MessageId),
    /// The message had been closed so before.
    Already(MessageId),
    /// It overtook our own bookkeeping, and is kept.
    Kept,
    /// No such message.
    Unknown,
    /// The message is in a state which it contradicts; none: a receipt that is kept.
    Contradicts(Option<State>),
    /// Too many receipts are kept already.
    Full,
}

impl Messages {
    /// leased → accepted, or closed at once where a receipt was faster.
    ///
    /// # Errors
    /// As [`Self::ack`].
    pub(in crate::store) async fn accept(
        &self,
        queue: &Queue,
        shard: &Shard,
        ended: &[String],
        items: &[Settled<'_>],
    ) -> Result<Vec<Verdict>, StoreError> {
        let retention = queue.policy.retention;
        let rows = items.iter().map(|item| {
            row!(
                Accept: ulid = arg(item.lease.ulid),
                token = &item.lease.token,
                last_attempt = item.tail(),
                reference = item.reference.unwrap_or_default(),
            )
        });
        let call = call!(
            Accept,
            exchanges = ended.concat(),
            delivered_keep_ms = retention.delivered_ms,
            dead_keep_ms = retention.dead_ms,
            ..rows
        );
        self.call_settling(queue, shard, &call, items.len()).await
    }

    /// accepted (or uncertain) → delivered or dead, by the downstream's word.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: repeating is safe.
    pub async fn receive(&self, queue: &Queue, receipt: &Receipt) -> Result<Received, StoreError> {
        let received = match &receipt.of {
            ReceiptOf::Id(id) => self.receive_at(queue, queue.shard_of(id), receipt, true).await?,
            ReceiptOf::Reference(_) => self.receive_anywhere(queue, receipt).await?,
        };
        let done = matches!(received, Received::Closed(_));
        queue.metrics.count("receive", usize::from(done));
        queue.ready.notify_one();
        Ok(received)
    }

    /// Asks every shard, and keeps it in each where nobody knows the reference: the one that is to
    /// accept the message looks for it in that very step.
    async fn receive_anywhere(
        &self,
        queue: &Queue,
        receipt: &Receipt,
    ) -> Result<Received, StoreError> {
        if queue.shards.len() > 1 {
            for shard in &queue.shards {
                let received = self.receive_at(queue, shard, receipt, false).await?;
                if received != Received::Unknown {
                    return Ok(received);
                }
            }
        }
        let mut kept = Received::Unknown;
        for shard in &queue.shards {
            match self.receive_at(queue, shard, receipt, true).await? {
                Received::Kept => kept = Received::Kept,
                told => return Ok(told),
            }
        }
        Ok(kept)
    }

    async fn receive_at(
        &self,
        queue: &Queue,
        shard: &Shard,
        receipt: &Receipt,
        keeps: bool,
    ) -> Result<Received, StoreError> {
        let policy = &queue.policy;
        let (ulid, reference) = match &receipt.of {
            ReceiptOf::Id(id) => (arg(id.ulid), Vec::new()),
            ReceiptOf::Reference(text) => (Vec::new(), text.clone().into_bytes()),
        };
        let said = match receipt.said {
            ReceiptSaid::Delivered => "D",
            ReceiptSaid::Dead => "X",
        };
        let call = call!(
            Receive,
            named_ulid = ulid,
            reference = reference,
            said = said,
            detail = receipt.detail.as_deref().map(json_string).unwrap_or_default(),
            delivered_keep_ms = policy.retention.delivered_ms,
            dead_keep_ms = policy.retention.dead_ms,
            kept_ms = if keeps { KEPT_MS.max(2 * policy.lease_ms) } else { 0 },
        );
        // Whoever told us will not tell it again.
        let mut reply = if keeps {
            self.wire.call_durably(shard, &call).await?
        } else {
            self.wire.call(shard, &call).await?
        };
        fields!(reply as Receive; code: i64, ulid: String, before: Bytes);
        let id = || {
            let ulid = Ulid::from_string(&ulid).map_err(|e| StoreError::Reply(e.to_string()))?;
            Ok::<_, StoreError>(MessageId { queue: policy.name.clone(), ulid })
        };
        Ok(match code {
            0 => Received::Closed(id()?),
            1 => Received::Already(id()?),
            2 => Received::Kept,
            3 => Received::Unknown,
            5 => Received::Contradicts(before.first().map(|letter| state_of(*letter, true))),
            7 => Received::Full,
            other => return Err(StoreError::Reply(format!("receive answered {other}"))),
        })
    }

    /// accepted for too long → as the queue says; what is kept of receipts beyond its time goes.
    /// Returns how many lapsed, and whether there is more.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn lapse(&self, queue: &Queue, shard: &Shard) -> Result<(u64, bool), StoreError> {
        let policy = &queue.policy;
        let why = format!(
            "no receipt within {}",
            crate::domain::units::format_duration(policy.receipts.timeout_ms)
        );
        let becomes = match policy.receipts.on_timeout {
            OnTimeout::Uncertain => "U",
            OnTimeout::Dead => "X",
            OnTimeout::Delivered => "D",
        };
        let call = timed_call!(
            Lapse,
            most = SWEEP_MAX,
            waited_ms = policy.receipts.timeout_ms,
            becomes = becomes,
            delivered_keep_ms = policy.retention.delivered_ms,
            dead_keep_ms = policy.retention.dead_ms,
            probe_after_ms = queue.probe_after(0),
            reason = json_string(&why),
        );
        let called = self.wire.timed(shard, call).await?;
        let Some(Timed { mut reply, .. }) = called else { return Ok((0, false)) };
        fields!(reply as Lapse; lapsed: u64, has_more: bool);
        queue.metrics.count("lapse", usize::try_from(lapsed).unwrap_or(usize::MAX));
        if lapsed > 0 {
            queue.doubt.notify_one();
        }
        Ok((lapsed, has_more))
    }
}

fn json_string(text: &str) -> Vec<u8> {
    serde_json::to_vec(text).unwrap_or_default()
}
