//! What a shell may complete beyond the words of the command line: the names of queues and of shared limits.
//!
//! Owns the question to the daemon. It is asked while somebody types, so it takes little time and says nothing
//! when it fails.

use std::time::Duration;

use clap_complete::engine::CompletionCandidate;

use super::client::{Answer, Client, DEFAULT_URL, Target};
use crate::wire::queue::QueueList;
use crate::wire::shared_limit::SharedLimitList;

/// Longer than this nobody waits for a name.
const PATIENCE: Duration = Duration::from_millis(700);

/// The queues of the daemon at `TIDEGATE_URL`.
pub(super) fn queues() -> Vec<CompletionCandidate> {
    candidates(async {
        let list: QueueList = asked(&["v1", "queues"]).await?.read().ok()?;
        Some(list.queues.into_iter().map(|queue| queue.name).collect())
    })
}

/// The shared limits of the daemon at `TIDEGATE_URL`.
pub(super) fn limits() -> Vec<CompletionCandidate> {
    candidates(async {
        let list: SharedLimitList = asked(&["v1", "limits"]).await?.read().ok()?;
        Some(list.limits.into_iter().map(|limit| limit.name).collect())
    })
}

fn candidates(names: impl Future<Output = Option<Vec<String>>>) -> Vec<CompletionCandidate> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else { return Vec::new() };
    let named = runtime.block_on(async { tokio::time::timeout(PATIENCE, names).await });
    named.ok().flatten().unwrap_or_default().into_iter().map(CompletionCandidate::new).collect()
}

async fn asked(path: &[&str]) -> Option<Answer> {
    let url = std::env::var("TIDEGATE_URL").unwrap_or_else(|_| DEFAULT_URL.to_owned());
    let token = std::env::var("TIDEGATE_TOKEN").ok().filter(|token| !token.trim().is_empty());
    let client = Client::new(&url, token.as_deref()).ok()?;
    client.get(&Target::new(path)).await.ok()
}
