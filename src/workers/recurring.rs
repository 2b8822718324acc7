//! Fires what schedules are due, and sleeps exactly until the next nominal time.
//!
//! Every node runs it; the store's verbs see to it that a tick comes once. Owns when schedules are
//! looked at and what becomes of a failure: the tick stays under way and is tried again, by whichever
//! node sweeps first. Also tells Redis what this node's configuration has.

use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::domain::schedule;
use crate::engine::Pulse;
use crate::engine::cadence::{self, Next, Pass};
use crate::store::{Store, StoreError, Sweep, Tick};
use crate::telemetry::ScheduleErrorLabel;

/// Ticks brought into their queues at once: most of the time each waits for the disk.
const AT_ONCE: usize = 16;
/// How often a node looks whether its configuration's schedules are still there.
const CONFIGURE_EVERY: Duration = Duration::from_secs(60);
/// When to look again at what could not be done, such as a tick for a queue that is not known here.
const STUCK_PAUSE: Duration = Duration::from_secs(2);

/// The sweep of this node.
#[derive(Debug)]
pub struct Recurring {
    store: Store,
    configured_at: Option<Instant>,
}

impl Recurring {
    /// A sweep that is run by [`Self::run`].
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { store, configured_at: None }
    }

    /// The loop.
    pub async fn run(self, stop: CancellationToken, pulse: Pulse) {
        cadence::run(&stop, pulse, self).await;
    }

    /// Tells Redis what the configuration has, when it is new and from time to time.
    async fn configure(&mut self) -> Result<(), StoreError> {
        let is_time = self.configured_at.is_none_or(|at| at.elapsed() >= CONFIGURE_EVERY);
        if is_time || self.store.schedules.has_news() {
            self.store.schedules.configure().await.inspect_err(|error| {
                tracing::warn!(%error, "the schedules of the configuration are not stored yet");
            })?;
            self.configured_at = Some(Instant::now());
        }
        Ok(())
    }
}

impl Pass for Recurring {
    async fn run_once(&mut self) -> Result<Next, StoreError> {
        // What is there ticks on, even if something new could not be stored.
        let configured = self.configure().await;
        let mut passed = 0;
        let next = loop {
            let sweep = self.store.schedules.sweep(passed).await?;
            let (looked, more, next_in) = (sweep.looked, sweep.more, sweep.next_in);
            if come(&self.store, sweep).await > 0 {
                configured?;
                return Ok(Next::Now);
            }
            // What cannot go on is passed over, so that it holds up nobody.
            passed += looked;
            if !more {
                break Next::due(next_in);
            }
        };
        configured?;
        Ok(if passed > 0 { next.at_latest(STUCK_PAUSE) } else { next })
    }

    async fn woken(&mut self) {
        self.store.schedules.shard().due.notified().await;
    }
}

/// Brings what a sweep found on its way; says how many schedules went on.
async fn come(store: &Store, sweep: Sweep) -> usize {
    let Sweep { now_ms, due, left, .. } = sweep;
    let left = futures_util::stream::iter(left);
    left.for_each_concurrent(AT_ONCE, async |tick| fire(store, &tick).await).await;
    let advancing = due.into_iter().map(|tick| {
        let store = store.clone();
        async move { advance(&store, &tick, now_ms).await }
    });
    let went = futures_util::stream::iter(advancing).buffer_unordered(AT_ONCE);
    went.filter(|went| std::future::ready(*went)).count().await
}

/// A schedule whose next tick has come goes on by one step; false: it stays as it is for now.
async fn advance(store: &Store, tick: &Tick, now_ms: u64) -> bool {
    let schedule = &tick.schedule;
    let decided = schedule::due(&schedule.cadence, schedule.catch_up, tick.nominal_ms, now_ms);
    if decided.missed > 0 {
        tracing::debug!(schedule = %schedule.name, missed = decided.missed, "ticks are left out");
    }
    match store.schedules.tick(tick, &decided).await {
        Ok(Some(mine)) => fire(store, &mine).await,
        // Done, or another node was first.
        Ok(None) => {}
        Err(error) => {
            failed(store, tick, &error);
            return false;
        }
    }
    true
}

async fn fire(store: &Store, tick: &Tick) {
    match store.schedules.fire(tick).await {
        Ok(()) => {
            let (schedule, nominal_ms) = (&tick.schedule.name, tick.nominal_ms);
            tracing::debug!(%schedule, nominal_ms, "a tick is in its queue");
        }
        Err(error) => failed(store, tick, &error),
    }
}

/// It is tried again; whoever watches sees it in the metrics, and in the schedule itself.
fn failed(store: &Store, tick: &Tick, error: &StoreError) {
    let reason = match error {
        StoreError::UnknownQueue(_) => "unknown_queue",
        StoreError::Full(_) => "store_full",
        StoreError::NotDurable(_) => "not_durable",
        StoreError::Unfit(_) => "store_unfit",
        StoreError::TooLarge(_) => "too_large",
        StoreError::Unavailable(_)
        | StoreError::TimeUnknown
        | StoreError::Denied(_)
        | StoreError::Reply(_) => "store_unavailable",
    };
    let (schedule, nominal_ms) = (tick.schedule.name.to_string(), tick.nominal_ms);
    let label = ScheduleErrorLabel { schedule: schedule.clone(), reason };
    let count = store.metrics().schedule.schedule_errors.get_or_create(&label).inc();
    let queue = &tick.schedule.queue;
    // Loud once; after that the counter tells.
    if count == 0 {
        tracing::warn!(schedule, %queue, nominal_ms, %error, "a tick cannot be put into its queue yet; it is tried again");
    } else {
        tracing::debug!(schedule, %queue, nominal_ms, %error, "a tick still waits");
    }
}
