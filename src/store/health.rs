//! Whether this Redis can hold messages, and how safely it does so now.
//!
//! Owns the refusals at start (evicting, too old, a newer record version, a durability level it
//! cannot meet), each with its remedy, and the level that is achieved since. Asked again after every
//! reconnect: a failover may have brought another server.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use redis::{Cmd, Value, cmd};
use tokio::time::Instant;

use super::record::RECORD_VERSION;
use super::{Store, StoreError, keys};
use crate::config::Durability;
use crate::failpoint::planted;
use crate::telemetry::{LevelLabel, Metrics};

/// The oldest Redis that runs our scripts (flags in the first line).
const VERSION_MIN: (u32, u32) = (7, 0);
/// The oldest Redis with WAITAOF.
const VERSION_WAITAOF: (u32, u32) = (7, 2);
/// How long a write may take to be safe, in milliseconds, before a producer is told 503.
const WAIT_MS: u64 = 1000;

/// Why this Redis may not hold messages; the text names the remedy.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StartRefused {
    /// It can be reached, and it is not fit.
    #[error("{0}")]
    Unfit(String),
    /// It cannot be reached (yet).
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How the configured durability level is met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wait {
    /// A reply means that it is met: Redis flushes before it answers, or nothing was asked for.
    Nothing,
    /// WAITAOF: flushed here.
    Disk,
    /// WAIT: at this many replicas.
    Replicas(u64),
    /// It is not met now.
    Unmet(String),
}

impl Wait {
    pub(super) fn command(&self) -> Option<Cmd> {
        match self {
            Self::Nothing | Self::Unmet(_) => None,
            Self::Disk => Some(cmd("WAITAOF").arg(1).arg(0).arg(WAIT_MS).to_owned()),
            Self::Replicas(count) => Some(cmd("WAIT").arg(*count).arg(WAIT_MS).to_owned()),
        }
    }

    pub(super) fn met(&self, reply: Value) -> Result<(), StoreError> {
        let wanted = match self {
            Self::Nothing | Self::Unmet(_) => return Ok(()),
            Self::Disk => 1,
            Self::Replicas(count) => *count,
        };
        let reached = match reply {
            Value::Array(counts) => counts.into_iter().next().unwrap_or(Value::Nil),
            other => other,
        };
        let reached: u64 = redis::from_redis_value(reached).unwrap_or(0);
        if reached >= wanted {
            return Ok(());
        }
        Err(StoreError::NotDurable(format!("{reached} of {wanted} confirmed within {WAIT_MS} ms")))
    }
}

/// The store's health as last seen.
#[derive(Debug)]
pub struct Health {
    up: AtomicBool,
    wait: ArcSwap<Wait>,
    achieved: ArcSwap<Option<Durability>>,
    up_since: Mutex<Option<Instant>>,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            up: AtomicBool::new(false),
            wait: ArcSwap::from_pointee(Wait::Unmet(
                "the store has not been checked yet".to_owned(),
            )),
            achieved: ArcSwap::from_pointee(None),
            up_since: Mutex::new(None),
        }
    }
}

impl Health {
    /// Whether Redis answered last time.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.up.load(Ordering::Acquire)
    }

    /// The durability level that holds now; `None`: the configured one is not met.
    #[must_use]
    pub fn achieved(&self) -> Option<Durability> {
        **self.achieved.load()
    }

    /// How long Redis has been up without a restart, as far as this node knows: leases are not reaped
    /// before one lease of uptime.
    #[must_use]
    pub fn redis_up_for(&self) -> Duration {
        let since = *self.up_since.lock().unwrap_or_else(PoisonError::into_inner);
        since.filter(|_| self.is_up()).map_or(Duration::ZERO, |since| since.elapsed())
    }

    pub(super) fn wait(&self) -> Result<Wait, StoreError> {
        match &**self.wait.load() {
            Wait::Unmet(why) => Err(StoreError::NotDurable(why.clone())),
            wait => Ok(wait.clone()),
        }
    }

    pub(super) fn down(&self, metrics: &Metrics, error: &StoreError) {
        if self.up.swap(false, Ordering::AcqRel) {
            tracing::error!(%error, "Redis is away; sending stops until it is back");
        }
        metrics.store_up.set(0);
    }

    fn seen(&self, metrics: &Metrics, uptime_ms: u64) {
        if !self.up.swap(true, Ordering::AcqRel) {
            tracing::info!("Redis is there");
        }
        metrics.store_up.set(1);
        let since = Instant::now().checked_sub(Duration::from_millis(uptime_ms));
        *self.up_since.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }

    fn set_level(&self, metrics: &Metrics, wait: Wait, achieved: Option<Durability>) {
        for level in
            [Durability::Memory, Durability::Everysec, Durability::Disk, Durability::Replicas]
        {
            let label = LevelLabel { level: level.as_str() };
            let holds = achieved == Some(level);
            metrics.durability_achieved.get_or_create(&label).set(i64::from(holds));
        }
        self.wait.store(std::sync::Arc::new(wait));
        self.achieved.store(std::sync::Arc::new(achieved));
    }
}

/// What one server says of itself.
#[derive(Debug, Default)]
struct Server {
    version: (u32, u32),
    version_text: String,
    uptime_ms: u64,
    policy: String,
    aof: bool,
    fsync: Option<String>,
    replicas: u64,
}

impl Store {
    /// Asks every server whether it is fit and which durability level it meets.
    ///
    /// # Errors
    /// [`StartRefused::Unfit`] with the remedy; [`StartRefused::Store`] while it cannot be reached.
    pub async fn check(&self) -> Result<(), StartRefused> {
        let wanted = self.inner.settings.durability;
        let servers = self.servers().await?;
        let metrics = self.metrics();
        let uptime_ms = servers.iter().map(|server| server.uptime_ms).min().unwrap_or(0);
        let mut wait = Wait::Nothing;
        for server in &servers {
            let fit = fitness(server).and_then(|()| level(server, wanted));
            match fit {
                Ok(Wait::Nothing) => {}
                Ok(other) => wait = other,
                Err(why) => {
                    self.health().set_level(metrics, Wait::Unmet(why.clone()), None);
                    return Err(StartRefused::Unfit(why));
                }
            }
        }
        self.check_schema().await?;
        self.read_time().await?;
        self.health().set_level(metrics, wait, Some(wanted));
        self.health().seen(metrics, uptime_ms);
        Ok(())
    }

    async fn servers(&self) -> Result<Vec<Server>, StoreError> {
        let probes = &self.inner.probes;
        let infos = probes.everywhere(&cmd("INFO")).await;
        let infos = infos.map_err(|error| StoreError::from_redis(&error))?;
        let mut servers: Vec<Server> = infos.into_iter().map(read_info).collect();
        // Where CONFIG is denied, INFO tells all but appendfsync.
        if let Ok(fsyncs) = probes.everywhere(cmd("CONFIG").arg("GET").arg("appendfsync")).await {
            for (server, reply) in servers.iter_mut().zip(fsyncs) {
                let pair: Vec<String> = redis::from_redis_value(reply).unwrap_or_default();
                server.fsync = pair.into_iter().nth(1);
            }
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

    /// Does a real write at the configured durability level, for `/readyz`.
    ///
    /// # Errors
    /// Why it is not ready.
    pub async fn probe_write(&self) -> Result<(), StoreError> {
        let wait = self.health().wait()?;
        let key = keys::probe(self.namespace());
        let link = self.inner.intake.next_link();
        let write = cmd("SET").arg(&key).arg(self.node().as_str()).arg("PX").arg(60_000).to_owned();
        let unavailable = |error: redis::RedisError| StoreError::from_redis(&error);
        link.command(&write).await.map_err(unavailable)?;
        if let Some(command) = wait.command() {
            let reply = link.wait(&command, &key, link.generation()).await.map_err(unavailable)?;
            wait.met(reply)?;
        }
        Ok(())
    }
}

fn read_info(value: Value) -> Server {
    let text: String = redis::from_redis_value(value).unwrap_or_default();
    let field = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(|value| value.trim().to_owned())
            .unwrap_or_default()
    };
    let version_text = field("redis_version");
    let mut parts = version_text.split('.').map(|part| part.parse().unwrap_or(0));
    Server {
        version: (parts.next().unwrap_or(0), parts.next().unwrap_or(0)),
        uptime_ms: field("uptime_in_seconds").parse::<u64>().unwrap_or(0) * 1000,
        policy: field("maxmemory_policy"),
        aof: field("aof_enabled") == "1",
        fsync: None,
        replicas: field("connected_slaves").parse().unwrap_or(0),
        version_text,
    }
}

fn fitness(server: &Server) -> Result<(), String> {
    if server.version < VERSION_MIN {
        return Err(format!(
            "Redis {} is too old; tidegate needs Redis 7.0 or newer, or Valkey",
            server.version_text
        ));
    }
    if server.policy != "noeviction" {
        return Err(format!(
            "this Redis evicts (maxmemory-policy {}), so messages could vanish; \
             set maxmemory-policy noeviction",
            server.policy
        ));
    }
    Ok(())
}

/// How this server meets the level, or why it does not and which level it could meet.
fn level(server: &Server, wanted: Durability) -> Result<Wait, String> {
    let fsync = server.fsync.as_deref();
    let can_wait = server.version >= VERSION_WAITAOF;
    let disk = match (server.aof, fsync) {
        (true, Some("always")) => Some(Wait::Nothing),
        (true, _) if planted!("everysec-as-disk") => Some(Wait::Nothing),
        (true, _) if can_wait => Some(Wait::Disk),
        _ => None,
    };
    let everysec = server.aof && fsync != Some("no");
    let could = match (&disk, everysec) {
        (Some(_), _) => "disk",
        (None, true) => "everysec",
        (None, false) => "memory",
    };
    let refuse = |needs: &str| {
        Err(format!(
            "redis.durability = \"{}\" cannot be met by this Redis: {needs}; \
             change that setting of Redis, or set redis.durability = \"{could}\"",
            wanted.as_str()
        ))
    };
    match (wanted, disk) {
        (Durability::Memory, _) => Ok(Wait::Nothing),
        (Durability::Everysec, _) if everysec => Ok(Wait::Nothing),
        (Durability::Everysec, _) => refuse("it needs appendonly yes and appendfsync everysec"),
        (Durability::Disk, Some(wait)) => Ok(wait),
        (Durability::Disk, None) => refuse("it needs appendonly yes and appendfsync always"),
        (Durability::Replicas, Some(_)) if server.replicas > 0 => {
            Ok(Wait::Replicas(server.replicas))
        }
        (Durability::Replicas, Some(_)) => refuse("it needs at least one connected replica"),
        (Durability::Replicas, None) => {
            refuse("it needs appendonly yes, appendfsync always and a connected replica")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(aof: bool, fsync: Option<&str>, version: (u32, u32), replicas: u64) -> Server {
        Server {
            aof,
            fsync: fsync.map(str::to_owned),
            version,
            replicas,
            policy: "noeviction".into(),
            ..Server::default()
        }
    }

    #[test]
    fn levels_are_met_or_refused_with_the_level_that_could_be() {
        let always = server(true, Some("always"), (7, 0), 0);
        let everysec = server(true, Some("everysec"), (7, 0), 0);
        let none = server(false, Some("always"), (7, 0), 2);
        assert_eq!(level(&always, Durability::Disk), Ok(Wait::Nothing));
        assert_eq!(
            level(&server(true, Some("everysec"), (7, 2), 0), Durability::Disk),
            Ok(Wait::Disk)
        );
        assert_eq!(level(&everysec, Durability::Everysec), Ok(Wait::Nothing));
        assert!(
            level(&everysec, Durability::Disk).unwrap_err().contains("durability = \"everysec\"")
        );
        assert!(
            level(&none, Durability::Everysec).unwrap_err().contains("durability = \"memory\"")
        );
        assert!(level(&always, Durability::Replicas).unwrap_err().contains("connected replica"));
        assert_eq!(
            level(&server(true, Some("always"), (7, 0), 2), Durability::Replicas),
            Ok(Wait::Replicas(2))
        );
        assert_eq!(level(&none, Durability::Memory), Ok(Wait::Nothing));
    }

    #[test]
    fn an_evicting_or_old_redis_is_refused() {
        let mut evicting = server(true, Some("always"), (7, 0), 0);
        evicting.policy = "allkeys-lru".into();
        assert!(fitness(&evicting).unwrap_err().contains("noeviction"));
        assert!(fitness(&server(true, None, (6, 2), 0)).unwrap_err().contains("7.0"));
    }
}
