//! The alarm after a step of Redis' clock: whether what time brings is to wait, for all nodes alike.
//!
//! Owns the protocol between the nodes: a record in Redis, outside the shards and without an expiry
//! (which the clock itself would end), that each node reads at every beat and writes anew where it
//! is lost. Whoever first sees a minute of steady time, or an operator, writes that it is over.
//! Pure: moments and records come in; refuses to know Redis and what pauses meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// For how long after an alarm moments of the clock before it are looked for.
pub(in crate::store) const AFTERMATH: Duration = Duration::from_secs(600);

/// The alarm as it stands in Redis.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::store) struct AlarmRecord {
    pub(in crate::store) id: String,
    /// By how much the clock stepped, as the node that saw it first measured.
    pub(in crate::store) step_ms: i64,
    pub(in crate::store) is_over: bool,
    /// Who ended it; nobody: time did.
    #[serde(default)]
    pub(in crate::store) by: Option<String>,
    /// When it ended, ms by Redis.
    #[serde(default)]
    pub(in crate::store) ended_ms: u64,
}

/// An alarm that stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClockAlarm {
    id: String,
    /// By how much the clock stepped, in milliseconds.
    pub step_ms: i64,
    /// Since when no further step was seen.
    pub steady_since: Instant,
}

#[derive(Debug, Default)]
struct KnownAlarms {
    standing: Option<ClockAlarm>,
    /// The last one that ended, and when, as far as this node knows.
    ended: Option<(String, Instant)>,
}

/// The alarm as this node knows it.
#[derive(Debug, Default)]
pub(in crate::store) struct Alarm {
    stands: AtomicBool,
    // A plain mutex: held for a comparison, never across an await.
    state: Mutex<KnownAlarms>,
}

/// What came of a look at the record.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::store) struct AlarmChange {
    /// What is to stand in Redis from now on.
    pub(in crate::store) write: Option<AlarmRecord>,
    /// It stands now and did not before: by how much the clock stepped.
    pub(in crate::store) began: Option<i64>,
    /// It ended, by this operator or by time.
    pub(in crate::store) ended: Option<Option<String>>,
}

impl Alarm {
    /// Whether it stands: asked before every call that time brings.
    pub(in crate::store) fn stands(&self) -> bool {
        self.stands.load(Ordering::Acquire)
    }

    pub(in crate::store) fn standing(&self) -> Option<ClockAlarm> {
        self.lock().standing.clone()
    }

    /// How long ago the last one ended; `None`: this node knows of none, or it stands.
    pub(in crate::store) fn over_for(&self, now: Instant) -> Option<Duration> {
        let state = self.lock();
        let ended = state.ended.as_ref().filter(|_| state.standing.is_none());
        ended.map(|(_, at)| now.saturating_duration_since(*at))
    }

    /// This node saw a step. Returns whether that is the first.
    pub(in crate::store) fn raise(&self, step_ms: i64, now: Instant, id: String) -> bool {
        let mut state = self.lock();
        if let Some(standing) = &mut state.standing {
            standing.steady_since = now;
            return false;
        }
        state.standing = Some(ClockAlarm { id, step_ms, steady_since: now });
        self.stands.store(true, Ordering::Release);
        true
    }

    /// Compares what this node knows with the record, and ends the alarm after `settle` of steady time.
    pub(in crate::store) fn meet(
        &self,
        found: Option<AlarmRecord>,
        now: Instant,
        settle: Duration,
    ) -> AlarmChange {
        let mut turn = AlarmChange::default();
        let mut state = self.lock();
        match (&mut state.standing, found) {
            (Some(own), Some(found)) if found.id == own.id => {
                if found.is_over {
                    turn.ended = Some(found.by);
                }
            }
            // Two nodes saw it: one id wins.
            (Some(own), Some(found)) if !found.is_over => {
                own.id = found.id;
                own.steady_since = now;
            }
            (Some(own), _) => turn.write = Some(own.record()),
            (None, Some(found)) if !found.is_over => {
                if state.ended.as_ref().is_some_and(|(id, _)| *id == found.id) {
                    // The end that was written is lost.
                    turn.write = Some(AlarmRecord { is_over: true, ..found });
                } else {
                    turn.began = Some(found.step_ms);
                    state.standing = Some(ClockAlarm {
                        id: found.id,
                        step_ms: found.step_ms,
                        steady_since: now,
                    });
                }
            }
            (None, _) => {}
        }
        let is_settled =
            |own: &&ClockAlarm| now.saturating_duration_since(own.steady_since) >= settle;
        if turn.ended.is_none()
            && let Some(own) = state.standing.as_ref().filter(is_settled)
        {
            turn.write = Some(AlarmRecord { is_over: true, ..own.record() });
            turn.ended = Some(None);
        }
        if turn.ended.is_some() {
            state.end(now);
        }
        self.stands.store(state.standing.is_some(), Ordering::Release);
        turn
    }

    /// What an operator's end is to write; `None`: none stands.
    pub(in crate::store) fn ending(&self, by: &str) -> Option<AlarmRecord> {
        let standing = self.standing()?;
        Some(AlarmRecord { is_over: true, by: Some(by.to_owned()), ..standing.record() })
    }

    fn lock(&self) -> parking_lot::MutexGuard<'_, KnownAlarms> {
        self.state.lock()
    }
}

impl KnownAlarms {
    fn end(&mut self, now: Instant) {
        if let Some(standing) = self.standing.take() {
            self.ended = Some((standing.id, now));
        }
    }
}

impl ClockAlarm {
    fn record(&self) -> AlarmRecord {
        AlarmRecord {
            id: self.id.clone(),
            step_ms: self.step_ms,
            is_over: false,
            by: None,
            ended_ms: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn record(id: &str, is_over: bool, by: Option<&str>) -> AlarmRecord {
        let by = by.map(str::to_owned);
        AlarmRecord { id: id.to_owned(), step_ms: 5000, is_over, by, ended_ms: 0 }
    }

    fn raised(now: Instant) -> Alarm {
        let alarm = Alarm::default();
        assert!(alarm.raise(5000, now, "mine".to_owned()));
        alarm
    }

    #[tokio::test(start_paused = true)]
    async fn it_stands_until_a_minute_was_steady_and_every_step_begins_the_minute_anew() {
        let start = Instant::now();
        let alarm = raised(start);
        let at = |now| alarm.meet(Some(record("mine", false, None)), now, MINUTE);
        assert_eq!(alarm.meet(None, start, MINUTE).write, Some(record("mine", false, None)));
        assert!(!alarm.raise(5000, start + MINUTE / 2, "other".to_owned()));
        assert_eq!(at(start + MINUTE), AlarmChange::default());
        assert!(alarm.stands());

        let turn = at(start + MINUTE * 3 / 2);

        assert_eq!(turn.ended, Some(None));
        assert_eq!(turn.write, Some(record("mine", true, None)));
        assert!(!alarm.stands());
        assert_eq!(alarm.over_for(start + MINUTE * 2), Some(MINUTE / 2));
        // The end got lost, for example by a restart of Redis.
        assert_eq!(at(start + MINUTE * 2).write, Some(record("mine", true, None)));
        assert!(!alarm.stands());
    }

    #[tokio::test(start_paused = true)]
    async fn it_holds_for_nodes_that_saw_no_step_and_ends_for_all() {
        let (start, alarm) = (Instant::now(), Alarm::default());
        let standing = alarm.meet(Some(record("theirs", false, None)), start, MINUTE);
        assert_eq!((standing.began, alarm.stands()), (Some(5000), true));

        let over = alarm.meet(Some(record("theirs", true, Some("ann"))), start, MINUTE);

        assert_eq!(over.ended, Some(Some("ann".to_owned())));
        assert!(!alarm.stands());
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_of_another_alarm_ends_nothing_and_one_id_wins() {
        let start = Instant::now();
        let alarm = raised(start);
        let turn = alarm.meet(Some(record("earlier", true, None)), start, MINUTE);
        assert_eq!(turn.write, Some(record("mine", false, None)));
        assert_eq!(
            alarm.meet(Some(record("theirs", false, None)), start, MINUTE),
            AlarmChange::default()
        );
        assert_eq!(alarm.ending("ann"), Some(record("theirs", true, Some("ann"))));
    }
}
