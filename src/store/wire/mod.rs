//! The way to Redis, below every family of the store: how a script or a command is run, and what all families need to
//! know for it.
//!
//! Owns the connections, the clock, the health of the servers, and the shards that this node knows. Refuses to know
//! what a verb means and what a family keeps: it names none of them.

pub(in crate::store) mod capacity;
pub(in crate::store) mod clock_watch;
mod foreign;
pub(in crate::store) mod format;
pub(in crate::store) mod health;
mod links;
pub(in crate::store) mod presence;
mod queues;
mod readings;
pub(in crate::store) mod recovery;
pub(in crate::store) mod script_keys;
pub(in crate::store) mod standing;
mod structure;
mod tables;
mod time;
mod wake;

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::time::Instant;

use self::capacity::Capacity;
use self::clock_watch::ClockWatch;
use self::foreign::Foreign;
use self::format::Format;
use self::health::Health;
use self::links::DurableLinks;
use self::presence::NodeId;
use self::queues::offset_of_server;
use self::recovery::acknowledgements::RecentAcknowledgements;
use self::recovery::erasure::Mark;
use self::recovery::rollback::Rollbacks;
use self::script_keys::ScriptKeys;
use crate::config::{RedisSettings, Settings, SettleAt};
use crate::domain::id::QueueName;
use crate::failpoint::failpoint;
use crate::shutdown::Tasks;
use crate::store::StoreError;
use crate::store::clock::time::Clock;
use crate::store::queue::{Accounts, Queue, Shard};
use crate::store::redis::connect::Target;
use crate::store::redis::error;
use crate::store::redis::keys::ShardKeys;
use crate::store::redis::link::{Link, Standing};
use crate::store::redis::reply::Reply;
use crate::store::redis::script::{Call, ScriptForm, call};
use crate::telemetry::{Metrics, VerbLabel};

/// How long a call is repeated while Redis is away, before its caller gets the error.
const PATIENCE: Duration = Duration::from_secs(2);
/// Pause between two tries of a call.
const REPEAT_PAUSE: Duration = Duration::from_millis(50);

/// A handle on the connections to Redis; cheap to clone.
#[derive(Debug, Clone)]
pub(in crate::store) struct Wire {
    shared: Arc<Shared>,
}

/// What every clone of a wire shares.
#[derive(Debug)]
pub(in crate::store) struct Shared {
    pub(in crate::store) settings: RedisSettings,
    pub(in crate::store) target: Target,
    pub(in crate::store) node: NodeId,
    /// For every script but intake and readings.
    pub(in crate::store) scripts: Link,
    /// For readings, which may be large: that they are slow says nothing about Redis.
    pub(in crate::store) readings: Link,
    /// For what must not wait behind scripts: health, presence.
    pub(in crate::store) probes: Link,
    /// For writes that must be safe before anybody is told of them.
    pub(in crate::store) durable: DurableLinks,
    pub(in crate::store) clock: Clock,
    pub(in crate::store) watch: ClockWatch,
    pub(in crate::store) capacity: Capacity,
    pub(in crate::store) queues: ArcSwap<HashMap<QueueName, Arc<Queue>>>,
    /// The accounts of shared limits; no queue's.
    pub(in crate::store) accounts: Accounts,
    /// The keys of all schedules and their wake-up; not a shard of a queue.
    pub(in crate::store) schedules_shard: Arc<Shard>,
    pub(in crate::store) acknowledgements: RecentAcknowledgements,
    pub(in crate::store) rollbacks: Rollbacks,
    pub(in crate::store) mark: Mark,
    pub(in crate::store) foreign: Foreign,
    pub(in crate::store) format: Format,
    pub(in crate::store) health: Health,
    pub(in crate::store) metrics: Arc<Metrics>,
    pub(in crate::store) tasks: Tasks,
}

impl Deref for Wire {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.shared
    }
}

impl Wire {
    /// A wire to the Redis of these settings; connects when first used.
    pub(in crate::store) fn new(
        settings: &Settings,
        managed_url: Option<String>,
        metrics: Arc<Metrics>,
        tasks: Tasks,
    ) -> Self {
        let target = Target::new(&settings.redis.target, managed_url);
        let clock = Clock::default();
        let clock_offset = offset_of_server(&target, &clock);
        let schedules = ShardKeys::of_schedules(&settings.redis.namespace);
        let wire = Self {
            shared: Arc::new(Shared {
                settings: settings.redis.clone(),
                node: NodeId::random(),
                scripts: Link::new(target.clone()),
                readings: Link::for_readings(target.clone()),
                probes: Link::new(target.clone()),
                durable: DurableLinks::new(&target),
                clock,
                watch: ClockWatch::default(),
                capacity: Capacity::default(),
                queues: ArcSwap::from_pointee(HashMap::new()),
                accounts: Accounts::default(),
                schedules_shard: Arc::new(Shard::new(schedules, 0, Arc::default(), clock_offset)),
                acknowledgements: RecentAcknowledgements::default(),
                rollbacks: Rollbacks::default(),
                mark: Mark::default(),
                foreign: Foreign::default(),
                format: Format::default(),
                health: Health::default(),
                metrics,
                target,
                tasks,
            }),
        };
        wire.set_queues(settings);
        wire
    }

    /// The clock that follows Redis.
    pub(in crate::store) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The id of this process among the nodes.
    pub(in crate::store) fn node(&self) -> &NodeId {
        &self.node
    }

    /// What is known about the health of Redis.
    pub(in crate::store) fn health(&self) -> &Health {
        &self.health
    }

    /// The metrics that all families count into.
    pub(in crate::store) fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    pub(in crate::store) fn namespace(&self) -> &str {
        &self.settings.namespace
    }

    /// Runs a verb on a shard, repeating while Redis is away: every verb is safe to repeat.
    pub(in crate::store) async fn call<'a>(
        &self,
        keys: impl Into<ScriptKeys<'a>>,
        call: &Call,
    ) -> Result<Reply, StoreError> {
        Ok(self.call_on(&self.scripts, keys.into(), call, &[]).await?.0)
    }

    /// Runs a verb whose effect must be safe before anybody is told: waits, right behind it on the
    /// connection that wrote, until the configured durability level is met. One wait serves all that
    /// the call carries. Such verbs write even when they are a repeat, so that the wait covers what
    /// the first one wrote.
    pub(in crate::store) async fn call_durably<'a>(
        &self,
        keys: impl Into<ScriptKeys<'a>>,
        call: &Call,
    ) -> Result<Reply, StoreError> {
        let keys = keys.into();
        let key = &keys.names[0];
        let wait = self.health.wait(key)?;
        let link = self.durable.next();
        let (reply, waited) = self.call_on(link, keys, call, &wait.commands()).await?;
        failpoint!("before-durable");
        wait.met(waited).inspect_err(|why| self.health().doubt(self.metrics(), key, why))?;
        Ok(reply)
    }

    /// Runs a verb that keeps outcomes; beside its reply, whether they are as safe as `redis.settle` asks for. Where that is not
    /// known they are kept all the same: whoever asked repeats the call until it is.
    pub(in crate::store) async fn call_settling(
        &self,
        shard: &Shard,
        call: &Call,
    ) -> Result<(Reply, Result<(), StoreError>), StoreError> {
        if self.settings.settle == SettleAt::Level {
            return Ok((self.call(shard, call).await?, Ok(())));
        }
        let keys = ScriptKeys::from(shard);
        let key = &shard.keys.all[0];
        let wait = match self.health.wait(key) {
            Ok(wait) => wait,
            Err(why) => return Ok((self.call(shard, call).await?, Err(why))),
        };
        // A repeat of a verb writes nothing, and a wait covers what its connection has written before it.
        let mark = redis::cmd("HSET").arg(key).arg("settled").arg(1).to_owned();
        let behind: Vec<_> = std::iter::once(mark).chain(wait.commands()).collect();
        let (reply, mut waited) = self.call_on(self.durable.next(), keys, call, &behind).await?;
        if !waited.is_empty() {
            drop(waited.remove(0));
        }
        failpoint!("before-settled");
        let safe = wait.met(waited);
        Ok((reply, safe.inspect_err(|why| self.health().doubt(self.metrics(), key, why))))
    }

    /// Runs one plain command on the connection for probes.
    pub(in crate::store) async fn plain(
        &self,
        command: &redis::Cmd,
    ) -> Result<redis::Value, StoreError> {
        let reply = self.probes.command(command).await;
        reply.map_err(|error| StoreError::from_redis(&error))
    }

    /// Runs a write outside the shards that must go on at maxmemory, where Redis would refuse the bare
    /// command: what keeps nodes alive makes room.
    pub(in crate::store) async fn keep(
        &self,
        command: &str,
        key: String,
        args: &[&[u8]],
    ) -> Result<(), StoreError> {
        let call = call!(Keep, command = command, ..args.iter().map(|arg| [arg.to_vec()]));
        self.plain(&call.by_text(&[key])).await.map(drop)
    }

    /// The same on the server that holds `key`.
    pub(in crate::store) async fn plain_at(
        &self,
        command: &redis::Cmd,
        key: &str,
    ) -> Result<redis::Value, StoreError> {
        let reply = self.probes.command_at(command, key).await;
        reply.map_err(|error| StoreError::from_redis(&error))
    }

    /// Also returns what the waits behind it were answered.
    pub(in crate::store) async fn call_on(
        &self,
        link: &Link,
        keys: ScriptKeys<'_>,
        call: &Call,
        waits: &[redis::Cmd],
    ) -> Result<(Reply, Vec<redis::Value>), StoreError> {
        let patience = Instant::now() + PATIENCE;
        loop {
            match self.call_once(link, keys, call, waits).await {
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
        keys: ScriptKeys<'_>,
        call: &Call,
        waits: &[redis::Cmd],
    ) -> redis::RedisResult<(Reply, Vec<redis::Value>)> {
        let standing = link.stand().await?;
        // What could not be told apart from what a lost server knew, or would overspend its limits.
        if let Some(shard) = keys.shard
            && shard.structure().is_pending()
        {
            self.agree_on_structure(link, &standing, shard).await?;
        }
        if let Some(shard) = keys.shard
            && call.verb.begins_after_recovery()
        {
            self.meet_server(link, &standing, shard).await?;
        }
        self.run(link, &standing, keys, call, waits).await
    }

    pub(in crate::store) async fn run(
        &self,
        link: &Link,
        standing: &Arc<Standing>,
        keys: ScriptKeys<'_>,
        Call { verb, args, is_collapsing }: &Call,
        waits: &[redis::Cmd],
    ) -> redis::RedisResult<(Reply, Vec<redis::Value>)> {
        failpoint!("before-{}", verb.as_str());
        let started = Instant::now();
        let form = keys.shard.map_or(ScriptForm::Plain, |shard| shard.structure().form());
        let form = if *is_collapsing { form.collapsing() } else { form };
        let script = verb.script(form);
        let (value, waited) = link.script(standing, script, keys.names, args, waits).await?;
        failpoint!("after-{}", verb.as_str());
        let label = VerbLabel { verb: verb.as_str() };
        let seconds = started.elapsed().as_secs_f64();
        self.metrics.store.script_duration_seconds.get_or_create(&label).observe(seconds);
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
