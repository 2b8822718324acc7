//! The metrics of one queue, kept by the queue: each is looked up when it is first used, and never again.
//!
//! A look-up takes a lock and a copy of the queue's name, which is too much for each message.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;

use super::Metrics;
use super::labels::{EventLabel, OutcomeLabel, QueueLabel, ReasonLabel, VerdictLabel};
use super::minute::RunningCounts;
use crate::domain::minutes::MinuteCounts;

/// Most words of one label that are kept; verbs, the most of them, are fewer.
const WORDS_MAX: usize = 32;

/// Handles on the metrics of one queue.
#[derive(Debug)]
pub struct QueueHandles {
    metrics: Arc<Metrics>,
    queue: String,
    messages: ByWord<Counter>,
    attempts: ByWord<Histogram>,
    dead: ByWord<Counter>,
    late_results: ByWord<Counter>,
    lateness: OnceLock<Histogram>,
    promote_lateness: OnceLock<Histogram>,
    possible_duplicates: OnceLock<Counter>,
    permits_unused: OnceLock<Counter>,
    superseded: OnceLock<Counter>,
    running: RunningCounts,
}

impl QueueHandles {
    /// Handles for the queue of this name; nothing is looked up yet.
    #[must_use]
    pub fn new(metrics: &Arc<Metrics>, queue: &str) -> Self {
        Self {
            metrics: Arc::clone(metrics),
            queue: queue.to_owned(),
            messages: ByWord::default(),
            attempts: ByWord::default(),
            dead: ByWord::default(),
            late_results: ByWord::default(),
            lateness: OnceLock::new(),
            promote_lateness: OnceLock::new(),
            possible_duplicates: OnceLock::new(),
            permits_unused: OnceLock::new(),
            superseded: OnceLock::new(),
            running: RunningCounts::default(),
        }
    }

    /// Counts messages that went through the verb `event`.
    pub fn count(&self, event: &'static str, count: usize) {
        if count == 0 {
            return;
        }
        self.running.count(event, count);
        let look_up = || {
            let label = EventLabel { queue: self.queue.clone(), event };
            self.metrics.queue.messages.get_or_create_owned(&label)
        };
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.messages.with(event, look_up, |counter| {
            counter.inc_by(count);
        });
    }

    /// A whole exchange came to this outcome.
    pub fn attempt(&self, outcome: &'static str, took: Duration) {
        self.running.attempt(outcome);
        let look_up = || {
            let label = OutcomeLabel { queue: self.queue.clone(), outcome };
            self.metrics.queue.attempt_duration_seconds.get_or_create_owned(&label)
        };
        self.attempts.with(outcome, look_up, |durations| durations.observe(took.as_secs_f64()));
    }

    /// Messages were given up for this reason.
    pub fn dead(&self, reason: &'static str, count: u64) {
        let look_up = || {
            let label = ReasonLabel { queue: self.queue.clone(), reason };
            self.metrics.queue.dead.get_or_create_owned(&label)
        };
        self.dead.with(reason, look_up, |counter| {
            counter.inc_by(count);
        });
    }

    /// An outcome came after its lease had run out.
    pub fn late_result(&self, verdict: &'static str) {
        let look_up = || {
            let label = VerdictLabel { queue: self.queue.clone(), verdict };
            self.metrics.queue.late_results.get_or_create_owned(&label)
        };
        self.late_results.with(verdict, look_up, |counter| {
            counter.inc();
        });
    }

    /// A message left so late.
    pub fn lateness(&self, late: Duration) {
        self.running.lateness(late);
        let family = &self.metrics.queue.lateness_seconds;
        let histogram = self.lateness.get_or_init(|| family.get_or_create_owned(&self.label()));
        histogram.observe(late.as_secs_f64());
    }

    /// Messages became ready so late.
    pub fn promote_lateness(&self, late: Duration) {
        let family = &self.metrics.queue.promote_lateness_seconds;
        let known = self.promote_lateness.get_or_init(|| family.get_or_create_owned(&self.label()));
        known.observe(late.as_secs_f64());
    }

    /// The downstream may have seen a message before.
    pub fn possible_duplicate(&self) {
        let family = &self.metrics.queue.possible_duplicates;
        self.possible_duplicates.get_or_init(|| family.get_or_create_owned(&self.label())).inc();
    }

    /// Messages were refused, as the backlog is full; rare, so that it is looked up.
    pub fn backlog_refused(&self, count: u64) {
        self.metrics.queue.backlog_refused.get_or_create(&self.label()).inc_by(count);
    }

    /// Newer messages have taken the place of so many.
    pub fn superseded(&self, count: u64) {
        if count > 0 {
            let family = &self.metrics.queue.superseded;
            let known = self.superseded.get_or_init(|| family.get_or_create_owned(&self.label()));
            known.inc_by(count);
        }
    }

    /// A permit came too late.
    pub fn permit_unused(&self) {
        let family = &self.metrics.queue.permits_unused;
        self.permits_unused.get_or_init(|| family.get_or_create_owned(&self.label())).inc();
    }

    /// What went through the queue since this was called last.
    #[must_use]
    pub fn take_running(&self) -> MinuteCounts {
        self.running.take()
    }

    fn label(&self) -> QueueLabel {
        QueueLabel { queue: self.queue.clone() }
    }
}

/// Handles by the word of a second label. Words are few and are never forgotten: finding one takes no lock.
#[derive(Debug)]
struct ByWord<M> {
    known: [OnceLock<(&'static str, M)>; WORDS_MAX],
}

impl<M> Default for ByWord<M> {
    fn default() -> Self {
        Self { known: [const { OnceLock::new() }; WORDS_MAX] }
    }
}

impl<M> ByWord<M> {
    fn with(&self, word: &'static str, look_up: impl Fn() -> M, act: impl FnOnce(&M)) {
        let mut known = self.known.iter().map(|place| place.get_or_init(|| (word, look_up())));
        match known.find(|(known, _)| *known == word) {
            Some((_, handle)) => act(handle),
            None => act(&look_up()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_word_is_looked_up_once_and_every_use_of_it_counts() {
        let (by_word, looked_up) = (ByWord::<Counter>::default(), Cell::new(0));
        let count = |word| {
            let look_up = || {
                looked_up.set(looked_up.get() + 1);
                Counter::default()
            };
            let mut total = 0;
            by_word.with(word, look_up, |counter| {
                counter.inc();
                total = counter.get();
            });
            total
        };
        assert_eq!([count("ack"), count("retry"), count("ack"), count("ack")], [1, 1, 2, 3]);
        assert_eq!(looked_up.get(), 2);
    }

    #[test]
    fn what_a_queue_counts_is_what_is_scraped() {
        let metrics = Metrics::new();
        let handles = QueueHandles::new(&metrics, "sms");
        for _ in 0..3 {
            handles.count("ack", 2);
            handles.attempt("retry", Duration::from_secs(1));
            handles.lateness(Duration::from_millis(1));
        }
        handles.dead("poison", 4);
        handles.count("nothing", 0);
        let shown = metrics.render();
        for line in [
            "tidegate_messages_total{queue=\"sms\",event=\"ack\"} 6",
            "tidegate_attempt_duration_seconds_count{queue=\"sms\",outcome=\"retry\"} 3",
            "tidegate_lateness_seconds_count{queue=\"sms\"} 3",
            "tidegate_dead_total{queue=\"sms\",reason=\"poison\"} 4",
        ] {
            assert!(shown.lines().any(|shown| shown == line), "{line}\n{shown}");
        }
        assert!(!shown.contains("event=\"nothing\""));
    }
}
