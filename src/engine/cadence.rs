//! The skeleton of a loop: a pass, then sleep until the next one is due or somebody wakes us.
//!
//! A wake-up that comes while it looks is not lost (`Notify` keeps one permit). Where nothing is known to
//! come it sleeps until it is woken: `rounds` looks on behalf of all loops, with one plain reading for many
//! shards, so that a lost wake-up costs time and never a message, and idle queues cost next to nothing.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::nap::nap;
use super::pulse::Pulse;
use crate::domain::gates::Why;
use crate::domain::spread::{shortened, spread};
use crate::store::StoreError;

/// A sleep that is longer ends early, and what is left is asked for anew: this node's clock and Redis'
/// drift apart meanwhile.
const EXACT: Duration = Duration::from_secs(20);

/// The shortest sleep at a gate whose moment is known, so that rounding never makes a busy loop.
pub(crate) const WAIT_MIN: Duration = Duration::from_millis(1);
/// How often to look whether Redis has told the time.
const TIME_POLL: Duration = Duration::from_secs(1);

/// What a pass asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// There is more: again at once.
    Now,
    /// After so long, or when somebody wakes us.
    In(Duration),
    /// Not before so long: whatever may wake us, time alone opens this gate.
    NotBefore(Duration),
    /// When somebody wakes us.
    Woken,
}

impl Next {
    /// The same, or so long from now, whichever is sooner.
    pub(crate) fn at_latest(self, most: Duration) -> Self {
        match self {
            Self::Now => Self::Now,
            Self::In(wait) => Self::In(wait.min(most)),
            Self::NotBefore(wait) => Self::NotBefore(wait.min(most)),
            Self::Woken => Self::In(most),
        }
    }

    /// The same, but not within so long, unless there is more at once or somebody wakes us.
    pub(crate) fn at_soonest(self, least: Duration) -> Self {
        match self {
            Self::In(wait) => Self::In(wait.max(least)),
            other => other,
        }
    }

    /// After about so long, spread so that nodes and queues do not look in step, or when somebody wakes us.
    pub(crate) fn about(wait: Duration) -> Self {
        Self::In(spread(wait, 0.25, rand::random()))
    }

    /// When to look again at a gate that holds.
    pub(crate) fn at_gate(until_ms: Option<u64>, why: Why, now_ms: Option<u64>) -> Self {
        wait_at_gate(until_ms, why, now_ms).map_or(Self::Woken, Self::In)
    }

    /// From "the next one falls due in": zero means that more is due already.
    pub(crate) fn due(next_in: Option<Duration>) -> Self {
        match next_in {
            Some(Duration::ZERO) => Self::Now,
            Some(wait) => Self::In(wait),
            None => Self::Woken,
        }
    }
}

/// How long to wait at a gate that holds; `None`: until somebody wakes us.
pub(crate) fn wait_at_gate(
    until_ms: Option<u64>,
    why: Why,
    now_ms: Option<u64>,
) -> Option<Duration> {
    match (until_ms, now_ms) {
        (Some(at_ms), Some(now_ms)) => {
            Some(Duration::from_millis(at_ms.saturating_sub(now_ms)).max(WAIT_MIN))
        }
        (Some(_), None) => Some(TIME_POLL),
        (None, _) => (why == Why::TimeUnknown).then_some(TIME_POLL),
    }
}

/// How much of a wait is slept at once; spread, so that nodes and queues do not look in step.
fn leg(wait: Duration) -> Duration {
    if wait <= EXACT { wait } else { shortened(wait.mul_f64(0.95), 0.15, rand::random()) }
}

/// One look of a loop, apart from the loop, so that it can be read and tested alone.
pub(crate) trait Pass: Send {
    /// About how long to wait after a pass that Redis failed.
    const FAILED_PAUSE: Duration = Duration::from_millis(250);

    /// Does what is due, and says when to look again.
    fn run_once(&mut self) -> impl Future<Output = Result<Next, StoreError>> + Send;

    /// Ends when there is something to look for before it is time. Dropped where it is time before that.
    fn woken(&mut self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }
}

/// Looks until `stop`; returns what looked, so that it can leave in order.
pub(crate) async fn run<P: Pass>(stop: &CancellationToken, pulse: Pulse, mut pass: P) -> P {
    while !stop.is_cancelled() {
        pulse.sleeps(Duration::ZERO);
        let (sleep, listens) = match pass.run_once().await {
            Ok(Next::Now) => {
                tokio::task::yield_now().await;
                continue;
            }
            Ok(Next::In(wait)) => (Some(leg(wait)), true),
            Ok(Next::NotBefore(wait)) => (Some(leg(wait)), false),
            Ok(Next::Woken) => (None, true),
            // That Redis is away is logged where it is noticed.
            Err(error) => {
                tracing::debug!(%error, pass = pulse.name(), "a pass was cut short");
                (Some(spread(P::FAILED_PAUSE, 0.5, rand::random())), true)
            }
        };
        match sleep {
            Some(sleep) => pulse.sleeps(sleep),
            None => pulse.rests(),
        }
        tokio::select! {
            // The stop first: a wake-up that comes with it is passed on to whoever takes our place.
            biased;
            () = stop.cancelled() => {}
            () = pass.woken(), if listens => {}
            () = nap(sleep.unwrap_or_default()), if sleep.is_some() => {}
        }
    }
    pass
}
