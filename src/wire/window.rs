//! The hours in which a queue's downstream may be called, as they are answered.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Moment;

/// The hours in which the downstream may be called.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Windows)]
pub struct WindowsAnswer {
    /// UTC where the queue has no window
    pub time_zone: String,
    /// One after the other
    pub windows: Vec<OpeningView>,
    /// Dates in this time that do not go by their day of the week, one after the other
    #[serde(default)]
    pub dates: Vec<SpecialDateView>,
    /// When the clocks of the time zone are set in this time
    #[serde(default)]
    pub clock_changes: Vec<ClockChangeView>,
}

/// A date that does not go by its day of the week.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = SpecialDate)]
pub struct SpecialDateView {
    /// The local date
    #[schema(format = Date, example = "2026-12-31")]
    pub date: String,
    /// true: nothing is sent on it; false: it has hours of its own
    pub closed: bool,
    /// The calendar that says so; null: the queue itself
    #[schema(required)]
    pub calendar: Option<String>,
}

/// A moment at which clocks are set.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[schema(as = ClockChange)]
pub struct ClockChangeView {
    /// The first moment at which they show the new time
    pub at: Moment,
    /// How far they were ahead of UTC until then, in seconds; below 0: behind
    pub before_s: i32,
    /// How far they are ahead of UTC from then on, in seconds
    pub after_s: i32,
}

/// One opening of a window.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[schema(as = Opening)]
pub struct OpeningView {
    /// May be past; null: it has been open for more than two years
    #[schema(required)]
    pub opens_at: Option<Moment>,
    /// null: it does not close within two years
    #[schema(required)]
    pub closes_at: Option<Moment>,
}
