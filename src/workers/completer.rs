//! Completes the events of topics that were left behind: by a node that died, or since a queue could not
//! take its message.
//!
//! Every node looks at every topic now and then, the fresh ones first: what one queue cannot take for
//! long does not hold up what another node just left. A queue that took nothing is left alone until the
//! next look.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _};
use tokio_util::sync::CancellationToken;

use crate::engine::Pulse;
use crate::engine::cadence::{self, Next, Pass};
use crate::store::{Store, StoreError, Topic};

/// Between two looks, about: with the time that a publisher has alone, what a dead node left waits six seconds.
const EVERY: Duration = Duration::from_millis(2500);
/// Events taken at once.
const TAKE: usize = 100;
/// Takes of one look at one kind of event: the next look comes soon.
const TAKES_MAX: usize = 20;
/// Topics looked at at once.
const TOPICS_AT_ONCE: usize = 8;

/// The completer of this node, for all topics.
#[derive(Debug)]
pub struct Completer {
    store: Store,
}

impl Pass for Completer {
    async fn run_once(&mut self) -> Result<Next, StoreError> {
        let topics = futures_util::stream::iter(self.store.topics.all());
        let store = &self.store;
        let looks = topics.map(async |topic| {
            let looked = look(store, &topic).await;
            // One master away is nothing to the topics of the others.
            Ok(looked.unwrap_or_else(|error| {
                tracing::debug!(%error, topic = %topic.policy.name, "events are completed later");
                false
            }))
        });
        let more = looks
            .buffer_unordered(TOPICS_AT_ONCE)
            .try_fold(false, async |any, more| Ok::<_, StoreError>(any | more))
            .await?;
        Ok(if more { Next::Now } else { Next::about(EVERY) })
    }
}

impl Completer {
    /// A completer of everything that is kept.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// The loop.
    pub async fn run(self, stop: CancellationToken, pulse: Pulse) {
        cadence::run(&stop, pulse, self).await;
    }
}

/// Completes what can be; says whether to look again at once.
async fn look(store: &Store, topic: &Topic) -> Result<bool, StoreError> {
    let mut trouble = HashSet::new();
    let mut again = false;
    for put_off in [false, true] {
        for _ in 0..TAKES_MAX {
            let (events, more) = store.topics.pursue(topic, put_off, TAKE).await?;
            let before: usize = events.iter().map(|event| event.queues.len()).sum();
            let left = store.hand_outs.now(&events, &mut trouble).await;
            let after: usize = left.iter().map(Vec::len).sum();
            let concluded: Vec<_> =
                events.iter().map(|event| event.id.ulid).zip(left.iter().cloned()).collect();
            store.topics.conclude(topic, &concluded).await?;
            if after < before {
                tracing::info!(
                    topic = %topic.policy.name, messages = before - after, left = after,
                    "events that were left behind went on"
                );
            }
            again = more && after < before;
            if !more {
                break;
            }
        }
    }
    Ok(again)
}
