//! Children that end with their owner, and what the kernel counts for them.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::figures::float;

/// A child process; killed when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Process {
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        let child = command.stdin(Stdio::null()).spawn();
        Ok(Self { child: child.with_context(|| format!("{command:?}"))? })
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// CPU that its threads have used so far, in microseconds.
    pub(crate) fn cpu_us(&self) -> Result<f64> {
        Ok(self.scheduled_us()?[0])
    }

    /// How long its threads could have run so far and had no core, in microseconds.
    pub(crate) fn kept_waiting_us(&self) -> Result<f64> {
        Ok(self.scheduled_us()?[1])
    }

    fn scheduled_us(&self) -> Result<[f64; 2]> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id()))?;
        let mut sums_us = [0.0; 2];
        for task in tasks {
            // A thread may end while we look.
            let Ok(text) = std::fs::read_to_string(task?.path().join("schedstat")) else {
                continue;
            };
            for (sum_us, nanoseconds) in sums_us.iter_mut().zip(text.split(' ')) {
                *sum_us += float(nanoseconds.parse::<u64>().unwrap_or(0)) / 1000.0;
            }
        }
        Ok(sums_us)
    }

    /// The most memory it has held, in MiB.
    pub(crate) fn memory_mib_most(&self) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib: u64 = line.context("VmHWM")?.trim().trim_end_matches(" kB").trim().parse()?;
        Ok(float(kib) / 1024.0)
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> Result<()> {
        let status = self.child.wait()?;
        anyhow::ensure!(status.success(), "a helper process ended with {status}");
        Ok(())
    }
}

/// This very program in another role.
fn role(name: &str, words: &[String]) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(format!("role:{name}")).args(words);
    Ok(command)
}

/// A role that stays until dropped.
pub(crate) fn stay(name: &str, words: &[String]) -> Result<Process> {
    Process::start(&mut role(name, words)?)
}

/// A role that ends by itself with one line of JSON.
pub(crate) async fn once(name: &str, words: &[String]) -> Result<Value> {
    let mut child = role(name, words)?.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let out = child.stdout.take().context("stdout is piped")?;
    let mut process = Process { child };
    let told = tokio::task::spawn_blocking(move || {
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line).map(|_| line)
    });
    let line = told.await??;
    tokio::task::block_in_place(|| process.wait())?;
    serde_json::from_str(&line).with_context(|| format!("{name} said {line:?}"))
}
