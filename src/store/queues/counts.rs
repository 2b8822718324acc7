//! How many messages of a queue stand where, and what its gates say.

use std::collections::BTreeMap;

use super::Queues;
use crate::domain::failing::Failing;
use crate::domain::gates::{HeldByKeys, PauseEnd, QueueLoad, ShardLoad, Snapshot};
use crate::domain::id::QueueName;
use crate::domain::limit::{KeptLimit, LimitRule};
use crate::domain::policy::QueuePolicy;
use crate::domain::state::State;
use crate::store::StoreError;
use crate::store::queue::Shard;
use crate::store::redis::reply::Reply;
use crate::store::redis::script::{ScriptForm, call, fields, row};

/// How many messages stand where, and what the queue's gates say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// By state, in the order of [`State::ALL`].
    pub by_state: [u64; 9],
    /// How long the oldest ready message has been due, in milliseconds.
    pub oldest_ready_age_ms: Option<u64>,
    /// The same of those that no key holds.
    pub oldest_free_age_ms: Option<u64>,
    /// The next due time, ms.
    pub next_due_ms: Option<u64>,
    /// What holds back or lets through in each shard, in the order of their numbers.
    pub by_shard: Vec<ShardCounts>,
    /// Set while paused.
    pub paused: Option<PauseInfo>,
    /// Set while the downstream's answers keep the gate shut: until when, what kind, why.
    pub gate: Option<(u64, String, String)>,
    /// When the gate shut first, ms; answers since have only prolonged it.
    pub gate_since_ms: Option<u64>,
    /// Set while the downstream fails.
    pub failing: Option<Failing>,
    /// Calls in the last minute.
    pub calls_last_minute: u64,
    /// What is kept of each limit in the home shard, in the order of the policy.
    pub limits: Vec<KeptLimit>,
    /// How many keys each limit by key holds, by its name.
    pub held_keys: BTreeMap<String, u64>,
    /// About how many lanes a switch to another structure has not looked at; `None`: none is under way.
    pub lanes_left: Option<u64>,
    /// Bytes of the records that the backlog counts, where it counts them.
    pub backlog_bytes: u64,
    /// How many keys were given something at run time.
    pub keys: u64,
    /// Bytes that are kept of delivered (with expired and cancelled) and of dead messages, where they are
    /// limited.
    pub kept_bytes: Option<[u64; 2]>,
}

/// What the gates of one shard go by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ShardCounts {
    /// Ready messages.
    pub ready: u64,
    /// Messages in flight.
    pub leased: u64,
    /// Batches in flight.
    pub exchanges: u64,
    /// How long the oldest ready message has been due, in milliseconds.
    pub oldest_ready_age_ms: Option<u64>,
    /// Set where all ready messages wait for their keys.
    pub held_by_keys: Option<HeldByKeys>,
}

impl ShardCounts {
    /// The same, for the gates of a queue with this policy.
    pub(in crate::store) fn load(&self, policy: &QueuePolicy) -> ShardLoad {
        ShardLoad {
            calls_in_flight: if policy.batch.is_some() { self.exchanges } else { self.leased },
            ready: self.ready,
            oldest_ready_age_ms: self.oldest_ready_age_ms.unwrap_or(0),
            held_by_keys: self.held_by_keys,
        }
    }
}

/// Why and until when a queue is paused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PauseInfo {
    /// Since when, ms.
    pub since_ms: Option<u64>,
    /// Until when, ms; `None`: until resume.
    pub until_ms: Option<u64>,
    /// The operator's words.
    pub reason: String,
    /// Who did it.
    pub by: String,
}

impl Counts {
    /// How many messages are in `state`.
    #[must_use]
    pub fn of(&self, state: State) -> u64 {
        State::ALL.iter().zip(self.by_state).find(|(s, _)| **s == state).map_or(0, |(_, n)| n)
    }

    /// What these counts say of the queue's gates.
    #[must_use]
    pub fn snapshot(&self, policy: &QueuePolicy) -> Snapshot {
        let pause_end = |until_ms: Option<u64>| until_ms.map_or(PauseEnd::Resume, PauseEnd::At);
        Snapshot {
            pause: self.paused.as_ref().map(|paused| pause_end(paused.until_ms)),
            throttled_until_ms: self.gate.as_ref().map(|(until_ms, ..)| *until_ms),
            load: Some(QueueLoad {
                limits: self.limits.clone(),
                shards: self.by_shard.iter().map(|shard| shard.load(policy)).collect(),
            }),
            call_ms: 0,
        }
    }

    fn add(&mut self, other: Self) {
        for (mine, theirs) in self.by_state.iter_mut().zip(other.by_state) {
            *mine += theirs;
        }
        self.oldest_ready_age_ms = self.oldest_ready_age_ms.max(other.oldest_ready_age_ms);
        self.oldest_free_age_ms = self.oldest_free_age_ms.max(other.oldest_free_age_ms);
        for (name, count) in other.held_keys {
            *self.held_keys.entry(name).or_default() += count;
        }
        self.lanes_left = match (self.lanes_left, other.lanes_left) {
            (Some(mine), Some(theirs)) => Some(mine + theirs),
            (mine, theirs) => mine.or(theirs),
        };
        self.next_due_ms = match (self.next_due_ms, other.next_due_ms) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        self.by_shard.extend(other.by_shard);
        self.paused = self.paused.take().or(other.paused);
        self.gate = self.gate.take().max(other.gate);
        self.gate_since_ms = [self.gate_since_ms, other.gate_since_ms].into_iter().flatten().min();
        // Each shard that knows of it says the same, or counts its own attempts since.
        let attempts = |failing: &Failing| failing.attempts;
        self.failing =
            [self.failing.take(), other.failing].into_iter().flatten().max_by_key(attempts);
        self.calls_last_minute += other.calls_last_minute;
        self.backlog_bytes += other.backlog_bytes;
        self.keys += other.keys;
        self.limits.extend(other.limits);
        self.kept_bytes = match (self.kept_bytes, other.kept_bytes) {
            (Some(a), Some(b)) => Some([a[0] + b[0], a[1] + b[1]]),
            (a, b) => a.or(b),
        };
    }
}

fn read_limits(mut kept: Reply) -> Result<Vec<KeptLimit>, StoreError> {
    let mut limits = Vec::with_capacity(kept.len() / 2);
    while kept.len() > 0 {
        limits.push(KeptLimit { standing: kept.text()?, debt: kept.text()? });
    }
    Ok(limits)
}

/// A line for each limit: `COUNT NAME`.
fn read_held_keys(text: &str) -> Result<BTreeMap<String, u64>, StoreError> {
    let read = |line: &str| {
        let (count, name) = line.split_once(' ')?;
        Some((name.to_owned(), count.parse().ok()?))
    };
    let unreadable = |line| StoreError::Reply(format!("count answered \"{line}\" as held keys"));
    text.lines().map(|line| read(line).ok_or_else(|| unreadable(line))).collect()
}

fn read_held_by_keys(word: &str) -> Option<HeldByKeys> {
    match word {
        "order" => Some(HeldByKeys::Order),
        "limits" => Some(HeldByKeys::Limits),
        _ => None,
    }
}

impl Queues {
    /// Counts and gates of a queue, over its shards.
    ///
    /// # Errors
    /// [`StoreError::UnknownQueue`], [`StoreError::Unavailable`].
    pub async fn counts(&self, name: &QueueName) -> Result<Counts, StoreError> {
        let queue = self.wire.queue(name)?;
        let mut all = Counts::default();
        for shard in &queue.shards {
            // The limits of all shards stand in the home shard.
            let is_home = shard.number == 0;
            let limits = queue.policy.wide_limits().filter(|limit| is_home && !limit.shared);
            all.add(self.count_shard(shard, limits).await?);
        }
        if queue.policy.shares_limits() {
            all.limits = self.with_shared(&queue.policy, all.limits).await?;
        }
        Ok(all)
    }

    /// What is kept of each limit without a key, in the order of the policy: shared ones stand in slots of their own.
    async fn with_shared(
        &self,
        policy: &QueuePolicy,
        own: Vec<KeptLimit>,
    ) -> Result<Vec<KeptLimit>, StoreError> {
        let (mut own, mut all) = (own.into_iter(), Vec::new());
        for rule in policy.wide_limits() {
            all.push(if rule.shared {
                self.wire.shared_standing(rule).await?.kept
            } else {
                own.next().unwrap_or_default()
            });
        }
        Ok(all)
    }

    async fn count_shard(
        &self,
        shard: &Shard,
        limits: impl Iterator<Item = &LimitRule>,
    ) -> Result<Counts, StoreError> {
        let rows = limits.map(
            |limit| row!(Count: limit = limit.name.as_str(), is_rate = limit.quota().is_none()),
        );
        let mut reply = self.wire.call(shard, &call!(Count, ..rows)).await?;
        fields!(
            reply as Count;
            now_ms: u64, scheduled: u64, ready: u64, leased: u64, uncertain: u64, accepted: u64,
            delivered: u64, dead: u64, expired: u64, cancelled: u64, oldest_ms: Option<u64>,
            next_due_ms: Option<u64>, exchanges: u64, is_paused: bool, until_ms: Option<u64>,
            reason: String, by: String, gate_ms: u64, gate_kind: String, gate_reason: String,
            calls_1m: u64, kept_limits: Reply, delivered_bytes: Option<u64>, dead_bytes: Option<u64>,
            paused_since_ms: Option<u64>, gate_since_ms: Option<u64>, failed: u64,
            failing_since_ms: u64, last_error: String, oldest_free_ms: Option<u64>,
            held_by_keys: String, held_keys: String, structure_number: u64, lanes_left: Option<u64>,
            backlog_bytes: u64, keys: u64
        );
        if shard.structure().form() == ScriptForm::Keyed {
            shard.structure().compare(structure_number);
        }
        let until_ms = until_ms.filter(|ms| *ms > 0);
        let paused = PauseInfo { since_ms: paused_since_ms, until_ms, reason, by };
        let is_shut = gate_ms > 0;
        let age_ms = |due_ms: u64| now_ms.saturating_sub(due_ms);
        let oldest_ready_age_ms = oldest_ms.map(age_ms);
        let held_by_keys = read_held_by_keys(&held_by_keys);
        let shard_counts =
            ShardCounts { ready, leased, exchanges, oldest_ready_age_ms, held_by_keys };
        let failing = Failing { since_ms: failing_since_ms, attempts: failed, last_error };
        let counts = Counts {
            by_state: [
                scheduled, ready, leased, uncertain, accepted, delivered, dead, expired, cancelled,
            ],
            oldest_ready_age_ms,
            next_due_ms,
            oldest_free_age_ms: oldest_free_ms.map(age_ms),
            by_shard: vec![shard_counts],
            held_keys: read_held_keys(&held_keys)?,
            lanes_left,
            paused: is_paused.then_some(paused),
            gate: is_shut.then_some((gate_ms, gate_kind, gate_reason)),
            gate_since_ms: gate_since_ms.filter(|_| is_shut),
            calls_last_minute: calls_1m,
            backlog_bytes,
            keys,
            limits: read_limits(kept_limits)?,
            kept_bytes: delivered_bytes.zip(dead_bytes).map(Into::into),
            failing: (failed > 0).then_some(failing),
        };
        Ok(counts)
    }
}
