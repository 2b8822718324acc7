//! When a backlog leaves: a queue in virtual time.
//!
//! Messages are taken for a fluid: between two moments at which something opens, closes, arrives or runs out, each line drains at an
//! even pace, so the work follows windows, periods and lines, and never the number of messages. Owns what follows from the policy and
//! a snapshot. Pure: takes the moment. Refuses to know where the figures come from, and says nothing of what may still arrive.

mod hours;
mod lines;
mod look;
mod model;
mod now;
mod pace;
#[cfg(test)]
mod slow;
mod stages;
#[cfg(test)]
mod tests;

use self::model::Model;
use super::gates::{HeldGate, Snapshot};
use super::overrides::PolicyStage;
use super::policy::QueuePolicy;

/// The most hours that are looked ahead: a year.
pub const HOURS_MAX: u32 = 8784;
/// The most lines that are told apart; what else there is counts as one line.
pub const LINES_MAX: usize = 1000;

const HOUR_MS: u64 = 3_600_000;

/// A queue at a moment, and what waits in it.
#[derive(Debug, Clone)]
pub struct ForecastFacts<'a> {
    /// What is in force.
    pub policy: &'a QueuePolicy,
    /// What comes into force after it, as the overrides end; the earliest first.
    pub later: &'a [PolicyStage],
    /// Its pause, its gate, and how its limits stand.
    pub snapshot: &'a Snapshot,
    /// What is ready, by lines: those of keys, or one for all.
    pub ready: Vec<ReadyLine>,
    /// What becomes due, and for which line.
    pub due: Vec<DueMessages>,
    /// How long a call takes on average; `None`: nobody has measured it, and calls in flight then bound nothing.
    pub mean_call_ms: Option<f64>,
    /// What a message costs on average, in units of limits.
    pub mean_cost: f64,
    /// The moment.
    pub now_ms: u64,
}

/// Ready messages that leave one after the other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReadyLine {
    /// How many there are.
    pub messages: f64,
    /// Its part among the others, where all of them have something to send.
    pub share: f64,
    /// Whether limits by key hold it by itself. What stands for many keys together is held by none of them.
    pub is_of_key: bool,
}

/// Messages that become due.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DueMessages {
    /// When.
    pub at_ms: u64,
    /// The number of their line in [`ForecastFacts::ready`].
    pub line: usize,
    /// How many.
    pub messages: f64,
    /// When those expire that have not left; `None`: never.
    pub expires_ms: Option<u64>,
}

/// What will become of a queue, if nothing more arrives.
#[derive(Debug, Clone, PartialEq)]
pub struct Forecast {
    /// What waits now, and becomes due within the time looked at.
    pub backlog: u64,
    /// Messages a second that leave now; `None`: as many as there are, at once.
    pub rate_now: Option<f64>,
    /// What sets this pace, or holds everything; `None`: nothing waits, or nothing does.
    pub binding_gate: Option<HeldGate>,
    /// When nothing waits any more; `None`: not within the time.
    pub empties_ms: Option<u64>,
    /// The next end of the window; `None`: it has none.
    pub next_close_ms: Option<u64>,
    /// What waits then; `None`: it has no end, or not within the time.
    pub left_at_close: Option<u64>,
    /// What expires before it leaves.
    pub expired: u64,
    /// By hour of the clock; the first begins now.
    pub by_hour: Vec<ForecastHour>,
}

/// What happens in one hour.
#[derive(Debug, Clone, PartialEq)]
pub struct ForecastHour {
    /// When it begins.
    pub at_ms: u64,
    /// What becomes due in it.
    pub due: u64,
    /// What leaves in it.
    pub sent: u64,
    /// What waits at its end.
    pub left: u64,
    /// What held messages, or set their pace, for the longest part of it; `None`: nothing waited.
    pub gate: Option<HeldGate>,
}

/// What will become of a queue in the next hours.
#[must_use]
pub fn forecast(facts: &ForecastFacts<'_>, hours: u32) -> Forecast {
    let hours = u64::from(hours.clamp(1, HOURS_MAX));
    let until_ms = facts.now_ms.saturating_add(hours * HOUR_MS);
    let mut model = Model::new(facts);
    model.run(until_ms, None);
    model.forecast()
}

/// When a message leaves that has so many others before it in its line, within a year; `from_ms`: not before this moment. `None`:
/// nobody can know, or not within a year.
#[must_use]
pub fn leaves_ms(facts: &ForecastFacts<'_>, line: usize, ahead: u64, from_ms: u64) -> Option<u64> {
    let until_ms = facts.now_ms.saturating_add(u64::from(HOURS_MAX) * HOUR_MS);
    let mut model = Model::new(facts);
    let left_ms =
        model.run(until_ms, Some(model::Watched { line, ahead: whole(ahead), from_ms }))?;
    Some(left_ms)
}

/// A count, as forecasts reckon.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts of messages stay far below 2^52")]
pub const fn whole(count: u64) -> f64 {
    count as f64
}

/// A count as it is shown: to the nearest message.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "amounts are never negative and far below 2^52"
)]
fn rounded(amount: f64) -> u64 {
    amount.max(0.0).round() as u64
}
