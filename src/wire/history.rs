//! What went through a queue, as it is answered.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Moment;
use crate::domain::minutes::MinuteCounts;

/// What went through a queue, minute by minute. Each list has a number for each minute, the oldest first; nodes add what they have
/// seen once a minute.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = QueueHistory)]
pub struct HistoryAnswer {
    /// When the first minute began
    pub begins_at: Moment,
    /// Messages that were taken in
    pub taken: Vec<u32>,
    /// Messages that were delivered
    pub delivered: Vec<u32>,
    /// Messages that left a second or more later than they could have
    pub late: Vec<u32>,
    /// Calls that did not deliver
    pub failed: Vec<u32>,
}

impl HistoryAnswer {
    /// These minutes.
    #[must_use]
    pub fn new(begins_ms: u64, minutes: &[MinuteCounts]) -> Self {
        let each = |of: fn(&MinuteCounts) -> u32| minutes.iter().map(of).collect();
        Self {
            begins_at: Moment(begins_ms),
            taken: each(|minute| minute.taken),
            delivered: each(|minute| minute.delivered),
            late: each(|minute| minute.late),
            failed: each(|minute| minute.failed),
        }
    }
}
