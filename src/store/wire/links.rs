//! Every connection of a store: which there are, what runs on the one for readings, and what a failed call
//! on each of them says about Redis.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::Wire;
use super::script_keys::ScriptKeys;
use crate::store::StoreError;
use crate::store::redis::connect::{RESPONSE_TIMEOUT, Target};
use crate::store::redis::link::Link;
use crate::store::redis::reply::Reply;
use crate::store::redis::script::Call;

/// How many connections take turns for durable writes.
const DURABLE_LINKS: usize = 2;

/// Connections for writes that must be safe before anybody is told of them. They take turns, so that a wait on one
/// does not hold up other shards.
#[derive(Debug)]
pub(in crate::store) struct DurableLinks {
    links: [Link; DURABLE_LINKS],
    turn: AtomicUsize,
}

impl DurableLinks {
    pub(super) fn new(target: &Target) -> Self {
        Self {
            links: std::array::from_fn(|_| Link::new(target.clone())),
            turn: AtomicUsize::new(0),
        }
    }

    /// The one whose turn it is.
    pub(in crate::store) fn next(&self) -> &Link {
        &self.links[self.turn.fetch_add(1, Ordering::Relaxed) % DURABLE_LINKS]
    }
}

impl Wire {
    /// Every connection, to leave one that leads astray.
    pub(in crate::store) fn links(&self) -> impl Iterator<Item = &Link> {
        let own = [&self.scripts, &self.readings, &self.probes];
        own.into_iter().chain(&self.durable.links)
    }

    /// Runs a verb that only reads and whose reply may be large: nothing that sends or takes in waits
    /// behind it. It may take long, but not while Redis is known to be away.
    pub(in crate::store) async fn read<'a>(
        &self,
        keys: impl Into<ScriptKeys<'a>>,
        call: &Call,
    ) -> Result<Reply, StoreError> {
        tokio::select! {
            called = self.call_on(&self.readings, keys.into(), call, &[]) => Ok(called?.0),
            why = self.away() => Err(why),
        }
    }

    /// Why Redis is away, once a reply that should have come was waited for and a look at Redis found it away.
    async fn away(&self) -> StoreError {
        loop {
            tokio::time::sleep(RESPONSE_TIMEOUT).await;
            if let Some(why) = self.health.why_down() {
                return why;
            }
        }
    }

    /// What a failed call says about Redis. A reply that did not come in time may have stood in line
    /// behind others: whether Redis is away is then for the look at it to say, which has a connection
    /// of its own. A reading says nothing.
    pub(in crate::store) fn note_failure(&self, link: &Link, is_late: bool, error: &StoreError) {
        if is_late {
            self.health.look_at_once();
        } else if !std::ptr::eq(link, &self.readings) {
            self.health.down(&self.metrics, error);
        }
    }
}
