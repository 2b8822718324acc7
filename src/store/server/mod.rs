//! The servers that hold the data: whether they are fit and safe to write to, and what was lost with one of them.
//!
//! Owns the handle; the look at the servers stands in `check`. Refuses to know the families of what they hold.

mod check;
pub(in crate::store) mod clock_alarms;
mod format;
pub(in crate::store) mod managed;
pub(in crate::store) mod nodes;
mod rights;

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use crate::domain::doctor::store::Resource;
use crate::store::redis::link::Link;
use crate::store::wire::Wire;
use crate::store::wire::health::Health;
use crate::store::wire::recovery::rollback::Rollback;

/// The servers that hold the data; cheap to clone.
#[derive(Debug, Clone)]
pub struct Servers {
    pub(in crate::store) wire: Wire,
}

impl Servers {
    pub(in crate::store) fn new(wire: &Wire) -> Self {
        Self { wire: wire.clone() }
    }

    /// Makes every connection that is not there yet: where open files become short later, each is open.
    pub async fn connect(&self) {
        for made in join_all(self.wire.links().map(Link::stand)).await {
            if let Err(error) = made {
                tracing::debug!(%error, "a connection to Redis is made when it is first used");
            }
        }
    }

    /// What is known about their health.
    #[must_use]
    pub fn health(&self) -> &Health {
        self.wire.health()
    }

    /// How long leases could be renewed without a break: reaping waits for one lease of it.
    #[must_use]
    pub fn calm_for(&self) -> Duration {
        self.wire.calm_for()
    }

    /// Which Redis keeps the messages, without its password.
    #[must_use]
    pub fn address(&self) -> String {
        self.wire.settings.address()
    }

    /// What any server has too little of, so that it takes no more messages.
    #[must_use]
    pub fn short_of(&self) -> Vec<Resource> {
        self.wire.capacity.short_of()
    }

    /// The rollbacks that this node has seen since it started, the newest last.
    #[must_use]
    pub fn rollbacks(&self) -> Vec<Rollback> {
        self.wire.rollbacks.all()
    }

    /// Says once that Redis restarted and nothing is missing, when every shard has been looked at.
    pub fn log_restart(&self, now: Instant) {
        if let Some(shards) = self.wire.rollbacks.reviews.take(now) {
            tracing::info!(shards, "Redis restarted; no acknowledged message is missing");
        }
    }
}
