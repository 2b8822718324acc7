//! Traces: what this node did with a message, as spans for a collector.
//!
//! Owns which traces are made, and the way of a finished span into a bounded queue, which holds nobody up. Where no collector is
//! named there is no [`Tracer`], and nothing of this costs anything. Refuses to know how spans travel (see [`TraceExporter`]), and
//! when they begin and end.

mod collector;
mod exporter;
mod intake;
mod otlp;
mod span;
mod trouble;

use std::sync::Arc;

use prometheus_client::metrics::counter::Counter;
use tokio::sync::mpsc;

pub use exporter::TraceExporter;
pub use intake::{IntakeEnd, IntakeSpan};
pub use otlp::TraceSource;
pub use span::{FinishedSpan, SpanKind, SpanValue};
use trouble::{CollectorHealth, SharedTrouble};

use crate::config::TelemetrySettings;
use crate::domain::trace_context::{SpanId, TraceParent};

/// Finished spans that may wait for their export, about 4 MiB; those beyond are lost, and counted.
const WAITING_MAX: usize = 8192;

/// Takes finished spans.
#[derive(Debug)]
pub struct Tracer {
    spans: mpsc::Sender<FinishedSpan>,
    sample: f64,
    lost: Counter,
    trouble: SharedTrouble,
}

impl Tracer {
    /// A tracer, and what sends its spans to the collector. `None`: no collector is named. `lost` counts the spans that no
    /// collector has taken.
    #[must_use]
    pub fn of(settings: &TelemetrySettings, lost: &Counter) -> Option<(Self, TraceExporter)> {
        let url = settings.otlp.as_ref()?;
        let (spans, finished) = mpsc::channel(WAITING_MAX);
        let trouble = SharedTrouble::default();
        let health = CollectorHealth::new(lost.clone(), Arc::clone(&trouble));
        let exporter = TraceExporter::new(url, finished, health);
        Some((Self { spans, sample: settings.sample, lost: lost.clone(), trouble }, exporter))
    }

    /// The first span of a trace that begins here; `None`: of this one nothing is recorded, by `telemetry.sample`.
    #[must_use]
    pub fn root(&self) -> Option<TraceParent> {
        if rand::random::<f64>() >= self.sample {
            return None;
        }
        // One of zero comes once in 2^64 times; that trace is left out.
        TraceParent::root(rand::random(), rand::random())
    }

    /// Takes a finished span; where too many wait, it is lost.
    pub fn record(&self, span: FinishedSpan) {
        if self.spans.try_send(span).is_err() {
            self.lost.inc();
        }
    }

    /// Why spans are lost, or wait for a collector that does not take them; `None`: all is well.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().clone()
    }

    /// Counts spans that could not be finished.
    pub fn lose(&self, count: u64) {
        self.lost.inc_by(count);
    }
}

/// The id of a new span.
#[must_use]
pub fn span_id() -> SpanId {
    rand::random()
}

#[cfg(test)]
mod tests;
