//! What a call takes of limits.

use super::rule::LimitUnit;

/// What a call takes of limits, and when it starts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Units {
    /// When it starts, microseconds by Redis; 0: nobody knows any more.
    pub slot_us: u64,
    /// What limits that count calls take: the cost of a single message, 1 of a batch.
    pub calls: u64,
    /// What limits that count messages take: the costs of all that it carries.
    pub messages: u64,
}

impl Units {
    /// Nothing.
    pub const NONE: Self = Self { slot_us: 0, calls: 0, messages: 0 };

    /// What a limit that counts in this unit takes.
    #[must_use]
    pub const fn of(self, unit: LimitUnit) -> u64 {
        match unit {
            LimitUnit::Calls => self.calls,
            LimitUnit::Messages => self.messages,
        }
    }
}
