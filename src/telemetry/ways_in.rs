//! The metrics of the ways in beside a queue's own door: topics, and the streams of the inbox.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::Seconds;
use super::labels::{QueueLabel, TopicLabel};

/// What came in by topics and streams.
#[derive(Debug, Default)]
pub struct WaysIn {
    /// `tidegate_topic_events_total{topic}`
    pub topic_events: Family<TopicLabel, Counter>,
    /// `tidegate_topic_pending{topic}`: events that some queue lacks still
    pub topic_pending: Family<TopicLabel, Gauge>,
    /// `tidegate_topic_oldest_pending_age_seconds{topic}`
    pub topic_oldest_pending_age: Seconds<TopicLabel>,
    /// `tidegate_inbox_entries_total{queue}`: taken in
    pub inbox_entries: Family<QueueLabel, Counter>,
    /// `tidegate_inbox_rejected_total{queue}`
    pub inbox_rejected: Family<QueueLabel, Counter>,
    /// `tidegate_inbox_backlog{queue}`
    pub inbox_backlog: Family<QueueLabel, Gauge>,
    /// `tidegate_inbox_lag_seconds{queue}`
    pub inbox_lag: Seconds<QueueLabel>,
    /// `tidegate_inbox_rejected_kept`
    pub inbox_rejected_kept: Gauge,
    /// `tidegate_inbox_stray_streams`
    pub inbox_stray_streams: Gauge,
}

impl WaysIn {
    pub(super) fn register(&self, r: &mut Registry) {
        r.register("topic_events", "Events published here", self.topic_events.clone());
        r.register(
            "topic_pending",
            "Events that some queue lacks still",
            self.topic_pending.clone(),
        );
        r.register(
            "topic_oldest_pending_age_seconds",
            "How long the oldest event has lacked a queue",
            self.topic_oldest_pending_age.clone(),
        );
        r.register("inbox_entries", "Entries of streams taken in", self.inbox_entries.clone());
        r.register("inbox_rejected", "Entries of streams rejected", self.inbox_rejected.clone());
        r.register("inbox_backlog", "Entries in the stream", self.inbox_backlog.clone());
        r.register("inbox_lag_seconds", "Age of the oldest entry", self.inbox_lag.clone());
        r.register(
            "inbox_rejected_kept",
            "Rejected entries that are kept",
            self.inbox_rejected_kept.clone(),
        );
        r.register(
            "inbox_stray_streams",
            "Streams whose queue is not configured",
            self.inbox_stray_streams.clone(),
        );
    }
}
