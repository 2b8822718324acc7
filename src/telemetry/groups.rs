//! Every metric of the daemon, by what it is about.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::declare::{Fractions, Histograms, Seconds, declare_metrics};
use super::labels::{
    AddressLabel, EventLabel, FaultLabel, FoundLabel, GateLabel, LevelLabel, LimitLabel,
    OperationEndLabel, OperationLabel, OutcomeLabel, PrunedLabel, QueueLabel, ReasonLabel,
    ResourceLabel, ScheduleErrorLabel, ScheduleLabel, StateLabel, TopicLabel, VerbLabel,
    VerdictLabel, VersionLabel,
};

declare_metrics! {
    /// The messages of the queues, and what holds them.
    QueueMetrics {
        messages: Family<EventLabel, Counter> = "Messages by verb",
        queue_messages: Family<StateLabel, Gauge> = "Messages kept, by state",
        oldest_ready_age_seconds: Fractions<QueueLabel> = "How long the oldest ready message has been due",
        oldest_free_age_seconds: Fractions<QueueLabel> = "How long the oldest ready message has been due that no key holds",
        lateness_seconds: Histograms<QueueLabel> = "Send start minus the moment it was both due and allowed",
        promote_lateness_seconds: Histograms<QueueLabel> = "Promotion minus due time",
        attempt_duration_seconds: Histograms<OutcomeLabel> = "Whole exchanges by outcome",
        possible_duplicates: Family<QueueLabel, Counter> = "Sends that the downstream may have seen before",
        superseded: Family<QueueLabel, Counter> = "Payloads and messages whose place a newer one of their collapse key has taken",
        unreadable_answers: Family<QueueLabel, Counter> = "Batch answers that cannot be read",
        dead: Family<ReasonLabel, Counter> = "Messages given up, by reason",
        pruned: Family<PrunedLabel, Counter> = "Finished messages deleted, by reason",
        kept_bytes: Family<StateLabel, Gauge> = "Bytes kept of finished messages where they are limited",
        late_results: Family<VerdictLabel, Counter> = "Outcomes that came after their lease had run out, by what became of them",
        probes: Family<FoundLabel, Counter> = "Questions about uncertain messages, by what the downstream said",
        gate_open: Family<GateLabel, Gauge> = "Whether a gate is open",
        held_seconds: Seconds<GateLabel> = "Time in which this gate held the first message of the queue, as scrapes found it",
        limit_used: Fractions<LimitLabel> = "Share of a limit that is used: of a quota in this period, of a rate in the last minute",
        downstream_failing: Family<QueueLabel, Gauge> = "Whether the last attempts in a row failed",
        hosts_left_alone: Family<QueueLabel, Gauge> = "Hosts that messages name and that get no calls for a while after failures",
        callback_hosts_left_alone: Family<QueueLabel, Gauge> = "Callback hosts that get no calls for a while after failures",
        backlog_refused: Family<QueueLabel, Counter> = "Messages refused because the backlog of their queue is full",
        permits_unused: Family<QueueLabel, Counter> = "Permits that came too late",
        index_faults: Family<FaultLabel, Counter> = "Indexes that disagreed with their records",
        index_repairs: Family<FaultLabel, Counter> = "Index faults that were repaired",
        rollbacks: Family<QueueLabel, Counter> = "How often Redis came back without something that it had confirmed",
        rollback_lost: Family<QueueLabel, Counter> = "Accepted messages that are lost",
        rollback_sent_again: Family<QueueLabel, Counter> = "Delivered messages that will be sent again",
    }
}

declare_metrics! {
    /// Topics and the streams of the inbox: the ways in beside the API of a queue.
    IntakeMetrics {
        topic_events: Family<TopicLabel, Counter> = "Events published here",
        topic_pending: Family<TopicLabel, Gauge> = "Events of which some queue lacks its message still",
        topic_oldest_pending_age_seconds: Fractions<TopicLabel> = "How long the oldest event has lacked a queue",
        inbox_entries: Family<QueueLabel, Counter> = "Entries of streams taken in",
        inbox_rejected: Family<QueueLabel, Counter> = "Entries of streams rejected",
        inbox_backlog: Family<QueueLabel, Gauge> = "Entries in the stream",
        inbox_lag_seconds: Fractions<QueueLabel> = "Age of the oldest entry",
        inbox_rejected_kept: Gauge = "Rejected entries that are kept",
        inbox_stray_streams: Gauge = "Streams whose queue is not configured",
    }
}

declare_metrics! {
    /// Recurring messages.
    ScheduleMetrics {
        schedule_fired: Family<ScheduleLabel, Counter> = "Ticks that this node put into their queue",
        schedule_missed: Family<ScheduleLabel, Counter> = "Ticks that were left out, by the policy of their schedule",
        schedule_errors: Family<ScheduleErrorLabel, Counter> = "Failed tries to put a tick into its queue",
        schedule_lag_seconds: Fractions<ScheduleLabel> = "How long the oldest tick that is not in its queue has been due",
        schedule_last_fired_seconds: Fractions<ScheduleLabel> = "When the last tick fired, in Unix time",
        schedule_paused: Family<ScheduleLabel, Gauge> = "Whether the schedule is paused",
    }
}

declare_metrics! {
    /// Operations on many messages.
    OperationMetrics {
        operations_running: Gauge = "Operations that this node carries out",
        operations_ended: Family<OperationEndLabel, Counter> = "Operations that ended here",
        operations_messages: Family<OperationLabel, Counter> = "Messages that operations on this node have handled",
    }
}

declare_metrics! {
    /// Redis and this program.
    StoreMetrics {
        script_duration_seconds: Histograms<VerbLabel> = "Script calls as this node saw them",
        store_erased: Counter = "How often the data in Redis was deleted or replaced while Redis ran",
        store_up: Gauge = "Whether Redis answers",
        store_fit: Gauge = "Whether Redis may take new messages: it does not evict, is not a replica, holds records of this version",
        durability_achieved: Family<LevelLabel, Gauge> = "The durability level that holds now",
        durability_met: Gauge = "Whether the configured durability level holds",
        store_full: Family<ResourceLabel, Gauge> = "Whether intake is refused because memory or disk is almost full",
        clock_steps: Counter = "Steps of Redis' clock seen here",
        clock_alarm: Gauge = "Whether due times, expiry and retention wait after a step of Redis' clock",
        store_info: Family<AddressLabel, Gauge> = "Which Redis keeps the messages",
        reload_failed: Gauge = "Whether the last reload of the configuration was refused, so that the old one is in force",
        trace_spans_lost: Counter = "Spans of traces that no collector has taken",
        build_info: Family<VersionLabel, Gauge> = "The version that runs",
    }
}
