//! Handing events to their queues, all queues at once: trouble of one is nothing to its neighbours.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, oneshot};

use crate::domain::id::QueueName;
use crate::domain::message::Origin;
use crate::failpoint::failpoint;
use crate::store::messages::Messages;
use crate::store::messages::intake::NotAccepted;
use crate::store::topics::{TopicEvent, Topics};
use crate::store::wire::Wire;

/// Events that this node hands to one queue at a time; above, they wait for a place.
const AT_ONCE: usize = 512;
/// How long an event waits for a place before it is left for later.
const PLACE_PATIENCE: Duration = Duration::from_millis(250);

/// The way of events into their queues; cheap to clone.
#[derive(Debug, Clone)]
pub struct HandOuts {
    wire: Wire,
    messages: Messages,
    topics: Topics,
    places: Arc<Places>,
}

/// Places for handing out, a bound for each queue: one that hangs uses up its own.
#[derive(Debug, Default)]
struct Places {
    // A plain mutex: held to look up, never across an await.
    by_queue: Mutex<HashMap<QueueName, Arc<Semaphore>>>,
}

impl Places {
    fn of(&self, queue: &QueueName) -> Arc<Semaphore> {
        let mut places = self.by_queue.lock();
        Arc::clone(places.entry(queue.clone()).or_insert_with(|| Arc::new(Semaphore::new(AT_ONCE))))
    }
}

impl HandOuts {
    pub(in crate::store) fn new(wire: &Wire, messages: &Messages, topics: &Topics) -> Self {
        let (wire, messages, topics) = (wire.clone(), messages.clone(), topics.clone());
        Self { wire, messages, topics, places: Arc::default() }
    }

    /// Hands an event that was just kept to its queues, in a task of its own: whoever publishes need not
    /// wait for all of it. The receiver gets the queues that could not take it now.
    #[must_use]
    pub fn soon(&self, event: TopicEvent) -> oneshot::Receiver<Vec<QueueName>> {
        let (sender, receiver) = oneshot::channel();
        let hand_outs = self.clone();
        self.wire.tasks.spawn("hand out", async move {
            let queues = event.queues.iter().map(async |queue| {
                let places = hand_outs.places.of(queue);
                let place = tokio::time::timeout(PLACE_PATIENCE, places.acquire()).await;
                let is_left = match place {
                    Ok(Ok(_place)) => hand_outs.hand_to(queue, &[&event]).await[0],
                    _ => true,
                };
                is_left.then(|| queue.clone())
            });
            let left: Vec<_> = join_all(queues).await.into_iter().flatten().collect();
            if let Some(topic) = hand_outs.topics.get(&event.id.topic)
                && let Err(error) =
                    hand_outs.topics.conclude(&topic, &[(event.id.ulid, left.clone())]).await
            {
                tracing::debug!(%error, event = %event.id, "an event is concluded later");
            }
            // Whoever published may have hung up.
            drop(sender.send(left));
        });
        receiver
    }

    /// Hands events to their queues, but for those in `trouble`; returns what each lacks still. Queues
    /// that took none of what they were given are added to `trouble`.
    pub async fn now(
        &self,
        events: &[TopicEvent],
        trouble: &mut HashSet<QueueName>,
    ) -> Vec<Vec<QueueName>> {
        let mut by_queue: BTreeMap<&QueueName, Vec<usize>> = BTreeMap::new();
        let mut left = vec![Vec::new(); events.len()];
        for (at, event) in events.iter().enumerate() {
            for queue in &event.queues {
                if trouble.contains(queue) {
                    left[at].push(queue.clone());
                } else {
                    by_queue.entry(queue).or_default().push(at);
                }
            }
        }
        let handed = by_queue.into_iter().map(async |(queue, numbers)| {
            let given: Vec<&TopicEvent> = numbers.iter().map(|at| &events[*at]).collect();
            (queue, self.hand_to(queue, &given).await, numbers)
        });
        for (queue, are_left, numbers) in join_all(handed).await {
            if are_left.iter().all(|is_left| *is_left) {
                trouble.insert(queue.clone());
            }
            for (at, _) in numbers.into_iter().zip(are_left).filter(|(_, is_left)| *is_left) {
                left[at].push(queue.clone());
            }
        }
        left
    }

    /// Hands events to one queue; for each whether it is left, since the queue could not take it now.
    async fn hand_to(&self, queue: &QueueName, events: &[&TopicEvent]) -> Vec<bool> {
        failpoint!("handing-out"; queue.as_str().as_bytes());
        let taken_in = async {
            let routing = self.messages.wire.queue(queue)?.routing();
            let messages = events.iter().map(|event| event.for_queue(queue, &routing)).collect();
            self.messages.schedule_given(queue, messages, Origin::Producer).await
        };
        let answers = match taken_in.await {
            Ok(answers) => answers,
            Err(error) => {
                tracing::debug!(%error, %queue, "events wait for a queue");
                return vec![true; events.len()];
            }
        };
        failpoint!("handed-out"; queue.as_str().as_bytes());
        let is_left = |(event, answer): (&&TopicEvent, _)| match answer {
            Ok(_) => false,
            Err(error @ (NotAccepted::Store(_) | NotAccepted::Backlog(_))) => {
                tracing::debug!(%error, %queue, event = %event.id, "an event waits for a queue");
                true
            }
            // Our own key, with another body: nobody can have made it.
            Err(NotAccepted::Mismatch(first)) => {
                tracing::error!(%first, %queue, event = %event.id, "the message of an event has the id of another message; please report this");
                false
            }
        };
        events.iter().zip(answers).map(is_left).collect()
    }
}
