//! The messages as the model knows them, and where they stand.

use std::collections::BTreeMap;

use tidegate::domain::id::MessageId;
use tidegate::domain::message::Message;
use tidegate::domain::state::State;
use tidegate::store::{Verb, Verdict};

/// A message as the model has it.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) state: State,
    pub(super) priority: u8,
    pub(super) due_ms: u64,
    /// 0: never.
    pub(super) expires_ms: u64,
    pub(super) attempts: u32,
    pub(super) throttles: u32,
    pub(super) holds: u32,
    pub(super) rescues: u32,
    /// Every token it was ever claimed with.
    pub(super) tokens: Vec<String>,
    /// The one that counts, and the one before.
    pub(super) token: Option<String>,
    pub(super) previous: Option<String>,
    /// Its lease ends at once.
    pub(super) is_hasty: bool,
    /// It was claimed with two rescues behind it.
    pub(super) is_alone: bool,
    pub(super) payload: String,
}

impl Known {
    pub(super) fn band(&self) -> usize {
        usize::from(self.priority) * 3 / 10
    }

    pub(super) fn waits(&self) -> bool {
        matches!(self.state, State::Scheduled | State::Ready)
    }

    pub(super) fn expired_by(&self, now_ms: u64) -> bool {
        self.expires_ms > 0 && self.expires_ms <= now_ms
    }

    /// What a step with this token may come to.
    pub(super) fn verdict(&self, verb: Verb, token: &str) -> Verdict {
        if self.token.as_deref() == Some(token) {
            return if self.state == State::Leased { Verdict::Ok } else { Verdict::Already };
        }
        let is_late = verb == Verb::Ack && self.previous.as_deref() == Some(token);
        if is_late && !self.state.is_final() { Verdict::Late } else { Verdict::Stale }
    }

    /// The store tells the same.
    #[track_caller]
    pub(super) fn assert_is(&self, told: &Message) {
        let counted = (told.attempts, told.throttles, told.window_holds, told.rescues);
        assert_eq!(counted, (self.attempts, self.throttles, self.holds, self.rescues), "{told:?}");
        assert_eq!((told.state, told.priority), (self.state, self.priority), "{told:?}");
        assert_eq!(
            (told.due_at_ms, told.expires_at_ms.unwrap_or(0)),
            (self.due_ms, self.expires_ms)
        );
        let payload = (self.state != State::Delivered).then_some(self.payload.as_bytes());
        assert_eq!(told.payload.as_deref(), payload, "{told:?}");
        assert_eq!(told.final_at_ms.is_some(), self.state.is_final(), "{told:?}");
    }
}

/// All messages, and the order of those that are ready.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) messages: BTreeMap<MessageId, Known>,
    /// In the order in which they were accepted, those that are gone too.
    pub(super) ids: Vec<MessageId>,
    /// By band, the head first.
    pub(super) ready: [Vec<MessageId>; 3],
    pub(super) keys: BTreeMap<u8, (MessageId, u8)>,
    pub(super) is_paused: bool,
    pub(super) is_shut: bool,
}

impl Model {
    /// A message for a number, if there is any; it may be gone.
    pub(super) fn pick(&self, which: usize) -> Option<MessageId> {
        (!self.ids.is_empty()).then(|| self.ids[which % self.ids.len()].clone())
    }

    /// A message that is likely to have something to settle; any, now and then.
    pub(super) fn pick_touched(&self, which: usize) -> Option<MessageId> {
        let there = self.messages.iter();
        let touched: Vec<_> = match which % 4 {
            0 => return self.pick(which / 4),
            1 => there.filter(|(_, k)| !k.tokens.is_empty() && !k.state.is_final()).collect(),
            _ => there.filter(|(_, k)| k.state == State::Leased).collect(),
        };
        let found = touched.get(which / 4 % touched.len().max(1));
        found.map(|(id, _)| (*id).clone()).or_else(|| self.pick(which / 4))
    }

    pub(super) fn known(&mut self, id: &MessageId) -> &mut Known {
        self.messages.get_mut(id).expect("it is there")
    }

    pub(super) fn of(&self, state: State) -> Vec<MessageId> {
        let there = self.messages.iter().filter(|(_, known)| known.state == state);
        there.map(|(id, _)| id.clone()).collect()
    }

    /// Takes a message out of wherever it waits, into this state.
    pub(super) fn turn(&mut self, id: &MessageId, state: State) {
        for band in &mut self.ready {
            band.retain(|there| there != id);
        }
        self.known(id).state = state;
    }

    pub(super) fn append(&mut self, id: &MessageId) {
        self.turn(id, State::Ready);
        let band = self.known(id).band();
        self.ready[band].push(id.clone());
    }

    pub(super) fn prepend(&mut self, id: &MessageId) {
        self.turn(id, State::Ready);
        let band = self.known(id).band();
        self.ready[band].insert(0, id.clone());
    }

    pub(super) fn forget(&mut self, id: &MessageId) {
        self.messages.remove(id);
    }

    /// As they will go.
    pub(super) fn ready_in_order(&self) -> Vec<MessageId> {
        self.ready.iter().rev().flatten().cloned().collect()
    }
}
