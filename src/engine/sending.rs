//! What sends the messages of one queue on this node, started together.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::dispatcher::Dispatcher;
use super::exchange::Exchanges;
use super::pacer::Pacer;
use super::presence::Presence;
use super::pulse::Pulses;
use super::renew::{InFlight, Renewer};
use super::runners::Runners;
use super::settle::Settler;
use super::slots::Slots;
use super::wait_reports::{WaitReports, report_waits};
use crate::shutdown::Tasks;
use crate::store::{Queue, Store};
use crate::transport::Transport;

/// Outcomes that may wait for the settler: exchanges wait beyond it.
const OUTCOMES_MAX: usize = 1024;

/// Starts claims, calls and outcomes; the token fires when the last claim was made.
#[must_use]
pub fn start_sending(
    store: &Store,
    queue: &Arc<Queue>,
    transport: Transport,
    tasks: &Tasks,
    pulses: &Pulses,
    presence: &Arc<Presence>,
) -> CancellationToken {
    let in_flight = Arc::new(InFlight::default());
    let (outcomes, received) = mpsc::channel(OUTCOMES_MAX);
    let settler = Settler {
        store: store.clone(),
        queue: Arc::clone(queue),
        in_flight: Arc::clone(&in_flight),
    };
    // Leases are renewed until the last outcome is written, beyond the stop of claiming.
    let settled = CancellationToken::new();
    let renewer = Renewer {
        store: store.clone(),
        queue: Arc::clone(queue),
        in_flight: Arc::clone(&in_flight),
        is_due: false,
    };
    let pulse = pulses.start(format!("renewer of {}", queue.policy.name));
    tasks.spawn("renewer", renewer.run(settled.clone(), pulse));
    tasks.spawn("settler", async move {
        settler.run(received).await;
        settled.cancel();
    });
    let slots = Slots::new(queue.policy.concurrency, Arc::clone(&queue.ready), presence);
    let pacer = Pacer::of(&queue.policy).map(Arc::new);
    let stop = tasks.stop_token().clone();
    let waits = store.metrics().tracer.is_some().then(|| {
        let (waits, long) = WaitReports::new();
        let (store, queue) = (store.clone(), Arc::clone(queue));
        tasks.spawn("waits", report_waits(store, queue, long));
        waits
    });
    let exchanges =
        Exchanges::new(store.clone(), Arc::clone(queue), transport, in_flight, stop, waits);
    let exchanges = Arc::new(exchanges);
    let dispatcher = Dispatcher {
        runners: Runners::new(Arc::clone(&exchanges), tasks.clone()),
        exchanges,
        outcomes,
        slots,
        pacer,
        tasks: tasks.clone(),
        backlog: false,
    };
    let dispatcher_ended = CancellationToken::new();
    let ended = dispatcher_ended.clone();
    let pulse = pulses.start(format!("dispatcher of {}", queue.policy.name));
    tasks.spawn("dispatcher", async move {
        dispatcher.run(pulse).await;
        ended.cancel();
    });
    dispatcher_ended
}
