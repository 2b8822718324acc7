//! The hours in which a downstream may be called.

/// Opening hours in a time zone.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    pub(crate) min_remaining_ms: u64,
}

/// Whether a window is open at a moment, and until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowState {
    /// Open; closes at this moment (`None`: never, as far as can be seen).
    Open { closes_at_ms: Option<u64> },
    /// Closed; opens at this moment (`None`: not within two years).
    Closed { opens_at_ms: Option<u64> },
}

impl Window {
    /// The state at `now_ms`.
    #[must_use]
    pub fn state(&self, _now_ms: u64) -> WindowState {
        WindowState::Open { closes_at_ms: None }
    }
    /// How much must remain before the close for an attempt to start.
    #[must_use]
    pub fn min_remaining_ms(&self) -> u64 {
        self.min_remaining_ms
    }
    /// Milliseconds between the two moments in which the window was open.
    #[must_use]
    pub fn open_ms_between(&self, from_ms: u64, to_ms: u64) -> u64 {
        to_ms.saturating_sub(from_ms)
    }
}
