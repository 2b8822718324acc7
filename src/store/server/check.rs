//! The look at Redis: at start, after every reconnect, and once a second, since a failover may have
//! brought another server.
//!
//! Owns the questions to the masters and the probe of a write. The rules stand in `survey`, what came of
//! it in `health`.

use std::time::Duration;

use futures_util::future::join_all;
use redis::{Cmd, Value, cmd};
use tokio::time::Instant;

use super::Servers;
use crate::config::Durability;
use crate::store::StoreError;
use crate::store::queue::Queue;
use crate::store::redis::link::Link;
use crate::store::redis::survey::{self, Needs, Server, Unmet, Wait};
use crate::store::redis::{connect, keys};
use crate::store::wire::health::{Master, StartRefused, doubtful};

/// Names tried for a key that lies on a certain master: a third of them does, of three masters.
const PROBE_KEYS_MAX: u32 = 10_000;

const REPLICA: &str = "this Redis is a replica; name its master in redis.url, or make it a \
                       master (REPLICAOF NO ONE)";

/// How long a replica that vanished is still missed: it may just have become the master, and what its
/// old master accepts with the others would be lost. A failover is over by then.
const VANISHED_FOR: Duration = Duration::from_secs(10);

impl Servers {
    /// Redis was looked for at the start and is not there yet, or loads its data.
    pub fn note_absence(&self) {
        self.wire.health().away();
    }

    /// Looks at every master: whether it is fit, which level it meets, and, where it was in doubt,
    /// whether a write is safe as quickly as it has to be. What makes one unfit closes intake there; what
    /// it holds goes on.
    ///
    /// # Errors
    /// [`StartRefused`]; after [`StartRefused::Unfit`] of a server that was in use, and after
    /// [`StartRefused::NotDurable`], all but intake goes on.
    pub async fn check(&self) -> Result<(), StartRefused> {
        match self.check_masters().await {
            // One command that is denied shows one of the rights that are missing: all are to be named.
            Err(StartRefused::Store(StoreError::Denied(why))) => {
                let all = self.check_rights().await.err();
                let all = all.filter(|error| matches!(error, StoreError::Denied(_)));
                Err(all.unwrap_or(StoreError::Denied(why)).into())
            }
            checked => checked,
        }
    }

    async fn check_masters(&self) -> Result<(), StartRefused> {
        let replicas_up = self.follow_sentinels().await;
        let (servers, schema) = self.ask_masters().await?;
        if let Some(far) = servers.iter().find_map(|server| server.loading.as_ref()) {
            let what = format!("LOADING Redis is loading its data: {far}");
            return Err(StoreError::Unavailable(what).into());
        }
        self.leave_replicas(&servers)?;
        let before = self.wire.health().seen.load_full();
        // A node does not start on such a server, and writes nothing there.
        let refuse_start = |why: Option<String>| match why {
            Some(why) if before.is_empty() => Err(StartRefused::Unfit(why)),
            _ => Ok(()),
        };
        refuse_start(servers.iter().find_map(|server| survey::fitness(server).err()))?;
        let other_version = self.check_schema(schema).await?;
        refuse_start(other_version.clone())?;
        self.wire.look_at_capacity(&servers)?;
        let looks = servers.iter().map(|server| {
            let unfit = survey::fitness(server).err().or_else(|| other_version.clone());
            let before = &before;
            async move { Ok(Master { unfit, ..self.look(server, before, replicas_up).await? }) }
        });
        let seen =
            join_all(looks).await.into_iter().collect::<Result<Vec<Master>, StoreError>>()?;
        let has_changed = !before.is_empty()
            && seen.iter().any(|now| !before.iter().any(|before| before.is(now)));
        let uptime_ms = servers.iter().map(|server| server.uptime_ms).min().unwrap_or(0);
        let unfit = seen.iter().find_map(|seen| seen.unfit.clone());
        let unmet = seen.iter().find_map(|seen| seen.level.wait.as_ref().err().cloned());
        self.wire.health().keep(self.wire.metrics(), seen);
        self.wire.health().up(self.wire.metrics(), uptime_ms, has_changed);
        if has_changed {
            self.wire.meet_servers().await;
        }
        match (unfit, unmet) {
            (Some(why), _) => Err(StartRefused::Unfit(why)),
            (None, Some(Unmet { why, is_passing })) => {
                Err(StartRefused::NotDurable { why, is_passing })
            }
            (None, None) => Ok(()),
        }
    }

    /// A server that became a replica takes no writes, and what one that still does would take is lost
    /// when it copies its master: every connection to it is given up.
    fn leave_replicas(&self, servers: &[Server]) -> Result<(), StoreError> {
        if !servers.iter().any(|server| server.is_replica) {
            return Ok(());
        }
        self.wire.links().for_each(Link::leave);
        self.wire.health().refuse_all(self.wire.metrics(), REPLICA);
        Err(StoreError::Unavailable(REPLICA.to_owned()))
    }

    async fn look(
        &self,
        server: &Server,
        before: &[Master],
        replicas_up: u64,
    ) -> Result<Master, StoreError> {
        let settings = &self.wire.settings;
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
        let mut seen = Master { address, slots, run: server.run, most, level, unfit: None };
        if before.is_some_and(|b| b.level == seen.level) && self.wire.health().is_up() {
            return Ok(seen);
        }
        self.check_rights().await?;
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
    fn probe_key(&self, master: &Master) -> String {
        let plain = keys::probe(self.wire.namespace());
        if master.serves(&plain) {
            return plain;
        }
        let numbered = |number| keys::probe(&format!("{}:{number}", self.wire.namespace()));
        (0..PROBE_KEYS_MAX).map(numbered).find(|key| master.serves(key)).unwrap_or(plain)
    }

    /// Writes, and waits until that is safe.
    async fn prove(&self, key: &str, wait: Wait) -> Result<(), StoreError> {
        let write =
            cmd("SET").arg(key).arg(self.wire.node().as_str()).arg("PX").arg(60_000).to_owned();
        let replies = self.wire.durable.next().write(write, &wait.commands(), key).await;
        wait.met(replies.map_err(|error| StoreError::from_redis(&error))?)
    }

    /// Leaves connections to a server that the sentinels do not name any more: one that was held up
    /// takes writes again for a while, which nobody will ever see. Returns how many replicas they see.
    async fn follow_sentinels(&self) -> u64 {
        let Some(named) = connect::named_master(&self.wire.target).await else { return 0 };
        let astray = |link: &&Link| link.address().is_some_and(|at| at != named.address);
        let astray: Vec<&Link> = self.wire.links().filter(astray).collect();
        if !astray.is_empty() {
            tracing::warn!(address = named.address, "the sentinels name another master");
        }
        astray.into_iter().for_each(Link::leave);
        named.replicas_up
    }

    /// What the masters say of themselves, the schema's version as it stands, and the time: from one
    /// server in one round trip, since it is asked every second.
    async fn ask_masters(&self) -> Result<(Vec<Server>, Value), StoreError> {
        let failed = |error| StoreError::from_redis(&error);
        let schema = keys::schema(self.wire.namespace());
        let get_schema = cmd("GET").arg(&schema).to_owned();
        if self.wire.target.is_cluster() {
            let servers = self.masters().await?;
            let found = self.wire.probes.read(&[get_schema], &schema).await.map_err(failed)?;
            self.wire.read_time().await?;
            return Ok((servers, found.into_iter().next().unwrap_or(Value::Nil)));
        }
        let commands = [question(), get_fsync(), get_schema, cmd("TIME")];
        let called_at = Instant::now();
        let replies = self.wire.probes.read(&commands, &schema).await.map_err(failed)?;
        let times = (called_at, Instant::now());
        let Ok([info, fsync, found, time]) = <[Value; 4]>::try_from(replies) else {
            return Err(StoreError::Reply("fewer replies than questions".to_owned()));
        };
        if let Value::ServerError(error) = info {
            return Err(failed(error.into()));
        }
        let mut server = Server::read(info);
        // Where CONFIG is denied, INFO tells all but appendfsync.
        server.fsync = read_fsync(fsync);
        self.wire.saw_time(time, times)?;
        Ok((vec![server], found))
    }

    /// The masters of a cluster.
    async fn masters(&self) -> Result<Vec<Server>, StoreError> {
        let mut servers = self.masters_known().await?;
        if servers.iter().any(|server| !server.is_master) {
            self.wire.probes.leave();
            servers = self.masters_known().await?;
            servers.retain(|server| server.is_master);
        }
        Ok(servers)
    }

    /// Every server that the client takes for a master.
    async fn masters_known(&self) -> Result<Vec<Server>, StoreError> {
        let probes = &self.wire.probes;
        let failed = |error| StoreError::from_redis(&error);
        let infos = probes.everywhere(&question()).await.map_err(failed)?;
        // Where CONFIG is denied, INFO tells all but appendfsync.
        let fsyncs = probes.everywhere(&get_fsync()).await.unwrap_or_default();
        let mut servers = Vec::with_capacity(infos.len());
        for (address, info) in infos {
            if let Value::ServerError(error) = info {
                return Err(failed(error.into()));
            }
            let fsync = fsyncs.iter().find(|(at, _)| *at == address);
            let fsync = fsync.and_then(|(_, reply)| read_fsync(reply.clone()));
            let mut server = Server::read(info);
            (server.address, server.fsync) = (address, fsync);
            servers.push(server);
        }
        let slots = self.wire.plain(cmd("CLUSTER").arg("SLOTS")).await?;
        survey::share_slots(&mut servers, slots);
        Ok(servers)
    }

    /// Notes that Redis did not answer.
    pub fn note_down(&self, error: &StoreError) {
        self.wire.health().down(self.wire.metrics(), error);
    }

    /// The level that holds for the messages of this queue: a cluster's masters may differ.
    #[must_use]
    pub fn achieved_for(&self, queue: &Queue) -> Option<Durability> {
        let seen = self.wire.health().seen.load();
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
        let key = keys::probe(self.wire.namespace());
        self.wire.check_capacity(&key)?;
        self.prove(&key, self.wire.health().wait(&key)?).await?;
        // One write that goes through is not all: scripts may be refused.
        self.wire.health().why_down().map_or(Ok(()), Err)
    }
}

/// The sections that a [`Server`] is read from: all of INFO costs Redis twice as much.
fn question() -> Cmd {
    cmd("INFO").arg("server").arg("memory").arg("persistence").arg("replication").to_owned()
}

fn get_fsync() -> Cmd {
    cmd("CONFIG").arg("GET").arg("appendfsync").to_owned()
}

fn read_fsync(reply: Value) -> Option<String> {
    redis::from_redis_value::<Vec<String>>(reply).ok()?.into_iter().nth(1)
}
