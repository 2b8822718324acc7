//! What this program is when it is started as a helper: load, sink, echo, bare client.

mod caller;
mod echo;
mod load;
mod sink;
mod waiters;

use anyhow::{Result, bail};

/// Plays a role until it is over or its owner ends it.
pub(crate) fn run(role: &str, words: &[String]) -> Result<()> {
    // One thread, as the limits were measured: what the daemon's side has is the other core.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match role {
            "single" => load::single(words).await,
            "lines" => load::lines(words).await,
            "sink" => sink::run(words).await,
            "echo" => echo::run(words).await,
            "caller" => caller::run(words).await,
            "waiters" => waiters::run(words).await,
            other => bail!("no role {other}"),
        }
    })
}

/// The n-th word, as what is expected there.
fn word<T: std::str::FromStr>(words: &[String], at: usize) -> Result<T> {
    let parsed = words.get(at).and_then(|word| word.parse().ok());
    parsed.ok_or_else(|| anyhow::anyhow!("word {at} of {words:?}"))
}
