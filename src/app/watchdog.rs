//! What the service manager is told: ready, reloading, stopping, and that the loops make progress.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;

use crate::engine::Pulses;

/// How often the loops are looked at: well below any sensible `WatchdogSec`.
const EVERY: Duration = Duration::from_secs(5);

/// Feeds the watchdog as long as no loop is stuck.
pub(super) async fn run(pulses: Pulses, stop: CancellationToken) {
    loop {
        let stuck = pulses.stuck();
        if stuck.is_empty() {
            notify(&[NotifyState::Watchdog]);
        } else {
            tracing::error!(?stuck, "loops are stuck; the watchdog is not fed");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

pub(super) fn ready() {
    notify(&[NotifyState::Ready, NotifyState::Status("Ready")]);
}

/// With the time that `Type=notify-reload` wants beside it.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(_) => notify(&[NotifyState::Reloading]),
    }
}

/// Not ready yet, and why; the start may take so long more.
pub(super) fn waiting(status: &str, more: Duration) {
    let more_us = u32::try_from(more.as_micros()).unwrap_or(u32::MAX);
    notify(&[NotifyState::Status(status), NotifyState::ExtendTimeoutUsec(more_us)]);
}

pub(super) fn stopping() {
    notify(&[NotifyState::Stopping]);
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service manager could not be told");
    }
}
