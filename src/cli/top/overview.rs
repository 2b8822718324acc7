//! The first screen: all queues, in an order, and narrowed to some.
//!
//! Pure. Owns which queue comes first. Refuses to know how a queue looks (`view`).

use std::cmp::Reverse;

use super::listing::{Listing, Motion};
use crate::wire::queue::{QueueView, SendingState};

/// Which queue comes first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum QueueOrder {
    /// What needs somebody's eye.
    #[default]
    Trouble,
    /// What has most messages waiting.
    Waiting,
    /// By name.
    Name,
}

impl QueueOrder {
    /// What it is called.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Trouble => "trouble first",
            Self::Waiting => "most waiting first",
            Self::Name => "by name",
        }
    }

    /// The next one.
    pub(super) const fn next(self) -> Self {
        match self {
            Self::Trouble => Self::Waiting,
            Self::Waiting => Self::Name,
            Self::Name => Self::Trouble,
        }
    }
}

/// All queues.
#[derive(Debug, Default)]
pub(super) struct Overview {
    all: Vec<QueueView>,
    /// The name of the chosen queue: queues change places, and it stays chosen.
    chosen: Option<String>,
    pub(super) order: QueueOrder,
    /// Only queues with this in their name.
    pub(super) filter: String,
    pub(super) listing: Listing,
}

impl Overview {
    /// Takes in how all queues stand.
    pub(super) fn take(&mut self, queues: Vec<QueueView>) {
        self.all = queues;
        self.arrange();
    }

    /// Takes in how one queue stands.
    pub(super) fn take_one(&mut self, queue: &QueueView) {
        if let Some(known) = self.all.iter_mut().find(|known| known.name == queue.name) {
            *known = queue.clone();
        }
    }

    /// How many queues there are, shown or not.
    pub(super) const fn len(&self) -> usize {
        self.all.len()
    }

    /// The queues that are shown, in their order.
    pub(super) fn shown(&self) -> Vec<&QueueView> {
        self.all.iter().filter(|queue| queue.name.contains(&self.filter)).collect()
    }

    /// The chosen queue.
    pub(super) fn chosen(&self) -> Option<&QueueView> {
        self.shown().get(self.listing.at).copied()
    }

    /// Chooses another queue.
    pub(super) fn go(&mut self, motion: Motion) {
        self.listing.go(motion);
        let rows = self.shown().len();
        self.listing.at = self.listing.at.min(rows.saturating_sub(1));
        self.chosen = self.chosen().map(|queue| queue.name.clone());
    }

    /// Another order.
    pub(super) fn reorder(&mut self) {
        self.order = self.order.next();
        self.arrange();
    }

    /// Only queues with this in their name.
    pub(super) fn narrow(&mut self, filter: String) {
        self.filter = filter;
        self.arrange();
    }

    /// Puts the queues in their order, and finds the place of the chosen one.
    fn arrange(&mut self) {
        match self.order {
            QueueOrder::Trouble => {
                self.all.sort_by(|a, b| (rank(a), &a.name).cmp(&(rank(b), &b.name)));
            }
            QueueOrder::Waiting => {
                self.all.sort_by(|a, b| {
                    (Reverse(waiting(a)), &a.name).cmp(&(Reverse(waiting(b)), &b.name))
                });
            }
            QueueOrder::Name => self.all.sort_by(|a, b| a.name.cmp(&b.name)),
        }
        let name = self.chosen.as_deref();
        let at = self.shown().iter().position(|queue| Some(queue.name.as_str()) == name);
        self.listing.at = at.unwrap_or(0);
        if at.is_none() {
            self.chosen = self.chosen().map(|queue| queue.name.clone());
        }
    }
}

/// Messages that wait to be sent, due or not.
pub(super) const fn waiting(queue: &QueueView) -> u64 {
    queue.counts.ready.saturating_add(queue.counts.scheduled)
}

/// Where a queue stands among those that need somebody's eye; 0 comes first.
fn rank(queue: &QueueView) -> u8 {
    let needs_decision = queue.counts.uncertain > 0 || queue.counts.dead > 0;
    match queue.sending.state.known() {
        Some(SendingState::Shut | SendingState::Failing) => 0,
        _ if needs_decision => 1,
        Some(SendingState::Paused) => 2,
        Some(SendingState::Closed) | None => 3,
        Some(SendingState::Open) => 4,
    }
}
