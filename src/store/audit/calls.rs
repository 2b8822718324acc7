//! The calls of an audit: the books of a shard, a page of a structure, and mending.
//!
//! Owns arguments and replies. Refuses to know in which order a shard is looked through.

use bytes::Bytes;

use super::Audits;
use crate::domain::index_fault::Fault;
use crate::store::StoreError;
use crate::store::queue::{Queue, Shard};
use crate::store::redis::script::{call, fields, row, rows, timed_call};

/// What stands beside the records, in the order of `books`.
pub(super) const STRUCTURES: [&str; 16] = [
    "states",
    "history",
    "due",
    "leased",
    "uncertain",
    "accepted",
    "delivered",
    "dead",
    "expired",
    "cancelled",
    "expiry",
    "probes",
    "refs",
    "early",
    "looks",
    "collapse",
];

/// What `books` says where there is no sum of weights.
const NOT_WEIGHED: [i64; 2] = [-1, -1];

/// How large a shard is, and whether its counts add up.
#[derive(Debug, Clone, Default)]
pub struct Books {
    pub(super) records: u64,
    /// In the order of [`STRUCTURES`].
    pub(super) sizes: [u64; STRUCTURES.len()],
    /// Beside the messages, in the index of a queue with keys.
    pub(super) lanes: u64,
    pub(super) ready: u64,
    /// Messages that the records know beyond those that are counted.
    pub(super) drift: i64,
    pub(super) largest: u64,
    /// What final messages weigh together, delivered ones (with expired and cancelled) and dead ones;
    /// `None`: nobody weighs, or not all of them yet.
    pub(super) weights: Option<[i64; 2]>,
}

impl Books {
    /// Messages that the records know beyond those that are counted; negative: fewer.
    #[must_use]
    pub fn drift(&self) -> i64 {
        self.drift
    }

    /// Whether the counts add up to the records.
    #[must_use]
    pub fn balance(&self) -> bool {
        self.drift == 0
    }

    /// Whether there is nothing at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members() == 0
    }

    /// Members of all structures.
    #[must_use]
    pub fn members(&self) -> u64 {
        self.records + self.lanes + self.ready + self.sizes.iter().sum::<u64>()
    }
}

/// What a page showed.
#[derive(Debug, Default)]
pub(super) struct AuditPage {
    /// `None`: this was the last.
    pub(super) next: Option<String>,
    pub(super) looked: u64,
    /// Of an index of final messages: what these weigh.
    pub(super) weight: i64,
    pub(super) faults: Vec<(Fault, String)>,
    /// Entries of ready lists: that must stand there, or that do.
    pub(super) entries: Vec<Bytes>,
}

impl Audits {
    /// How large a shard is, and whether its counts add up; one cheap call.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn books(&self, shard: &Shard) -> Result<Books, StoreError> {
        let mut reply = self.wire.read(shard, &call!(Books)).await?;
        fields!(
            reply as Books;
            records: u64, states: u64, history: u64, due: u64, leased: u64, uncertain: u64,
            accepted: u64, delivered: u64, dead: u64, expired: u64, cancelled: u64, expiry: u64,
            probes: u64, refs: u64, early: u64, looks: u64, collapse: u64, lanes: u64, ready: u64, drift: i64, largest: u64,
            delivered_bytes: i64, dead_bytes: i64
        );
        let weights = [delivered_bytes, dead_bytes];
        let books = Books {
            records,
            sizes: [
                states, history, due, leased, uncertain, accepted, delivered, dead, expired,
                cancelled, expiry, probes, refs, early, looks, collapse,
            ],
            lanes,
            ready,
            drift,
            largest,
            weights: (weights != NOT_WEIGHED).then_some(weights),
        };
        Ok(books)
    }

    pub(super) async fn audit_page(
        &self,
        shard: &Shard,
        structure: &str,
        cursor: &str,
        most: u64,
    ) -> Result<AuditPage, StoreError> {
        let call = call!(Audit, what = structure, cursor = cursor, most = most);
        let mut reply = self.wire.read(shard, &call).await?;
        fields!(reply as Audit; next_cursor: String, looked: u64, weight: i64);
        rows!(reply as Audit);
        let next = Some(next_cursor).filter(|cursor| cursor != "0");
        let mut page = AuditPage { next, looked, weight, faults: Vec::new(), entries: Vec::new() };
        while reply.len() > 0 {
            fields!(row of reply as Audit; code: u64, member: Bytes);
            match Fault::of_code(code) {
                Some(fault) => {
                    page.faults.push((fault, String::from_utf8_lossy(&member).into_owned()));
                }
                None => page.entries.push(member),
            }
        }
        Ok(page)
    }

    /// Looks at findings once more, all of one structure, and mends what still holds if `writes`;
    /// tells which do.
    pub(super) async fn mend(
        &self,
        queue: &Queue,
        shard: &Shard,
        structure: &str,
        findings: &[(Fault, String)],
        writes: bool,
    ) -> Result<Vec<bool>, StoreError> {
        let policy = &queue.policy;
        let rows = findings.iter().map(|(fault, member)| {
            row!(Mend: code = fault.code(), structure = structure, member = member)
        });
        let call = timed_call!(
            Mend,
            writes = writes,
            lease_ms = policy.lease_ms,
            dead_keep_ms = policy.retention.dead_ms,
            keep_ms = policy.retention.delivered_ms,
            ..rows
        );
        // What nobody can tell by the clock holds for nobody.
        let Some(mut called) = self.wire.timed(shard, call).await? else {
            return Ok(vec![false; findings.len()]);
        };
        let reply = &mut called.reply;
        fields!(reply as Mend; wake: u64);
        rows!(reply as Mend);
        shard.wake(wake);
        let mut still = Vec::with_capacity(findings.len());
        for (fault, _) in findings {
            fields!(row of reply as Mend; holds: bool);
            still.push(holds);
            if writes && *fault == Fault::Expiry {
                shard.expiry.notify_one();
            }
        }
        Ok(still)
    }
}
