//! The workers of all queues, as the configuration wants them now.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::Settings;
use crate::domain::id::QueueName;
use crate::domain::index_fault::Fault;
use crate::domain::policy::QueuePolicy;
use crate::engine::{Presence, Pulses};
use crate::shutdown::Tasks;
use crate::store::{Queue, Store};
use crate::transport::{Transport, TransportError};
use crate::workers::QueueWorkers;

/// Every queue's workers.
pub(super) struct Fleet {
    store: Store,
    tasks: Tasks,
    pulses: Pulses,
    presence: Arc<Presence>,
    workers: HashMap<QueueName, QueueWorkers>,
}

impl Fleet {
    /// Starts the workers of every configured queue.
    pub(super) fn start(
        store: &Store,
        pulses: &Pulses,
        presence: &Arc<Presence>,
    ) -> Result<Self, String> {
        let mut fleet = Self {
            store: store.clone(),
            tasks: Tasks::new(),
            pulses: pulses.clone(),
            presence: Arc::clone(presence),
            workers: HashMap::new(),
        };
        let queues: Vec<Arc<Queue>> =
            store.queues.all().into_iter().filter(|q| !q.retired).collect();
        for queue in queues {
            let ways = ways(&queue.policy)?;
            fleet.launch(queue, ways);
        }
        Ok(fleet)
    }

    fn launch(&mut self, queue: Arc<Queue>, ways: Ways) {
        let name = queue.policy.name.clone();
        self.store.metrics().introduce(name.as_str(), Fault::ALL.map(Fault::as_str));
        let workers = QueueWorkers::start(
            &self.store,
            queue,
            ways,
            &self.tasks,
            &self.pulses,
            &self.presence,
        );
        self.workers.insert(name, workers);
    }

    /// Changes over to another configuration: queues whose policy is the same go on untouched.
    /// Returns how many changed.
    pub(super) async fn take(&mut self, settings: &Settings) -> Result<usize, String> {
        // All transports first, so that a bad one changes nothing.
        for policy in settings.queues.values() {
            drop(ways(policy)?);
        }
        self.store.queues.set(settings);
        let mut changed = 0;
        for queue in self.store.queues.all() {
            let name = &queue.policy.name;
            let same = self.workers.get(name).is_some_and(|w| w.queue.policy == queue.policy);
            if same && !queue.retired {
                continue;
            }
            let Some(before) = self.workers.remove(name) else {
                if !queue.retired {
                    changed += 1;
                    let ways = ways(&queue.policy)?;
                    self.launch(queue, ways);
                }
                continue;
            };
            before.stop().await;
            changed += 1;
            if !queue.retired {
                let ways = ways(&queue.policy)?;
                self.launch(queue, ways);
            }
        }
        Ok(changed)
    }

    /// Stops claiming everywhere, and waits until every exchange under way is settled.
    pub(super) async fn drain(&self) {
        self.tasks.stop();
        self.tasks.join().await;
    }
}

/// To the downstream, unless workers come and claim, and to whom uncertain messages are asked about, where
/// somebody is.
type Ways = (Option<Transport>, Option<Transport>);

fn ways(policy: &QueuePolicy) -> Result<Ways, String> {
    let said = |error: TransportError| format!("queues.{}: {error}", policy.name);
    let sends = Transport::new(&policy.downstream).map_err(said)?;
    let asked = policy.probe.as_ref().and_then(|probe| probe.as_downstream(&policy.name));
    let probes = asked.map(|asked| Transport::to_url(&asked)).transpose().map_err(said)?;
    Ok((sends, probes))
}
