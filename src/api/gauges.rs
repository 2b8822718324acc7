//! The gauges of queues, read when somebody looks.
//!
//! Counters count where things happen; what a queue holds is only known to Redis, and only a scraper
//! wants it. So it is asked then, at most once a second, however many scrape; a Redis that is away
//! leaves the gauges as they were, and `store_up` says so.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::Door;
use crate::domain::state::State;
use crate::domain::window::WindowState;
use crate::store::{Counts, Queue};
use crate::telemetry::{GateLabel, Metrics, QueueLabel, StateLabel};

/// How long what was read answers for the next scrapes.
const KEPT: Duration = Duration::from_secs(1);
/// How long a scrape waits for Redis.
const PATIENCE: Duration = Duration::from_secs(2);
/// Queues counted at once.
const COUNTED_AT_ONCE: usize = 16;

/// When the gauges were last read.
#[derive(Debug, Default)]
pub(super) struct Gauges {
    // Held while they are read on purpose: who comes meanwhile waits for that.
    read_at: Mutex<Option<Instant>>,
}

impl Gauges {
    /// Brings the gauges of all queues up to date.
    pub(super) async fn refresh(&self, door: &Door) {
        let mut read_at = self.read_at.lock().await;
        let is_fresh = read_at.is_some_and(|at| at.elapsed() < KEPT);
        if is_fresh || !door.store().health().is_up() {
            return;
        }
        let reading = futures_util::stream::iter(door.store().queues())
            .map(|queue| read(door, queue))
            .buffer_unordered(COUNTED_AT_ONCE)
            .all(|read| async move { read });
        if tokio::time::timeout(PATIENCE, reading).await == Ok(true) {
            *read_at = Some(Instant::now());
        }
    }
}

/// Reads one queue; says whether Redis answered.
async fn read(door: &Door, queue: Arc<Queue>) -> bool {
    match door.store().counts(&queue.policy.name).await {
        Ok(counts) => {
            show(door.store().metrics(), &queue, &counts, door.store().clock().now_ms());
            true
        }
        Err(error) => {
            tracing::debug!(queue = %queue.policy.name, %error, "the gauges are not fresh");
            false
        }
    }
}

fn show(metrics: &Metrics, queue: &Queue, counts: &Counts, now_ms: u64) {
    let name = queue.policy.name.to_string();
    for state in State::ALL {
        let label = StateLabel { queue: name.clone(), state: state.as_str() };
        let count = i64::try_from(counts.of(state)).unwrap_or(i64::MAX);
        metrics.queue_messages.get_or_create(&label).set(count);
    }
    let age = Duration::from_millis(counts.oldest_ready_age_ms.unwrap_or(0)).as_secs_f64();
    metrics.oldest_ready_age.get_or_create(&QueueLabel { queue: name.clone() }).set(age);
    let window = queue.policy.window.as_ref();
    let is_window_open =
        window.is_none_or(|window| matches!(window.state(now_ms), WindowState::Open { .. }));
    for (gate, is_open) in [
        ("pause", counts.paused.is_none()),
        ("throttled", counts.gate.is_none()),
        ("window", is_window_open),
    ] {
        let label = GateLabel { queue: name.clone(), gate };
        metrics.gate_open.get_or_create(&label).set(i64::from(is_open));
    }
}
