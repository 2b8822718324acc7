//! Refreshes the gauges that show a queue's state.

use crate::domain::state::State;
use crate::domain::window::WindowState;
use crate::store::{Queue, Store, StoreError};
use crate::telemetry::{GateLabel, QueueLabel, StateLabel};

/// Reads every queue's counts into the gauges.
pub(super) async fn refresh(store: &Store) -> Result<(), StoreError> {
    for queue in store.queues() {
        refresh_queue(store, &queue).await?;
    }
    Ok(())
}

async fn refresh_queue(store: &Store, queue: &Queue) -> Result<(), StoreError> {
    let counts = store.counts(&queue.policy.name).await?;
    let metrics = store.metrics();
    let name = queue.policy.name.to_string();
    for state in State::ALL {
        let label = StateLabel { queue: name.clone(), state: state.as_str() };
        let count = i64::try_from(counts.of(state)).unwrap_or(i64::MAX);
        metrics.queue_messages.get_or_create(&label).set(count);
    }
    let age_ms = counts.oldest_ready_age_ms.unwrap_or(0);
    let age = std::time::Duration::from_millis(age_ms).as_secs_f64();
    metrics.oldest_ready_age.get_or_create(&QueueLabel { queue: name.clone() }).set(age);
    let window_open = queue.policy.window.as_ref().is_none_or(|window| {
        matches!(window.state(store.clock().now_ms()), WindowState::Open { .. })
    });
    let gates = [
        ("pause", counts.paused.is_none()),
        ("throttled", counts.gate.is_none()),
        ("window", window_open),
    ];
    for (gate, open) in gates {
        let label = GateLabel { queue: name.clone(), gate };
        metrics.gate_open.get_or_create(&label).set(i64::from(open));
    }
    Ok(())
}
