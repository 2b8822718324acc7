//! The lanes of a queue with keys: a page of one of their structures, and mending.
//!
//! All that is compared of a lane, a blocker, a flow or a lease is read in one call, so that what is found is certain
//! while claims go on. It is looked at before the records: a message that stands nowhere afterwards is missed there, and
//! comes in again.

use super::calls::AuditPage;
use super::{Audit, AuditStage, Audits, IndexFinding, PAGE_MAX};
use crate::domain::index_fault::Fault;
use crate::store::StoreError;
use crate::store::queue::Shard;
use crate::store::redis::script::{ScriptForm, call, fields, row, rows, timed_call};

/// What there is of lanes, in the order in which it is looked at: what others are mended by comes first.
pub(super) const LANE_STRUCTURES: [&str; 11] = [
    "heads",
    "open",
    "parked",
    "rest",
    "waits",
    "lent",
    "turns",
    "held",
    "flight",
    "held_keys",
    "backlog",
];

impl Audit {
    pub(super) fn has_lanes(&self) -> bool {
        self.shard.structure().form() == ScriptForm::Keyed
    }
}

impl Audits {
    pub(super) async fn audit_lanes(
        &self,
        audit: &mut Audit,
        at: usize,
    ) -> Result<Vec<IndexFinding>, StoreError> {
        let cursor = audit.cursor.as_deref().unwrap_or("0");
        let page = self.page_of_lanes(&audit.shard, LANE_STRUCTURES[at], cursor).await?;
        audit.looked += page.looked;
        let mut holds = vec![true; page.faults.len()];
        if audit.mends && !holds.is_empty() {
            holds = self.mend_lanes(&audit.shard, &page.faults).await?;
        }
        let held = page.faults.into_iter().zip(holds).filter(|(_, holds)| *holds);
        let findings: Vec<_> = held
            .map(|((fault, member), _)| IndexFinding { fault, member, mended: audit.mends })
            .collect();
        audit.left += findings.iter().filter(|finding| !finding.mended).count() as u64;
        audit.go_on(page.next, AuditStage::Lanes(at + 1));
        Ok(findings)
    }

    async fn page_of_lanes(
        &self,
        shard: &Shard,
        structure: &str,
        cursor: &str,
    ) -> Result<AuditPage, StoreError> {
        let call = call!(AuditLanes, what = structure, cursor = cursor, most = PAGE_MAX);
        let mut reply = self.wire.read(shard, &call).await?;
        fields!(reply as AuditLanes; next_cursor: String, looked: u64);
        rows!(reply as AuditLanes);
        let next = Some(next_cursor).filter(|cursor| cursor != "0");
        let mut page = AuditPage { next, looked, ..AuditPage::default() };
        while reply.len() > 0 {
            fields!(row of reply as AuditLanes; code: u64, member: String);
            page.faults.extend(Fault::of_code(code).map(|fault| (fault, member)));
        }
        Ok(page)
    }

    /// Mends what still holds of these; tells which did.
    async fn mend_lanes(
        &self,
        shard: &Shard,
        findings: &[(Fault, String)],
    ) -> Result<Vec<bool>, StoreError> {
        let rows = findings
            .iter()
            .map(|(fault, member)| row!(MendLanes: code = fault.code(), member = member));
        let call = timed_call!(MendLanes, ..rows);
        // What is due depends on the clock: while it is in doubt nothing is mended.
        let Some(mut called) = self.wire.timed(shard, call).await? else {
            return Ok(vec![false; findings.len()]);
        };
        let reply = &mut called.reply;
        rows!(reply as MendLanes);
        let mut held = Vec::with_capacity(findings.len());
        for _ in findings {
            fields!(row of reply as MendLanes; holds: bool);
            held.push(holds);
        }
        Ok(held)
    }
}
