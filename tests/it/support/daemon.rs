//! The real `tidegate` binary, as a process.
//!
//! Owns its configuration file, its life and its log (shown when a test fails). Refuses to know what
//! is said to it (see `vocabulary`).

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use bytes::Bytes;
use http::Method;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::cluster::Cluster;
use super::faults::Faults;
use super::guarded::{AtEnd, Guarded};
use super::http::Http;
use super::ports::free_port;
use super::redis::RedisServer;
use super::sentinel::{MASTER_NAME, SentinelSet};
use super::wait::poll_until;

/// The binary under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_tidegate");
const LOG_LINES_SHOWN: usize = 200;

/// How a daemon is to run.
#[derive(Debug)]
pub(crate) struct DaemonOptions {
    config: String,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    is_managed: bool,
    has_faults: bool,
    open_files: Option<u32>,
    program: PathBuf,
}

impl DaemonOptions {
    /// Another program than the one under test: that of an earlier version.
    #[must_use]
    pub(crate) fn program(self, program: &Path) -> Self {
        Self { program: program.to_owned(), ..self }
    }

    /// On this Redis.
    #[must_use]
    pub(crate) fn redis(self, redis: &RedisServer) -> Self {
        self.redis_at(&redis.url())
    }

    /// On the server that this address names, whatever stands between.
    #[must_use]
    pub(crate) fn redis_at(mut self, url: &str) -> Self {
        self.is_managed = false;
        self.arguments.extend(["--redis".to_owned(), url.to_owned()]);
        self
    }

    /// On this cluster, in a namespace of its own (the cluster is shared).
    #[must_use]
    pub(crate) fn cluster(mut self, cluster: &Cluster) -> Self {
        self.is_managed = false;
        write!(self.config, "\n[redis]\ncluster = {:?}\n", cluster.urls()).expect("to a String");
        let namespace = format!("t{}", free_port());
        self.environment("TIDEGATE__REDIS__NAMESPACE", &namespace)
    }

    /// On the master that these sentinels name.
    #[must_use]
    pub(crate) fn sentinel(mut self, set: &SentinelSet) -> Self {
        self.is_managed = false;
        let urls = set.urls();
        let line = format!("sentinel = {{ master = {MASTER_NAME:?}, urls = {urls:?} }}");
        write!(self.config, "\n[redis]\n{line}\n").expect("to a String");
        self
    }

    /// At this durability level.
    #[must_use]
    pub(crate) fn durability(self, level: &str) -> Self {
        self.environment("TIDEGATE__REDIS__DURABILITY", level)
    }

    /// With this environment variable.
    #[must_use]
    pub(crate) fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With so many open files at most, soft and hard.
    #[must_use]
    pub(crate) fn open_files(mut self, most: u32) -> Self {
        self.open_files = Some(most);
        self
    }

    /// Its managed Redis has faults at will, see [`Daemon::faults`]; the daemon itself has none.
    #[must_use]
    pub(crate) fn with_faults(mut self) -> Self {
        self.has_faults = true;
        self
    }

    /// Starts it and waits until it is ready.
    pub(crate) async fn start(self) -> Daemon {
        let mut daemon = self.launch();
        daemon.wait_ready().await;
        daemon
    }

    /// Starts it and waits for nothing: for daemons that are to refuse.
    pub(crate) fn launch(self) -> Daemon {
        let dir = tempfile::Builder::new().prefix("tidegate-").tempdir().expect("temp dir");
        std::fs::write(dir.path().join("tidegate.toml"), &self.config).expect("temp dir is ours");
        let port = free_port();
        let url = format!("http://127.0.0.1:{port}");
        let http = http_of(&self.program, &url);
        let faults = self.has_faults.then(|| Faults::new(dir.path()));
        let mut daemon = Daemon { process: None, options: self, faults, dir, port, url, http };
        daemon.spawn();
        daemon
    }
}

fn http_of(program: &Path, url: &str) -> Http {
    if program == Path::new(PROGRAM) { Http::new(url) } else { Http::of_before(url) }
}

/// A daemon; ended and swept away when dropped, its log shown if the test failed.
#[derive(Debug)]
pub(crate) struct Daemon {
    process: Option<Guarded>,
    options: DaemonOptions,
    faults: Option<Faults>,
    dir: TempDir,
    port: u16,
    url: String,
    http: Http,
}

impl Daemon {
    /// Options with this configuration file; on a managed Redis until told otherwise. The address
    /// is the helper's business: leave `server.listen` out.
    pub(crate) fn with(config: impl Into<String>) -> DaemonOptions {
        DaemonOptions {
            config: config.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            is_managed: true,
            has_faults: false,
            open_files: None,
            program: PROGRAM.into(),
        }
    }

    /// A daemon on this Redis: what most scenarios want.
    pub(crate) async fn start(redis: &RedisServer, config: impl Into<String>) -> Self {
        Self::with(config).redis(redis).start().await
    }

    /// Where its API is.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The port of its API.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Waits until `/readyz` says so.
    pub(crate) async fn wait_ready(&mut self) {
        poll_until("the daemon is ready", async || {
            if let Some(code) = self.process.as_ref().and_then(Guarded::exit_code) {
                panic!("the daemon ended with exit code {code} before it was ready");
            }
            let reply = self.http.try_send(Method::GET, "/readyz", &[], Bytes::new()).await;
            reply.ok().filter(|reply| reply.status == 200)
        })
        .await;
    }

    /// Waits for the end; returns the exit code.
    pub(crate) async fn wait_exit(&mut self) -> i32 {
        self.process.as_mut().expect("the daemon was started").wait().await
    }

    /// The end, however long it takes; returns the exit code.
    pub(crate) async fn ended(&mut self) -> i32 {
        self.process.as_mut().expect("the daemon was started").ended().await
    }

    /// Starts it with one more environment variable, and waits for nothing.
    pub(crate) fn start_again_with(&mut self, environment: &[(&str, String)]) {
        for (name, value) in environment {
            self.options.environment.retain(|(known, _)| known != name);
            self.options.environment.push(((*name).to_owned(), value.clone()));
        }
        self.spawn();
    }

    /// Starts one that has ended once more, at the same address and with the same data, as this program.
    pub(crate) async fn start_as(&mut self, program: impl Into<PathBuf>) {
        self.options.program = program.into();
        self.http = http_of(&self.options.program, &self.url);
        self.spawn();
        self.wait_ready().await;
    }

    /// Whether a signal has stopped it.
    #[cfg(feature = "failpoints")]
    pub(crate) fn is_stopped(&self) -> bool {
        let pid = self.process.as_ref().expect("the daemon was started").pid();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status.contains("State:\tT")
    }

    /// Whether it has ended.
    #[cfg(feature = "failpoints")]
    pub(crate) fn has_ended(&self) -> bool {
        self.process.as_ref().is_none_or(|process| process.exit_code().is_some())
    }

    /// Asks for a graceful stop and waits for it; returns the exit code.
    pub(crate) async fn sigterm(&mut self) -> i32 {
        self.signal(Signal::TERM);
        self.wait_exit().await
    }

    /// `kill -9`, and waits until it is gone. Its managed Redis may outlive it for a moment.
    pub(crate) async fn kill9(&mut self) {
        self.process.as_mut().expect("the daemon was started").kill9().await;
    }

    /// Writes a new configuration file and asks the daemon to read it.
    pub(crate) fn sighup(&self, config: &str) {
        std::fs::write(self.config_file(), config).expect("temp dir is ours");
        self.signal(Signal::HUP);
    }

    /// Starts again with the same configuration, address and data, and waits until it is ready; a
    /// daemon that still runs is killed first.
    pub(crate) async fn restart(&mut self) {
        self.kill9().await;
        self.spawn();
        self.wait_ready().await;
    }

    /// The managed redis-server, if one runs.
    pub(crate) fn managed_redis(&self) -> Option<Pid> {
        redis_servers_in(self.dir.path()).into_iter().next()
    }

    /// What the test can spoil of a managed Redis that was asked for `with_faults`.
    pub(crate) fn faults(&self) -> &Faults {
        self.faults.as_ref().expect("started with_faults")
    }

    /// Memory that it takes, in KiB.
    pub(crate) fn rss_kib(&self) -> u64 {
        let pid = self.process.as_ref().expect("the daemon was started").pid().as_raw_nonzero();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// How many open files it may have, and how many it might allow itself, as the kernel writes them.
    pub(crate) fn open_files(&self) -> [String; 2] {
        let process = self.process.as_ref().expect("the daemon runs");
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", process.pid()))
            .expect("a process has limits");
        let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
        let mut words = line.expect("of open files as well").split_whitespace();
        [(); 2].map(|()| words.next().expect("two of them").to_owned())
    }

    /// Everything it has written so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// The folder of its configuration, data and log; commands run there.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Its API, for requests that the vocabulary does not cover.
    pub(crate) fn http(&self) -> &Http {
        &self.http
    }

    fn spawn(&mut self) {
        let mut command = match self.options.open_files {
            None => Command::new(&self.options.program),
            Some(most) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", &format!("ulimit -n {most}; exec \"$0\" \"$@\"")]);
                shell.arg(&self.options.program);
                shell
            }
        };
        command.args(["serve", "--config"]).arg(self.config_file());
        command.args(["--listen", &format!("127.0.0.1:{}", self.port)]);
        command.args(&self.options.arguments);
        command.env("TIDEGATE__REDIS__DATA_DIR", self.dir.path().join("data"));
        command.envs(self.options.environment.iter().map(|(name, value)| (name, value)));
        if let Some(faults) = &self.faults {
            command.envs(faults.environment());
        }
        // An external Redis is the test's; a managed one is the daemon's to stop.
        let at_end = if self.options.is_managed { AtEnd::Stop } else { AtEnd::Kill };
        let process = Guarded::start(&command, &self.log_file(), at_end, self.dir.path());
        self.process = Some(process);
    }

    /// Any other signal.
    pub(crate) fn signal(&self, signal: Signal) {
        self.process.as_ref().expect("the daemon was started").signal(signal);
    }

    fn config_file(&self) -> PathBuf {
        self.dir.path().join("tidegate.toml")
    }

    fn log_file(&self) -> PathBuf {
        self.dir.path().join("tidegate.log")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            let last = &lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..];
            eprintln!("── the daemon's log ──\n{}\n──", last.join("\n"));
        }
        drop(self.process.take());
        // A test may end right after it killed the daemon: its Redis must not stay.
        for pid in redis_servers_in(self.dir.path()) {
            let _gone_already = kill_process(pid, Signal::KILL);
        }
    }
}

/// The redis-servers whose data lies below `dir`.
fn redis_servers_in(dir: &Path) -> Vec<Pid> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &i32| {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        let folder = std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
        matches!(name.trim(), "redis-server" | "valkey-server") && folder.starts_with(dir)
    })
    .filter_map(Pid::from_raw)
    .collect()
}
