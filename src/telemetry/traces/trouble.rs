//! How the collector does: whether it takes what it is sent, and in time.
//!
//! Owns that trouble is said once when it begins and once when it is over, and what `doctor` is told meanwhile. Refuses to know how
//! spans travel (see `collector`) and when they are sent (see `exporter`).

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use tokio::time::Instant;

/// Spans that were lost while the collector took what it was sent are over when none was lost for so long.
const CALM: Duration = Duration::from_secs(60);

/// What is wrong with the collector, in words, for whoever asks.
pub(super) type SharedTrouble = Arc<Mutex<Option<String>>>;

/// What came of one request with spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent<'a> {
    /// All were taken.
    Whole,
    /// None was taken, and they are sent again.
    Later(&'a str),
    /// Some or all are refused for good.
    Refused(&'a str),
}

/// What was noticed of the collector so far.
#[derive(Debug)]
pub(super) struct CollectorHealth {
    lost: Counter,
    lost_seen: u64,
    begun: Option<Trouble>,
    shared: SharedTrouble,
}

/// Since when the collector does not take all.
#[derive(Debug)]
struct Trouble {
    since: Instant,
    lost_before: u64,
    last_loss: Instant,
    /// Spans were lost although it took what it was sent.
    is_behind: bool,
}

impl CollectorHealth {
    pub(super) fn new(lost: Counter, shared: SharedTrouble) -> Self {
        Self { lost, lost_seen: 0, begun: None, shared }
    }

    /// Counts spans that nobody will take.
    pub(super) fn lose(&self, count: u64) {
        self.lost.inc_by(count);
    }

    /// Takes note of what came of a request, whose lost spans are counted already.
    pub(super) fn note(&mut self, sent: Sent<'_>, now: Instant) {
        let lost = self.lost.get();
        let lost_before = std::mem::replace(&mut self.lost_seen, lost);
        let has_lost = lost > lost_before;
        let what = match sent {
            Sent::Later(why) => Some(format!(
                "the collector of telemetry.otlp takes no traces now: {why}; up to {} spans wait and are sent again, those beyond are lost",
                super::WAITING_MAX
            )),
            Sent::Refused(why) => {
                Some(format!("the collector of telemetry.otlp refuses spans, which are lost: {why}"))
            }
            Sent::Whole if has_lost => Some(
                "more spans are made than the collector of telemetry.otlp takes in time, and those beyond are lost".to_owned(),
            ),
            Sent::Whole => None,
        };
        match (what, &mut self.begun) {
            (Some(what), None) => {
                tracing::warn!("{what}; messages go on");
                let is_behind = sent == Sent::Whole;
                self.begun = Some(Trouble { since: now, lost_before, last_loss: now, is_behind });
                *self.shared.lock() = Some(what);
            }
            (Some(what), Some(trouble)) => {
                trouble.is_behind = sent == Sent::Whole;
                trouble.last_loss = now;
                *self.shared.lock() = Some(what);
            }
            (None, Some(trouble)) if !trouble.is_behind || now >= trouble.last_loss + CALM => {
                let lost = lost - trouble.lost_before;
                let lasted = now.duration_since(trouble.since);
                tracing::info!(
                    ?lasted,
                    lost,
                    "the collector of telemetry.otlp takes all traces again"
                );
                self.begun = None;
                *self.shared.lock() = None;
            }
            (None, _) => {}
        }
    }

    /// When it is to be looked again whether the trouble is over, where nothing else says so.
    pub(super) fn calm_at(&self) -> Option<Instant> {
        let behind = self.begun.as_ref().filter(|trouble| trouble.is_behind);
        behind.map(|trouble| trouble.last_loss + CALM)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_is_told_until_it_is_over() {
        let (lost, shared) = (Counter::<u64>::default(), SharedTrouble::default());
        let mut health = CollectorHealth::new(lost.clone(), Arc::clone(&shared));
        let told = || shared.lock().clone().unwrap_or_default();
        let begin = Instant::now();
        health.note(Sent::Whole, begin);
        assert_eq!(told(), "");
        health.note(Sent::Later("status 503"), begin);
        assert!(told().contains("takes no traces now: status 503"), "{}", told());
        health.lose(5);
        health.note(Sent::Refused("status 400"), begin);
        assert!(told().contains("refuses spans, which are lost: status 400"), "{}", told());
        assert_eq!(health.begun.as_ref().unwrap().lost_before, 0, "the first ones count too");
        health.note(Sent::Whole, begin);
        assert_eq!(told(), "");
    }

    #[test]
    fn what_is_lost_on_the_way_to_a_healthy_collector_is_told_until_none_was_lost_for_a_while() {
        let (lost, shared) = (Counter::<u64>::default(), SharedTrouble::default());
        let mut health = CollectorHealth::new(lost.clone(), Arc::clone(&shared));
        let begin = Instant::now();
        lost.inc_by(3);
        health.note(Sent::Whole, begin);
        assert!(shared.lock().as_ref().unwrap().contains("in time"));
        assert_eq!(health.calm_at(), Some(begin + CALM));
        health.note(Sent::Whole, begin + CALM / 2);
        assert!(shared.lock().is_some(), "it may happen again at once");
        health.note(Sent::Whole, begin + CALM);
        assert_eq!((shared.lock().clone(), health.calm_at()), (None, None));
    }
}
