//! The queues that this node knows, as a family of the store.
//!
//! Owns what is read and done for a whole queue. What a queue is stands in `store::queue`. Refuses to know messages.

mod counts;
mod earliest;
pub(super) mod heads;
mod holds;
mod key_form;
mod key_moves;
mod key_settings;
mod minutes;
mod pause;
mod profile;
mod registry;

use std::sync::Arc;

use crate::config::Settings;
use crate::domain::id::QueueName;
use crate::store::StoreError;
use crate::store::queue::Queue;
use crate::store::wire::Wire;

pub use self::counts::{Counts, PauseInfo, ShardCounts};
pub use self::key_form::KeptKey;
pub use self::key_settings::{KEYS_MAX, KeyPage, KeyWritten};
pub use self::pause::WindowTurn;
pub use self::profile::{BacklogProfile, LaneBacklog, TimeSteps};

/// The queues that this node knows; cheap to clone.
#[derive(Debug, Clone)]
pub struct Queues {
    pub(super) wire: Wire,
}

impl Queues {
    pub(super) fn new(wire: &Wire) -> Self {
        Self { wire: wire.clone() }
    }

    /// Takes the queues of a configuration; what sleeps on a queue that stays goes on sleeping.
    /// Queues that were known and are gone become retired.
    pub fn set(&self, settings: &Settings) {
        self.wire.set_queues(settings);
    }

    /// A queue by name, retired ones too.
    ///
    /// # Errors
    /// [`StoreError::UnknownQueue`].
    pub fn get(&self, name: &QueueName) -> Result<Arc<Queue>, StoreError> {
        self.wire.queue(name)
    }

    /// Every queue, by name.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Queue>> {
        self.wire.queues()
    }
}
