//! Starting and stopping with a large backlog: how long, and how much memory the daemon takes.
//!
//! Owns one measurement on the real program with its managed Redis at `disk`: fill a queue by HTTP,
//! stop, start again, drain a part, stop again. Prints a table, then one line of JSON.
//!
//! `cargo bench --bench backlog -- 5000000` takes another number of messages.

#![expect(clippy::print_stdout, reason = "a benchmark reports on stdout")]

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::time::Instant;

const MESSAGES: usize = 100_000;
const PAYLOAD_BYTES: usize = 100;
const BATCH: usize = 10_000;
const REQUESTS_AT_ONCE: usize = 2;
/// So much of the backlog is sent off after the start.
const DRAINED: usize = 200_000;
const LOOK_EVERY: Duration = Duration::from_millis(50);

fn main() -> Result<()> {
    let messages = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(MESSAGES);
    tokio::runtime::Runtime::new()?.block_on(run(messages))
}

async fn run(messages: usize) -> Result<()> {
    let dir = tempfile::tempdir()?;
    println!("{messages} messages of {PAYLOAD_BYTES} bytes, managed Redis, every write on disk");
    let mut report = Report::default();

    let mut daemon = Daemon::start(dir.path()).await?;
    report.mib("daemon with nothing stored", "rss_empty_mib", daemon.rss_mib()?);
    daemon.ask(Method::POST, "/v1/queues/backlog/pause", "{}").await?;
    let began = Instant::now();
    fill(&daemon, messages).await?;
    report.seconds("filled by HTTP", "fill_s", began.elapsed());
    report.mib("daemon after that", "rss_filled_mib", daemon.rss_mib()?);
    report.mib("Redis", "redis_mib", daemon.redis_rss_mib()?);
    report.seconds("graceful stop", "stop_s", daemon.stop().await?);
    report.mib("append-only files", "aof_mib", size_mib(&dir.path().join("data"))?);

    let mut daemon = Daemon::start(dir.path()).await?;
    report.seconds("start until /livez answers", "live_s", daemon.live_after);
    report.seconds("start until ready", "ready_s", daemon.ready_after);
    report.mib("daemon when ready", "rss_ready_mib", daemon.rss_mib()?);
    tokio::time::sleep(Duration::from_secs(5)).await;
    report.mib("daemon 5 s later", "rss_idle_mib", daemon.rss_mib()?);
    daemon.ask(Method::POST, "/v1/queues/backlog/resume", "{}").await?;
    let drained = DRAINED.min(messages / 2);
    let began = Instant::now();
    let most = drain(&daemon, messages, drained).await?;
    report.seconds(&format!("sent {drained} of them"), "drain_s", began.elapsed());
    report.mib("daemon at most meanwhile", "rss_drain_mib", most);
    report.seconds("graceful stop in the midst of it", "stop_busy_s", daemon.stop().await?);
    println!("{{{}}}", report.json.trim_end_matches(','));
    Ok(())
}

/// The figures, for people as they come and for machines at the end.
#[derive(Default)]
struct Report {
    json: String,
}

impl Report {
    fn seconds(&mut self, what: &str, key: &str, took: Duration) {
        self.figure(what, key, took.as_secs_f64(), "s");
    }

    fn mib(&mut self, what: &str, key: &str, mib: f64) {
        self.figure(what, key, mib, "MiB");
    }

    fn figure(&mut self, what: &str, key: &str, value: f64, unit: &str) {
        println!("{what:<36}{value:>12.1} {unit}");
        write!(self.json, "\"{key}\":{value:.2},").expect("a string takes all");
    }
}

/// The program with its managed Redis; ended with the value.
struct Daemon {
    child: Child,
    url: String,
    client: Client<HttpConnector, Full<Bytes>>,
    live_after: Duration,
    ready_after: Duration,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Daemon {
    async fn start(dir: &Path) -> Result<Self> {
        let config = dir.join("tidegate.toml");
        std::fs::write(
            &config,
            "[queues.backlog]\nconcurrency = 256\n[queues.backlog.downstream]\ntype = \"null\"\n",
        )?;
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let began = Instant::now();
        let child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--config"])
            .arg(&config)
            .env("TIDEGATE__REDIS__DATA_DIR", dir.join("data"))
            .stdout(Stdio::null())
            .spawn()?;
        let mut daemon = Self {
            child,
            url: format!("http://127.0.0.1:{port}"),
            client: Client::builder(TokioExecutor::new()).build_http(),
            live_after: Duration::ZERO,
            ready_after: Duration::ZERO,
        };
        while daemon.ask(Method::GET, "/livez", "").await.is_err() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        daemon.live_after = began.elapsed();
        while daemon.ask(Method::GET, "/readyz", "").await.is_err() {
            if let Some(status) = daemon.child.try_wait()? {
                bail!("the daemon ended: {status}");
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        daemon.ready_after = began.elapsed();
        Ok(daemon)
    }

    async fn ask(&self, method: Method, path: &str, body: impl Into<Bytes>) -> Result<Value> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header("content-type", "application/json")
            .body(Full::new(body.into()))?;
        let (head, body) = self.client.request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        if !head.status.is_success() {
            bail!("{path}: {}", String::from_utf8_lossy(&body));
        }
        Ok(serde_json::from_slice(&body)?)
    }

    async fn count(&self, state: &str) -> Result<usize> {
        let queue = self.ask(Method::GET, "/v1/queues/backlog", "").await?;
        let count = queue["counts"][state].as_u64().context("a count")?;
        Ok(usize::try_from(count)?)
    }

    fn rss_mib(&self) -> Result<f64> {
        rss_mib(self.child.id())
    }

    fn redis_rss_mib(&self) -> Result<f64> {
        let id = self.child.id();
        let mut children = Vec::new();
        for thread in std::fs::read_dir(format!("/proc/{id}/task"))? {
            children.push(std::fs::read_to_string(thread?.path().join("children"))?);
        }
        let ids = children.iter().flat_map(|line| line.split_whitespace());
        ids.map(|id| rss_mib(id.parse()?)).sum()
    }

    /// SIGTERM, and how long it takes to end.
    async fn stop(&mut self) -> Result<Duration> {
        let began = Instant::now();
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.child.id())?);
        rustix::process::kill_process(pid.context("a pid")?, rustix::process::Signal::TERM)?;
        loop {
            match self.child.try_wait()? {
                Some(status) if status.success() => return Ok(began.elapsed()),
                Some(status) => bail!("the daemon ended: {status}"),
                None => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }
}

/// Half of them due in an hour, half at once.
async fn fill(daemon: &Daemon, messages: usize) -> Result<()> {
    let body: Bytes = {
        let payload = "x".repeat(PAYLOAD_BYTES - 2);
        let pair = [
            format!("{{\"payload\":\"{payload}\"}}"),
            format!("{{\"payload\":\"{payload}\",\"delay\":\"1h\"}}"),
        ];
        let rows: Vec<&str> = (0..BATCH).map(|row| pair[row % 2].as_str()).collect();
        format!("[{}]", rows.join(",")).into()
    };
    futures_util::stream::iter(0..messages.div_ceil(BATCH))
        .map(|_| daemon.ask(Method::POST, "/v1/queues/backlog/messages/batch", body.clone()))
        .buffer_unordered(REQUESTS_AT_ONCE)
        .try_for_each(async |answer| match answer["accepted"].as_u64() {
            Some(accepted) if accepted == BATCH as u64 => Ok(()),
            _ => bail!("not all were accepted: {}", answer["rejected"]),
        })
        .await
}

/// Waits until so many are delivered; returns the most memory that the daemon took meanwhile.
async fn drain(daemon: &Daemon, messages: usize, count: usize) -> Result<f64> {
    let mut most = 0_f64;
    while daemon.count("delivered").await? < count.min(messages / 2) {
        most = most.max(daemon.rss_mib()?);
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(most)
}

fn rss_mib(pid: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").trim().parse()?;
    Ok(kib / 1024.0)
}

fn size_mib(dir: &Path) -> Result<f64> {
    let mut bytes = 0.0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        if meta.is_dir() {
            bytes += size_mib(&entry.path())? * 1024.0 * 1024.0;
        } else if meta.is_file() {
            #[expect(clippy::cast_precision_loss, reason = "a size for people")]
            let size = meta.len() as f64;
            bytes += size;
        }
    }
    Ok(bytes / 1024.0 / 1024.0)
}
