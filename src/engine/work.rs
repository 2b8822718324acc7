//! What was claimed, ready to start: a single message or a batch.
//!
//! Owns which of the two it is, and giving it back when its permit came too late.

use tokio::sync::mpsc;

use super::exchange::{Exchanges, Outcomes};
use super::life;
use super::settle::Ending;
use super::slots::Slot;
use crate::domain::settlement::Settlement;
use crate::failpoint::failpoint;
use crate::store::Claimed;

/// A claimed message or batch.
#[derive(Debug)]
pub(super) struct Work {
    /// One message, or the messages of a batch; never none.
    pub(super) messages: Vec<Claimed>,
    /// Milliseconds for which the queue had been paused when this was claimed.
    pub(super) paused_ms: u64,
    /// Whether a gate held it: then it is late against its slot, else against its due time.
    pub(super) held: bool,
    /// Takes the outcomes.
    pub(super) outcomes: mpsc::Sender<Vec<Ending>>,
    /// The exchange's slot on this node.
    pub(super) slot: Slot,
}

impl Work {
    /// Carries out the exchange and hands its outcomes over.
    pub(super) async fn run(self, exchanges: &Exchanges) {
        failpoint!("starting");
        let (messages, held, outcomes) = self.split(exchanges);
        life::run(exchanges, messages, held, &outcomes).await;
    }

    /// Hands the messages back, since their permit came too late: no byte left.
    pub(super) async fn give_back(self, exchanges: &Exchanges) {
        exchanges.queue.metrics.permit_unused();
        let (messages, _, outcomes) = self.split(exchanges);
        let released = |message| outcomes.of(message, Settlement::Release, None);
        outcomes.settle(messages.iter().map(released).collect(), true).await;
    }

    fn split(self, exchanges: &Exchanges) -> (Vec<Claimed>, bool, Outcomes) {
        let is_batch = exchanges.queue.policy.batch.is_some();
        let token = self.messages.first().map(|message| message.lease.token.clone());
        let ends = token.filter(|_| is_batch);
        let outcomes = Outcomes::new(self.outcomes, self.slot, ends, self.paused_ms);
        // A batch is late against its slot: it waited for company.
        (self.messages, self.held || is_batch, outcomes)
    }
}
