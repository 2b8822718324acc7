//! A permit of the queue's limit for a call that did not get one with its claim: a further part of a batch, a
//! callback, a probe.
//!
//! Owns the wait for it, and how late it may be used. The limit itself stands in Redis (`store::Permit`).
//! Refuses to know what else a call waits for: its caller says so before each look.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::domain::limit::Limit;
use crate::store::{FurtherCall, Permit, Queue, Store};

/// A permit is void so long after its slot: of the 20 ms that a call may be late at the downstream,
/// the rest is for its way there. It bounds what calls of several nodes can move closer together.
pub(super) const LATE_MAX: Duration = Duration::from_millis(15);
/// A call begins so long after its slot at the latest: a little after its permit lets it go.
pub(super) const START_LATE_MAX: Duration = Duration::from_millis(18);

/// How late a call of a rate may be, at least `least`: where calls are far apart, a thousandth of their distance. A slot that is void
/// costs its key the whole distance.
pub(super) fn late_max(pace: Limit, least: Duration) -> Duration {
    least.max(Duration::from_secs_f64(pace.period_us() / 1e9))
}

/// Longest wait between two looks.
const WAIT_MAX: Duration = Duration::from_millis(500);

/// Why there is no permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoPermit<E> {
    /// The queue is paused, its gate is shut, or it stops.
    Shut,
    /// The caller does not go on.
    Ended(E),
}

/// What ends a wait for a permit early.
#[derive(Debug, Clone, Copy)]
pub(super) struct PermitWait<'a> {
    /// The queue stops.
    pub(super) stop: &'a CancellationToken,
    /// The caller is asked at this moment whether it goes on; `None`: at the looks alone.
    pub(super) looks_at: Option<Instant>,
}

impl PermitWait<'_> {
    fn cut(&self, wait: Duration) -> Duration {
        let left = self.looks_at.map(|at| at.saturating_duration_since(Instant::now()));
        left.filter(|left| !left.is_zero()).map_or(wait, |left| wait.min(left))
    }
}

/// Waits for a permit and for its slot. `goes_on` is asked before each look, and once more at the slot: that took time. What it
/// says at the slot is returned.
pub(super) async fn permit<T, E>(
    store: &Store,
    queue: &Queue,
    waits: PermitWait<'_>,
    further: FurtherCall<'_>,
    mut goes_on: impl FnMut() -> Result<T, E>,
) -> Result<T, NoPermit<E>> {
    loop {
        goes_on().map_err(NoPermit::Ended)?;
        let wait = match store.messages.permit(queue, further).await {
            Ok(Permit::Granted(slot, units)) => {
                tokio::time::sleep_until(slot).await;
                let began = (Instant::now() <= slot + LATE_MAX).then(&mut goes_on);
                if !matches!(began, Some(Ok(_))) {
                    store.messages.return_permit(queue, further, units).await;
                }
                if let Some(began) = began {
                    return began.map_err(NoPermit::Ended);
                }
                // This node stood still: a call now would come too close to others.
                Duration::ZERO
            }
            Ok(Permit::Wait(wait)) => waits.cut(wait.min(WAIT_MAX)),
            Ok(Permit::Shut) => return Err(NoPermit::Shut),
            Err(_) => WAIT_MAX,
        };
        tokio::select! {
            () = waits.stop.cancelled() => return Err(NoPermit::Shut),
            () = tokio::time::sleep(wait) => {}
        }
    }
}
