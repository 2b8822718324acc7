//! What a step of Redis' clock means for this store: the alarm is raised, told, waited out and ended,
//! and verbs that go by time are only carried out when the clock stands where it is expected.
//!
//! A step is noticed before it does harm: promote, reap, expire and prune bring the moments between
//! which Redis must find itself, and do nothing outside of them. Refuses to know the loops.

use std::time::Duration;

use redis::cmd;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Wire;
use crate::domain::id::base32;
use crate::store::StoreError;
use crate::store::clock::alarm::{AFTERMATH, Alarm, AlarmChange, AlarmRecord, ClockAlarm};
use crate::store::clock::offset::Seen;
use crate::store::queue::Shard;
use crate::store::redis::keys;
use crate::store::redis::reply::Reply;
use crate::store::redis::script::{TimedCall, fields};

/// When to look again while Redis' clock is in doubt; the end of an alarm wakes sooner.
pub(in crate::store) const DOUBT_PAUSE: Duration = Duration::from_secs(1);

/// Tries of a call whose moment was not as expected: it was held up, or the next one confirms a step.
const TRIES: usize = 4;
/// A last sign of life this far ahead of the clock is of a clock that was set back since.
const SIGN_AHEAD_MS: u64 = 1000;

/// The alarm, and who is to look at once when there is doubt.
#[derive(Debug, Default)]
pub(in crate::store) struct ClockWatch {
    alarm: Alarm,
    doubt: Notify,
}

/// What may go by time, and when it ran, us by Redis.
#[derive(Debug)]
pub(in crate::store) struct Timed {
    pub(in crate::store) now_us: u64,
    pub(in crate::store) reply: Reply,
}

/// From then until something falls due; zero: it was due already.
pub(in crate::store) fn until(now_us: u64, next_ms: Option<u64>) -> Option<Duration> {
    next_ms
        .map(|next_ms| Duration::from_micros(next_ms.saturating_mul(1000).saturating_sub(now_us)))
}

impl Wire {
    /// The alarm that stands.
    pub(in crate::store) fn clock_alarm(&self) -> Option<ClockAlarm> {
        self.watch.alarm.standing()
    }

    /// How long the clock must be steady before the alarm ends.
    pub(in crate::store) fn clock_settle(&self) -> Duration {
        Duration::from_millis(self.settings.clock_settle_ms)
    }

    /// How long leases could be renewed without a break.
    pub(in crate::store) fn calm_for(&self) -> Duration {
        let up_for = self.health().redis_up_for();
        if self.watch.alarm.stands() {
            return Duration::ZERO;
        }
        let over_for = self.watch.alarm.over_for(Instant::now());
        let writable_for = self.capacity.writable_for();
        over_for.into_iter().chain(writable_for).fold(up_for, Duration::min)
    }

    /// Waits until a moment of Redis is not as expected, and ought to be looked at again.
    pub(in crate::store) async fn clock_doubted(&self) {
        self.watch.doubt.notified().await;
    }

    /// Compares the clock with the last signs of life of all nodes, `signs_ms` among them.
    pub(in crate::store) async fn check_clock(
        &self,
        now_ms: u64,
        signs_ms: impl Iterator<Item = u64>,
    ) -> Result<(), StoreError> {
        let (seen_ms, _) = self.clock_record().await?;
        let last_ms = signs_ms.chain(seen_ms).max().unwrap_or(0);
        if last_ms > now_ms + SIGN_AHEAD_MS {
            self.metrics().store.clock_steps.inc();
            let back_ms = i64::try_from(last_ms - now_ms).unwrap_or(i64::MAX);
            self.raise_clock_alarm(-back_ms);
        }
        self.watch_clock().await
    }

    /// Ends the alarm for all nodes; whether one stood.
    pub(in crate::store) async fn end_alarm(&self, by: &str) -> Result<bool, StoreError> {
        // Another node may have raised one that this node has not read yet.
        self.watch_clock().await?;
        let Some(record) = self.watch.alarm.ending(by) else { return Ok(false) };
        self.write_clock_record(&record).await?;
        let turn = self.watch.alarm.meet(Some(record), Instant::now(), self.clock_settle());
        self.carry_out(turn).await?;
        Ok(true)
    }

    /// Whether moments may still stand in Redis that its clock set before it stepped back.
    pub(in crate::store) fn is_aftermath(&self) -> bool {
        let over_for = self.watch.alarm.over_for(Instant::now());
        over_for.is_some_and(|over_for| over_for < AFTERMATH)
    }

    /// Takes a moment of the server that holds `shard` (or what all nodes share).
    pub(in crate::store) fn saw(
        &self,
        shard: Option<&Shard>,
        now_us: u64,
        called: (Instant, Instant),
    ) -> Seen {
        let clock = self.clock();
        let offset = shard.map_or(&clock.clock_offset, |shard| &shard.clock_offset);
        let seen = clock.observe(offset, now_us, called);
        match seen {
            Seen::Steady => {}
            Seen::Doubtful => self.watch.doubt.notify_one(),
            Seen::Stepped(step_us) => {
                self.metrics().store.clock_steps.inc();
                self.raise_clock_alarm(step_us / 1000);
            }
        }
        seen
    }

    fn raise_clock_alarm(&self, step_ms: i64) {
        let id = base32(rand::random(), 12);
        if self.watch.alarm.raise(step_ms, Instant::now(), id) {
            self.say_alarm(step_ms);
            let store = self.clone();
            self.tasks.spawn("clock alarm", async move {
                // At once, so that a node which dies now has told the others; the next beat repeats it.
                if let Err(error) = store.watch_clock().await {
                    tracing::debug!(%error, "the clock alarm could not be written");
                }
            });
        }
    }

    fn say_alarm(&self, step_ms: i64) {
        self.metrics().store.clock_alarm.set(1);
        tracing::error!(
            step_ms,
            settle_s = self.clock_settle().as_secs(),
            "the clock of Redis stepped: due times, the end of leases, expiry and retention wait until it has been steady; \
             look at the time synchronisation of Redis' machine; if the time is right now, `tidegate clock resume`"
        );
    }

    /// The moments between which a call made now must find Redis: none while the alarm stands, any
    /// where nothing is known yet of that server.
    pub(in crate::store) fn moments(&self, shard: &Shard, way: Duration) -> [u64; 2] {
        if self.watch.alarm.stands() {
            return [0, 0];
        }
        let expected = shard.clock_offset.expects(Instant::now(), way);
        expected.map_or([0, u64::MAX], Into::into)
    }

    /// Runs a verb that goes by time, if Redis' clock stands where it is expected; `None`: it does
    /// not, or the alarm stands.
    pub(in crate::store) async fn timed(
        &self,
        shard: &Shard,
        mut call: TimedCall,
    ) -> Result<Option<Timed>, StoreError> {
        let mut way = Duration::ZERO;
        for _ in 0..TRIES {
            if self.watch.alarm.stands() {
                return Ok(None);
            }
            call.expect(self.moments(shard, way));
            let called_at = Instant::now();
            let mut reply = self.call(shard, &call.0).await?;
            let replied_at = Instant::now();
            // A test holds that all such scripts begin so.
            fields!(reply as Promote; is_in_doubt: bool, now_us: u64);
            self.saw(Some(shard), now_us, (called_at, replied_at));
            if !is_in_doubt {
                return Ok(Some(Timed { now_us, reply }));
            }
            // If it was only held up, the next one may be as well.
            way = replied_at - called_at;
        }
        Ok(None)
    }

    /// Looks at the alarm of all nodes, and leaves a sign of life; asked where a beat is too late; see `Nodes::beat`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub(in crate::store) async fn watch_clock(&self) -> Result<(), StoreError> {
        let (_, found) = self.clock_record().await?;
        self.meet_alarm(found).await?;
        let now = self.time_ms().await?.to_string();
        self.keep("HSET", keys::clock(self.namespace()), &[b"seen_ms", now.as_bytes()]).await
    }

    /// Compares what this node knows of the alarm with the record that all nodes share.
    pub(in crate::store) async fn meet_alarm(
        &self,
        found: Option<AlarmRecord>,
    ) -> Result<(), StoreError> {
        let turn = self.watch.alarm.meet(found, Instant::now(), self.clock_settle());
        self.carry_out(turn).await
    }

    async fn carry_out(&self, turn: AlarmChange) -> Result<(), StoreError> {
        if let Some(step_ms) = turn.began {
            self.say_alarm(step_ms);
        }
        if let Some(by) = turn.ended {
            self.metrics().store.clock_alarm.set(0);
            tracing::warn!(
                by,
                "the clock alarm is over: due times, expiry and retention apply again"
            );
            self.wake_schedules();
            for queue in self.queues() {
                for shard in &queue.shards {
                    // A server of a cluster may have stepped unseen while nobody asked it.
                    if !std::sync::Arc::ptr_eq(&shard.clock_offset, &self.clock().clock_offset) {
                        shard.clock_offset.forget();
                    }
                    shard.wake(3);
                    shard.expiry.notify_one();
                }
            }
        }
        match turn.write {
            Some(record) => self.write_clock_record(&record).await,
            None => Ok(()),
        }
    }

    async fn clock_record(&self) -> Result<(Option<u64>, Option<AlarmRecord>), StoreError> {
        let key = keys::clock(self.namespace());
        let value = self.plain(cmd("HMGET").arg(key).arg("seen_ms").arg("alarm")).await?;
        let (seen_ms, json): (Option<u64>, Option<String>) =
            redis::from_redis_value(value).map_err(|error| StoreError::Reply(error.to_string()))?;
        Ok((seen_ms, json.and_then(|json| serde_json::from_str(&json).ok())))
    }

    async fn write_clock_record(&self, record: &AlarmRecord) -> Result<(), StoreError> {
        let json = serde_json::to_string(record).unwrap_or_default();
        self.keep("HSET", keys::clock(self.namespace()), &[b"alarm", json.as_bytes()]).await
    }
}
