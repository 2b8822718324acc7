//! How long it took until messages moved again.
//!
//! Owns the measuring of a history and the summing up. Refuses to know what a good time is.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::history::{FaultKind, History};

/// Times in microseconds, by what was recovered from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Recovery(BTreeMap<FaultKind, Vec<u64>>);

impl Recovery {
    /// From the moment at which Redis took writes again (or a node died) to the next arrival.
    pub(crate) fn measure(&mut self, history: &History) {
        let mut moments: Vec<_> = history.arrivals.iter().map(|arrival| arrival.at_us).collect();
        moments.sort_unstable();
        for fault in &history.faults {
            let from_us =
                if fault.life.is_some() { fault.at_us } else { fault.until_us.max(fault.at_us) };
            let next = moments.partition_point(|at_us| *at_us <= from_us);
            // Nothing was waiting any more, where nothing came.
            if let Some(at_us) = moments.get(next) {
                self.0.entry(fault.kind).or_default().push(at_us - from_us);
            }
        }
    }

    pub(crate) fn add(&mut self, other: Self) {
        for (kind, times) in other.0 {
            self.0.entry(kind).or_default().extend(times);
        }
    }

    /// Quantiles in milliseconds.
    pub(crate) fn summary(&self) -> Value {
        let mut all = serde_json::Map::new();
        for (kind, times) in &self.0 {
            let mut times = times.clone();
            times.sort_unstable();
            let quantile = |percent: usize| {
                let at = (times.len() * percent).div_ceil(100).max(1) - 1;
                times[at] as f64 / 1000.0
            };
            all.insert(
                format!("{kind:?}"),
                json!({
                    "count": times.len(), "p50_ms": quantile(50), "p90_ms": quantile(90),
                    "p99_ms": quantile(99), "max_ms": quantile(100),
                }),
            );
        }
        Value::Object(all)
    }
}
