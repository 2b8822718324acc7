//! What every measurement stands on: servers, daemons, processes, figures.

pub(crate) mod cores;
pub(crate) mod daemon;
pub(crate) mod figures;
pub(crate) mod http;
pub(crate) mod meter;
pub(crate) mod process;
pub(crate) mod redis;
pub(crate) mod report;
pub(crate) mod turns;

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// The payload of every message: 100 bytes of JSON.
pub(crate) const PAYLOAD_BYTES: usize = 100;
/// What has not come by then does not come.
const PATIENCE: Duration = Duration::from_secs(600);

/// The payload itself: a JSON string with its quotes.
pub(crate) fn payload() -> String {
    format!("\"{}\"", "x".repeat(PAYLOAD_BYTES - 2))
}

/// Waits for what nobody announces.
pub(crate) async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}

/// Asks every so often until it is so.
pub(crate) async fn until(
    what: &str,
    every: Duration,
    mut is_so: impl AsyncFnMut() -> Result<bool>,
) -> Result<()> {
    let started = Instant::now();
    while !is_so().await? {
        if started.elapsed() > PATIENCE {
            bail!("in vain for {} s: {what}", PATIENCE.as_secs());
        }
        pause(every).await;
    }
    Ok(())
}

/// A port that is free now.
pub(crate) fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// As many open files as this process may have: connections come by the thousand.
pub(crate) fn open_files_most() -> Result<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
    Ok(limit.maximum.unwrap_or(u64::MAX))
}
