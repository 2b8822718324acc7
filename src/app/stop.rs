//! The graceful stop: intake, claiming, exchanges, outcomes, API, Redis, in this order.
//!
//! Bounded by `server.drain_timeout`; a second signal ends it at once. What is not finished by then
//! keeps its lease and comes back when that runs out.

use std::time::Duration;

use super::{Daemon, Signals, watchdog};
use crate::failpoint::failpoint;

/// How long open requests may take to end after the drain.
const API_PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn stop(daemon: Daemon, mut signals: Signals) {
    watchdog::stopping();
    let drain = Duration::from_millis(daemon.settings.server.drain_timeout_ms);
    tracing::info!(drain_timeout_s = drain.as_secs(), "stopping: no new messages, no new claims");
    let Daemon { fleet, node_tasks, trace_tasks, janitor, started, .. } = daemon;
    started.draining.cancel();
    failpoint!("stopping");
    tokio::select! {
        () = fleet.drain() => tracing::info!("all calls in flight are finished"),
        () = tokio::time::sleep(drain) => {
            tracing::warn!("drain_timeout is over; messages of calls in flight are sent again after their leases");
        }
        () = signals.stop() => tracing::warn!("a second stop signal came; not waiting for calls in flight"),
    }
    failpoint!("drained");
    started.api_tasks.stop();
    if tokio::time::timeout(API_PATIENCE, started.api_tasks.join()).await.is_err() {
        tracing::warn!("open requests were cut off");
    }
    janitor.stop().await;
    node_tasks.stop();
    if tokio::time::timeout(API_PATIENCE, node_tasks.join()).await.is_err() {
        tracing::debug!("some loops did not end in time");
    }
    // It gives up by itself.
    trace_tasks.stop();
    trace_tasks.join().await;
    if let Some(managed) = started.managed {
        drop(tokio::task::spawn_blocking(move || managed.stop()).await);
    }
    tracing::info!("stopped");
}
