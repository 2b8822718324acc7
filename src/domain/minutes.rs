//! What went through a queue, minute by minute.
//!
//! Owns what is counted, and for how long it is kept. Refuses to know where it is kept and how it is drawn.

/// Minutes that are shown: a day.
pub const MINUTES_MAX: u32 = 1440;
/// A minute, in milliseconds.
pub const MINUTE_MS: u64 = 60_000;
/// A message that leaves so much later than it could have is counted as late, in milliseconds.
pub const LATE_MS: u64 = 1000;

/// What went through a queue in one minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MinuteCounts {
    /// Messages that were taken in.
    pub taken: u32,
    /// Messages that were delivered.
    pub delivered: u32,
    /// Messages that left late.
    pub late: u32,
    /// Calls that did not deliver.
    pub failed: u32,
}

impl MinuteCounts {
    /// The counts in the order in which they are kept.
    #[must_use]
    pub const fn each(self) -> [u32; 4] {
        [self.taken, self.delivered, self.late, self.failed]
    }

    /// Whether nothing happened.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }
}

impl From<[u32; 4]> for MinuteCounts {
    fn from([taken, delivered, late, failed]: [u32; 4]) -> Self {
        Self { taken, delivered, late, failed }
    }
}
