//! The slow look through everything that is stored: do the indexes agree with their messages?
//!
//! One for each node, one page now and then, so that it costs a thousandth of a core whatever is
//! stored. A glance at a shard's books tells whether its counts add up: an empty shard needs no more,
//! and one that does not add up is looked through in haste. Nodes share the work by a mark on each
//! shard that is, or was of late, looked through.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use crate::domain::spread::spread;
use crate::engine::Pulse;
use crate::engine::cadence::{self, Next, Pass};
use crate::store::{Audit, IndexFinding, Queue, Shard, Store, StoreError};

/// The time between two passes.
const EVERY: Duration = Duration::from_secs(1);
/// The same while something is known to be wrong.
const EVERY_IN_HASTE: Duration = Duration::from_millis(50);
/// Work in a pass: a thousandth of the time between two.
const WORK_MAX: Duration = Duration::from_millis(1);
/// The same while something is known to be wrong.
const WORK_IN_HASTE_MAX: Duration = Duration::from_millis(20);
/// Between two glances at the same shard, at least.
const ROUND_MIN: Duration = Duration::from_secs(60);
/// Findings of one audit that are logged one by one; the rest is counted.
const LOGGED_MAX: u64 = 20;

/// The auditor of this node.
#[derive(Debug)]
pub struct Auditor {
    store: Store,
    /// Shards that this round has yet to glance at.
    round: VecDeque<(Arc<Queue>, Arc<Shard>)>,
    round_began: Option<Instant>,
    /// Shards to look through, the urgent ones in front.
    wanted: VecDeque<Wanted>,
    under_way: Option<AuditUnderWay>,
    /// What the books of a shard lacked after it was looked through: once said, no reason for haste.
    known_drift: HashMap<String, i64>,
}

#[derive(Debug)]
struct Wanted {
    queue: Arc<Queue>,
    shard: Arc<Shard>,
    is_urgent: bool,
}

#[derive(Debug)]
struct AuditUnderWay {
    audit: Audit,
    is_urgent: bool,
    found: u64,
    mended: u64,
}

impl Pass for Auditor {
    const FAILED_PAUSE: Duration = EVERY;

    /// One glance and one page.
    async fn run_once(&mut self) -> Result<Next, StoreError> {
        // Mending goes by time as well.
        if self.store.servers.health().is_up() && self.store.clock_alarms.standing().is_none() {
            self.glance().await?;
            match &self.under_way {
                Some(_) => self.go_on().await?,
                None => self.begin().await?,
            }
        }
        Ok(Next::In(spread(self.pause(), 0.5, rand::random())))
    }
}

impl Auditor {
    /// An auditor of everything that is stored.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self {
            store,
            round: VecDeque::new(),
            round_began: None,
            wanted: VecDeque::new(),
            under_way: None,
            known_drift: HashMap::new(),
        }
    }

    /// The loop.
    pub async fn run(self, stop: CancellationToken, pulse: Pulse) {
        cadence::run(&stop, pulse, self).await;
    }

    /// Until the next pass; what is left of the round, where all of it is done.
    fn pause(&self) -> Duration {
        let in_haste = self.under_way.as_ref().is_some_and(|audit| audit.is_urgent);
        if in_haste {
            return EVERY_IN_HASTE;
        }
        let is_done = self.round.is_empty() && self.wanted.is_empty() && self.under_way.is_none();
        let next_round = self.round_began.filter(|_| is_done).map(|at| at + ROUND_MIN);
        let rest = next_round.map_or(EVERY, |at| at.saturating_duration_since(Instant::now()));
        rest.max(EVERY)
    }

    /// Looks at the books of the next shard.
    async fn glance(&mut self) -> Result<(), StoreError> {
        let Some((queue, shard)) = self.next_in_round() else { return Ok(()) };
        let books = self.store.audits.books(&shard).await?;
        let drift = books.drift();
        let is_known = self.known_drift.get(shard.tag()).copied().unwrap_or(0) == drift;
        if drift != 0 && !is_known {
            tracing::error!(
                queue = %queue.policy.name, shard = shard.number, drift,
                "counts differ from the messages that are stored; looking for the cause"
            );
            self.wanted.push_front(Wanted { queue, shard, is_urgent: true });
        } else if !books.is_empty() {
            let is_wanted = self.wanted.iter().any(|wanted| wanted.shard.tag() == shard.tag());
            if !is_wanted {
                self.wanted.push_back(Wanted { queue, shard, is_urgent: false });
            }
        }
        Ok(())
    }

    fn next_in_round(&mut self) -> Option<(Arc<Queue>, Arc<Shard>)> {
        if self.round.is_empty() && self.round_began.is_none_or(|at| at.elapsed() >= ROUND_MIN) {
            self.round_began = Some(Instant::now());
            for queue in self.store.queues.all() {
                for shard in &queue.shards {
                    self.round.push_back((Arc::clone(&queue), Arc::clone(shard)));
                }
            }
        }
        self.round.pop_front()
    }

    /// Takes the next shard that no other node looks through, or has of late.
    async fn begin(&mut self) -> Result<(), StoreError> {
        let Some(Wanted { queue, shard, is_urgent }) = self.wanted.pop_front() else {
            return Ok(());
        };
        if self.store.audits.begin(&shard, is_urgent).await? {
            let audit = Audit::new(queue, shard, true);
            self.under_way = Some(AuditUnderWay { audit, is_urgent, found: 0, mended: 0 });
        }
        Ok(())
    }

    async fn go_on(&mut self) -> Result<(), StoreError> {
        let Some(AuditUnderWay { audit, is_urgent, found, mended }) = &mut self.under_way else {
            return Ok(());
        };
        let work_max = if *is_urgent { WORK_IN_HASTE_MAX } else { WORK_MAX };
        let began = Instant::now();
        while !audit.is_done() && began.elapsed() < work_max {
            for finding in self.store.audits.step(audit).await? {
                *found += 1;
                *mended += u64::from(finding.mended);
                if *found <= LOGGED_MAX {
                    log(&audit.queue, &audit.shard, &finding);
                }
            }
        }
        if audit.is_done() {
            return self.end().await;
        }
        self.store.audits.go_on(&audit.shard).await
    }

    async fn end(&mut self) -> Result<(), StoreError> {
        let Some(AuditUnderWay { audit, found, mended, .. }) = self.under_way.take() else {
            return Ok(());
        };
        let (queue, shard) = (&audit.queue.policy.name, &audit.shard);
        if found > 0 {
            tracing::error!(%queue, shard = shard.number, found, repaired = mended, "indexes disagreed with their messages");
        }
        self.store.audits.end(shard).await?;
        match self.store.audits.books(shard).await?.drift() {
            0 => drop(self.known_drift.remove(shard.tag())),
            drift => drop(self.known_drift.insert(shard.tag().to_owned(), drift)),
        }
        Ok(())
    }
}

fn log(queue: &Queue, shard: &Shard, finding: &IndexFinding) {
    let IndexFinding { fault, member, mended } = finding;
    let name = &queue.policy.name;
    let (ulid, rest) = member.split_at_checked(26).unwrap_or((member, ""));
    // Most are ids of messages, some with a mark behind.
    let member = match ulid.parse::<Ulid>() {
        Ok(_) => format!("{name}_{ulid}{rest}"),
        Err(_) => member.clone(),
    };
    tracing::error!(
        queue = %name, shard = shard.number, fault = fault.as_str(), member, mended,
        "an index disagrees with its message"
    );
}
