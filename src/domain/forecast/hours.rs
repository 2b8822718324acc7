//! What happened in each hour, and what all of it comes to.

use super::model::{Hour, Model, ceil_ms};
use super::{Forecast, ForecastHour, HOUR_MS, rounded, whole};

impl Model<'_> {
    pub(super) fn hour_ends_ms(&self) -> f64 {
        self.hours
            .last()
            .map_or(f64::INFINITY, |hour| whole((rounded(hour.at_ms) / HOUR_MS + 1) * HOUR_MS))
    }

    pub(super) fn begin_hour(&mut self) {
        let (due, sent, left) = (0.0, 0.0, 0.0);
        self.hours.push(Hour { at_ms: self.now_ms, due, sent, left, gates: Vec::new() });
    }

    pub(super) fn end_hour(&mut self) {
        let left = self.waiting();
        if let Some(hour) = self.hours.last_mut() {
            hour.left = left;
        }
    }

    /// What came of it.
    pub(super) fn forecast(mut self) -> Forecast {
        // An hour in which no time passed is none.
        if self.hours.len() > 1 && self.hours.last().is_some_and(|it| it.at_ms >= self.now_ms) {
            self.hours.pop();
        }
        let (rate_now, binding_gate) = self.first.unwrap_or((Some(0.0), None));
        let hours = self.hours.into_iter().map(|hour| {
            let longest = hour.gates.into_iter().max_by(|one, other| one.1.total_cmp(&other.1));
            ForecastHour {
                at_ms: rounded(hour.at_ms),
                due: rounded(hour.due),
                sent: rounded(hour.sent),
                left: rounded(hour.left),
                gate: longest.map(|(gate, _)| gate),
            }
        });
        Forecast {
            backlog: rounded(self.backlog),
            rate_now: rate_now.map(|per_ms| per_ms * 1000.0),
            binding_gate,
            empties_ms: self.empty_ms.map(ceil_ms),
            next_close_ms: self.next_close_ms,
            left_at_close: self.left_at_close.map(rounded),
            expired: rounded(self.expired),
            by_hour: hours.collect(),
        }
    }
}
