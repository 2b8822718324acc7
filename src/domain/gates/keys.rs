//! What the keys of messages hold: limits by key, order and fair shares.
//!
//! Owns what follows from them for one message and for the whole queue. Only Redis knows which lane a message is in, so what
//! it answered comes in.

use super::{Gate, GateState, Gates, ShardLoad, Why, all};
use crate::domain::id::MessageId;
use crate::domain::limit::LimitName;

/// What the keys of a ready message say of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyHold {
    /// The limits by key that hold it, each with the moment at which it opens, ms; `None`: nobody can know.
    pub limits: Vec<(LimitName, Option<u64>)>,
    /// The message of its order key that goes before it.
    pub ahead: Option<MessageId>,
    /// Whether it is the turn of its key in the fair shares; also true where the queue has none.
    pub has_turn: bool,
}

/// What holds all ready messages of a shard, where their keys do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeldByKeys {
    /// Each of them waits for another one of its key.
    Order,
    /// Limits by key hold those that nothing goes before.
    Limits,
}

impl Gates {
    /// The gates of one message together with what its keys say. A message that waits for its key has no turn to wait for.
    #[must_use]
    pub fn with_keys(mut self, keys: &KeyHold) -> Self {
        let held = |until_ms, why| GateState::Held { until_ms, why };
        let limits = keys.limits.iter();
        self.limits
            .extend(limits.map(|(name, until_ms)| (name.clone(), held(*until_ms, Why::KeyUsed))));
        let waits_for_key = !keys.limits.is_empty() || keys.ahead.is_some();
        for (gate, state) in &mut self.states {
            match gate {
                Gate::Limit => *state = all(&self.limits),
                Gate::Order if keys.ahead.is_some() => *state = held(None, Why::MessageAhead),
                Gate::Fairness if !keys.has_turn && !waits_for_key => {
                    *state = held(None, Why::TurnOfAnother);
                }
                _ => {}
            }
        }
        self
    }
}

/// The gates `limit` and `order` of a shard, as far as keys decide them.
pub(super) fn of_shard(load: &ShardLoad) -> [GateState; 2] {
    let held = |why| GateState::Held { until_ms: None, why };
    match load.held_by_keys {
        None => [GateState::OPEN, GateState::OPEN],
        Some(HeldByKeys::Limits) => [held(Why::KeyUsed), GateState::OPEN],
        Some(HeldByKeys::Order) => [GateState::OPEN, held(Why::MessageAhead)],
    }
}
