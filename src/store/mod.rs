//! The only room that speaks Redis.
//!
//! Owns the keys, the scripts (`lua/`, one verb a file), their callers (one method a verb), the
//! connections and the wake-ups. Refuses to know HTTP, downstreams and when a verb is called.

mod actions;
mod alarm;
mod audit;
mod belief;
mod callbacks;
mod check;
mod claim;
mod claimed;
mod clock;
mod clock_watch;
mod connect;
mod erasure;
mod error;
mod events;
mod foreign;
mod gate;
mod gauges;
mod given;
mod grant;
mod hands;
mod heads;
mod health;
mod housekeeping;
mod inbox;
mod intake;
mod keys;
mod link;
mod links;
mod managed;
mod nodes;
mod operate;
mod operations;
#[cfg(feature = "failpoints")]
mod plants;
mod portion;
mod probe;
mod promises;
mod prune;
mod queue;
mod read;
mod receipt;
mod record;
mod registry;
mod reply;
mod restarts;
mod reviews;
mod rights;
mod rollback;
mod room;
mod schedules;
mod script;
mod sentinels;
mod settle;
mod site;
mod survey;
mod tables;
mod tail;
mod topics;
mod trouble;
mod waiters;
mod wake;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::time::Instant;

pub use actions::{ActionOutcome, NewAction, NotedAction};
pub use alarm::ClockAlarm;
pub use audit::{Audit, Books, Fault, Finding};
pub use claim::ClaimReply;
pub use claimed::Claimed;
pub use clock::Clock;
pub use error::StoreError;
pub use events::{Heard, Subscription};
pub use gate::{ClaimStatus, ClaimWish, HORIZON_US};
pub use given::Given;
pub use grant::Permit;
pub use heads::{Head, Heads};
pub use health::{Health, StartRefused};
pub use housekeeping::{Reaped, Swept};
pub use inbox::{Backlog, Entry};
pub use intake::{Accepted, NotAccepted};
pub use managed::{GUARD_COMMAND, ManagedRedis, ManagedRefused, guard};
pub use nodes::{NodeId, NodeInfo, RollCall};
pub use operate::{Changed, Decision, Edit};
pub use operations::{
    Keep, KeptOperation, OPERATIONS_RUNNING_MAX, Progress, Saved, Stage, Step, Taken, WalkPage,
};
pub use probe::{Doubtful, DueProbes, ProbeTimes};
pub use prune::Pruned;
pub use queue::{Queue, Shard};
pub use read::{Counts, Page, Part, PauseInfo};
pub use receipt::{Receipt, ReceiptOf, Received};
pub use rollback::{Rollback, RollbackCause};
pub use schedules::{
    Kept, LastTick, Paused, PutSchedule, SchedulePage, Sweep, Tick, Touched, UnderWay,
};
pub use script::Verb;
pub use settle::{Lease, LeaseEnd, Verdict, Way};
pub use topics::{Event, Outstanding, Published, Topic};

use crate::config::{RedisSettings, Settings};
use crate::domain::id::QueueName;
use crate::domain::message::When;
use crate::failpoint::failpoint;
use crate::shutdown::Tasks;
use crate::telemetry::{Metrics, VerbLabel};
use clock_watch::ClockWatch;
use connect::Target;
use gauges::Gauges;
use intake::Intake;
use link::{Link, Standing};
use queue::queue_label;
use reply::Reply;
use room::Room;
use script::{Call, call};
use site::Site;
use waiters::Waiters;

/// How long a call is repeated while Redis is away, before its caller is told.
const PATIENCE: Duration = Duration::from_secs(2);
/// Pause between two tries of a call.
const REPEAT_PAUSE: Duration = Duration::from_millis(50);

/// A handle on everything kept in Redis; cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: RedisSettings,
    target: Target,
    node: NodeId,
    /// For every script but intake and readings.
    scripts: Link,
    /// For readings, which may be large: that they are slow says nothing about Redis.
    readings: Link,
    /// For what must not wait behind scripts: health, presence.
    probes: Link,
    intake: Intake,
    clock: Clock,
    watch: ClockWatch,
    room: Room,
    queues: ArcSwap<HashMap<QueueName, Arc<Queue>>>,
    topics: ArcSwap<topics::Topics>,
    hand_outs: topics::HandOuts,
    schedules: schedules::Schedules,
    inbox: inbox::Inbox,
    waiters: Waiters,
    events: events::Events,
    hands: hands::Hands,
    /// Rung when the wake-up channel is to be opened again.
    listen_anew: tokio::sync::Notify,
    /// Rung when this node has written an operation down.
    operation_started: tokio::sync::Notify,
    promises: promises::Promises,
    rollbacks: rollback::Rollbacks,
    mark: erasure::Mark,
    foreign: foreign::Foreign,
    health: Health,
    gauges: Gauges,
    metrics: Arc<Metrics>,
    tasks: Tasks,
}

impl Store {
    /// A store on the Redis of these settings; connects when first used.
    ///
    /// `managed_url` is where a managed Redis listens. Tasks of the store (flushing intake, listening
    /// for wake-ups) end with `tasks`.
    #[must_use]
    pub fn new(
        settings: &Settings,
        managed_url: Option<String>,
        metrics: Arc<Metrics>,
        tasks: Tasks,
    ) -> Self {
        let target = Target::new(&settings.redis.target, managed_url);
        let clock = Clock::default();
        let belief = queue::belief_of_server(&target, &clock);
        let store = Self {
            inner: Arc::new(Inner {
                settings: settings.redis.clone(),
                node: NodeId::random(),
                scripts: Link::new(target.clone()),
                readings: Link::for_readings(target.clone()),
                probes: Link::new(target.clone()),
                intake: Intake::new(&target),
                clock,
                watch: ClockWatch::default(),
                room: Room::default(),
                queues: ArcSwap::from_pointee(HashMap::new()),
                topics: ArcSwap::default(),
                hand_outs: topics::HandOuts::default(),
                schedules: schedules::Schedules::new(settings, belief),
                inbox: inbox::Inbox::default(),
                waiters: Waiters::default(),
                events: events::Events::default(),
                hands: hands::Hands::default(),
                listen_anew: tokio::sync::Notify::new(),
                operation_started: tokio::sync::Notify::new(),
                promises: promises::Promises::default(),
                rollbacks: rollback::Rollbacks::default(),
                mark: erasure::Mark::default(),
                foreign: foreign::Foreign::default(),
                health: Health::default(),
                gauges: Gauges::default(),
                metrics,
                target,
                tasks,
            }),
        };
        store.set_queues(settings);
        store.set_topics(settings);
        store.set_inbox(settings);
        store
    }

    /// The clock that follows Redis.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// This process' id among the nodes.
    #[must_use]
    pub fn node(&self) -> &NodeId {
        &self.inner.node
    }

    /// What is known about the store's health.
    #[must_use]
    pub fn health(&self) -> &Health {
        &self.inner.health
    }

    /// The metrics that this store counts into.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.inner.metrics
    }

    fn namespace(&self) -> &str {
        &self.inner.settings.namespace
    }

    /// Runs a verb on a shard, repeating while Redis is away: every verb is safe to repeat.
    async fn call<'a>(&self, site: impl Into<Site<'a>>, call: &Call) -> Result<Reply, StoreError> {
        Ok(self.call_on(&self.inner.scripts, site.into(), call, &[]).await?.0)
    }

    /// Runs a verb whose effect must be safe before anybody is told: waits, right behind it on the
    /// connection that wrote, until the configured durability level is met. One wait serves all that
    /// the call carries. Such verbs write even when they are a repeat, so that the wait covers what
    /// the first one wrote.
    async fn call_durably<'a>(
        &self,
        site: impl Into<Site<'a>>,
        call: &Call,
    ) -> Result<Reply, StoreError> {
        let site = site.into();
        let key = &site.keys[0];
        let wait = self.inner.health.wait(key)?;
        let link = self.inner.intake.next_link();
        let (reply, waited) = self.call_on(link, site, call, &wait.commands()).await?;
        failpoint!("before-durable");
        wait.met(waited).inspect_err(|why| self.health().doubt(self.metrics(), key, why))?;
        Ok(reply)
    }

    /// Runs one plain command on the connection for probes.
    async fn plain(&self, command: &redis::Cmd) -> Result<redis::Value, StoreError> {
        let reply = self.inner.probes.command(command).await;
        reply.map_err(|error| StoreError::from_redis(&error))
    }

    /// Runs a write outside the shards that must go on at maxmemory, where Redis would refuse the bare
    /// command: what keeps nodes alive makes room.
    async fn keep(&self, command: &str, key: String, args: &[&[u8]]) -> Result<(), StoreError> {
        let call = call!(Keep, command = command, ..args.iter().map(|arg| [arg.to_vec()]));
        self.plain(&call.by_text(&[key])).await.map(drop)
    }

    /// The same on the server that holds `key`.
    async fn plain_at(&self, command: &redis::Cmd, key: &str) -> Result<redis::Value, StoreError> {
        let reply = self.inner.probes.command_at(command, key).await;
        reply.map_err(|error| StoreError::from_redis(&error))
    }

    /// Also returns what the waits behind it were answered.
    async fn call_on(
        &self,
        link: &Link,
        site: Site<'_>,
        call: &Call,
        waits: &[redis::Cmd],
    ) -> Result<(Reply, Vec<redis::Value>), StoreError> {
        let patience = Instant::now() + PATIENCE;
        loop {
            match self.call_once(link, site, call, waits).await {
                Ok(reply) => return Ok(reply),
                Err(error) if error::is_passing(&error) && Instant::now() < patience => {
                    tokio::time::sleep(REPEAT_PAUSE).await;
                }
                Err(error) => {
                    let told = StoreError::from_redis(&error);
                    if told.is_absence() {
                        self.note_failure(link, error.is_timeout(), &told);
                    }
                    return Err(told);
                }
            }
        }
    }

    async fn call_once(
        &self,
        link: &Link,
        site: Site<'_>,
        call: &Call,
        waits: &[redis::Cmd],
    ) -> redis::RedisResult<(Reply, Vec<redis::Value>)> {
        let standing = link.stand().await?;
        // What could not be told apart from what a lost server knew, or would overspend its limits.
        if let Some(shard) = site.shard
            && matches!(call.verb, Verb::Schedule | Verb::Fire | Verb::Claim | Verb::Grant)
        {
            self.meet_server(link, &standing, shard).await?;
        }
        self.run(link, &standing, site.keys, call, waits).await
    }

    async fn run(
        &self,
        link: &Link,
        standing: &Arc<Standing>,
        keys: &[String],
        Call { verb, args }: &Call,
        waits: &[redis::Cmd],
    ) -> redis::RedisResult<(Reply, Vec<redis::Value>)> {
        failpoint!("before-{}", verb.as_str());
        let started = Instant::now();
        let (value, waited) = link.script(standing, verb.script(), keys, args, waits).await?;
        failpoint!("after-{}", verb.as_str());
        let label = VerbLabel { verb: verb.as_str() };
        let seconds = started.elapsed().as_secs_f64();
        self.inner.metrics.store.script_duration_seconds.get_or_create(&label).observe(seconds);
        let reply = Reply::new(value).map_err(|error| {
            redis::RedisError::from((
                redis::ErrorKind::UnexpectedReturnType,
                "reply",
                error.to_string(),
            ))
        })?;
        Ok((reply, waited))
    }
}

/// A number as an argument of a script.
#[expect(
    clippy::needless_pass_by_value,
    reason = "callers pass numbers, words and references alike"
)]
fn arg(value: impl ToString) -> Vec<u8> {
    value.to_string().into_bytes()
}

/// A moment as an argument of a script, which adds a delay to its own now.
fn when(when: When) -> Vec<u8> {
    when_text(when).into_bytes()
}

fn when_text(when: When) -> String {
    match when {
        When::After(ms) => format!("+{ms}"),
        When::At(ms) => ms.to_string(),
    }
}
