//! What is so at a moment of virtual time.

use crate::domain::gates::HeldGate;

/// What is so until something changes.
pub(super) struct Now {
    /// What holds everything, or sets the pace.
    pub(super) gate: Option<HeldGate>,
    /// Messages a millisecond of each line; `None`: all of it at once.
    pub(super) drains: Vec<Option<f64>>,
    /// Until when it is so at most, beside what arrives and runs out; `None`: nothing of it ends.
    pub(super) until_ms: Option<f64>,
}
