//! The real daemon, as a process.

use std::ops::Range;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use serde_json::Value;

use super::http::Client;
use super::process::{Process, once};
use super::redis::Server;
use super::{pause, until};
use crate::plan::ROWS;

/// How long it may take to be ready.
const READY_TRIES: u32 = 1500;
/// Connections that batches come over.
const PRODUCERS: usize = 4;

/// A running daemon on a server of the benchmark's.
#[derive(Debug)]
pub(crate) struct Daemon {
    pub(crate) process: Process,
    dir: tempfile::TempDir,
    pub(crate) address: String,
}

impl Daemon {
    /// Starts it with these queues and waits until it is ready.
    pub(crate) async fn start(server: &Server, queues: &str) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let address = format!("127.0.0.1:{}", super::free_port()?);
        let durability = if server.aof { "disk" } else { "memory" };
        let config = format!(
            "[server]\nlisten = \"{address}\"\n[redis]\nurl = \"{}\"\ndurability = \"{durability}\"\n{queues}",
            server.url
        );
        let file = dir.path().join("bench.toml");
        std::fs::write(&file, config)?;
        let log = std::fs::File::create(dir.path().join("daemon.log"))?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.arg("serve").arg("--config").arg(&file).stdout(log.try_clone()?).stderr(log);
        let mut daemon = Self { process: Process::start(&mut command)?, dir, address };
        for _ in 0..READY_TRIES {
            if let Ok(mut client) = Client::connect(&daemon.address).await
                && client.get("/readyz").await.is_ok_and(|(status, _)| status == 200)
            {
                return Ok(daemon);
            }
            ensure!(!daemon.process.has_ended()?, "the daemon has ended: {}", daemon.log());
            pause(Duration::from_millis(20)).await;
        }
        bail!("the daemon is not ready: {}", daemon.log())
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("daemon.log")).unwrap_or_default()
    }

    /// Where messages of a queue go.
    pub(crate) fn path(queue: &str) -> String {
        format!("/v1/queues/{queue}/messages")
    }

    /// Sends rows to the queue `bench` as NDJSON, from a process of its own: each due at `due_ms` (0: at
    /// once) and so much later at most, without order. Returns the rate.
    pub(crate) async fn fill(&self, messages: usize, due_ms: u64, spread_ms: u64) -> Result<f64> {
        self.fill_keyed(messages, (due_ms, spread_ms), 0..0).await
    }

    /// The same with a label `k` that has these values by turns.
    pub(crate) async fn fill_keyed(
        &self,
        messages: usize,
        (due_ms, spread_ms): (u64, u64),
        keys: Range<usize>,
    ) -> Result<f64> {
        let rows = messages.min(ROWS);
        let mut words = vec![self.address.clone(), Self::path("bench")];
        words.extend([PRODUCERS, messages / rows, rows].map(|number| number.to_string()));
        words.extend([due_ms, spread_ms].map(|number| number.to_string()));
        words.extend([keys.len(), keys.start].map(|number| number.to_string()));
        once("lines", &words).await?["rate"].as_f64().context("a rate")
    }

    /// Messages of the queue `bench` by state.
    async fn counts(&self) -> Result<Value> {
        let mut client = Client::connect(&self.address).await?;
        let (status, body) = client.get("/v1/queues/bench").await?;
        ensure!(status == 200, "status {status}");
        Ok(serde_json::from_slice::<Value>(&body)?["counts"].take())
    }

    /// Waits until the queue `bench` holds so many in these states together.
    pub(crate) async fn until_held(
        &self,
        states: &[&str],
        messages: usize,
        every: Duration,
    ) -> Result<()> {
        let what = format!("{messages} messages {}", states.join(" or "));
        until(&what, every, async || {
            let counts = self.counts().await?;
            let held = states.iter().filter_map(|state| counts[state].as_u64()).sum::<u64>();
            Ok(held == messages as u64)
        })
        .await
    }

    /// Waits until nothing of the queue `bench` is still to be done.
    pub(crate) async fn until_done(&self, every: Duration) -> Result<()> {
        self.until_held(&["scheduled", "ready", "leased"], 0, every).await
    }

    /// Waits until the queue `bench` has that many delivered, kept as they are by default.
    pub(crate) async fn until_delivered(&self, messages: usize, every: Duration) -> Result<()> {
        self.until_done(every).await?;
        let counts = self.counts().await?;
        ensure!(counts["delivered"] == messages, "not {messages} delivered: {counts}");
        Ok(())
    }

    /// Stops and starts a queue again, as an operator does.
    pub(crate) async fn tell(&self, queue: &str, verb: &str) -> Result<()> {
        let mut client = Client::connect(&self.address).await?;
        let path = format!("/v1/queues/{queue}/{verb}");
        let (status, _) = client.post(&path, "application/json", Bytes::from("{}")).await?;
        ensure!(status == 200, "{verb}: status {status}");
        Ok(())
    }
}
