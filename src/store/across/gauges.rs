//! Readings into the gauges that show the queues' state.
//!
//! Asked by every scrape, so that a dashboard shows what is, and by nobody else: gauges that nobody
//! looks at cost nothing. A queue that holds nothing is known to be empty by one plain reading.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::domain::gates::{Gate, GateState, Why, gates};
use crate::domain::limit::StackedLimits;
use crate::domain::state::State;
use crate::store::StoreError;
use crate::store::inbox::Inbox;
use crate::store::queue::{Queue, chosen};
use crate::store::queues::{Counts, Queues};
use crate::store::schedules::Schedules;
use crate::store::topics::{Topic, Topics};
use crate::store::wire::Wire;
use crate::telemetry::{GateLabel, LimitLabel, QueueLabel, ScheduleLabel, StateLabel, TopicLabel};

/// How long a reading is good enough: scrapes by several servers cost one.
const KEPT: Duration = Duration::from_secs(1);

/// The time between two readings counts as held by what the later one finds, as far as this.
const FOUND_FOR_MAX: Duration = Duration::from_secs(60);

/// Queues read at once.
const READ_AT_ONCE: usize = 16;

/// The gauges of everything that is kept; cheap to clone.
#[derive(Debug, Clone)]
pub struct Gauges {
    wire: Wire,
    queues: Queues,
    topics: Topics,
    schedules: Schedules,
    inbox: Inbox,
    shown: Arc<ShownGauges>,
}

/// What the gauges show.
#[derive(Debug, Default)]
struct ShownGauges {
    // Held across the reading on purpose: who comes meanwhile waits for its result.
    read_at: Mutex<Option<Instant>>,
    /// The schedules that are shown.
    schedules: parking_lot::Mutex<HashSet<String>>,
}

impl Gauges {
    pub(in crate::store) fn new(
        wire: &Wire,
        (queues, topics, schedules, inbox): (&Queues, &Topics, &Schedules, &Inbox),
    ) -> Self {
        Self {
            wire: wire.clone(),
            queues: queues.clone(),
            topics: topics.clone(),
            schedules: schedules.clone(),
            inbox: inbox.clone(),
            shown: Arc::default(),
        }
    }

    /// Reads every queue's counts and gates into the gauges, unless that was done a moment ago.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: the gauges show what was read last.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        let mut read_at = self.shown.read_at.lock().await;
        let since = read_at.map(|at| at.elapsed());
        if since.is_some_and(|since| since < KEPT) {
            return Ok(());
        }
        // What was found then is taken to have lasted for no longer than this.
        let since = since.unwrap_or_default().min(FOUND_FOR_MAX);
        let queues = self.wire.queues();
        let shards: Vec<_> = queues.iter().flat_map(|queue| queue.shards.clone()).collect();
        let used = self.queues.used_at_all(&shards).await?;
        let used: HashSet<_> = chosen(&shards, &used).iter().map(|s| s.tag().to_owned()).collect();
        futures_util::stream::iter(queues)
            .map(Ok)
            .try_for_each_concurrent(READ_AT_ONCE, async |queue| {
                let is_used = queue.shards.iter().any(|shard| used.contains(shard.tag()));
                let name = &queue.policy.name;
                let counts =
                    if is_used { self.queues.counts(name).await? } else { Counts::default() };
                show(self, &queue, &counts, (self.wire.time_ms().await?, since));
                Ok(())
            })
            .await?;
        for topic in self.topics.all() {
            refresh_topic(self, &topic).await?;
        }
        self.refresh_schedules().await?;
        refresh_inbox(self).await?;
        *read_at = Some(Instant::now());
        Ok(())
    }
}

async fn refresh_inbox(gauges: &Gauges) -> Result<(), StoreError> {
    if !gauges.inbox.is_enabled() {
        return Ok(());
    }
    let metrics = gauges.wire.metrics();
    let queues = gauges.queues.all();
    let names: Vec<_> =
        queues.iter().filter(|queue| !queue.retired).map(|q| q.policy.name.clone()).collect();
    let backlogs = gauges.inbox.glance(&names).await?;
    let now_ms = gauges.wire.time_ms().await?;
    for (name, backlog) in backlogs {
        let label = QueueLabel { queue: name.to_string() };
        drop((
            metrics.intake.inbox_entries.get_or_create(&label),
            metrics.intake.inbox_rejected.get_or_create(&label),
        ));
        let entries = i64::try_from(backlog.entries).unwrap_or(i64::MAX);
        metrics.intake.inbox_backlog.get_or_create(&label).set(entries);
        let oldest_ms = backlog.oldest_ms.filter(|_| backlog.entries > 0);
        let lag_ms = oldest_ms.map_or(0, |at_ms| now_ms.saturating_sub(at_ms));
        metrics
            .intake
            .inbox_lag_seconds
            .get_or_create(&label)
            .set(Duration::from_millis(lag_ms).as_secs_f64());
    }
    let rejected = i64::try_from(gauges.inbox.rejected().await?).unwrap_or(i64::MAX);
    metrics.intake.inbox_rejected_kept.set(rejected);
    if let Some(stray) = gauges.inbox.stray_streams().await? {
        metrics.intake.inbox_stray_streams.set(i64::try_from(stray).unwrap_or(i64::MAX));
    }
    Ok(())
}

async fn refresh_topic(gauges: &Gauges, topic: &Topic) -> Result<(), StoreError> {
    let outstanding = gauges.topics.outstanding(topic).await?;
    let label = TopicLabel { topic: topic.policy.name.to_string() };
    let metrics = gauges.wire.metrics();
    drop(metrics.intake.topic_events.get_or_create(&label));
    let events = i64::try_from(outstanding.events).unwrap_or(i64::MAX);
    metrics.intake.topic_pending.get_or_create(&label).set(events);
    let age = Duration::from_millis(outstanding.oldest_age_ms.unwrap_or(0)).as_secs_f64();
    metrics.intake.topic_oldest_pending_age_seconds.get_or_create(&label).set(age);
    Ok(())
}

/// Schedules read in one call.
const PAGE: usize = 500;

impl Gauges {
    /// What is gone from Redis is gone from the gauges.
    async fn refresh_schedules(&self) -> Result<(), StoreError> {
        let metrics = self.wire.metrics();
        let (mut after, mut there) = (String::new(), HashSet::new());
        loop {
            let page = self.schedules.list(&after, PAGE).await?;
            let now_ms = self.wire.time_ms().await?;
            for kept in &page.schedules {
                let name = kept.schedule.name.to_string();
                let label = ScheduleLabel { schedule: name.clone() };
                let seconds = |ms: u64| Duration::from_millis(ms).as_secs_f64();
                let late_ms = kept.overdue_ms(now_ms).map_or(0, |at_ms| now_ms - at_ms);
                metrics.schedule.schedule_lag_seconds.get_or_create(&label).set(seconds(late_ms));
                if let Some(last) = &kept.last {
                    metrics
                        .schedule
                        .schedule_last_fired_seconds
                        .get_or_create(&label)
                        .set(seconds(last.fired_ms));
                }
                let paused = i64::from(kept.paused.is_some());
                metrics.schedule.schedule_paused.get_or_create(&label).set(paused);
                drop(metrics.schedule.schedule_fired.get_or_create(&label));
                drop(metrics.schedule.schedule_missed.get_or_create(&label));
                there.insert(name.clone());
                after = name;
            }
            if !page.more {
                break;
            }
        }
        let mut known = self.shown.schedules.lock();
        for name in known.difference(&there) {
            metrics.forget_schedule(name);
        }
        *known = there;
        Ok(())
    }
}

/// What can hold the first message of a queue, in the documented order.
const HOLDING: [Gate; 7] = [
    Gate::Pause,
    Gate::Window,
    Gate::Throttled,
    Gate::Limit,
    Gate::Concurrency,
    Gate::Order,
    Gate::Batch,
];

fn show(gauges: &Gauges, queue: &Queue, counts: &Counts, (now_ms, since): (u64, Duration)) {
    let metrics = gauges.wire.metrics();
    let name = queue.policy.name.to_string();
    for state in State::ALL {
        let label = StateLabel { queue: name.clone(), state: state.as_str() };
        let count = i64::try_from(counts.of(state)).unwrap_or(i64::MAX);
        metrics.queue.queue_messages.get_or_create(&label).set(count);
    }
    for (state, bytes) in
        ["delivered", "dead"].into_iter().zip(counts.kept_bytes.into_iter().flatten())
    {
        let label = StateLabel { queue: name.clone(), state };
        metrics
            .queue
            .kept_bytes
            .get_or_create(&label)
            .set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
    // Shown before the first refusal, so that its first increase is seen.
    drop(metrics.queue.backlog_refused.get_or_create(&QueueLabel { queue: name.clone() }));
    let age_ms = counts.oldest_ready_age_ms.unwrap_or(0);
    let age = Duration::from_millis(age_ms).as_secs_f64();
    metrics
        .queue
        .oldest_ready_age_seconds
        .get_or_create(&QueueLabel { queue: name.clone() })
        .set(age);
    let free_ms = counts.oldest_free_age_ms.unwrap_or(0);
    metrics
        .queue
        .oldest_free_age_seconds
        .get_or_create(&QueueLabel { queue: name.clone() })
        .set(Duration::from_millis(free_ms).as_secs_f64());
    let failing = i64::from(counts.failing.is_some());
    metrics
        .queue
        .downstream_failing
        .get_or_create(&QueueLabel { queue: name.clone() })
        .set(failing);
    let snapshot = counts.snapshot(&queue.policy);
    let gates = gates(&queue.policy, &snapshot, Some(now_ms));
    for limit in gates.stacked().into_iter().flat_map(StackedLimits::limits) {
        let label = LimitLabel { queue: name.clone(), limit: limit.name.to_string() };
        let used = limit.standing.used_share(now_ms, counts.calls_last_minute);
        metrics.queue.limit_used.get_or_create(&label).set(used);
    }
    let holds = |gate: &Gate| matches!(gates.of(*gate), GateState::Held { .. });
    for gate in HOLDING {
        let label = GateLabel { queue: name.clone(), gate: gate.as_str() };
        let held = metrics.queue.held_seconds.get_or_create_owned(&label);
        if counts.of(State::Ready) > 0 && HOLDING.iter().find(|gate| holds(gate)) == Some(&gate) {
            held.inc_by(since.as_secs_f64());
        }
    }
    // Of the fair shares one key always has the turn.
    for gate in [Gate::Pause, Gate::Throttled, Gate::Window, Gate::Limit, Gate::Order] {
        let is_open = match gates.of(gate) {
            GateState::Held { why: Why::KeyUsed, .. } => false,
            // Between two slots of a rate nothing waits for long.
            _ if gate == Gate::Limit => gates.used_quotas().next().is_none(),
            // The last moments of a window's hours are part of them.
            GateState::Open { .. } | GateState::Held { why: Why::WindowCloses { .. }, .. } => true,
            GateState::Held { .. } => false,
        };
        let label = GateLabel { queue: name.clone(), gate: gate.as_str() };
        metrics.queue.gate_open.get_or_create(&label).set(i64::from(is_open));
    }
}
