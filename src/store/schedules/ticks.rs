//! What time brings to schedules: sweep, tick, fire, fired.

use std::time::Duration;

use ulid::Ulid;

use super::{Schedules, TickUnderWay, readable};
use crate::domain::headers::NOMINAL_HEADER;
use crate::domain::id::{MessageId, new_ulid};
use crate::domain::message::{NewMessage, Origin, When};
use crate::domain::schedule::{Due, LABEL, Schedule};
use crate::domain::time::rfc3339;
use crate::store::StoreError;
use crate::store::queue::Queue;
use crate::store::record::{OptionalFields, pack_rest, ranks};
use crate::store::redis::reply::Reply;
use crate::store::redis::script::{arg, when};
use crate::store::redis::script::{call, fields, timed_call};
use crate::store::routing::shard_of_text;
use crate::store::wire::clock_watch::{DOUBT_PAUSE, Timed, until};
use crate::store::wire::recovery::acknowledgements::Acknowledged;
use crate::telemetry::{IntakeEnd, IntakeSpan, ScheduleLabel, SpanKind};

/// Schedules that one sweep looks at.
const SWEEP_MAX: usize = 64;
/// How long a node may take from tick to fired before another one takes over: a message comes once
/// whoever brings it, so this is short.
const TAKEOVER_MS: u64 = 2000;
/// How long a shard remembers the last nominal time of each schedule: longer than anything is caught up.
const REMEMBERED_MS: u64 = 400 * 86_400_000;

/// A tick: of which schedule, and which.
#[derive(Debug, Clone)]
pub struct Tick {
    /// The schedule, as it was when the tick was due.
    pub schedule: Schedule,
    /// Its nominal time.
    pub nominal_ms: u64,
    /// The version of the definition that was read.
    version: u64,
    ulid: Ulid,
}

/// What a sweep found.
#[derive(Debug)]
pub struct Sweep {
    /// The moment of the sweep, ms by Redis.
    pub now_ms: u64,
    /// Schedules whose next tick has come, with its nominal time.
    pub due: Vec<Tick>,
    /// Ticks that some node left under way, to be fired now.
    pub left: Vec<Tick>,
    /// Schedules that were looked at because they are due.
    pub looked: usize,
    /// When there may be work again; `None`: when somebody wakes us.
    pub next_in: Option<Duration>,
    /// There may be more that is due.
    pub more: bool,
}

impl Schedules {
    /// What is due, passing over the first `skip`, and what is to be taken over.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn sweep(&self, skip: usize) -> Result<Sweep, StoreError> {
        let shard = &self.wire.schedules_shard;
        let call = timed_call!(Sweep, most = SWEEP_MAX, skip = skip, takeover_ms = TAKEOVER_MS);
        let Some(Timed { now_us, mut reply }) = self.wire.timed(shard, call).await? else {
            let (due, left, next_in) = (Vec::new(), Vec::new(), Some(DOUBT_PAUSE));
            return Ok(Sweep { now_ms: 0, due, left, looked: 0, next_in, more: false });
        };
        fields!(
            reply as Sweep;
            next_ms: Option<u64>, looked: u64, due: Reply, left: Reply
        );
        let looked = usize::try_from(looked).unwrap_or(0);
        let (mut found, mut due) = (due, Vec::new());
        while found.len() > 0 {
            let (name, nominal_ms, version) = (found.text()?, found.count()?, found.count()?);
            if let Some(schedule) = readable(&name, &found.bytes()?) {
                due.push(Tick { schedule, nominal_ms, version, ulid: Ulid::nil() });
            }
        }
        let (mut found, mut left) = (left, Vec::new());
        while found.len() > 0 {
            let (name, intent) = (found.text()?, found.bytes()?);
            let cut = intent.iter().position(|byte| *byte == b'\n').unwrap_or(intent.len());
            let definition = intent.get(cut + 1..).unwrap_or_default();
            let under_way = serde_json::from_slice::<TickUnderWay>(&intent[..cut]).ok();
            let known = under_way.and_then(|it| Some((it.nominal_ms, it.ulid.parse().ok()?)));
            let Some((nominal_ms, ulid)) = known else {
                self.wire.note_foreign("~schedules", &name, &"a tick under way cannot be read");
                continue;
            };
            if let Some(schedule) = readable(&name, definition) {
                left.push(Tick { schedule, nominal_ms, version: 0, ulid });
            }
        }
        let next_in = until(now_us, next_ms);
        Ok(Sweep { now_ms: now_us / 1000, due, left, looked, next_in, more: looked >= SWEEP_MAX })
    }

    /// The tick that is due is this node's to fire, or left out, as was decided; `None`: another node was
    /// first, the schedule changed, or there is nothing to fire.
    ///
    /// # Errors
    /// [`StoreError::UnknownQueue`], [`StoreError::Unavailable`].
    pub async fn tick(&self, tick: &Tick, decided: &Due) -> Result<Option<Tick>, StoreError> {
        let queue = self.taking_queue(&tick.schedule)?;
        let ulid = self.ulid_for(&queue, &tick.schedule, tick.nominal_ms).await?;
        let call = timed_call!(
            Tick,
            name = arg(&tick.schedule.name),
            version = tick.version,
            nominal_ms = tick.nominal_ms,
            fire_ms = decided.fire_ms,
            next_ms = decided.next_ms.map(arg).unwrap_or_default(),
            missed = decided.missed,
            ulid = arg(ulid),
            takeover_ms = TAKEOVER_MS,
        );
        let called = self.wire.timed(&self.wire.schedules_shard, call).await?;
        let Some(Timed { mut reply, .. }) = called else { return Ok(None) };
        fields!(reply as Tick; is_done: bool);
        if !is_done {
            return Ok(None);
        }
        if decided.missed > 0 {
            self.wire
                .metrics()
                .schedule
                .schedule_missed
                .get_or_create(&label(tick))
                .inc_by(decided.missed);
        }
        let Some(nominal_ms) = decided.fire_ms else { return Ok(None) };
        Ok(Some(Tick { nominal_ms, ulid, ..tick.clone() }))
    }

    /// Puts the message of a tick into its queue, if it is not there; then the next tick may come.
    ///
    /// # Errors
    /// [`StoreError::UnknownQueue`], [`StoreError::Full`], [`StoreError::Unavailable`],
    /// [`StoreError::NotDurable`]: it stays under way, and is tried again. [`StoreError::TooLarge`].
    pub async fn fire(&self, tick: &Tick) -> Result<(), StoreError> {
        let schedule = &tick.schedule;
        let queue = self.taking_queue(schedule)?;
        let id = MessageId { queue: schedule.queue.clone(), ulid: tick.ulid };
        let shard = queue.shard_of(&id);
        self.wire.check_capacity(&shard.keys.all[0])?;
        let mut message = message_of(schedule, tick.nominal_ms);
        let span = self.begin_trace(&mut message);
        let message = queue.policy.with_default_ttl(message, Origin::Schedule);
        let version = self.wire.format.version();
        let fields = OptionalFields::default().or_of_new(version, &message.details);
        let call = call!(
            Fire,
            schedule = arg(&schedule.name),
            nominal_ms = tick.nominal_ms,
            version = version,
            ulid = arg(tick.ulid),
            expires = message.expires.map(when).unwrap_or_default(),
            ranks = ranks(&queue.policy, &message, &fields),
            rest = pack_rest(&message, 0, &fields)?,
            remembered_ms = REMEMBERED_MS,
            keep_ms = queue.policy.retention.delivered_ms,
        )
        .collapsing(fields.has_collapse_key());
        if fields.has_collapse_key() {
            shard.collapse_keys.seen();
        }
        let mut reply = self.wire.call_durably(shard, &call).await?;
        fields!(reply as Fire; wake: u64, sequence: u64, is_new: bool);
        shard.wake(wake);
        if is_new {
            let acknowledged = Acknowledged { ulid: tick.ulid, sequence: sequence + 1 };
            self.wire.acknowledgements.accepted(shard.mark(), std::iter::once(acknowledged));
            if message.expires.is_some() {
                shard.expiry.notify_one();
            }
            queue.metrics.count("schedule", 1);
            self.end_trace(span, &id);
            self.wire.metrics().schedule.schedule_fired.get_or_create(&label(tick)).inc();
        }
        let name = arg(&schedule.name);
        let call = call!(Fired, name = name, ulid = arg(tick.ulid), id = arg(id));
        self.wire.call(&self.wire.schedules_shard, &call).await.map(drop)
    }

    /// Begins a trace with the message of a tick, where one is made of it.
    fn begin_trace(&self, message: &mut NewMessage) -> Option<IntakeSpan> {
        let tracer = self.wire.metrics().tracer.as_ref()?;
        tracer.begin_intake(SpanKind::Internal, &mut message.details, self.wire.clock.now_us()?)
    }

    fn end_trace(&self, span: Option<IntakeSpan>, id: &MessageId) {
        let (Some(span), Some(tracer)) = (span, &self.wire.metrics().tracer) else { return };
        let end = IntakeEnd {
            destination: id.queue.as_str(),
            id: Ok(id.to_string()),
            is_duplicate: false,
            is_collapsed: false,
            at_us: self.wire.clock.now_us().unwrap_or_default(),
        };
        tracer.end_intake(span, end);
    }

    /// The message that a run of a schedule beside its cadence takes in now. With the same key it is the same run.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn message_now(
        &self,
        schedule: &Schedule,
        key: Option<&str>,
    ) -> Result<NewMessage, StoreError> {
        let now_ms = self.wire.read_time().await? / 1000;
        let mut message = message_of(schedule, now_ms);
        let name = &schedule.name;
        message.details.idempotency_key = key.map(|key| format!("schedule/{name}/{key}"));
        Ok(message)
    }

    /// The queue, if it takes messages here.
    fn taking_queue(&self, schedule: &Schedule) -> Result<std::sync::Arc<Queue>, StoreError> {
        let queue = self.wire.queue(&schedule.queue)?;
        if queue.retired {
            return Err(StoreError::UnknownQueue(schedule.queue.to_string()));
        }
        Ok(queue)
    }

    /// In the shard of its key. If messages may go into any shard: in that of the group, and those without one in the shard
    /// of the schedule. The ticks of a schedule are remembered there.
    async fn ulid_for(
        &self,
        queue: &Queue,
        schedule: &Schedule,
        nominal_ms: u64,
    ) -> Result<Ulid, StoreError> {
        let (shards, random) = (queue.policy.shards, rand::random());
        let number = queue.routing().shard_of(&message_of(schedule, nominal_ms).details);
        let number = number.unwrap_or_else(|| {
            let text = schedule.details.group.as_deref().unwrap_or(schedule.name.as_str());
            shard_of_text(text, shards)
        });
        Ok(new_ulid(self.wire.time_ms().await?, number, shards, random))
    }
}

/// The message of a tick.
fn message_of(schedule: &Schedule, nominal_ms: u64) -> NewMessage {
    let mut details = schedule.cadence.places(schedule.details.clone());
    details.headers.push((NOMINAL_HEADER.to_owned(), rfc3339(nominal_ms)));
    details.labels.entry(LABEL.to_owned()).or_insert_with(|| schedule.name.to_string());
    NewMessage {
        payload: schedule.payload.clone(),
        details,
        due: When::After(0),
        expires: schedule.ttl_ms.map(When::After),
        priority: schedule.priority,
        // Told apart by key alone: two runs with one key are one, whatever the schedule is by then.
        fingerprint: [0; 16],
    }
}

fn label(tick: &Tick) -> ScheduleLabel {
    ScheduleLabel { schedule: tick.schedule.name.to_string() }
}
