//! Changes of state as they are told, and where each stands among all others.
//!
//! Pure: refuses to know how changes are kept and who listens.

use std::fmt;
use std::str::FromStr;

use super::id::{MessageId, QueueName};
use super::state::State;

/// Where a change stands among those of all queues, or how far somebody has heard them.
///
/// Ordered by the moment of the step that made it, then by its place. Without a place: before all changes
/// of that moment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The moment, by Redis, ms.
    pub ms: u64,
    /// Where among the changes of that moment.
    pub place: Option<Place>,
}

/// A place among the changes of one moment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The queue.
    pub queue: QueueName,
    /// Which of its shards.
    pub shard: u16,
    /// Which step of that moment.
    pub step: u64,
    /// Which change of that step.
    pub number: u16,
}

impl Position {
    /// Before all changes of a moment.
    #[must_use]
    pub fn before(ms: u64) -> Self {
        Self { ms, place: None }
    }
}

/// `<ms>`, or `<ms>-<step>-<number>-<shard>-<queue>`.
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            None => write!(f, "{}", self.ms),
            Some(Place { queue, shard, step, number }) => {
                write!(f, "{}-{step}-{number}-{shard}-{queue}", self.ms)
            }
        }
    }
}

/// How a position is written, as far as a pattern can tell.
pub const POSITION_PATTERN: &str =
    "^[0-9]{1,15}(?:-[0-9]{1,15}-[0-9]{1,5}-[0-9]{1,5}-[a-z0-9_~-]+)?$";

/// A text that names no position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no id of an event; expected one as the stream gave it, or a moment in milliseconds")]
pub struct BadPosition;

impl FromStr for Position {
    type Err = BadPosition;

    fn from_str(text: &str) -> Result<Self, BadPosition> {
        let mut parts = text.splitn(5, '-');
        let mut next = || parts.next().filter(|part| part.len() <= QUEUE_AND_MORE_BYTES_MAX);
        let ms = number(next().ok_or(BadPosition)?)?;
        let Some(step) = next() else { return Ok(Self::before(ms)) };
        let (step, at, shard, queue) = (number(step)?, next(), next(), next());
        let small = |part: Option<&str>| {
            u16::try_from(number(part.ok_or(BadPosition)?)?).map_err(|_| BadPosition)
        };
        let (number, shard) = (small(at)?, small(shard)?);
        let queue = QueueName::any(queue.ok_or(BadPosition)?).map_err(|_| BadPosition)?;
        Ok(Self { ms, place: Some(Place { queue, shard, step, number }) })
    }
}

/// A bound against nonsense, above every part's own.
const QUEUE_AND_MORE_BYTES_MAX: usize = 100;
/// The last moment that a record can carry.
const MS_MAX: u64 = (1 << 48) - 1;

/// Digits alone: no sign.
fn number(part: &str) -> Result<u64, BadPosition> {
    let is_number = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let number = part.parse().ok().filter(|number| is_number && *number <= MS_MAX);
    number.ok_or(BadPosition)
}

/// What happened to a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueChange {
    /// It was paused.
    Paused,
    /// It was resumed.
    Resumed,
    /// The downstream's answers shut its gate.
    Shut,
}

impl QueueChange {
    /// Every change.
    pub const ALL: [Self; 3] = [Self::Paused, Self::Resumed, Self::Shut];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Paused => "paused",
            Self::Resumed => "resumed",
            Self::Shut => "shut",
        }
    }
}

/// What changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A message stands in this state now.
    Message(MessageId, State),
    /// This happened to the queue.
    Queue(QueueChange),
}

/// A change and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Where it stands.
    pub at: Position,
    /// Whose it is.
    pub queue: QueueName,
    /// What it is.
    pub what: What,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(ms: u64, queue: &str, step: u64, number: u16) -> Position {
        let queue = queue.parse().unwrap();
        Position { ms, place: Some(Place { queue, shard: 0, step, number }) }
    }

    #[test]
    fn positions_go_by_moment_then_by_place() {
        let sorted = [
            Position::before(5),
            at(5, "a", 0, 0),
            at(5, "a", 0, 1),
            at(5, "a", 1, 0),
            at(5, "b", 0, 0),
            Position::before(6),
        ];
        assert!(sorted.is_sorted());
        assert!(sorted[1] > sorted[0] && sorted[5] > sorted[4]);
    }

    #[test]
    fn what_is_no_position_is_refused() {
        for text in
            ["", "x", "-1", "+1", "1-", "1-2", "1-2-3-4", "1-2-3-4-A", "1-2-70000-4-a", "1.5", " 1"]
        {
            assert_eq!(text.parse::<Position>(), Err(BadPosition), "{text}");
        }
        assert!("9".repeat(40).parse::<Position>().is_err());
    }

    proptest! {
        #[test]
        fn positions_read_back(ms in 0..MS_MAX, step in 0..MS_MAX, number: u16, shard: u16, queue in "[a-z0-9][a-z0-9-]{0,20}") {
            let place = Place { queue: queue.parse().unwrap(), shard, step, number };
            for place in [None, Some(place)] {
                let position = Position { ms, place };
                prop_assert_eq!(position.to_string().parse(), Ok(position));
            }
        }

        #[test]
        fn no_text_panics(text: String) {
            drop(text.parse::<Position>());
        }
    }
}
