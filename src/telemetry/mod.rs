//! What the daemon tells of itself: metrics, logs and traces.
//!
//! Owns the names of the contract and their registry. Refuses to know where a number comes from: the
//! modules count, this file shows.

mod declare;
mod digest;
mod groups;
mod handles;
mod labels;
mod logs;
mod minute;
#[cfg(test)]
mod tests;
mod text;
mod traces;

use std::sync::Arc;

use prometheus_client::registry::Registry;

use crate::config::TelemetrySettings;
use crate::domain::operation::Action;
pub use digest::{Digest, Kind};
pub use groups::{IntakeMetrics, OperationMetrics, QueueMetrics, ScheduleMetrics, StoreMetrics};
pub use handles::QueueHandles;
pub use labels::{
    AddressLabel, EventLabel, FaultLabel, FoundLabel, GateLabel, LevelLabel, LimitLabel,
    OperationEndLabel, OperationLabel, OutcomeLabel, PrunedLabel, QueueLabel, ReasonLabel,
    ResourceLabel, ScheduleErrorLabel, ScheduleLabel, StateLabel, TopicLabel, VerbLabel,
    VerdictLabel, VersionLabel,
};
pub use logs::{LogFormat, start_logging};
pub use traces::{
    FinishedSpan, IntakeEnd, IntakeSpan, SpanKind, SpanValue, TraceExporter, TraceSource, Tracer,
    span_id,
};

/// Every metric of the contract.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// What happens to single messages, to be logged for many at once.
    pub digest: Digest,
    /// Messages and queues.
    pub queue: QueueMetrics,
    /// Topics and the inbox.
    pub intake: IntakeMetrics,
    /// Recurring messages.
    pub schedule: ScheduleMetrics,
    /// Operations on many messages.
    pub operation: OperationMetrics,
    /// Redis and this program.
    pub store: StoreMetrics,
    /// Takes the spans of traces; `None`: none are made.
    pub tracer: Option<Tracer>,
}

/// Why a tick could not be put into its queue.
const SCHEDULE_ERRORS: [&str; 6] =
    ["unknown_queue", "store_full", "not_durable", "store_unfit", "too_large", "store_unavailable"];

impl Metrics {
    /// A fresh registry with every metric at zero.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Self::with_traces(&TelemetrySettings::default()).0
    }

    /// The same, and, where a collector is named, what sends traces to it.
    #[must_use]
    pub fn with_traces(settings: &TelemetrySettings) -> (Arc<Self>, Option<TraceExporter>) {
        let mut registry = Registry::with_prefix("tidegate");
        let mut metrics = Self {
            digest: Digest::default(),
            queue: QueueMetrics::registered(&mut registry),
            intake: IntakeMetrics::registered(&mut registry),
            schedule: ScheduleMetrics::registered(&mut registry),
            operation: OperationMetrics::registered(&mut registry),
            store: StoreMetrics::registered(&mut registry),
            tracer: None,
            registry,
        };
        for action in Action::ALL.map(Action::as_str) {
            let label = OperationEndLabel { action, end: "failed" };
            drop(metrics.operation.operations_ended.get_or_create(&label));
        }
        let version = VersionLabel { version: env!("CARGO_PKG_VERSION") };
        metrics.store.build_info.get_or_create(&version).set(1);
        let (tracer, exporter) = Tracer::of(settings, &metrics.store.trace_spans_lost).unzip();
        metrics.tracer = tracer;
        (Arc::new(metrics), exporter)
    }

    /// Shows a queue's metrics from the start, at zero: a counter that first appears at 1 has no
    /// increase that an alert could see. `faults` are the words of everything that an index can have
    /// wrong.
    pub fn introduce(&self, queue: &str, faults: impl IntoIterator<Item = &'static str>) {
        let label = QueueLabel { queue: queue.to_owned() };
        for histograms in [&self.queue.lateness_seconds, &self.queue.promote_lateness_seconds] {
            drop(histograms.get_or_create(&label));
        }
        let counters = [
            &self.queue.possible_duplicates,
            &self.queue.superseded,
            &self.queue.unreadable_answers,
            &self.queue.permits_unused,
            &self.queue.rollbacks,
            &self.queue.rollback_lost,
            &self.queue.rollback_sent_again,
        ];
        for counters in counters {
            drop(counters.get_or_create(&label));
        }
        for event in ["schedule", "claim", "ack", "retry", "bury"] {
            drop(self.queue.messages.get_or_create(&EventLabel { queue: queue.to_owned(), event }));
        }
        for fault in faults {
            let label = FaultLabel { queue: queue.to_owned(), fault };
            drop(self.queue.index_faults.get_or_create(&label));
        }
        for reason in ["messages", "bytes"] {
            let label = PrunedLabel { queue: queue.to_owned(), state: "dead", reason };
            drop(self.queue.pruned.get_or_create(&label));
        }
        for reason in ["refused", "attempts_spent", "too_old", "poison", "unreadable"] {
            drop(self.queue.dead.get_or_create(&ReasonLabel { queue: queue.to_owned(), reason }));
        }
        for verdict in ["late", "stale"] {
            drop(
                self.queue
                    .late_results
                    .get_or_create(&VerdictLabel { queue: queue.to_owned(), verdict }),
            );
        }
        let delivered = OutcomeLabel { queue: queue.to_owned(), outcome: "delivered" };
        drop(self.queue.attempt_duration_seconds.get_or_create(&delivered));
    }

    /// A schedule that is gone is not shown any more.
    pub fn forget_schedule(&self, schedule: &str) {
        let label = ScheduleLabel { schedule: schedule.to_owned() };
        self.schedule.schedule_fired.remove(&label);
        self.schedule.schedule_missed.remove(&label);
        self.schedule.schedule_lag_seconds.remove(&label);
        self.schedule.schedule_last_fired_seconds.remove(&label);
        self.schedule.schedule_paused.remove(&label);
        for reason in SCHEDULE_ERRORS {
            let schedule = schedule.to_owned();
            self.schedule.schedule_errors.remove(&ScheduleErrorLabel { schedule, reason });
        }
    }

    /// Counts `count` messages of `queue` that went through the verb `event`.
    pub fn count(&self, queue: &str, event: &'static str, count: usize) {
        if count > 0 {
            let label = EventLabel { queue: queue.to_owned(), event };
            self.queue
                .messages
                .get_or_create(&label)
                .inc_by(u64::try_from(count).unwrap_or(u64::MAX));
        }
    }
}
