//! The audit of a shard: records against indexes, page by page.
//!
//! Owns the order in which a shard is looked through and what it comes to. The record and its state
//! entry are the truth; each page is one bounded call, so that an audit may take a second or a day
//! while messages come and go. What one call sees is certain. What takes several (a message that
//! stands in no ready list) holds only if the mending call still finds it so.
//!
//! ```text
//! books ─▶ each index ─▶ lanes ─▶ records ─▶ walk of the ready lists ─▶ missing? ─▶ books
//!                                    ▲─────── while there are more ────────┘
//! ```

mod calls;
mod lanes;
mod mark;
mod waits;

use std::sync::Arc;

pub use calls::Books;

use crate::domain::index_fault::Fault;
use crate::store::StoreError;
use crate::store::queue::{Queue, Shard};
use crate::store::wire::Wire;
use crate::telemetry::FaultLabel;
use calls::{AuditPage, STRUCTURES};
use lanes::LANE_STRUCTURES;
use waits::Waits;

/// Members of an index in one page.
const PAGE_MAX: u64 = 100;
/// Bytes of records in one page, as far as the largest lets one tell.
const PAGE_BYTES_MAX: u64 = 512 * 1024;
/// Members in a page of what is larger than its name.
const PAST_PAGE_MAX: u64 = 20;
/// Entries of a ready list in one page.
const READY_PAGE_MAX: u64 = 1000;
/// Missing messages that one call puts back: each looks along a list.
const PUT_BACK_MAX: usize = 20;
/// Entries that one call looks for twice: far along a list.
const STRIKE_MAX: usize = 2;

/// A disagreement that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexFinding {
    /// Of what kind.
    pub fault: Fault,
    /// The message's ULID, or the member of the index.
    pub member: String,
    /// Whether it is mended.
    pub mended: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AuditStage {
    Open,
    Structure(usize),
    Lanes(usize),
    Records,
    Walk,
    Judge,
    Close,
    Done,
}

/// An audit of one shard under way.
#[derive(Debug)]
pub struct Audit {
    /// Whose shard it is.
    pub queue: Arc<Queue>,
    /// The shard.
    pub shard: Arc<Shard>,
    mends: bool,
    stage: AuditStage,
    cursor: Option<String>,
    /// Where the records go on after a walk.
    records: Option<String>,
    books: Books,
    waits: Waits,
    /// What final messages weigh, as far as they were met; see [`Books`].
    weights: [i64; 2],
    looked: u64,
    total: u64,
    /// Found and left as it was, so that the books cannot balance.
    left: u64,
    unreadable: u64,
}

impl Audit {
    /// An audit that has not begun; `mends` says whether it repairs what it finds.
    #[must_use]
    pub fn new(queue: Arc<Queue>, shard: Arc<Shard>, mends: bool) -> Self {
        Self {
            queue,
            shard,
            mends,
            stage: AuditStage::Open,
            cursor: None,
            records: None,
            books: Books::default(),
            waits: Waits::default(),
            weights: [0; 2],
            looked: 0,
            total: 0,
            left: 0,
            unreadable: 0,
        }
    }

    /// Whether the whole shard has been looked through.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.stage == AuditStage::Done
    }

    /// How far it has come: members looked at, and about how many there are.
    #[must_use]
    pub fn progress(&self) -> (u64, u64) {
        (self.looked.min(self.total), self.total)
    }

    /// Messages met that cannot be read: by so many the books may be off for good.
    #[must_use]
    pub fn unreadable(&self) -> u64 {
        self.unreadable
    }

    fn enter(&mut self, stage: AuditStage) {
        (self.stage, self.cursor) = (stage, None);
        let is_empty = |at: usize| self.books.sizes[at] == 0;
        match stage {
            AuditStage::Structure(at) if at >= STRUCTURES.len() => {
                self.enter(if self.has_lanes() {
                    AuditStage::Lanes(0)
                } else {
                    AuditStage::Records
                });
            }
            AuditStage::Lanes(at) if at >= LANE_STRUCTURES.len() => self.enter(AuditStage::Records),
            AuditStage::Structure(at) if is_empty(at) => self.enter(AuditStage::Structure(at + 1)),
            AuditStage::Walk if self.waits.is_empty() => self.after_judging(),
            AuditStage::Walk => self.waits.begin_walk(),
            AuditStage::Judge => self.waits.end_walk(),
            _ => {}
        }
    }

    fn after_judging(&mut self) {
        match self.records.take() {
            Some(cursor) => {
                self.enter(AuditStage::Records);
                self.cursor = Some(cursor);
            }
            None => self.enter(AuditStage::Close),
        }
    }

    fn page_max(&self) -> u64 {
        let name = match self.stage {
            AuditStage::Structure(at) => STRUCTURES[at],
            _ => "records",
        };
        match name {
            "history" => PAST_PAGE_MAX,
            "states" => PAGE_MAX / 2,
            _ => (PAGE_BYTES_MAX / self.books.largest.max(1)).clamp(2, PAGE_MAX),
        }
    }
}

/// Looks through shards; cheap to clone.
#[derive(Debug, Clone)]
pub struct Audits {
    wire: Wire,
}

impl Audits {
    pub(super) fn new(wire: &Wire) -> Self {
        Self { wire: wire.clone() }
    }

    /// One page of an audit; what it found is counted.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: the same page is looked at again by the next call.
    pub async fn step(&self, audit: &mut Audit) -> Result<Vec<IndexFinding>, StoreError> {
        let findings = match audit.stage {
            AuditStage::Open => {
                audit.books = self.books(&audit.shard).await?;
                audit.total = audit.books.members();
                let whole = !audit.books.is_empty() || !audit.books.balance();
                audit.enter(if whole { AuditStage::Structure(0) } else { AuditStage::Done });
                Vec::new()
            }
            AuditStage::Structure(at) => self.audit_structure(audit, at).await?,
            AuditStage::Lanes(at) => self.audit_lanes(audit, at).await?,
            AuditStage::Records => self.audit_records(audit).await?,
            AuditStage::Walk => {
                let page = self.page(audit, "ready", READY_PAGE_MAX).await?;
                page.entries.iter().for_each(|entry| audit.waits.meet(entry));
                audit.waits.end_page();
                audit.go_on(page.next, AuditStage::Judge);
                Vec::new()
            }
            AuditStage::Judge => self.audit_judge(audit).await?,
            AuditStage::Close => self.audit_close(audit).await?,
            AuditStage::Done => Vec::new(),
        };
        self.count_findings(audit, &findings);
        Ok(findings)
    }

    async fn audit_structure(
        &self,
        audit: &mut Audit,
        at: usize,
    ) -> Result<Vec<IndexFinding>, StoreError> {
        let page = self.page(audit, STRUCTURES[at], audit.page_max()).await?;
        let findings = self.judge(audit, STRUCTURES[at], page.faults, false).await?;
        audit.weights[usize::from(STRUCTURES[at] == "dead")] += page.weight;
        audit.go_on(page.next, AuditStage::Structure(at + 1));
        Ok(findings)
    }

    async fn audit_records(&self, audit: &mut Audit) -> Result<Vec<IndexFinding>, StoreError> {
        let page = self.page(audit, "records", audit.page_max()).await?;
        let findings = self.judge(audit, "", page.faults, false).await?;
        page.entries.iter().for_each(|entry| audit.waits.gather(entry));
        let is_last = page.next.is_none();
        audit.cursor = page.next;
        if is_last || audit.waits.is_full() {
            audit.records = audit.cursor.take();
            audit.enter(AuditStage::Walk);
        }
        Ok(findings)
    }

    /// Who was not met in the walk, and who was met twice.
    async fn audit_judge(&self, audit: &mut Audit) -> Result<Vec<IndexFinding>, StoreError> {
        let (fault, entries) = match audit.waits.take_missing(PUT_BACK_MAX) {
            missing if missing.is_empty() => {
                (Fault::Duplicate, audit.waits.take_suspects(STRIKE_MAX))
            }
            missing => (Fault::Unplaced, missing),
        };
        if entries.is_empty() {
            audit.after_judging();
            return Ok(Vec::new());
        }
        let found = entries.into_iter().map(|entry| (fault, entry)).collect();
        self.judge(audit, "", found, true).await
    }

    /// Where all else is mended, what the books still lack is the counter's fault.
    async fn audit_close(&self, audit: &mut Audit) -> Result<Vec<IndexFinding>, StoreError> {
        let books = self.books(&audit.shard).await?;
        audit.enter(AuditStage::Done);
        if audit.left > 0 || audit.unreadable > 0 {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        if !books.balance() {
            found.push((Fault::Count, format!("{} messages", books.drift)));
        }
        if let Some(off) = audit.weight_off(&books) {
            found.push((Fault::Weight, format!("{off} bytes")));
        }
        if found.is_empty() {
            return Ok(Vec::new());
        }
        self.judge(audit, "", found, true).await
    }

    async fn page(
        &self,
        audit: &mut Audit,
        structure: &str,
        most: u64,
    ) -> Result<AuditPage, StoreError> {
        let cursor = audit.cursor.as_deref().unwrap_or("0");
        let page = self.audit_page(&audit.shard, structure, cursor, most).await?;
        audit.looked += page.looked;
        Ok(page)
    }

    /// Mends findings, or, where a single call could not tell for certain, asks whether they hold.
    async fn judge(
        &self,
        audit: &mut Audit,
        structure: &str,
        found: Vec<(Fault, String)>,
        is_doubtful: bool,
    ) -> Result<Vec<IndexFinding>, StoreError> {
        let (unreadable, found): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|(fault, _)| *fault == Fault::Unreadable);
        audit.unreadable += unreadable.len() as u64;
        let mut holds = vec![true; found.len()];
        if !found.is_empty() && (audit.mends || is_doubtful) {
            let (queue, shard) = (&audit.queue, &audit.shard);
            holds = self.mend(queue, shard, structure, &found, audit.mends).await?;
        }
        let held = found.into_iter().zip(holds).filter_map(|(found, holds)| holds.then_some(found));
        let held = held.map(|(fault, member)| IndexFinding { fault, member, mended: audit.mends });
        let unreadable = unreadable.into_iter().map(|(fault, member)| IndexFinding {
            fault,
            member,
            mended: false,
        });
        let findings: Vec<IndexFinding> = held.chain(unreadable).collect();
        audit.left += findings.iter().filter(|finding| !finding.mended).count() as u64;
        Ok(findings)
    }

    fn count_findings(&self, audit: &Audit, findings: &[IndexFinding]) {
        let metrics = self.wire.metrics();
        for finding in findings {
            let queue = audit.queue.policy.name.to_string();
            let label = FaultLabel { queue, fault: finding.fault.as_str() };
            metrics.queue.index_faults.get_or_create(&label).inc();
            if finding.mended {
                metrics.queue.index_repairs.get_or_create(&label).inc();
            }
        }
    }
}

impl Audit {
    /// By how much the sum of weights is off; `None`: it is right, or cannot be told, as messages became
    /// final or went meanwhile.
    fn weight_off(&self, now: &Books) -> Option<i64> {
        let (before, weights) = (self.books.weights?, now.weights?);
        let is_still = before == weights && self.books.sizes == now.sizes;
        let off = |at: usize| weights[at] - self.weights[at];
        let off = [off(0), off(1)].into_iter().find(|off| *off != 0)?;
        is_still.then_some(off)
    }

    /// To the next page of this structure, or on to the next stage.
    fn go_on(&mut self, next: Option<String>, stage: AuditStage) {
        match next {
            Some(cursor) => self.cursor = Some(cursor),
            None => self.enter(stage),
        }
    }
}
