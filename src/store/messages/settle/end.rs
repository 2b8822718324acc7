//! How a lease ends: one value on its way from the decision to the script.
//!
//! Owns which verb carries a settlement out, and which ones may go into one call. Refuses to know why a
//! settlement was chosen (see `engine::decide`).

use super::{DeferKind, Lease, Settled, Verdict};
use crate::domain::failing::Sign;
use crate::domain::limit::Units;
use crate::domain::message::Attempt;
use crate::domain::settlement::Settlement;
use crate::store::StoreError;
use crate::store::messages::Messages;
use crate::store::queue::Queue;

/// A lease, and how it ends.
#[derive(Debug, Clone)]
pub struct LeaseEnd {
    /// The claim.
    pub lease: Lease,
    /// What becomes of its message.
    pub settlement: Settlement,
    /// What is kept of the attempt, if there was one.
    pub attempt: Option<Attempt>,
    /// The outcome of this attempt or an earlier one is unknown: the downstream may have the message.
    pub is_in_doubt: bool,
    /// What its attempt shows of the downstream. Of a batch one message says so for all.
    pub sign: Sign,
    /// What its call took of limits; given back to quotas where the message is, if there was no attempt.
    pub units: Units,
}

/// What leases that end in one call have in common: the shard, the verb, and what holds for all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Way {
    /// The shard in which they are.
    pub shard: u16,
    verb: SettlingVerb,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum SettlingVerb {
    Ack,
    Accept,
    Retry,
    Release,
    Defer(DeferKind, Option<u64>),
    Bury { suspect: bool },
    Park { asked_ms: u64 },
}

impl Way {
    /// Whether messages become ready again, before all others.
    #[must_use]
    pub const fn goes_to_head(&self) -> bool {
        matches!(self.verb, SettlingVerb::Release | SettlingVerb::Defer(..))
    }

    /// Whether messages become ready again and the gate stays open.
    #[must_use]
    pub const fn leaves_gate_open(&self) -> bool {
        matches!(self.verb, SettlingVerb::Release | SettlingVerb::Defer(DeferKind::Hold, _))
    }
}

impl LeaseEnd {
    /// Given back, as if it had not been claimed.
    #[must_use]
    pub const fn released(lease: Lease) -> Self {
        let (settlement, sign) = (Settlement::Release, Sign::None);
        Self { lease, settlement, attempt: None, is_in_doubt: false, sign, units: Units::NONE }
    }

    /// The way it goes.
    #[must_use]
    pub const fn way(&self) -> Way {
        let verb = match &self.settlement {
            Settlement::Ack => SettlingVerb::Ack,
            Settlement::Accept { .. } => SettlingVerb::Accept,
            Settlement::Retry { .. } | Settlement::Postpone { .. } => SettlingVerb::Retry,
            Settlement::Release => SettlingVerb::Release,
            Settlement::Hold => SettlingVerb::Defer(DeferKind::Hold, None),
            Settlement::Throttle { gate_ms } => SettlingVerb::Defer(DeferKind::Throttle, *gate_ms),
            Settlement::Alarm => SettlingVerb::Defer(DeferKind::Alarm, None),
            Settlement::Bury { suspect, .. } => SettlingVerb::Bury { suspect: *suspect },
            Settlement::Park { asked_ms, .. } => SettlingVerb::Park { asked_ms: *asked_ms },
        };
        Way { shard: self.lease.shard, verb }
    }

    fn row(&self) -> Settled<'_> {
        let mut row = Settled {
            attempt: self.attempt.as_ref(),
            is_in_doubt: self.is_in_doubt,
            sign: self.sign,
            units: if self.attempt.is_none() { self.units } else { Units::NONE },
            ..Settled::of(&self.lease)
        };
        match &self.settlement {
            Settlement::Bury { reason, .. } | Settlement::Park { reason, .. } => {
                row.reason = Some(reason.as_str());
            }
            Settlement::Retry { delay_ms } => row.delay_ms = *delay_ms,
            Settlement::Postpone { delay_ms, reason } => {
                row.delay_ms = *delay_ms;
                row.reason = reason.as_deref();
                row.is_throttle = true;
            }
            Settlement::Accept { reference } => row.reference = reference.as_deref(),
            Settlement::Ack
            | Settlement::Release
            | Settlement::Hold
            | Settlement::Throttle { .. }
            | Settlement::Alarm => {}
        }
        row
    }
}

impl Messages {
    /// Ends leases that go this way. `exchanges` are tokens of batches that are over with this.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: whether it happened is unknown; repeating is safe.
    pub async fn settle(
        &self,
        queue: &Queue,
        way: Way,
        exchanges: &[String],
        ends: impl IntoIterator<Item = &LeaseEnd>,
    ) -> Result<Vec<Verdict>, StoreError> {
        let rows: Vec<Settled<'_>> = ends.into_iter().map(LeaseEnd::row).collect();
        let shard = &queue.shards[usize::from(way.shard)];
        match way.verb {
            SettlingVerb::Ack => self.ack(queue, shard, exchanges, &rows).await,
            SettlingVerb::Accept => self.accept(queue, shard, exchanges, &rows).await,
            SettlingVerb::Retry => self.retry(queue, shard, exchanges, &rows).await,
            SettlingVerb::Release => self.release(queue, shard, exchanges, &rows).await,
            SettlingVerb::Defer(kind, gate_ms) => {
                self.defer(queue, shard, exchanges, kind, gate_ms, &rows).await
            }
            SettlingVerb::Bury { suspect } => {
                self.bury(queue, shard, exchanges, suspect, &rows).await
            }
            SettlingVerb::Park { asked_ms } => {
                self.park(queue, shard, exchanges, asked_ms, &rows).await
            }
        }
    }
}
