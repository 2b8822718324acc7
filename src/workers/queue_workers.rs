//! The loops of one queue on this node, started and stopped together.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::expirer::Expirer;
use super::promoter::Promoter;
use super::window_watch::WindowWatch;
use crate::engine::{Presence, Prober, Pulses, carry_receipts, start_sending};
use crate::shutdown::Tasks;
use crate::store::{Queue, Store};
use crate::transport::Transport;

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
        if queue.policy.window.is_some() {
            let stop = tasks.stop_token().clone();
            let watch =
                WindowWatch { store: store.clone(), queue: Arc::clone(&queue), found: None };
            let pulse = pulses.start(format!("window of {name}"));
            tasks.spawn("window", watch.run(stop, pulse));
        }
        let prober = probes.and_then(|way| Prober::new(store, &queue, way, &tasks));
        if let Some(prober) = prober {
            tasks.spawn("prober", prober.run(pulses.start(format!("prober of {name}"))));
        }
        if let Some(incoming) = transport.as_ref().and_then(Transport::incoming) {
            let stop = tasks.stop_token().clone();
            let carried = carry_receipts(store.clone(), Arc::clone(&queue), incoming, stop);
            tasks.spawn("receipts", carried);
        }
        let dispatcher_ended = match transport {
            Some(transport) => start_sending(store, &queue, transport, &tasks, pulses, presence),
            None => tasks.stop_token().clone(),
        };
        Self { queue, tasks, dispatcher_ended }
    }

    /// Stops claiming and waits until the dispatcher has ended, so that another may take its place;
    /// exchanges under way finish by themselves.
    pub async fn stop(&self) {
        self.tasks.stop();
        self.dispatcher_ended.cancelled().await;
    }
}
