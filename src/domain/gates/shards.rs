//! The gates that each shard of a queue has for itself: concurrency, keys and batch.
//!
//! Owns how a queue's concurrency is divided among its shards, and what the gates of the shards mean for the
//! whole queue. A message waits at the gates of its own shard, whatever the others let through.

use super::keys::{HeldByKeys, of_shard};
use super::{GateState, QueueLoad, Why};
use crate::domain::policy::QueuePolicy;

/// What Redis counted in one shard.
#[derive(Debug, Clone, Copy, Default)]
pub struct ShardLoad {
    /// Calls in flight; with batches, one for each batch.
    pub calls_in_flight: u64,
    /// Ready messages.
    pub ready: u64,
    /// How long the oldest of them has been due, in milliseconds.
    pub oldest_ready_age_ms: u64,
    /// Set where all of them wait for their keys.
    pub held_by_keys: Option<HeldByKeys>,
}

/// The gates of one shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ShardGates {
    pub(super) concurrency: GateState,
    pub(super) batch: GateState,
    pub(super) limits_by_key: GateState,
    pub(super) order: GateState,
}

/// Calls of one shard that may be in flight: its part of the queue's concurrency, and at least one.
#[must_use]
pub fn concurrency_of_shard(policy: &QueuePolicy) -> u32 {
    (policy.concurrency / u32::from(policy.shards.max(1))).max(1)
}

impl ShardGates {
    pub(super) fn new(policy: &QueuePolicy, load: &ShardLoad, now_ms: Option<u64>) -> Self {
        let [limits_by_key, order] = of_shard(load);
        let (concurrency, batch) = (concurrency(policy, load), batch(policy, load, now_ms));
        Self { concurrency, batch, limits_by_key, order }
    }

    /// What the whole queue shows: open where one shard lets something through that is ready, else what opens
    /// first. Where nothing is ready, every shard counts.
    pub(super) fn of_queue(load: &QueueLoad, each: &[Self]) -> Self {
        let is_idle = load.shards.iter().all(|shard| shard.ready == 0);
        let concerned = || {
            let with_load = each.iter().zip(&load.shards);
            with_load.filter(move |(_, shard)| is_idle || shard.ready > 0).map(|(gates, _)| gates)
        };
        let first = |state: fn(&Self) -> GateState| {
            concerned().map(state).reduce(GateState::or).unwrap_or(GateState::OPEN)
        };
        Self {
            concurrency: first(|gates| gates.concurrency),
            batch: first(|gates| gates.batch),
            limits_by_key: first(|gates| gates.limits_by_key),
            order: first(|gates| gates.order),
        }
    }
}

fn concurrency(policy: &QueuePolicy, load: &ShardLoad) -> GateState {
    if load.calls_in_flight < u64::from(concurrency_of_shard(policy)) {
        return GateState::OPEN;
    }
    GateState::Held { until_ms: None, why: Why::CallsInFlight }
}

fn batch(policy: &QueuePolicy, load: &ShardLoad, now_ms: Option<u64>) -> GateState {
    let Some(batch) = policy.batch else { return GateState::OPEN };
    let left_ms = batch.max_wait_ms.saturating_sub(load.oldest_ready_age_ms);
    if load.ready >= u64::from(batch.max_items) || left_ms == 0 {
        return GateState::OPEN;
    }
    GateState::Held { until_ms: now_ms.map(|now_ms| now_ms + left_ms), why: Why::BatchGathers }
}
