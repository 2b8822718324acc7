//! The calls of an audit: the books of a shard, a page of a structure, and mending.
//!
//! Owns arguments and replies. Refuses to know in which order a shard is looked through.

use bytes::Bytes;

use super::fault::Fault;
use crate::store::queue::{Queue, Shard};
use crate::store::{Store, StoreError, Verb, arg};

/// What stands beside the records, in the order of `books`.
pub(super) const STRUCTURES: [&str; 15] = [
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
];

/// What `books` says where there is no sum of weights.
const NOT_WEIGHED: [i64; 2] = [-1, -1];

/// How large a shard is, and whether its counts add up.
#[derive(Debug, Clone, Default)]
pub struct Books {
    pub(super) records: u64,
    /// In the order of [`STRUCTURES`].
    pub(super) sizes: [u64; STRUCTURES.len()],
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
        self.records + self.ready + self.sizes.iter().sum::<u64>()
    }
}

/// What a page showed.
#[derive(Debug)]
pub(super) struct Page {
    /// `None`: this was the last.
    pub(super) next: Option<String>,
    pub(super) looked: u64,
    /// Of an index of final messages: what these weigh.
    pub(super) weight: i64,
    pub(super) faults: Vec<(Fault, String)>,
    /// Entries of ready lists: that must stand there, or that do.
    pub(super) entries: Vec<Bytes>,
}

impl Store {
    /// How large a shard is, and whether its counts add up; one cheap call.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn books(&self, shard: &Shard) -> Result<Books, StoreError> {
        let mut reply = self.read(Verb::Books, shard, &[]).await?;
        let mut books = Books { records: reply.count()?, ..Books::default() };
        for size in &mut books.sizes {
            *size = reply.count()?;
        }
        books.ready = reply.count()?;
        books.drift = reply.int()?;
        books.largest = reply.count()?;
        let weights = [reply.int()?, reply.int()?];
        books.weights = (weights != NOT_WEIGHED).then_some(weights);
        Ok(books)
    }

    pub(super) async fn audit_page(
        &self,
        shard: &Shard,
        structure: &str,
        cursor: &str,
        most: u64,
    ) -> Result<Page, StoreError> {
        let args = [arg(structure), arg(cursor), arg(most)];
        let mut reply = self.read(Verb::Audit, shard, &args).await?;
        let next = Some(reply.text()?).filter(|cursor| cursor != "0");
        let (looked, weight) = (reply.count()?, reply.int()?);
        let mut page = Page { next, looked, weight, faults: Vec::new(), entries: Vec::new() };
        while reply.len() > 0 {
            let (code, member) = (reply.count()?, reply.bytes()?);
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
        let mut args = vec![
            arg(u8::from(writes)),
            arg(policy.lease_ms),
            arg(policy.retention.dead_ms),
            arg(policy.retention.delivered_ms),
        ];
        for (fault, member) in findings {
            args.extend([arg(fault.code()), arg(structure), arg(member)]);
        }
        // What nobody can tell by the clock holds for nobody.
        let Some(mut called) = self.timed(Verb::Mend, shard, &args).await? else {
            return Ok(vec![false; findings.len()]);
        };
        let reply = &mut called.reply;
        shard.wake(reply.count()?);
        let mut holds = Vec::with_capacity(findings.len());
        for (fault, _) in findings {
            holds.push(reply.count()? == 1);
            if writes && *fault == Fault::Expiry {
                shard.expiry.notify_one();
            }
        }
        Ok(holds)
    }
}
