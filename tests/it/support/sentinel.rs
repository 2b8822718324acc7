//! A master with two replicas, watched by three sentinels, all on loopback.
//!
//! Owns their processes and the ways to take the master away: killed, stopped, planned. Refuses to
//! know keys and daemons. A server keeps its number whatever its role.

use std::process::Command;
use std::time::Duration;

use redis::{FromRedisValue, Value};
use rustix::process::Signal;
use tempfile::TempDir;

use super::guarded::{AtEnd, Guarded};
use super::ports::free_port;
use super::redis::{RedisOptions, RedisServer, server_program};
use super::wait::{eventually, poll_until, poll_until_within};

/// The name under which the sentinels know the set.
pub(crate) const MASTER_NAME: &str = "tide";
const REPLICAS: usize = 2;
const SENTINELS: usize = 3;
/// How long a silent master is waited for; an election takes up to a second more.
const DOWN_AFTER_MS: u32 = 700;
/// No second failover of the same master before this.
const FAILOVER_TIMEOUT_MS: u32 = 4000;
/// Sentinels watch a master that came back for eight seconds before they make it a replica.
const DEMOTED_WITHIN: Duration = Duration::from_secs(40);

/// A watched set of servers.
#[derive(Debug)]
pub(crate) struct SentinelSet {
    sentinels: Vec<Sentinel>,
    servers: Vec<RedisServer>,
}

#[derive(Debug)]
struct Sentinel {
    // Ends before the folder below goes.
    _process: Guarded,
    port: u16,
    _dir: TempDir,
}

impl SentinelSet {
    /// A set as most scenarios want it: every write on disk.
    pub(crate) async fn start() -> Self {
        Self::start_with(RedisOptions::default()).await
    }

    /// A set of servers with these options.
    pub(crate) async fn start_with(options: RedisOptions) -> Self {
        let master = options.clone().on_tcp().start().await;
        let mut servers = vec![master];
        for _ in 0..REPLICAS {
            let replica = options.clone().replica_of(&servers[0]).start().await;
            servers.push(replica);
        }
        servers[0].wait_replicas(REPLICAS).await;
        let sentinels = (0..SENTINELS).map(|_| Sentinel::start(&servers[0])).collect();
        let set = Self { sentinels, servers };
        for sentinel in &set.sentinels {
            eventually("a sentinel knows the replicas and the other sentinels", async || {
                sentinel.knows_all().await
            })
            .await;
        }
        set
    }

    /// What `redis.sentinel.urls` takes.
    pub(crate) fn urls(&self) -> Vec<String> {
        self.sentinels.iter().map(Sentinel::url).collect()
    }

    /// The servers, in the order of their numbers.
    pub(crate) fn servers(&self) -> &[RedisServer] {
        &self.servers
    }

    /// The number of the server that the sentinels name as master.
    pub(crate) async fn master(&self) -> usize {
        poll_until("a sentinel names a master", async || {
            let sentinel = &self.sentinels[0];
            let words = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER_NAME];
            let address: Vec<String> = sentinel.cli(&words).await.ok()?;
            let port: u16 = address.get(1)?.parse().ok()?;
            self.servers.iter().position(|server| server.port() == port)
        })
        .await
    }

    /// Kills the master; returns its number.
    pub(crate) async fn kill_master(&mut self) -> usize {
        let master = self.master().await;
        self.servers[master].kill9().await;
        master
    }

    /// Makes the master hang (`SIGCONT` lets it go on); returns its number.
    pub(crate) async fn stop_master(&self) -> usize {
        let master = self.master().await;
        self.servers[master].signal(Signal::STOP);
        master
    }

    /// Asks for a planned failover and waits for it; returns the numbers of the old and the new
    /// master.
    pub(crate) async fn failover(&self) -> (usize, usize) {
        let old = self.master().await;
        // Refused while it knows of no good replica, as right after another failover.
        eventually("the sentinel begins the failover", async || {
            let words = ["SENTINEL", "FAILOVER", MASTER_NAME];
            self.sentinels[0].cli::<Value>(&words).await.is_ok()
        })
        .await;
        (old, self.wait_new_master(old).await)
    }

    /// Waits until the sentinels name another master and it takes writes; returns its number.
    pub(crate) async fn wait_new_master(&self, old: usize) -> usize {
        let new = poll_until("the sentinels name another master", async || {
            let new = self.master().await;
            (new != old).then_some(new)
        })
        .await;
        eventually("the new master takes writes", async || {
            self.servers[new].try_cli::<Value>(&["SET", "taken", "1"]).await.is_ok()
        })
        .await;
        new
    }

    /// Starts a killed server again, as a replica of the master, and waits until it is in step.
    pub(crate) async fn restart_as_replica(&mut self, number: usize) {
        let master = self.master().await;
        let address = format!("127.0.0.1 {}", self.servers[master].port());
        self.servers[number].set_option("replicaof", &address);
        self.servers[number].restart().await;
        self.wait_in_step(number).await;
    }

    /// Waits until this server is a replica in step with the master.
    pub(crate) async fn wait_in_step(&self, number: usize) {
        poll_until_within(DEMOTED_WITHIN, "the server is a replica in step", async || {
            let master = self.master().await;
            let at = format!("port={},state=online", self.servers[number].port());
            let info = self.servers[master].try_cli::<String>(&["INFO", "replication"]).await;
            info.is_ok_and(|info| info.contains(&at)).then_some(())
        })
        .await;
    }
}

impl Sentinel {
    fn start(master: &RedisServer) -> Self {
        let dir =
            tempfile::Builder::new().prefix("tidegate-sentinel-").tempdir().expect("temp dir");
        let port = free_port();
        let config = dir.path().join("sentinel.conf");
        let (at, name) = (dir.path().display(), MASTER_NAME);
        let text = format!(
            "port {port}\nbind 127.0.0.1\ndir {at}\n\
             sentinel monitor {name} 127.0.0.1 {} {}\n\
             sentinel down-after-milliseconds {name} {DOWN_AFTER_MS}\n\
             sentinel failover-timeout {name} {FAILOVER_TIMEOUT_MS}\n",
            master.port(),
            SENTINELS / 2 + 1,
        );
        std::fs::write(&config, text).expect("temp dir is ours");
        let mut command = Command::new(server_program());
        command.arg(&config).arg("--sentinel");
        let log = dir.path().join("log");
        let process = Guarded::start(&command, &log, AtEnd::Kill, dir.path());
        Self { _process: process, port, _dir: dir }
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    async fn cli<T: FromRedisValue>(&self, words: &[&str]) -> redis::RedisResult<T> {
        let mut connection =
            redis::Client::open(self.url())?.get_multiplexed_async_connection().await?;
        redis::cmd(words[0]).arg(&words[1..]).query_async(&mut connection).await
    }

    async fn knows_all(&self) -> bool {
        let Ok(info) = self.cli::<String>(&["INFO", "sentinel"]).await else { return false };
        info.contains("status=ok")
            && info.contains(&format!("slaves={REPLICAS},sentinels={SENTINELS}"))
    }
}
