//! A redis-server of the test's own.
//!
//! Owns its process, its folder and its address: a Unix socket in a temporary folder, append-only
//! with every write on disk, ready in about ten milliseconds. Refuses to know Tidegate's keys.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, FromRedisValue, RedisResult};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::time::Instant;

use super::faults::Faults;
use super::guarded::{AtEnd, Guarded};
use super::ports::free_port;
use super::wait::{DEADLINE, eventually};

const READY_WITHIN: Duration = Duration::from_secs(20);
const PROGRAMS: [&str; 2] = ["redis-server", "valkey-server"];

/// How a server is to run; every value is a line of redis.conf.
#[derive(Debug, Clone)]
pub(crate) struct RedisOptions {
    settings: BTreeMap<String, String>,
    is_tcp: bool,
    has_faults: bool,
    is_valkey: bool,
}

impl Default for RedisOptions {
    fn default() -> Self {
        let settings = BTreeMap::new();
        let mut options = Self { settings, is_tcp: false, has_faults: false, is_valkey: false };
        for (key, value) in [
            ("appendonly", "yes"),
            ("appendfsync", "always"),
            ("save", ""),
            ("port", "0"),
            ("maxmemory-policy", "noeviction"),
            // A replica need not wait for others to join its first copy.
            ("repl-diskless-sync-delay", "0"),
        ] {
            options = options.set(key, value);
        }
        options
    }
}

impl RedisOptions {
    /// Valkey, whatever else the system has.
    pub(crate) fn valkey() -> Self {
        Self { is_valkey: true, ..Self::default() }
    }

    /// Sets one line of redis.conf.
    #[must_use]
    pub(crate) fn set(mut self, key: &str, value: &str) -> Self {
        self.settings.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Listens on a free loopback port instead of a socket.
    #[must_use]
    pub(crate) fn on_tcp(mut self) -> Self {
        self.is_tcp = true;
        self.set("port", &free_port().to_string()).set("bind", "127.0.0.1")
    }

    /// With a clock, a disk and flushes that the test can spoil, see [`RedisServer::faults`].
    #[must_use]
    pub(crate) fn with_faults(mut self) -> Self {
        self.has_faults = true;
        self
    }

    /// A replica of this server, which was started `on_tcp`; see [`RedisServer::wait_replicas`].
    #[must_use]
    pub(crate) fn replica_of(self, master: &RedisServer) -> Self {
        self.on_tcp().set("replicaof", &format!("127.0.0.1 {}", master.port()))
    }

    /// Starts the server and waits until it answers.
    pub(crate) async fn start(self) -> RedisServer {
        let dir = tempfile::Builder::new().prefix("tidegate-redis-").tempdir().expect("temp dir");
        let faults = self.has_faults.then(|| Faults::new(dir.path()));
        let mut server = RedisServer { process: None, options: self, faults, dir };
        server.restart().await;
        server
    }
}

/// A running server; killed and swept away when dropped.
#[derive(Debug)]
pub(crate) struct RedisServer {
    // Ends before the folder below goes.
    process: Option<Guarded>,
    options: RedisOptions,
    faults: Option<Faults>,
    dir: TempDir,
}

impl RedisServer {
    /// A server as most scenarios want it.
    pub(crate) async fn start() -> Self {
        RedisOptions::default().start().await
    }

    /// What `--redis` and `[redis] url` take.
    pub(crate) fn url(&self) -> String {
        if self.options.is_tcp {
            format!("redis://127.0.0.1:{}", self.port())
        } else {
            format!("unix://{}", self.socket().display())
        }
    }

    /// The port of a server that was started `on_tcp`.
    pub(crate) fn port(&self) -> u16 {
        self.option("port").parse().expect("set by on_tcp")
    }

    /// A line of its redis.conf, as it was set.
    pub(crate) fn option(&self, key: &str) -> &str {
        &self.options.settings[key]
    }

    /// Changes a line of its redis.conf, for the next start.
    pub(crate) fn set_option(&mut self, key: &str, value: &str) {
        self.options.settings.insert(key.to_owned(), value.to_owned());
    }

    /// Sends one command on a connection of its own.
    pub(crate) async fn cli<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let reply = self.try_cli(words).await;
        reply.unwrap_or_else(|error| panic!("redis-server refused {words:?}: {error}"))
    }

    /// [`Self::cli`] of a server that may be away or refuse.
    pub(crate) async fn try_cli<T: FromRedisValue>(&self, words: &[&str]) -> RedisResult<T> {
        let mut connection = self.connect().await?;
        redis::cmd(words[0]).arg(&words[1..]).query_async(&mut connection).await
    }

    /// A field of its INFO, or "".
    pub(crate) async fn info(&self, field: &str) -> String {
        let text: String = self.cli(&["INFO"]).await;
        let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        line.unwrap_or_default().trim().to_owned()
    }

    /// Waits until so many replicas are in step with it.
    pub(crate) async fn wait_replicas(&self, count: usize) {
        eventually(&format!("{count} replicas are in step"), async || {
            let info: String = self.cli(&["INFO", "replication"]).await;
            info.matches("state=online").count() == count
        })
        .await;
    }

    /// `kill -9`: what was not written to disk by then is gone.
    pub(crate) async fn kill9(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill9().await;
        }
    }

    /// What the test can spoil of a server that was started `with_faults`.
    pub(crate) fn faults(&self) -> &Faults {
        self.faults.as_ref().expect("started with_faults")
    }

    /// The machine under it loses its power: killed, and of its data files only what was flushed
    /// stays. Needs `with_faults`; [`Self::restart`] brings it back.
    pub(crate) async fn power_cut(&mut self) {
        self.kill9().await;
        self.faults().cut_to_flushed(self.dir.path());
    }

    /// Waits until the server has ended by itself.
    pub(crate) async fn wait_exit(&mut self) -> i32 {
        self.process.as_mut().expect("the server was started").wait().await
    }

    /// Any other signal: SIGSTOP makes it hang, SIGCONT lets it go on.
    pub(crate) fn signal(&self, signal: Signal) {
        self.process.as_ref().expect("the server was started").signal(signal);
    }

    /// From now on nobody reaches it, though it runs: connections break, and none is made.
    #[cfg(feature = "failpoints")]
    pub(crate) async fn cut_off(&self) {
        let mut connection = self.connect().await.expect("redis-server accepts connections");
        std::fs::rename(self.socket(), self.hidden_socket()).expect("it listens on a socket");
        for kind in ["normal", "pubsub"] {
            let mut kill = redis::cmd("CLIENT");
            kill.arg("KILL").arg("TYPE").arg(kind).arg("SKIPME").arg("yes");
            let killed = kill.query_async::<i64>(&mut connection).await;
            killed.expect("redis-server obeys");
        }
    }

    /// It can be reached again.
    #[cfg(feature = "failpoints")]
    pub(crate) fn reach_again(&self) {
        std::fs::rename(self.hidden_socket(), self.socket()).expect("it was cut off");
    }

    #[cfg(feature = "failpoints")]
    fn hidden_socket(&self) -> PathBuf {
        self.dir.path().join("hidden.sock")
    }

    /// Starts again on the same data and address; a server that still runs is killed first.
    pub(crate) async fn restart(&mut self) {
        self.begin_restart().await;
        self.wait_ready().await;
    }

    /// [`Self::restart`], without waiting until it has loaded its data.
    pub(crate) async fn begin_restart(&mut self) {
        self.kill9().await;
        let program =
            if self.options.is_valkey { valkey_program() } else { server_program().into() };
        let mut command = Command::new(program);
        for (key, value) in &self.options.settings {
            command.arg(format!("--{key}")).arg(value);
        }
        command.arg("--dir").arg(self.dir.path());
        if !self.options.is_tcp {
            command.arg("--unixsocket").arg(self.socket());
        }
        if let Some(faults) = &self.faults {
            command.envs(faults.environment());
        }
        let log = self.dir.path().join("redis.log");
        self.process = Some(Guarded::start(&command, &log, AtEnd::Kill, self.dir.path()));
    }

    async fn wait_ready(&self) {
        let deadline = Instant::now() + READY_WITHIN;
        // A server that opens its socket sends no signal; loading its data it answers an error.
        while !self.pings().await {
            let running = self.process.as_ref().is_some_and(|p| p.exit_code().is_none());
            assert!(running && Instant::now() < deadline, "no PONG from redis:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn pings(&self) -> bool {
        let Ok(mut connection) = self.connect().await else { return false };
        redis::cmd("PING").query_async::<String>(&mut connection).await.is_ok()
    }

    /// A connection of its own, as patient as the tests are.
    pub(crate) async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        let patient = AsyncConnectionConfig::new().set_response_timeout(Some(DEADLINE));
        let client = redis::Client::open(self.url())?;
        client.get_multiplexed_async_connection_with_config(&patient).await
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("redis.sock")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("redis.log")).unwrap_or_default()
    }
}

/// Valkey's server: on PATH, or where `deploy/setup.sh valkey` puts it.
pub(crate) fn valkey_program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let ours = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("valkey");
    std::env::split_paths(&path)
        .chain([ours])
        .map(|folder| folder.join("valkey-server"))
        .find(|program| program.is_file())
        .expect(
            "valkey-server is on PATH, or `sh deploy/setup.sh valkey` was run (`make test-all` does)",
        )
}

/// The server to run: Redis, or Valkey where that is what the system has.
pub(crate) fn server_program() -> &'static str {
    let path = std::env::var_os("PATH").unwrap_or_default();
    PROGRAMS
        .into_iter()
        .find(|name| std::env::split_paths(&path).any(|folder| folder.join(name).is_file()))
        .expect("redis-server or valkey-server is on PATH; `make test` installs it")
}
