//! How long a final message waited, and for what.
//!
//! Pure: what is kept of its attempts and of what held its queue comes in. Every moment of its life has one part, so that the parts
//! add up to it. Refuses to know how that is kept (see `store::tail`).

mod before_attempt;

use std::fmt;
use std::str::FromStr;

use super::limit::LimitName;
use super::message::Attempt;
use super::state::State;
pub use before_attempt::WaitBefore;

/// A message that was final sooner did not wait, ms.
pub const WAITED_MS: u64 = 1000;
/// So many holds of each kind are kept of a queue; beyond them the two oldest become one.
pub const HOLDS_MAX: usize = 16;

/// What a message can have waited for, in the documented order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum WaitedFor {
    /// Its due time.
    Due,
    /// Another attempt.
    Retry,
    /// The window of its queue.
    Window,
    /// The hours of its recipient.
    Hours,
    /// The end of a pause.
    Pause,
    /// The downstream, which had asked for fewer calls or refused our credentials.
    Throttled,
    /// The message of its order key before it, while it stood first.
    Order,
    /// This limit, while it stood first.
    Limit(LimitName),
    /// Its turn: for others before it, for calls in flight, for company in a batch, for workers.
    Turn,
    /// The outcome of its attempts.
    Sending,
}

impl fmt::Display for WaitedFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Due => "due",
            Self::Retry => "retry",
            Self::Window => "window",
            Self::Hours => "hours",
            Self::Pause => "pause",
            Self::Throttled => "throttled",
            Self::Order => "order",
            Self::Limit(name) => return write!(f, "limit:{name}"),
            Self::Turn => "turn",
            Self::Sending => "sending",
        })
    }
}

/// The word is none of those.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownWait;

impl FromStr for WaitedFor {
    type Err = UnknownWait;

    fn from_str(word: &str) -> Result<Self, UnknownWait> {
        if let Some(name) = word.strip_prefix("limit:") {
            return name.parse().map(Self::Limit).map_err(|_| UnknownWait);
        }
        [
            Self::Due,
            Self::Retry,
            Self::Window,
            Self::Hours,
            Self::Pause,
            Self::Throttled,
            Self::Order,
            Self::Turn,
            Self::Sending,
        ]
        .into_iter()
        .find(|known| known.to_string() == word)
        .ok_or(UnknownWait)
    }
}

/// The parts of a wait in milliseconds, without those of 0, in the documented order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waited(pub Vec<(WaitedFor, u64)>);

/// What is known of the wait for one attempt.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AttemptWait {
    /// How long after its due time it began, ms. 0 for one that ended the message: the due time of that one stands in the message.
    pub late_ms: u64,
    /// How much of the wait for its due time the hours of the recipient took, ms.
    pub hours_ms: u64,
    /// What held it while it stood first in its line, its order key or a limit, and for how long, ms.
    pub stood: Vec<(WaitedFor, u64)>,
}

/// What holds a whole queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldKind {
    /// It is paused.
    Pause,
    /// Its window is closed.
    Window,
    /// Its gate is shut.
    Gate,
}

impl HoldKind {
    /// In the order in which gates are asked: what two hold counts for the first.
    const ALL: [Self; 3] = [Self::Pause, Self::Window, Self::Gate];

    const fn letter(self) -> char {
        match self {
            Self::Pause => 'p',
            Self::Window => 'w',
            Self::Gate => 'g',
        }
    }

    const fn waited_for(self) -> WaitedFor {
        match self {
            Self::Pause => WaitedFor::Pause,
            Self::Window => WaitedFor::Window,
            Self::Gate => WaitedFor::Throttled,
        }
    }
}

/// A time in which something held a queue, ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueHold {
    kind: HoldKind,
    from_ms: u64,
    span_ms: u64,
    /// How much of the span it held: less than all of it where older ones were put together.
    held_ms: u64,
}

/// The holds of a text `<kind><from_ms>+<span_ms>[/<held_ms>] ...`; what cannot be read is left out.
#[must_use]
pub fn read_holds(text: &str) -> Vec<QueueHold> {
    text.split_whitespace().filter_map(read_hold).collect()
}

fn read_hold(entry: &str) -> Option<QueueHold> {
    let letter = entry.chars().next()?;
    let kind = HoldKind::ALL.into_iter().find(|kind| kind.letter() == letter)?;
    let (from_ms, span) = entry[letter.len_utf8()..].split_once('+')?;
    let (span_ms, held_ms) = span.split_once('/').unwrap_or((span, span));
    let [from_ms, span_ms, held_ms] = [from_ms, span_ms, held_ms].map(|text| text.parse().ok());
    Some(QueueHold { kind, from_ms: from_ms?, span_ms: span_ms?, held_ms: held_ms?.min(span_ms?) })
}

/// The life of a final message, as far as it is kept.
#[derive(Debug, Clone, Copy)]
pub struct Life<'a> {
    /// When it was handed over, ms.
    pub created_ms: u64,
    /// When it became final, ms.
    pub final_ms: u64,
    /// The due time that was set last, ms.
    pub due_ms: u64,
    /// Its final state.
    pub state: State,
    /// Its attempts, the oldest first.
    pub attempts: &'a [Attempt],
    /// What held its queue meanwhile.
    pub holds: &'a [QueueHold],
}

impl Life<'_> {
    /// How long it waited, and for what; `None`: it was final within [`WAITED_MS`].
    #[must_use]
    pub fn waited(&self) -> Option<Waited> {
        if self.final_ms < self.created_ms.saturating_add(WAITED_MS) {
            return None;
        }
        let mut parts = Parts { holds: self.holds, sums: Vec::new() };
        let mut until_ms = self.created_ms;
        for (at, attempt) in self.attempts.iter().enumerate() {
            let start_ms = attempt.started_at_ms.clamp(until_ms, self.final_ms);
            let end_ms = attempt.ended_at_ms.clamp(start_ms, self.final_ms);
            let is_last = at + 1 == self.attempts.len();
            let due_ms = if is_last && self.due_ms <= start_ms {
                self.due_ms
            } else {
                start_ms.saturating_sub(attempt.wait.late_ms)
            };
            parts.before_due(at == 0, until_ms, due_ms.min(start_ms), attempt.wait.hours_ms);
            parts.waiting(due_ms.clamp(until_ms, start_ms), start_ms, &attempt.wait.stood);
            parts.add(WaitedFor::Sending, end_ms - start_ms);
            until_ms = end_ms;
        }
        self.after_last(&mut parts, until_ms);
        parts.sums.sort();
        Some(Waited(parts.sums))
    }

    /// What came behind the last attempt: the decision on it, or the wait for one more that did not come.
    fn after_last(&self, parts: &mut Parts<'_>, until_ms: u64) {
        let last = self.attempts.last();
        let is_decided = match self.state {
            State::Delivered | State::Dead => last.is_some(),
            _ => last.is_some_and(|last| {
                matches!(&*last.outcome, "unknown" | "accepted")
                    && self.due_ms <= last.started_at_ms
            }),
        };
        if is_decided {
            return parts.add(WaitedFor::Sending, self.final_ms - until_ms);
        }
        let due_ms = self.due_ms.clamp(until_ms, self.final_ms);
        parts.before_due(last.is_none(), until_ms, due_ms, 0);
        parts.waiting(due_ms, self.final_ms, &[]);
    }
}

/// The parts of a life, as they come together.
struct Parts<'a> {
    holds: &'a [QueueHold],
    sums: Vec<(WaitedFor, u64)>,
}

impl Parts<'_> {
    fn add(&mut self, what: WaitedFor, ms: u64) {
        if ms == 0 {
            return;
        }
        match self.sums.iter_mut().find(|(known, _)| *known == what) {
            Some((_, sum_ms)) => *sum_ms += ms,
            None => self.sums.push((what, ms)),
        }
    }

    fn before_due(&mut self, is_first: bool, from_ms: u64, due_ms: u64, hours_ms: u64) {
        let wait_ms = due_ms.saturating_sub(from_ms);
        let hours_ms = hours_ms.min(wait_ms);
        self.add(WaitedFor::Hours, hours_ms);
        self.add(if is_first { WaitedFor::Due } else { WaitedFor::Retry }, wait_ms - hours_ms);
    }

    /// A wait from its due time on: first what held the whole queue, then what held it while it stood first.
    fn waiting(&mut self, from_ms: u64, to_ms: u64, stood: &[(WaitedFor, u64)]) {
        let mut left = vec![(from_ms, to_ms)];
        left.retain(|(from_ms, to_ms)| from_ms < to_ms);
        for kind in HoldKind::ALL {
            let mut held_ms = 0;
            for hold in self.holds.iter().filter(|hold| hold.kind == kind) {
                left = left.into_iter().flat_map(|span| hold.cut(span, &mut held_ms)).collect();
            }
            self.add(kind.waited_for(), held_ms);
        }
        let mut left_ms: u64 = left.iter().map(|(from_ms, to_ms)| to_ms - from_ms).sum();
        for (what, ms) in stood {
            let ms = left_ms.min(*ms);
            self.add(what.clone(), ms);
            left_ms -= ms;
        }
        self.add(WaitedFor::Turn, left_ms);
    }
}

impl QueueHold {
    /// What of a span it did not hold; what it held is added up.
    fn cut(
        self,
        (from_ms, to_ms): (u64, u64),
        held_ms: &mut u64,
    ) -> impl Iterator<Item = (u64, u64)> + use<> {
        let start_ms = self.from_ms.clamp(from_ms, to_ms);
        let end_ms = self.from_ms.saturating_add(self.span_ms).clamp(start_ms, to_ms);
        let share = u128::from(self.held_ms) * u128::from(end_ms - start_ms);
        let share = share / u128::from(self.span_ms.max(1));
        let end_ms = start_ms + u64::try_from(share).unwrap_or(0);
        *held_ms += end_ms - start_ms;
        [(from_ms, start_ms), (end_ms, to_ms)]
            .into_iter()
            .filter(|(from_ms, to_ms)| from_ms < to_ms)
    }
}

#[cfg(test)]
mod tests;
