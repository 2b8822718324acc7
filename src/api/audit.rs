//! The audit of a queue: records against indexes, told line by line while it goes.
//!
//! Owns the lines and the pace: an audit takes its half of the store at most, goes as fast as its
//! reader reads, and ends with him. Refuses to know what can be wrong (see `store::Audit`).

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::{RawQuery, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use tokio::time::Instant;
use ulid::Ulid;

use super::auth::Caller;
use super::change::SMALL_BODY_BYTES_MAX;
use super::fields::{Fields, Shape};
use super::paths::InQueue;
use super::problem::Problem;
use super::query::Query;
use super::{Door, Shared};
use crate::domain::id::MessageId;
use crate::store::{Audit, Finding, Queue, StoreError};
use crate::wire::audit::{
    AuditEndView, AuditLine, AuditProgressView, FaultCountsView, IndexFaultView,
};

/// Lines that say how far it has come: not more often.
const TOLD_EVERY: Duration = Duration::from_millis(200);
/// Work after which an audit rests for as long as it took.
const WORK_MAX: Duration = Duration::from_millis(5);
/// Findings of a kind that are told one by one; the rest is counted.
const TOLD_MAX: u64 = 20;

static REPAIR: Shape = Shape { known: &[], later: &[] };

/// Looks whether every index agrees with the messages, and changes nothing.
///
/// Lines of JSON: how far it has come, single findings (the first of each kind), and at the end
/// what was found in all, with `complete`. A last line with `problem` instead: it was cut short.
#[utoipa::path(
    get, path = "/v1/queues/{queue}/audit", operation_id = "audit_queue", tag = "queues",
    params(("queue" = String, Path, description = "The queue's name")),
    responses((status = 200, description = "Lines of JSON",
        body = AuditLine, content_type = "application/x-ndjson")),
)]
pub(super) async fn audit(
    State(door): Shared,
    InQueue(queue): InQueue,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    Query::read(query.as_deref(), &[]).finish()?;
    begin(door, queue, None).await
}

/// The same, and mends what it finds.
#[utoipa::path(
    post, path = "/v1/queues/{queue}/audit", operation_id = "repair_queue", tag = "queues",
    params(("queue" = String, Path, description = "The queue's name")),
    responses((status = 200, description = "Lines of JSON",
        body = AuditLine, content_type = "application/x-ndjson")),
)]
pub(super) async fn repair(
    State(door): Shared,
    InQueue(queue): InQueue,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Result<Response, Problem> {
    let body = door.bodies.read(body, SMALL_BODY_BYTES_MAX).await?;
    Fields::of_body(&body, &REPAIR)?.finish()?;
    if door.store().clock_alarms.standing().is_some() {
        return Err(Problem::store_unavailable(
            "the clock of Redis stepped, so nothing is repaired now; see GET /v1/clock",
        ));
    }
    begin(door, queue, Some(caller)).await
}

async fn begin(
    door: Arc<Door>,
    queue: Arc<Queue>,
    mends_for: Option<Caller>,
) -> Result<Response, Problem> {
    let mut members = 0;
    for shard in &queue.shards {
        members += door.store().audits.books(shard).await?.members();
    }
    let telling = Telling::new(door, queue, mends_for, members);
    let lines = futures_util::stream::unfold(telling, async |mut telling| {
        let line = telling.next().await?;
        Some((Ok::<_, Infallible>(line), telling))
    });
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response())
}

/// An audit on its way to a reader.
struct Telling {
    door: Arc<Door>,
    queue: Arc<Queue>,
    mends_for: Option<Caller>,
    /// Of the shard under way; `None`: all is told.
    audit: Option<Audit>,
    looked_before: u64,
    members: u64,
    /// By kind, in the order of their words.
    faults: BTreeMap<&'static str, FaultCountsView>,
    lines: VecDeque<AuditLine>,
    told_at: Instant,
    work: Duration,
}

impl Telling {
    fn new(door: Arc<Door>, queue: Arc<Queue>, mends_for: Option<Caller>, members: u64) -> Self {
        let mut telling = Self {
            door,
            queue,
            mends_for,
            audit: None,
            looked_before: 0,
            members,
            faults: BTreeMap::new(),
            lines: VecDeque::new(),
            told_at: Instant::now(),
            work: Duration::ZERO,
        };
        telling.audit = telling.audit_of(0);
        telling
    }

    fn audit_of(&self, shard: u16) -> Option<Audit> {
        let shard = Arc::clone(self.queue.shards.get(usize::from(shard))?);
        Some(Audit::new(Arc::clone(&self.queue), shard, self.mends_for.is_some()))
    }

    /// The next line as it is written; `None` after the last.
    async fn next(&mut self) -> Option<Bytes> {
        let mut line = serde_json::to_vec(&self.next_line().await?).ok()?;
        line.push(b'\n');
        Some(Bytes::from(line))
    }

    async fn next_line(&mut self) -> Option<AuditLine> {
        loop {
            if let Some(line) = self.lines.pop_front() {
                return Some(line);
            }
            let audit = self.audit.as_mut()?;
            if self.door.state.draining.is_cancelled() {
                self.audit = None;
                return Some(self.cut_short(&Problem::draining()));
            }
            let began = Instant::now();
            let stepped = self.door.store().audits.step(audit).await;
            self.take(stepped);
            self.rest(began.elapsed()).await;
        }
    }

    async fn rest(&mut self, worked: Duration) {
        self.work += worked;
        if self.work >= WORK_MAX {
            tokio::time::sleep(std::mem::take(&mut self.work)).await;
        }
    }

    fn take(&mut self, stepped: Result<Vec<Finding>, StoreError>) {
        let Some(audit) = &self.audit else { return };
        let shard = audit.shard.number;
        let (looked, is_done) = (self.looked_before + audit.progress().0, audit.is_done());
        match stepped {
            Ok(findings) => findings.iter().for_each(|finding| self.note(shard, finding)),
            Err(error) => {
                self.audit = None;
                return self.lines.push_back(self.cut_short(&Problem::from(error)));
            }
        }
        if is_done {
            self.looked_before = looked;
            self.audit = self.audit_of(shard + 1);
            if self.audit.is_none() {
                self.lines.push_back(self.summary());
            }
        } else if self.told_at.elapsed() >= TOLD_EVERY {
            self.told_at = Instant::now();
            let looked = looked.min(self.members);
            self.lines
                .push_back(AuditLine::Progress(AuditProgressView { looked, of: self.members }));
        }
    }

    fn note(&mut self, shard: u16, finding: &Finding) {
        let counts = self.faults.entry(finding.fault.as_str()).or_default();
        counts.found += 1;
        counts.repaired += u64::from(finding.mended);
        if counts.found <= TOLD_MAX {
            let ulid = finding.member.get(..26).and_then(|text| Ulid::from_string(text).ok());
            let id = ulid.map(|ulid| MessageId { queue: self.queue.policy.name.clone(), ulid });
            self.lines.push_back(AuditLine::Fault(IndexFaultView {
                fault: finding.fault.into(),
                shard,
                id: id.map(|id| id.to_string()),
                member: finding.member.clone(),
                repaired: finding.mended,
            }));
        }
    }

    fn summary(&self) -> AuditLine {
        if let (Some(caller), false) = (&self.mends_for, self.faults.is_empty()) {
            let (queue, by) = (&self.queue.policy.name, caller.name());
            tracing::warn!(%queue, by, faults = ?self.faults, "indexes disagreed with their records");
        }
        let members = Some(self.members);
        self.end(members, None)
    }

    fn cut_short(&self, problem: &Problem) -> AuditLine {
        self.end(None, Some(problem))
    }

    /// The last line; without members it was cut short.
    fn end(&self, members: Option<u64>, problem: Option<&Problem>) -> AuditLine {
        let counted = self.faults.iter().map(|(word, counts)| ((*word).to_owned(), *counts));
        AuditLine::End(Box::new(AuditEndView {
            looked: members,
            of: members,
            faults: counted.collect(),
            complete: members.is_some(),
            problem: problem.map(Problem::view),
        }))
    }
}
