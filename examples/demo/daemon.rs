//! The real daemon as a child, and the real command line against it.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::Instant;

/// How long the daemon may take to be ready.
const READY_MAX: Duration = Duration::from_secs(20);
/// How long it may take to stop.
const STOP_MAX: Duration = Duration::from_secs(30);
/// The time between two questions whether it is ready.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// A running daemon.
pub(crate) struct Daemon {
    child: Child,
    program: PathBuf,
    url: String,
    folder: TempDir,
}

impl Daemon {
    /// Starts one with these queues, in a folder and a process group of its own: an interrupt of
    /// the demo is not one of the daemon, which is stopped in order.
    pub(crate) fn start(queues: &str) -> anyhow::Result<Self> {
        let program = program()?;
        let folder = tempfile::Builder::new().prefix("tidegate-demo-").tempdir()?;
        let listen = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let state = folder.path().join("state");
        let config = folder.path().join("demo.toml");
        let head = format!("[server]\nlisten = \"{listen}\"\n[redis]\ndata_dir = {state:?}\n");
        std::fs::write(&config, head + queues)?;
        let log = std::fs::File::create(folder.path().join("daemon.log"))?;
        let mut command = command(&program);
        command.arg("serve").arg("--config").arg(&config).stdin(Stdio::null());
        command.stdout(log.try_clone()?).stderr(log).process_group(0);
        let child =
            command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self { child, program, url: format!("http://{listen}"), folder })
    }

    /// Waits until it takes messages: `doctor` asks `/readyz`, and more.
    pub(crate) async fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let end = Instant::now() + READY_MAX;
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("the daemon ended by itself ({status}){}", self.log_tail());
            }
            let asked = self.client(&["doctor"]).output().await?;
            if asked.status.success() {
                return Ok(());
            }
            if Instant::now() >= end {
                let found = String::from_utf8_lossy(&asked.stdout).into_owned();
                bail!("the daemon was not ready in time: {found}{}", self.log_tail());
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    /// Runs a command with its output in view.
    pub(crate) async fn show(&self, words: &[&str]) -> anyhow::Result<()> {
        let status = self.client(words).status().await?;
        if !status.success() {
            bail!("`tidegate {}` ended with {status}{}", words.join(" "), self.log_tail());
        }
        Ok(())
    }

    /// Runs a command for its JSON.
    pub(crate) async fn ask(&self, words: &[&str]) -> anyhow::Result<Value> {
        let output = self.client(words).args(["--output", "json"]).output().await?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            bail!("`tidegate {}`: {said}{}", words.join(" "), self.log_tail());
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// Stops the daemon as an init system would.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let pid = pid.context("it has ended already")?;
        kill_process(pid, Signal::TERM)?;
        let ended = tokio::time::timeout(STOP_MAX, self.child.wait()).await;
        let status = ended.context("it did not end after SIGTERM")??;
        if !status.success() {
            bail!("it ended with {status}{}", self.log_tail());
        }
        Ok(())
    }

    /// The last lines of its log, for a failure.
    pub(crate) fn log_tail(&self) -> String {
        let log =
            std::fs::read_to_string(self.folder.path().join("daemon.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let tail = &lines[lines.len().saturating_sub(15)..];
        if tail.is_empty() { String::new() } else { format!("\nits log:\n{}", tail.join("\n")) }
    }

    fn client(&self, words: &[&str]) -> Command {
        let mut command = command(&self.program);
        command.args(words).env("TIDEGATE_URL", &self.url);
        command
    }
}

/// The binary, without the settings of whoever runs the demo.
fn command(program: &PathBuf) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TIDEGATE_") {
            command.env_remove(name);
        }
    }
    command
}

/// `target/<profile>/tidegate`, beside `target/<profile>/demo`.
fn program() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let profile = own.parent().context("no target folder")?;
    let program = profile.join("tidegate").with_extension(std::env::consts::EXE_EXTENSION);
    if !program.exists() {
        bail!("{} is missing; `make demo` builds it", program.display());
    }
    Ok(program)
}
