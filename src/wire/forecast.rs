//! What will become of a queue, as it is shown.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{GateWord, Moment};
use crate::domain::forecast::{Forecast, ForecastHour};

/// What will become of a queue in the next hours, if nothing more arrives.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Forecast)]
pub struct ForecastView {
    /// What waits now, and becomes due within the hours
    pub backlog: u64,
    /// Messages a second that leave now; null: nothing sets a pace, and all of them leave at once
    #[schema(required)]
    pub rate_now: Option<f64>,
    /// What sets this pace, or holds everything; null: nothing does
    #[schema(required)]
    pub binding_gate: Option<GateWord>,
    /// When nothing waits any more; null: not within the hours
    #[schema(required)]
    pub empties_at: Option<Moment>,
    /// The next end of the window; null: there is none
    #[schema(required)]
    pub next_close: Option<Moment>,
    /// What waits then; null: there is no end within the hours
    #[schema(required)]
    pub left_at_close: Option<u64>,
    /// What expires before it leaves; null: not known, as of a backlog that lies in Redis
    #[serde(default)]
    #[schema(required)]
    pub expired: Option<u64>,
    /// By hour of the clock; the first begins now
    pub by_hour: Vec<ForecastHourView>,
}

/// One hour of a forecast.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = ForecastHour)]
pub struct ForecastHourView {
    /// When it begins
    pub at: Moment,
    /// What becomes due in it
    pub due: u64,
    /// What leaves in it
    pub sent: u64,
    /// What waits at its end
    pub left: u64,
    /// What held messages, or set their pace, for the longest part of it; null: nothing waited
    #[schema(required)]
    pub gate: Option<GateWord>,
}

impl ForecastView {
    /// As it is shown.
    #[must_use]
    pub fn new(forecast: &Forecast) -> Self {
        Self {
            backlog: forecast.backlog,
            rate_now: forecast.rate_now.map(|rate| (rate * 1000.0).round() / 1000.0),
            binding_gate: forecast.binding_gate.as_ref().map(GateWord::from),
            empties_at: forecast.empties_ms.map(Moment),
            next_close: forecast.next_close_ms.map(Moment),
            left_at_close: forecast.left_at_close,
            expired: None,
            by_hour: forecast.by_hour.iter().map(ForecastHourView::new).collect(),
        }
    }
}

impl ForecastView {
    /// Says what expires, where the deadlines of all messages are known.
    #[must_use]
    pub fn expiring(self, forecast: &Forecast) -> Self {
        Self { expired: Some(forecast.expired), ..self }
    }
}

impl ForecastHourView {
    fn new(hour: &ForecastHour) -> Self {
        Self {
            at: Moment(hour.at_ms),
            due: hour.due,
            sent: hour.sent,
            left: hour.left,
            gate: hour.gate.as_ref().map(GateWord::from),
        }
    }
}
