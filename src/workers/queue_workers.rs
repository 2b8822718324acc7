//! The loops of one queue on this node, started and stopped together.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::dispatcher::Dispatcher;
use super::exchange::Exchanges;
use super::expirer::Expirer;
use super::presence::Presence;
use super::prober::Prober;
use super::promoter::Promoter;
use super::pulse::Pulses;
use super::renewer::{InFlight, Renewer};
use super::runners::Runners;
use super::settler::Settler;
use super::slots::Slots;
use super::throttle::Throttle;
use crate::shutdown::Tasks;
use crate::store::{Queue, Store};
use crate::transport::Transport;

/// Outcomes that may wait for the settler: exchanges wait beyond it.
const OUTCOMES_MAX: usize = 1024;

/// A queue's loops.
#[derive(Debug)]
pub struct QueueWorkers {
    /// The queue as it was when they started.
    pub queue: Arc<Queue>,
    tasks: Tasks,
    dispatcher_ended: CancellationToken,
}

impl QueueWorkers {
    /// Starts them; they end with `tasks` or by [`Self::stop`]. Without a transport nobody is called:
    /// workers come and claim at the API. `probes` is the way to whom uncertain messages are asked about,
    /// where somebody is.
    #[must_use]
    pub fn start(
        store: &Store,
        queue: Arc<Queue>,
        (transport, probes): (Option<Transport>, Option<Transport>),
        tasks: &Tasks,
        pulses: &Pulses,
        presence: &Arc<Presence>,
    ) -> Self {
        let tasks = tasks.child();
        let name = queue.policy.name.clone();
        for shard in &queue.shards {
            let pulse = |what: &str| pulses.start(format!("{what} of {name}.{}", shard.number));
            let stop = || tasks.stop_token().clone();
            let (store, queue, shard) = (store.clone(), Arc::clone(&queue), Arc::clone(shard));
            let promoter = Promoter {
                store: store.clone(),
                queue: Arc::clone(&queue),
                shard: Arc::clone(&shard),
            };
            tasks.spawn("promoter", promoter.run(stop(), pulse("promoter")));
            let expirer = Expirer { store, queue, shard: Arc::clone(&shard) };
            tasks.spawn("expirer", expirer.run(stop(), pulse("expirer")));
        }
        let prober = probes.and_then(|way| Prober::new(store, &queue, way, &tasks));
        if let Some(prober) = prober {
            tasks.spawn("prober", prober.run(pulses.start(format!("prober of {name}"))));
        }
        let dispatcher_ended = match transport {
            Some(transport) => {
                Self::start_sending(store, &queue, transport, &tasks, pulses, presence)
            }
            None => tasks.stop_token().clone(),
        };
        Self { queue, tasks, dispatcher_ended }
    }

    /// Starts claims, calls and outcomes; the token fires when the last claim was made.
    fn start_sending(
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
        let throttle =
            queue.policy.claim_rate().map(|rate| Arc::new(Throttle::new(rate, queue.policy.burst)));
        let stop = tasks.stop_token().clone();
        let exchanges =
            Exchanges::new(store.clone(), Arc::clone(queue), transport, in_flight, stop);
        let exchanges = Arc::new(exchanges);
        let dispatcher = Dispatcher {
            runners: Runners::new(Arc::clone(&exchanges), tasks.clone()),
            exchanges,
            outcomes,
            slots,
            throttle,
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

    /// Stops claiming and waits until the dispatcher has ended, so that another may take its place;
    /// exchanges under way finish by themselves.
    pub async fn stop(&self) {
        self.tasks.stop();
        self.dispatcher_ended.cancelled().await;
    }
}
