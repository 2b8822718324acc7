//! The gates as one message meets them.
//!
//! Owns what the message itself adds: its due time or that of its next attempt, its probe, the older message of its collapse key,
//! its cost, its shard, and that a worker has to claim it.

use super::limits::all;
use super::shards::ShardGates;
use super::{Gate, GateState, Gates, Why};
use crate::domain::message::Message;
use crate::domain::state::State;

impl Gates {
    /// The gates as this message meets them: those that do not concern its state are open, concurrency and batch
    /// are those of its shard, and its own due time and probe are added.
    #[must_use]
    pub fn of_message(&self, message: &Message) -> Self {
        let shard = self.shard_of(message);
        let limits = if Gate::Limit.concerns(message.state) {
            self.limits_at(message.details.cost)
        } else {
            Vec::new()
        };
        let states = self.states.map(|(gate, state)| {
            let state = match gate {
                _ if !gate.concerns(message.state) => GateState::OPEN,
                Gate::Due | Gate::Retry => self.due(gate, message),
                Gate::Hours => self.hours(message),
                Gate::Collapse if message.waits_for_older => {
                    GateState::Held { until_ms: None, why: Why::OlderOnItsWay }
                }
                Gate::Probe => probe(message),
                // What is so for all of them together says nothing of this one.
                Gate::Order | Gate::Fairness => GateState::OPEN,
                Gate::Limit => all(&limits),
                Gate::Concurrency => shard.map_or(state, |shard| shard.concurrency),
                Gate::Batch => shard.map_or(state, |shard| shard.batch),
                _ => state,
            };
            (gate, state)
        });
        let (shards, recipients) = (Vec::new(), None);
        let (is_pulled, now_ms) = (self.is_pulled, self.now_ms);
        let (stacked, override_ends) = (None, Vec::new());
        Self { states, limits, stacked, override_ends, shards, recipients, is_pulled, now_ms }
    }

    /// The gates of one message together with the gate `workers`: of a queue that workers pull from, what nothing else holds
    /// waits for one of them.
    #[must_use]
    pub fn with_workers(mut self, message: &Message) -> Self {
        let waits = self.is_pulled && message.state == State::Ready;
        if waits && !self.states.iter().any(|(_, state)| state.is_held()) {
            let held = GateState::Held { until_ms: None, why: Why::NobodyClaims };
            for (gate, state) in &mut self.states {
                if *gate == Gate::Workers {
                    *state = held;
                }
            }
        }
        self
    }

    /// Whether its due time has come. What was tried waits for another attempt, and not for the time that its producer named.
    fn due(&self, gate: Gate, message: &Message) -> GateState {
        // It may be due long since, and waits for another one.
        let is_due = message.waits_for_older && self.is_past(message.due_at_ms);
        let (asked, why) = match message.attempts {
            0 => (Gate::Due, Why::NotDue),
            _ => (Gate::Retry, Why::NextAttempt),
        };
        if is_due || gate != asked {
            return GateState::OPEN;
        }
        GateState::Held { until_ms: Some(message.due_at_ms), why }
    }

    /// Whether its recipient may be reached now.
    fn hours(&self, message: &Message) -> GateState {
        let Some((hours, now_ms)) = self.recipients.as_ref().zip(self.now_ms) else {
            return GateState::OPEN;
        };
        match hours.first_ms(&message.details, now_ms) {
            first_ms if first_ms > now_ms => {
                GateState::Held { until_ms: Some(first_ms), why: Why::RecipientHours }
            }
            _ => GateState::OPEN,
        }
    }

    fn is_past(&self, moment_ms: u64) -> bool {
        self.now_ms.is_some_and(|now_ms| moment_ms <= now_ms)
    }

    fn shard_of(&self, message: &Message) -> Option<&ShardGates> {
        let shards = u16::try_from(self.shards.len()).ok()?;
        self.shards.get(usize::from(message.id.shard(shards)))
    }
}

fn probe(message: &Message) -> GateState {
    match message.probes.as_ref().and_then(|probes| probes.next_at_ms) {
        // Somebody has to decide.
        None => GateState::OPEN,
        until_ms => GateState::Held { until_ms, why: Why::ToBeProbed },
    }
}
