//! What the daemon tells of itself: metrics and logs.
//!
//! Owns the names of the contract and their registry. Refuses to know where a number comes from: the
//! rooms count, this file shows.

mod digest;
mod info;
mod labels;
mod logs;
mod schedules;
#[cfg(test)]
mod tests;
mod text;
mod ways_in;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
pub use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::domain::operation::Action;
pub use digest::{Digest, Kind};
pub use info::Info;
pub use labels::{
    EventLabel, FaultLabel, FoundLabel, GateLabel, LevelLabel, OperationEndLabel, OperationLabel,
    OutcomeLabel, PrunedLabel, QueueLabel, ReasonLabel, ResourceLabel, ScheduleErrorLabel,
    ScheduleLabel, StateLabel, TopicLabel, VerbLabel, VerdictLabel,
};
pub use logs::{LogFormat, start_logging};
pub use ways_in::WaysIn;

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;
type Seconds<L> = Family<L, Gauge<f64, AtomicU64>>;

/// Every metric of the contract.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// What happens to single messages, to be logged for many at once.
    pub digest: Digest,
    /// `tidegate_messages_total{queue,event}`
    pub messages: Family<EventLabel, Counter>,
    /// `tidegate_queue_messages{queue,state}`
    pub queue_messages: Family<StateLabel, Gauge>,
    /// `tidegate_oldest_ready_age_seconds{queue}`
    pub oldest_ready_age: Seconds<QueueLabel>,
    /// `tidegate_lateness_seconds{queue}`
    pub lateness: Histograms<QueueLabel>,
    /// `tidegate_promote_lateness_seconds{queue}`
    pub promote_lateness: Histograms<QueueLabel>,
    /// `tidegate_attempt_duration_seconds{queue,outcome}`
    pub attempt_duration: Histograms<OutcomeLabel>,
    /// `tidegate_possible_duplicates_total{queue}`
    pub possible_duplicates: Family<QueueLabel, Counter>,
    /// `tidegate_unreadable_answers_total{queue}`
    pub unreadable_answers: Family<QueueLabel, Counter>,
    /// `tidegate_script_duration_seconds{verb}`
    pub script_duration: Histograms<VerbLabel>,
    /// `tidegate_dead_total{queue,reason}`
    pub dead: Family<ReasonLabel, Counter>,
    /// `tidegate_pruned_total{queue,state,reason}`
    pub pruned: Family<PrunedLabel, Counter>,
    /// `tidegate_kept_bytes{queue,state}`
    pub kept_bytes: Family<StateLabel, Gauge>,
    /// `tidegate_late_results_total{queue,verdict}`
    pub late_results: Family<VerdictLabel, Counter>,
    /// `tidegate_probes_total{queue,found}`
    pub probes: Family<FoundLabel, Counter>,
    /// `tidegate_gate_open{queue,gate}`: 1 open, 0 shut
    pub gate_open: Family<GateLabel, Gauge>,
    /// `tidegate_downstream_failing{queue}`: 1 while its last attempts got no answer, 408 or 5xx
    pub downstream_failing: Family<QueueLabel, Gauge>,
    /// `tidegate_callback_hosts_left_alone{queue}`
    pub callback_hosts: Family<QueueLabel, Gauge>,
    /// `tidegate_permits_unused_total{queue}`
    pub permits_unused: Family<QueueLabel, Counter>,
    /// `tidegate_index_faults_total{queue,fault}`
    pub index_faults: Family<FaultLabel, Counter>,
    /// `tidegate_index_repairs_total{queue,fault}`
    pub index_repairs: Family<FaultLabel, Counter>,
    /// `tidegate_store_erased_total`
    pub store_erased: Counter,
    /// `tidegate_rollbacks_total{queue}`
    pub rollbacks: Family<QueueLabel, Counter>,
    /// `tidegate_rollback_lost_total{queue}`
    pub rollback_lost: Family<QueueLabel, Counter>,
    /// `tidegate_rollback_sent_again_total{queue}`
    pub rollback_sent_again: Family<QueueLabel, Counter>,
    /// `tidegate_schedule_fired_total{schedule}`
    pub schedule_fired: Family<ScheduleLabel, Counter>,
    /// `tidegate_schedule_missed_total{schedule}`
    pub schedule_missed: Family<ScheduleLabel, Counter>,
    /// `tidegate_schedule_errors_total{schedule,reason}`
    pub schedule_errors: Family<ScheduleErrorLabel, Counter>,
    /// `tidegate_schedule_lag_seconds{schedule}`
    pub schedule_lag: Seconds<ScheduleLabel>,
    /// `tidegate_schedule_last_fired_seconds{schedule}`
    pub schedule_last_fired: Seconds<ScheduleLabel>,
    /// `tidegate_schedule_paused{schedule}`
    pub schedule_paused: Family<ScheduleLabel, Gauge>,
    /// Topics and the inbox.
    pub ways_in: WaysIn,
    /// `tidegate_operations_running`: operations that this node carries out
    pub operations_running: Gauge,
    /// `tidegate_operations_ended_total{action,end}`
    pub operations_ended: Family<OperationEndLabel, Counter>,
    /// `tidegate_operations_messages_total{action,result}`
    pub operations_messages: Family<OperationLabel, Counter>,
    /// `tidegate_store_up`
    pub store_up: Gauge,
    /// `tidegate_store_fit`
    pub store_fit: Gauge,
    /// `tidegate_durability_achieved{level}`: 1 at the level that holds now
    pub durability_achieved: Family<LevelLabel, Gauge>,
    /// `tidegate_durability_met`: 0 while the configured level does not hold and intake is refused
    pub durability_met: Gauge,
    /// The version, and which Redis is used
    pub info: Info,
    /// `tidegate_store_full{resource}`: 1 while intake is refused for want of it
    pub store_full: Family<ResourceLabel, Gauge>,
    /// `tidegate_clock_steps_total`: steps of Redis' clock that this node saw
    pub clock_steps: Counter,
    /// `tidegate_clock_alarm`: 1 while what goes by time waits
    pub clock_alarm: Gauge,
}

/// Why a tick could not be put into its queue.
const SCHEDULE_ERRORS: [&str; 6] =
    ["unknown_queue", "store_full", "not_durable", "store_unfit", "too_large", "store_unavailable"];

/// 0.1 ms to 100 s: script calls and lateness alike.
const BUCKETS: [f64; 19] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0, 25.0, 50.0, 100.0,
];

fn histogram() -> Histogram {
    Histogram::new(BUCKETS)
}

fn histograms<L: Clone + std::hash::Hash + Eq>() -> Histograms<L> {
    Family::new_with_constructor(histogram)
}

impl Metrics {
    /// A fresh registry with every metric at zero.
    #[must_use]
    pub fn new() -> Arc<Self> {
        let mut metrics = Self {
            registry: Registry::with_prefix("tidegate"),
            digest: Digest::default(),
            messages: Family::default(),
            queue_messages: Family::default(),
            oldest_ready_age: Family::default(),
            lateness: histograms(),
            promote_lateness: histograms(),
            attempt_duration: histograms(),
            possible_duplicates: Family::default(),
            unreadable_answers: Family::default(),
            script_duration: histograms(),
            dead: Family::default(),
            pruned: Family::default(),
            kept_bytes: Family::default(),
            late_results: Family::default(),
            probes: Family::default(),
            gate_open: Family::default(),
            downstream_failing: Family::default(),
            callback_hosts: Family::default(),
            permits_unused: Family::default(),
            index_faults: Family::default(),
            index_repairs: Family::default(),
            store_erased: Counter::default(),
            rollbacks: Family::default(),
            rollback_lost: Family::default(),
            rollback_sent_again: Family::default(),
            schedule_fired: Family::default(),
            schedule_missed: Family::default(),
            schedule_errors: Family::default(),
            schedule_lag: Family::default(),
            schedule_last_fired: Family::default(),
            schedule_paused: Family::default(),
            ways_in: WaysIn::default(),
            operations_running: Gauge::default(),
            operations_ended: Family::default(),
            operations_messages: Family::default(),
            store_up: Gauge::default(),
            store_fit: Gauge::default(),
            durability_achieved: Family::default(),
            durability_met: Gauge::default(),
            info: Info::default(),
            store_full: Family::default(),
            clock_steps: Counter::default(),
            clock_alarm: Gauge::default(),
        };
        metrics.register();
        for action in Action::ALL.map(Action::as_str) {
            let label = OperationEndLabel { action, end: "failed" };
            drop(metrics.operations_ended.get_or_create(&label));
        }
        Arc::new(metrics)
    }

    fn register(&mut self) {
        // The registry appends `_total` to counters by itself.
        let r = &mut self.registry;
        r.register("messages", "Messages by verb", self.messages.clone());
        r.register("queue_messages", "Messages kept, by state", self.queue_messages.clone());
        r.register(
            "oldest_ready_age_seconds",
            "How long the oldest ready message has been due",
            self.oldest_ready_age.clone(),
        );
        r.register(
            "lateness_seconds",
            "Send start minus the moment it was both due and allowed",
            self.lateness.clone(),
        );
        r.register(
            "promote_lateness_seconds",
            "Promotion minus due time",
            self.promote_lateness.clone(),
        );
        r.register(
            "attempt_duration_seconds",
            "Whole exchanges by outcome",
            self.attempt_duration.clone(),
        );
        r.register(
            "possible_duplicates",
            "Sends that the downstream may have seen before",
            self.possible_duplicates.clone(),
        );
        let unreadable = self.unreadable_answers.clone();
        r.register("unreadable_answers", "Batch answers that cannot be read", unreadable);
        r.register(
            "script_duration_seconds",
            "Script calls as this node saw them",
            self.script_duration.clone(),
        );
        r.register("dead", "Messages given up, by reason", self.dead.clone());
        r.register("pruned", "Finished messages deleted, by reason", self.pruned.clone());
        r.register(
            "kept_bytes",
            "Bytes kept of finished messages where they are limited",
            self.kept_bytes.clone(),
        );
        r.register(
            "late_results",
            "Outcomes that came after their lease had run out, by what became of them",
            self.late_results.clone(),
        );
        r.register(
            "probes",
            "Questions about uncertain messages, by what the downstream said",
            self.probes.clone(),
        );
        r.register("gate_open", "Whether a gate is open", self.gate_open.clone());
        let failing = self.downstream_failing.clone();
        r.register("downstream_failing", "Whether the last attempts in a row failed", failing);
        r.register(
            "callback_hosts_left_alone",
            "Callback hosts that get no calls for a while after failures",
            self.callback_hosts.clone(),
        );
        r.register("permits_unused", "Permits that came too late", self.permits_unused.clone());
        r.register(
            "index_faults",
            "Indexes that disagreed with their records",
            self.index_faults.clone(),
        );
        r.register("index_repairs", "Of those, the ones mended", self.index_repairs.clone());
        self.ways_in.register(&mut self.registry);
        self.register_schedules();
        self.register_store();
    }

    /// What is true of Redis and of this program, not of a queue's messages.
    fn register_store(&mut self) {
        let r = &mut self.registry;
        r.register(
            "store_erased",
            "Times that what Redis held was deleted or replaced while it ran",
            self.store_erased.clone(),
        );
        let rollbacks = [
            ("rollbacks", "Times that Redis came back with less", &self.rollbacks),
            ("rollback_lost", "Accepted messages that are gone", &self.rollback_lost),
            ("rollback_sent_again", "Delivered ones that wait again", &self.rollback_sent_again),
        ];
        for (name, help, counters) in rollbacks {
            r.register(name, help, counters.clone());
        }
        r.register(
            "operations_running",
            "Operations that this node carries out",
            self.operations_running.clone(),
        );
        r.register("operations_ended", "Operations that ended here", self.operations_ended.clone());
        r.register(
            "operations_messages",
            "Messages that operations have dealt with here",
            self.operations_messages.clone(),
        );
        r.register("store_up", "Whether Redis answers", self.store_up.clone());
        r.register(
            "store_fit",
            "Whether Redis may take new messages: it does not evict, is no replica, holds records of this version",
            self.store_fit.clone(),
        );
        r.register(
            "durability_achieved",
            "The durability level that holds now",
            self.durability_achieved.clone(),
        );
        r.register(
            "durability_met",
            "Whether the configured durability level holds",
            self.durability_met.clone(),
        );
        r.register("store_full", "Whether intake lacks the room", self.store_full.clone());
        r.register("clock_steps", "Steps of Redis' clock seen here", self.clock_steps.clone());
        r.register(
            "clock_alarm",
            "Whether what goes by time waits after a step of Redis' clock",
            self.clock_alarm.clone(),
        );
        self.info.register(r);
    }

    /// Shows a queue's metrics from the start, at zero: a counter that first appears at 1 has no
    /// increase that an alert could see. `faults` are the words of everything that an index can have
    /// wrong.
    pub fn introduce(&self, queue: &str, faults: impl IntoIterator<Item = &'static str>) {
        let label = QueueLabel { queue: queue.to_owned() };
        for histograms in [&self.lateness, &self.promote_lateness] {
            drop(histograms.get_or_create(&label));
        }
        let counters = [
            &self.possible_duplicates,
            &self.unreadable_answers,
            &self.permits_unused,
            &self.rollbacks,
            &self.rollback_lost,
            &self.rollback_sent_again,
        ];
        for counters in counters {
            drop(counters.get_or_create(&label));
        }
        for event in ["schedule", "claim", "ack", "retry", "bury"] {
            drop(self.messages.get_or_create(&EventLabel { queue: queue.to_owned(), event }));
        }
        for fault in faults {
            let label = FaultLabel { queue: queue.to_owned(), fault };
            drop(self.index_faults.get_or_create(&label));
        }
        for reason in ["messages", "bytes"] {
            let label = PrunedLabel { queue: queue.to_owned(), state: "dead", reason };
            drop(self.pruned.get_or_create(&label));
        }
        for reason in ["refused", "attempts_spent", "too_old", "poison", "unreadable"] {
            drop(self.dead.get_or_create(&ReasonLabel { queue: queue.to_owned(), reason }));
        }
        for verdict in ["late", "stale"] {
            drop(
                self.late_results.get_or_create(&VerdictLabel { queue: queue.to_owned(), verdict }),
            );
        }
        let delivered = OutcomeLabel { queue: queue.to_owned(), outcome: "delivered" };
        drop(self.attempt_duration.get_or_create(&delivered));
    }

    /// A schedule that is gone is not shown any more.
    pub fn forget_schedule(&self, schedule: &str) {
        let label = ScheduleLabel { schedule: schedule.to_owned() };
        self.schedule_fired.remove(&label);
        self.schedule_missed.remove(&label);
        self.schedule_lag.remove(&label);
        self.schedule_last_fired.remove(&label);
        self.schedule_paused.remove(&label);
        for reason in SCHEDULE_ERRORS {
            let schedule = schedule.to_owned();
            self.schedule_errors.remove(&ScheduleErrorLabel { schedule, reason });
        }
    }

    /// Counts `count` messages of `queue` that went through the verb `event`.
    pub fn count(&self, queue: &str, event: &'static str, count: usize) {
        if count > 0 {
            let label = EventLabel { queue: queue.to_owned(), event };
            self.messages.get_or_create(&label).inc_by(u64::try_from(count).unwrap_or(u64::MAX));
        }
    }
}
