//! Why a message waits: every gate asked, what blocks it, which setting decides, and when it opens.
//!
//! Owns the answer and its words; `gates` says which gate holds and until when. Pure: what Redis knows and the time come in.
//! Refuses to know who asks, and how the answer is shown.

mod details;
mod gates;
mod sentence;
mod setting;
#[cfg(test)]
mod tests;
pub mod whole_queue;

use std::collections::BTreeMap;

use self::gates::answers;
use self::sentence::sentence;
use super::gates::{Gate, Gates, HeldGate, KeyHold};
use super::human::Times;
use super::id::MessageId;
use super::keys::LimitValue;
use super::limit::{LimitName, LimitRule, Rate};
use super::message::Message;
use super::policy::QueuePolicy;
use super::state::State;

/// A line of messages with the same keys, by its hash.
pub type LaneId = [u8; 8];

/// The most blockers that are named for a gate.
pub const BLOCKERS_MAX: usize = 10;

/// What stands before a message that waits, and what is on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Where the message stands.
    pub position: LinePosition,
    /// The first message of the key that has the turn in the fair shares, where that is another key.
    pub turn: Option<MessageId>,
    /// Messages of its shard that are on their way, some of them.
    pub on_their_way: Vec<MessageId>,
    /// The lane in which it stands, where the queue has keys.
    pub lane: Option<LaneId>,
}

/// How many messages stand before one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinePosition {
    /// So many.
    pub ahead: u64,
    /// In which line.
    pub of: LineOf,
    /// More than `ahead` stand before it: how many, nobody counted.
    pub at_least: bool,
}

/// Whose line a message stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineOf {
    /// That of its key, or keys.
    Key,
    /// That of its queue; of several shards, of its own.
    Queue,
}

impl LineOf {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Key, Self::Queue];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Queue => "queue",
        }
    }
}

/// What is known of a message, its queue and the moment.
#[derive(Debug, Clone)]
pub struct ExplainFacts<'a> {
    /// The message.
    pub message: &'a Message,
    /// What is in force in its queue.
    pub policy: &'a QueuePolicy,
    /// Its queue is not in the configuration any more.
    pub is_retired: bool,
    /// The gates of its queue.
    pub gates: &'a Gates,
    /// What its keys say of it, where it is ready and has any.
    pub keys: Option<&'a KeyHold>,
    /// What stands before it, where it waits.
    pub line: Option<Line>,
    /// Who paused the queue, and why.
    pub paused: Option<(String, String)>,
    /// How the downstream's answers shut the gate (`throttle` or `alarm`), and with which answer.
    pub shut: Option<(String, String)>,
    /// Calls of its shard that are in flight.
    pub calls_in_flight: u64,
    /// What its values of the keys of limits were given at run time: the value, and what it is allowed.
    pub given: BTreeMap<LimitName, (String, LimitValue)>,
    /// When it leaves by what stands ahead of it, ms; `None`: nobody can know.
    pub expected_ms: Option<u64>,
    /// It is known how long calls take.
    pub calls_are_timed: bool,
    /// Now, and in which zone moments are written.
    pub times: Times,
}

/// Why a message waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The answer in a sentence or two.
    pub sentence: String,
    /// Where it stands in its line; `None`: in none.
    pub position: Option<LinePosition>,
    /// When it could leave if nothing stood ahead of it, ms.
    pub earliest_ms: Option<u64>,
    /// When it leaves by what stands ahead of it, ms.
    pub expected_ms: Option<u64>,
    /// Every gate that can hold it in this queue, in the documented order.
    pub gates: Vec<GateAnswer>,
}

/// What one gate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateAnswer {
    /// Which gate.
    pub gate: HeldGate,
    /// Whether it lets the message pass.
    pub passes: bool,
    /// When it opens, ms; `None`: it is open, or nobody can know, and `detail` says why.
    pub opens_at_ms: Option<u64>,
    /// What it says, as a sentence.
    pub detail: String,
    /// Where the setting comes from that decides: a file and its line, a variable, an override, a key or the API.
    pub setting: Option<String>,
    /// Who or what blocks the message, at most [`BLOCKERS_MAX`].
    pub blocked_by: Vec<GateBlocker>,
    /// How many there are.
    pub blocked_by_total: u64,
}

/// What blocks a message at a gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GateBlocker {
    /// Another message.
    Message(MessageId),
    /// A value of a key.
    Key(String),
    /// A setting, by where it comes from.
    Setting(String),
}

/// Why a message waits, or that it does not.
#[must_use]
pub fn explain(facts: &ExplainFacts<'_>) -> Explanation {
    let message = facts.message;
    let waits = matches!(message.state, State::Scheduled | State::Ready | State::Uncertain);
    if !waits {
        return Explanation {
            sentence: sentence(facts, &[], [None, None]),
            position: None,
            earliest_ms: None,
            expected_ms: None,
            gates: Vec::new(),
        };
    }
    let gates = answers(facts);
    // Whoever waits for a decision has no place in a line, and nobody knows what will be decided.
    let is_in_line = message.state != State::Uncertain;
    let earliest_ms = (is_in_line && !facts.is_retired)
        .then(|| {
            facts.gates.earliest_ms(facts.policy, &message.details, facts.keys, message.due_at_ms)
        })
        .flatten();
    let expected_ms = earliest_ms.and_then(|earliest_ms| expected(facts, &gates, earliest_ms));
    Explanation {
        sentence: sentence(facts, &gates, [earliest_ms, expected_ms]),
        position: facts.line.as_ref().filter(|_| is_in_line).map(|line| line.position),
        earliest_ms,
        expected_ms,
        gates,
    }
}

/// When it leaves by what stands ahead of it, and not before the gates that let messages through one by one: a batch that gathers, a
/// limit by its key. `None`: nobody can know, since workers or calls decide of which nothing is known.
fn expected(facts: &ExplainFacts<'_>, gates: &[GateAnswer], earliest_ms: u64) -> Option<u64> {
    let mut at_ms = facts.expected_ms?.max(earliest_ms);
    let ahead = facts.line.as_ref().map_or(0, |line| line.position.ahead);
    for answer in gates.iter().filter(|answer| !answer.passes) {
        match answer.gate.gate {
            Gate::Workers => return None,
            Gate::Concurrency if !facts.calls_are_timed => return None,
            Gate::Batch => at_ms = at_ms.max(answer.opens_at_ms.unwrap_or(0)),
            Gate::Limit => {
                let limit = answer.gate.limit.as_ref();
                let rule = facts.policy.keyed_limits().find(|rule| Some(&rule.name) == limit);
                let Some((rule, opens_ms)) = rule.zip(answer.opens_at_ms) else { continue };
                // Those before it take the next slots of its key.
                let apart_ms = facts.allowed_by(rule).map_or(0, period_ms);
                at_ms = at_ms.max(opens_ms.saturating_add(ahead.saturating_mul(apart_ms)));
            }
            _ => {}
        }
    }
    Some(at_ms)
}

/// How far apart a rate lets units start, ms.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a time in whole milliseconds"
)]
fn period_ms(rate: Rate) -> u64 {
    (rate.period_us() / 1000.0) as u64
}

impl ExplainFacts<'_> {
    /// What a rate by key allows the value of the message; `None`: the limit is no rate.
    fn allowed_by(&self, rule: &LimitRule) -> Option<Rate> {
        let configured = rule.rate_and_burst()?.0;
        let given = self.given.get(&rule.name).map(|(_, given)| given);
        Some(match given.map(|given| rule.allowed_to_key(given)) {
            Some(LimitValue::Rate(rate)) => rate,
            _ => configured,
        })
    }
}
