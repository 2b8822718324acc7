//! Whether Redis can hold messages now, and how safely.
//!
//! Owns the check (at start, after every reconnect, and once a second: a failover may have brought
//! another server) and what came of it for each master: which run of which server it is, the level
//! that holds, and what every write has to wait for. A write that was not safe in time shuts intake
//! at that master until a probe shows that the next one would be. The rules stand in `survey`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::future::join_all;
use redis::{Value, cmd};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::link::{Link, slot};
use super::queue::Queue;
use super::record::RECORD_VERSION;
use super::survey::{self, Level, Needs, Server, Unmet, Wait};
use super::{Store, StoreError, connect, keys};
use crate::config::Durability;
use crate::telemetry::{LevelLabel, Metrics};

/// Names tried for a key that lies on a certain master: a third of them does, of three masters.
const PROBE_KEYS_MAX: u32 = 10_000;

/// How long a replica that vanished is still missed: it may just have become the master, and what its
/// old master accepts with the others would be lost. A failover is over by then.
const VANISHED_FOR: Duration = Duration::from_secs(10);

/// Why this Redis may not hold messages; the text names the remedy.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StartRefused {
    /// It can be reached, and it is not fit.
    #[error("{0}")]
    Unfit(String),
    /// It is fit, and cannot hold new messages as safely as it is to. What it holds goes on.
    #[error("{why}")]
    NotDurable {
        /// The reason and the remedy.
        why: String,
        /// It may come by itself: a replica still copies.
        is_passing: bool,
    },
    /// It cannot be reached (yet).
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A master as it was when last looked at.
#[derive(Debug, Clone)]
struct Seen {
    address: String,
    /// Empty: it serves everything.
    slots: Vec<(u16, u16)>,
    run: u64,
    /// The most replicas that were in step of late, and when they last were.
    most: (u64, Instant),
    level: Level,
}

impl Seen {
    fn serves(&self, key: &str) -> bool {
        self.slots.is_empty() || {
            let slot = slot(key);
            self.slots.iter().any(|(from, to)| (*from..=*to).contains(&slot))
        }
    }

    fn is(&self, other: &Self) -> bool {
        self.address == other.address && self.run == other.run
    }
}

/// The store's health as last seen.
#[derive(Debug, Default)]
pub struct Health {
    up: AtomicBool,
    seen: ArcSwap<Vec<Seen>>,
    up_since: Mutex<Option<Instant>>,
    /// Redis has been seen away (or loading) since it was last seen up.
    was_away: AtomicBool,
    /// Rung when a look at Redis should not wait for the next second.
    doubt: Notify,
}

impl Health {
    /// Whether Redis answered last time.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.up.load(Ordering::Acquire)
    }

    /// The durability level that every master meets now, at best the configured one; `None` before
    /// the first look.
    #[must_use]
    pub fn achieved(&self) -> Option<Durability> {
        self.seen.load().iter().map(|seen| seen.level.holds).min()
    }

    /// How long Redis has been there without a restart, a failover or an outage, as far as this node
    /// knows: leases are not reaped before one lease of that.
    #[must_use]
    pub fn redis_up_for(&self) -> Duration {
        let since = *self.up_since.lock().unwrap_or_else(PoisonError::into_inner);
        since.filter(|_| self.is_up()).map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Returns when a look at Redis should not wait any longer.
    pub async fn doubted(&self) {
        self.doubt.notified().await;
    }

    /// What a write to this key has to wait for.
    pub(super) fn wait(&self, key: &str) -> Result<Wait, StoreError> {
        let seen = self.seen.load();
        let Some(master) = seen.iter().find(|seen| seen.serves(key)) else {
            return Err(StoreError::NotDurable("the store has not been checked yet".to_owned()));
        };
        match &master.level.wait {
            Ok(wait) => Ok(*wait),
            Err(unmet) => Err(StoreError::NotDurable(unmet.why.clone())),
        }
    }

    /// Which run of which server holds this key; 0: not known.
    pub(super) fn run(&self, key: &str) -> u64 {
        self.seen.load().iter().find(|seen| seen.serves(key)).map_or(0, |seen| seen.run)
    }

    /// A write to this key was not safe in time: no more of them until a probe is.
    pub(super) fn doubt(&self, metrics: &Metrics, key: &str, why: &StoreError) {
        let StoreError::NotDurable(why) = why else { return };
        let mut all = Vec::clone(&self.seen.load());
        for seen in all.iter_mut().filter(|seen| seen.serves(key) && seen.level.wait.is_ok()) {
            seen.level = doubtful(&seen.level, why);
            tracing::error!(
                why,
                master = seen.address,
                "the durability level is not met; intake is refused"
            );
        }
        self.keep(metrics, all);
        self.doubt.notify_one();
    }

    /// Redis was looked for and did not take writes: its uptime says nothing about leases.
    fn away(&self) {
        self.was_away.store(true, Ordering::Release);
    }

    pub(super) fn down(&self, metrics: &Metrics, error: &StoreError) {
        if self.up.swap(false, Ordering::AcqRel) {
            tracing::error!(%error, "Redis is away; sending stops until it is back");
            self.doubt.notify_one();
        }
        metrics.store_up.set(0);
    }

    /// Redis took a write. A server that was not there at the last look has been up since now, however
    /// long it ran as a replica; and so has one that did not answer for a while, however long it ran:
    /// living nodes could not renew.
    fn up(&self, metrics: &Metrics, uptime_ms: u64, has_changed: bool) {
        let was_up = self.up.swap(true, Ordering::AcqRel);
        if !was_up {
            tracing::info!("Redis is there");
        }
        metrics.store_up.set(1);
        // It counts its loading as uptime as well, and no node could renew meanwhile.
        let was_away = self.was_away.swap(false, Ordering::AcqRel);
        let mut since = self.up_since.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = has_changed || was_away || (!was_up && since.is_some());
        let uptime = Duration::from_millis(if is_new { 0 } else { uptime_ms });
        let started = Instant::now().checked_sub(uptime);
        *since = match *since {
            Some(before) if !is_new => Some(started.map_or(before, |at| at.max(before))),
            // Nothing is known of what was before.
            _ => Some(started.unwrap_or_else(Instant::now)),
        };
    }

    fn keep(&self, metrics: &Metrics, seen: Vec<Seen>) {
        let achieved = seen.iter().map(|seen| seen.level.holds).min();
        for level in
            [Durability::Memory, Durability::Everysec, Durability::Disk, Durability::Replicas]
        {
            let label = LevelLabel { level: level.as_str() };
            let holds = achieved == Some(level);
            metrics.durability_achieved.get_or_create(&label).set(i64::from(holds));
        }
        self.seen.store(Arc::new(seen));
    }
}

/// The level one below: what was to be waited for did not come in time.
fn doubtful(level: &Level, why: &str) -> Level {
    let waits_for_replicas = level.wait.as_ref().is_ok_and(|wait| wait.replicas > 0);
    let holds = if waits_for_replicas { Durability::Disk } else { Durability::Everysec };
    let unmet = Unmet { why: why.to_owned(), is_passing: true };
    Level { holds: holds.min(level.holds), wait: Err(unmet) }
}

impl Store {
    /// Redis was looked for at the start and is not there yet, or loads its data.
    pub fn note_absence(&self) {
        self.health().away();
    }

    /// Looks at every master: whether it is fit, which level it meets, and, where it was in doubt,
    /// whether a write is safe as quickly as it has to be.
    ///
    /// # Errors
    /// [`StartRefused`]; after [`StartRefused::NotDurable`] all but intake goes on.
    pub async fn check(&self) -> Result<(), StartRefused> {
        let replicas_up = self.follow_sentinels().await;
        let servers = self.servers().await?;
        if let Some(far) = servers.iter().find_map(|server| server.loading.as_ref()) {
            let what = format!("LOADING Redis is loading its data: {far}");
            return Err(StoreError::Unavailable(what).into());
        }
        for server in &servers {
            survey::fitness(server).map_err(StartRefused::Unfit)?;
        }
        self.look_for_room(&servers)?;
        self.check_schema().await?;
        self.read_time().await?;
        let before = self.health().seen.load_full();
        let looks = servers.iter().map(|server| self.look(server, &before, replicas_up));
        let seen = join_all(looks).await.into_iter().collect::<Result<Vec<_>, _>>()?;
        let has_changed = !before.is_empty()
            && seen.iter().any(|now| !before.iter().any(|before| before.is(now)));
        let uptime_ms = servers.iter().map(|server| server.uptime_ms).min().unwrap_or(0);
        let unmet = seen.iter().find_map(|seen| seen.level.wait.as_ref().err().cloned());
        self.say_level(&before, unmet.as_ref());
        self.health().keep(self.metrics(), seen);
        self.health().up(self.metrics(), uptime_ms, has_changed);
        if has_changed {
            self.meet_servers().await;
        }
        unmet.map_or(Ok(()), |Unmet { why, is_passing }| {
            Err(StartRefused::NotDurable { why, is_passing })
        })
    }

    /// Once per change, not once per look.
    fn say_level(&self, before: &[Seen], unmet: Option<&Unmet>) {
        let was_met = before.iter().all(|seen| seen.level.wait.is_ok());
        match unmet {
            None if !was_met => tracing::info!("the durability level is met; intake goes on"),
            Some(unmet) if was_met && !before.is_empty() => {
                tracing::error!(
                    why = unmet.why,
                    "the durability level is not met; intake is refused"
                );
            }
            _ => {}
        }
    }

    async fn look(
        &self,
        server: &Server,
        before: &[Seen],
        replicas_up: u64,
    ) -> Result<Seen, StoreError> {
        let settings = &self.inner.settings;
        let before = before.iter().find(|b| b.address == server.address && b.run == server.run);
        let now = Instant::now();
        let most = match before.map(|before| before.most) {
            Some(most) if most.0 > server.online && now - most.1 < VANISHED_FOR => most,
            _ => (server.online, now),
        };
        let lately = Needs::AllAndAtLeast(most.0.max(replicas_up));
        let needs = settings.replicas.map_or(lately, Needs::Exactly);
        let level = survey::level(server, settings.durability, needs);
        let (address, slots) = (server.address.clone(), server.slots.clone());
        let mut seen = Seen { address, slots, run: server.run, most, level };
        if before.is_some_and(|b| b.level == seen.level) && self.health().is_up() {
            return Ok(seen);
        }
        let wait = seen.level.wait.as_ref().map_or(Wait::default(), |wait| *wait);
        match self.prove(&self.probe_key(&seen), wait).await {
            // Full is for intake to find out: draining makes room.
            Ok(()) | Err(StoreError::Full(_)) => {}
            Err(StoreError::NotDurable(why)) => seen.level = doubtful(&seen.level, &why),
            Err(error) => return Err(error),
        }
        Ok(seen)
    }

    /// A key that lies on this master.
    fn probe_key(&self, master: &Seen) -> String {
        let plain = keys::probe(self.namespace());
        if master.serves(&plain) {
            return plain;
        }
        let numbered = |number| keys::probe(&format!("{}:{number}", self.namespace()));
        (0..PROBE_KEYS_MAX).map(numbered).find(|key| master.serves(key)).unwrap_or(plain)
    }

    /// Writes, and waits until that is safe.
    async fn prove(&self, key: &str, wait: Wait) -> Result<(), StoreError> {
        let write = cmd("SET").arg(key).arg(self.node().as_str()).arg("PX").arg(60_000).to_owned();
        let replies = self.inner.intake.next_link().write(write, &wait.commands(), key).await;
        wait.met(replies.map_err(|error| StoreError::from_redis(&error))?)
    }

    /// Leaves connections to a server that the sentinels do not name any more: one that was held up
    /// takes writes again for a while, which nobody will ever see. Returns how many replicas they see.
    async fn follow_sentinels(&self) -> u64 {
        let Some(named) = connect::named_master(&self.inner.target).await else { return 0 };
        let astray = |link: &&Link| link.address().is_some_and(|at| at != named.address);
        let astray: Vec<&Link> = self.links().filter(astray).collect();
        if !astray.is_empty() {
            tracing::warn!(address = named.address, "the sentinels name another master");
        }
        astray.into_iter().for_each(Link::leave);
        named.replicas_up
    }

    async fn servers(&self) -> Result<Vec<Server>, StoreError> {
        let mut servers = self.servers_known().await?;
        if self.inner.target.is_cluster() && servers.iter().any(|server| !server.is_master) {
            self.inner.probes.leave();
            servers = self.servers_known().await?;
            servers.retain(|server| server.is_master);
        }
        Ok(servers)
    }

    /// Every server that the client takes for a master.
    async fn servers_known(&self) -> Result<Vec<Server>, StoreError> {
        let probes = &self.inner.probes;
        let failed = |error| StoreError::from_redis(&error);
        let infos = probes.everywhere(&cmd("INFO")).await.map_err(failed)?;
        // Where CONFIG is denied, INFO tells all but appendfsync.
        let fsyncs = probes.everywhere(cmd("CONFIG").arg("GET").arg("appendfsync")).await;
        let fsyncs = fsyncs.unwrap_or_default();
        let mut servers = Vec::with_capacity(infos.len());
        for (address, info) in infos {
            if let Value::ServerError(error) = info {
                return Err(failed(error.into()));
            }
            let fsync = fsyncs.iter().find(|(at, _)| *at == address).and_then(|(_, reply)| {
                redis::from_redis_value::<Vec<String>>(reply.clone()).ok()?.into_iter().nth(1)
            });
            let mut server = Server::read(info);
            (server.address, server.fsync) = (address, fsync);
            servers.push(server);
        }
        if self.inner.target.is_cluster() {
            let slots = self.plain(cmd("CLUSTER").arg("SLOTS")).await?;
            survey::share_slots(&mut servers, slots);
        }
        Ok(servers)
    }

    async fn check_schema(&self) -> Result<(), StartRefused> {
        let key = keys::schema(self.namespace());
        let value = self.plain(cmd("GET").arg(&key)).await?;
        let known: Option<u8> = redis::from_redis_value(value).unwrap_or(None);
        match known {
            Some(version) if version > RECORD_VERSION => Err(StartRefused::Unfit(format!(
                "the namespace \"{}\" holds records of version {version}, this program knows up to {RECORD_VERSION}; \
                 run the newer tidegate, or choose another redis.namespace",
                self.namespace()
            ))),
            Some(RECORD_VERSION) => Ok(()),
            _ => {
                self.plain(cmd("SET").arg(&key).arg(RECORD_VERSION)).await?;
                Ok(())
            }
        }
    }

    /// Notes that Redis did not answer.
    pub fn note_down(&self, error: &StoreError) {
        self.health().down(self.metrics(), error);
    }

    /// The level that holds for the messages of this queue: a cluster's masters may differ.
    #[must_use]
    pub fn achieved_for(&self, queue: &Queue) -> Option<Durability> {
        let seen = self.health().seen.load();
        let masters = queue.shards.iter().map(|shard| {
            let key = &shard.keys.all[0];
            seen.iter().find(|seen| seen.serves(key)).map(|seen| seen.level.holds)
        });
        masters.min().flatten()
    }

    /// Does a real write at the configured durability level, for `/readyz`.
    ///
    /// # Errors
    /// Why it is not ready.
    pub async fn probe_write(&self) -> Result<(), StoreError> {
        let key = keys::probe(self.namespace());
        self.check_room(&key)?;
        self.prove(&key, self.health().wait(&key)?).await
    }
}
