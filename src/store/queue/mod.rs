//! The queues as the store knows them: policy, shards, and who sleeps until a shard stirs.

mod account;
pub(super) mod batch_size;
mod call_times;
mod collapse_keys;
mod keys_hold;
mod limits;
mod meeting;
mod next_grant;
mod outflow;
mod refusals;
mod reservation;
mod rules;
mod structure;
mod zones;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use tokio::sync::Notify;

pub(in crate::store) use self::account::{Account, Accounts};
use self::batch_size::{BatchSize, MANY};
pub use self::call_times::CallTimes;
use self::collapse_keys::CollapseKeys;
use self::keys_hold::KeysHold;
pub(in crate::store) use self::limits::ShardLimits;
use self::meeting::Meeting;
pub(in crate::store) use self::outflow::Outflow;
use self::refusals::Refusals;
pub(in crate::store) use self::reservation::{Reservation, ReservedAt};
pub use self::structure::StructureStanding;
pub(in crate::store) use self::structure::{InForce, Learned, ShardStructure};
use self::zones::Zones;
use crate::domain::id::MessageId;
use crate::domain::policy::QueuePolicy;
use crate::store::clock::offset::ClockOffset;
use crate::store::redis::keys::{SHARD_KEYS, ShardKeys};
use crate::store::routing::{Routing, shard_of_text};
use crate::telemetry::{Metrics, QueueHandles, QueueLabel};

/// How far ahead of their slots messages are claimed: the sender has them at hand when the slot comes. No claim looks
/// further ahead.
pub const HORIZON_US: u64 = 50_000;

static NEXT_MARK: AtomicU64 = AtomicU64::new(1);

/// A queue: its policy and its shards.
#[derive(Debug)]
pub struct Queue {
    /// What is configured; a default for retired queues.
    pub policy: Arc<QueuePolicy>,
    /// Its shards, in order.
    pub shards: Vec<Arc<Shard>>,
    /// Gone from the configuration: kept and readable, not dispatched.
    pub retired: bool,
    /// Wakes the dispatcher: something became ready, a slot came free, a gate opened.
    pub ready: Arc<Notify>,
    /// Wakes the prober: a message became uncertain, a probe ended, the queue goes on.
    pub doubt: Arc<Notify>,
    /// What is counted of it.
    pub metrics: Arc<QueueHandles>,
    /// Messages that it has refused, as its backlog is full.
    pub refusals: Arc<Refusals>,
    /// How the zones of recipients stand, where it has hours for them.
    pub(in crate::store) zones: Zones,
    /// How fast messages leave it, where its backlog is limited.
    pub(in crate::store) outflow: Arc<Outflow>,
    /// How long its calls take.
    pub calls: Arc<CallTimes>,
    /// Where the next round of claims begins.
    turn: AtomicUsize,
    /// What the next message is taken to cost: as much as the last one did, or one that had not been granted enough.
    next_cost: AtomicU64,
    /// Whether messages have cost more than one unit: then what is reserved for them has to be known before.
    has_costs: AtomicBool,
    /// For how many calls the next grant asks at most, where keys may hold messages.
    next_calls: AtomicUsize,
}

/// Tells shards apart within this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ShardMark(pub(super) u64);

/// One slot's worth of a queue.
#[derive(Debug)]
pub struct Shard {
    pub(super) keys: ShardKeys,
    mark: ShardMark,
    /// The run of the server on which this shard was last recovered; 0: none yet.
    met: AtomicU64,
    /// When what it holds was last seen as it had been, ms by Redis.
    intact_ms: AtomicU64,
    /// Held while it is being recovered: once is enough.
    pub(super) meeting: Meeting,
    /// The limits, and what this node has started of them; of use in the home shard.
    limits: ShardLimits,
    /// The structure in force, as far as this node knows.
    structure: ShardStructure,
    /// Which of the queue's shards, from 0.
    pub number: u16,
    /// Wakes the promoter: an earlier due time.
    pub due: Notify,
    /// Wakes the expirer: a message with a ttl came.
    pub expiry: Notify,
    /// Counts this node's claims here, for tokens.
    pub(super) claims: AtomicU64,
    /// What was reserved at shared limits for a claim whose reply was lost: its repeat needs it.
    pub(super) unanswered: parking_lot::Mutex<Option<Reservation>>,
    /// Held while a claim is made: a sequence is used once.
    pub(super) claiming: tokio::sync::Mutex<()>,
    /// Whether something may be ready here; spares claims at empty shards.
    may_be_ready: AtomicBool,
    /// Until when keys hold all that is ready here; spares grants for nothing.
    keys_hold: KeysHold,
    /// Whether messages with a collapse key were met here.
    pub(in crate::store) collapse_keys: CollapseKeys,
    /// How many messages its calls carry.
    pub(super) batch_size: BatchSize,
    queue_ready: Arc<Notify>,
    /// How far the clock of its server is from the time of this node.
    pub(super) clock_offset: Arc<ClockOffset>,
}

impl Shard {
    pub(super) fn new(
        keys: ShardKeys,
        number: u16,
        queue_ready: Arc<Notify>,
        clock_offset: Arc<ClockOffset>,
    ) -> Self {
        Self {
            keys,
            mark: ShardMark(NEXT_MARK.fetch_add(1, Ordering::Relaxed)),
            met: AtomicU64::new(0),
            intact_ms: AtomicU64::new(0),
            meeting: Meeting::default(),
            limits: ShardLimits::default(),
            structure: ShardStructure::default(),
            number,
            due: Notify::new(),
            expiry: Notify::new(),
            claims: AtomicU64::new(0),
            unanswered: parking_lot::Mutex::default(),
            claiming: tokio::sync::Mutex::default(),
            may_be_ready: AtomicBool::new(true),
            keys_hold: KeysHold::default(),
            collapse_keys: CollapseKeys::default(),
            batch_size: BatchSize::default(),
            queue_ready,
            clock_offset,
        }
    }

    /// `<namespace>:<queue>.<shard>`: the same on every node.
    #[must_use]
    pub fn tag(&self) -> &str {
        &self.keys.tag
    }

    /// Most messages in a call of claim, or of what ends leases.
    #[must_use]
    pub fn messages_max(&self) -> usize {
        self.batch_size.messages_max()
    }

    /// The key of this structure.
    pub(super) fn key(&self, name: &str) -> &str {
        let at = SHARD_KEYS.iter().position(|known| *known == name);
        &self.keys.all[at.expect("a structure of the shard")]
    }

    pub(super) fn mark(&self) -> ShardMark {
        self.mark
    }

    pub(super) fn met(&self) -> u64 {
        self.met.load(Ordering::Acquire)
    }

    pub(super) fn meet(&self, run: u64) {
        self.met.store(run, Ordering::Release);
    }

    pub(super) fn intact_ms(&self) -> u64 {
        self.intact_ms.load(Ordering::Acquire)
    }

    pub(super) fn was_intact(&self, at_ms: u64) {
        self.intact_ms.store(at_ms, Ordering::Release);
    }

    pub(super) const fn limits(&self) -> &ShardLimits {
        &self.limits
    }

    pub(super) const fn structure(&self) -> &ShardStructure {
        &self.structure
    }

    /// Wakes who sleeps on this shard; `flags` as the scripts return them (1 due, 2 ready).
    pub(super) fn wake(&self, flags: u64) {
        if flags & 1 != 0 {
            self.due.notify_one();
        }
        if flags & 2 != 0 {
            self.stir();
            self.queue_ready.notify_one();
        }
    }

    /// Something is ready here.
    pub fn wake_ready(&self) {
        self.wake(2);
    }

    pub(super) fn stirs(&self) -> bool {
        self.may_be_ready.load(Ordering::Acquire)
    }

    /// Nothing is known to be ready here, until somebody stirs it.
    pub(super) fn rest(&self) {
        self.may_be_ready.store(false, Ordering::Release);
    }

    /// Something may be ready here, and may start.
    pub(super) fn stir(&self) {
        self.keys_hold.forget();
        self.may_be_ready.store(true, Ordering::Release);
    }

    /// Something is ready here still.
    pub(super) fn stirs_on(&self) {
        self.may_be_ready.store(true, Ordering::Release);
    }

    /// Until when keys hold all that is ready here.
    pub(super) const fn keys_hold(&self) -> &KeysHold {
        &self.keys_hold
    }
}

impl Queue {
    pub(super) fn new(
        namespace: &str,
        policy: Arc<QueuePolicy>,
        retired: bool,
        known: Option<&Self>,
        clock_offset: &dyn Fn() -> Arc<ClockOffset>,
        metrics: &Arc<Metrics>,
    ) -> Self {
        let reused = known.filter(|known| known.shards.len() == usize::from(policy.shards));
        let ready = reused.map_or_else(Arc::default, |known| Arc::clone(&known.ready));
        let doubt = known.map_or_else(Arc::default, |known| Arc::clone(&known.doubt));
        let shards = reused.map_or_else(
            || {
                (0..policy.shards)
                    .map(|number| {
                        let keys = ShardKeys::new(namespace, &policy.name, number);
                        Arc::new(Shard::new(keys, number, Arc::clone(&ready), clock_offset()))
                    })
                    .collect()
            },
            |known| known.shards.clone(),
        );
        let limits: Vec<_> = policy.wide_limits().cloned().collect();
        for shard in &shards {
            shard.limits.set(&limits);
            shard.structure.set(Some(&policy).filter(|_| !retired).map(AsRef::as_ref));
        }
        // Workers of a queue that stays go by the one that they were started with: what is noted there is seen here.
        let metrics = known.map_or_else(
            || Arc::new(QueueHandles::new(metrics, policy.name.as_str())),
            |known| Arc::clone(&known.metrics),
        );
        let outflow = known.map_or_else(Arc::default, |known| Arc::clone(&known.outflow));
        let calls = known.map_or_else(Arc::default, |known| Arc::clone(&known.calls));
        let same_backlog = known.filter(|known| known.policy.backlog == policy.backlog);
        let refusals = same_backlog.map_or_else(Arc::default, |known| Arc::clone(&known.refusals));
        Self {
            policy,
            shards,
            retired,
            ready,
            doubt,
            metrics,
            refusals,
            zones: Zones::default(),
            outflow,
            calls,
            turn: AtomicUsize::new(0),
            next_cost: AtomicU64::new(1),
            has_costs: AtomicBool::new(false),
            next_calls: AtomicUsize::new(usize::MAX),
        }
    }

    /// Messages a second that leave, as far as this node has seen it; `None`: it cannot tell, or the backlog has no limit.
    #[must_use]
    pub fn outflow_per_second(&self) -> Option<f64> {
        self.outflow.per_second(tokio::time::Instant::now())
    }

    /// How this node stands to the structure in force; `None`: the queue has no keys.
    #[must_use]
    pub fn structure(&self) -> Option<StructureStanding> {
        self.shards.iter().filter_map(|shard| shard.structure.standing()).reduce(|mine, other| {
            StructureStanding {
                number: mine.number.max(other.number),
                is_own: mine.is_own && other.is_own,
                is_switching: mine.is_switching || other.is_switching,
            }
        })
    }

    /// The limits over all shards, which stand in the home shard.
    pub(super) fn limits(&self) -> &ShardLimits {
        self.shards[0].limits()
    }

    /// How its messages are divided among its shards.
    #[must_use]
    pub fn routing(&self) -> Routing {
        match self.shards.as_slice() {
            [_] => Routing::default(),
            shards => Routing::new(self.policy.shards, shards[0].structure().shard_key()),
        }
    }

    /// Whether something may be ready; what is not known to this node, the rounds find.
    #[must_use]
    pub fn stirs(&self) -> bool {
        self.shards.iter().any(|shard| shard.stirs())
    }

    /// Lets the next claim look at every shard again: the fallback for a wake-up that got lost.
    pub fn look_everywhere(&self) {
        for shard in &self.shards {
            shard.stir();
        }
    }

    /// Until when keys hold all that is ready, by the time of the home shard; `None`: something may start.
    pub(super) fn keys_hold_until_us(&self) -> Option<u64> {
        let stirring = self.shards.iter().filter(|shard| shard.stirs());
        stirring.map(|shard| shard.keys_hold().until_us()).min().flatten()
    }

    /// Every shard once, beginning with another one each time, so that none starves the others.
    pub(super) fn round(&self) -> impl Iterator<Item = &Arc<Shard>> {
        let (before, first) =
            self.shards.split_at(self.turn.fetch_add(1, Ordering::Relaxed) % self.shards.len());
        first.iter().chain(before)
    }

    /// Lets the next round begin with this shard.
    pub(super) fn begin_with(&self, shard: &Shard) {
        self.turn.store(usize::from(shard.number), Ordering::Relaxed);
    }

    /// After how long the downstream is asked about an uncertain message, as scripts take it.
    pub(super) fn probe_after(&self, asked_ms: u64) -> Option<u64> {
        let probe = self.policy.probe.as_ref();
        probe.map(|probe| probe.after_ms.max(asked_ms))
    }

    /// Most messages in a call of claim, whichever of its shards is claimed from.
    #[must_use]
    pub fn messages_max(&self) -> usize {
        self.shards.iter().map(|shard| shard.messages_max()).min().unwrap_or(MANY)
    }

    /// The shard in which messages with this value of its key stand.
    pub(super) fn shard_of_key(&self, value: &str) -> &Arc<Shard> {
        let number = match self.shards.as_slice() {
            [_] => 0,
            _ => shard_of_text(value, self.policy.shards),
        };
        &self.shards[usize::from(number)]
    }

    /// The shard of a message of this queue.
    #[must_use]
    pub fn shard_of(&self, id: &MessageId) -> &Arc<Shard> {
        &self.shards[usize::from(id.shard(self.policy.shards))]
    }
}

/// Those shards that are marked.
pub(super) fn chosen(shards: &[Arc<Shard>], marked: &[bool]) -> Vec<Arc<Shard>> {
    let both = shards.iter().zip(marked);
    both.filter(|(_, is_marked)| **is_marked).map(|(shard, _)| Arc::clone(shard)).collect()
}

/// The metric label of a queue.
pub(super) fn queue_label(queue: &Queue) -> QueueLabel {
    QueueLabel { queue: queue.policy.name.to_string() }
}
