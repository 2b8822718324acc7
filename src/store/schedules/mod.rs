//! Schedules as Redis keeps them: what each is, and where it stands.
//!
//! Owns reading them, and what operators do to them; `definition` owns their packed form, `ticks` what
//! time brings. Refuses to know when a schedule is looked at (see `workers::Recurring`).
//!
//! All schedules of a namespace share one hash tag and are called like a shard. A tick goes in three
//! steps, each safe to repeat: `tick` (this nominal time is under way, under this id, for this queue; for
//! one node only), `fire` (the message is in its queue; there the shard remembers the nominal time), `fired`
//! (the next may come). What a dead node leaves under way is taken over.

mod configured;
mod definition;
mod ticks;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arc_swap::ArcSwap;
use bytes::Bytes;
use serde::Deserialize;

use self::definition::{pack, unpack};
use crate::config::Settings;
use crate::domain::schedule::{Schedule, ScheduleName, Source};
use crate::store::StoreError;
use crate::store::queue::Shard;
use crate::store::redis::reply::Reply;
use crate::store::redis::script::arg;
use crate::store::redis::script::{Call, call, fields, rows};
use crate::store::wire::Wire;

pub use self::ticks::{Sweep, Tick};

/// Most schedules of a namespace: the bound of every list of them.
const SCHEDULES_MAX: usize = 10_000;
/// Looks at a schedule that changes under our hands.
const TRIES: usize = 5;

/// Schedules as Redis keeps them, and those of this node's configuration; cheap to clone.
#[derive(Debug, Clone)]
pub struct Schedules {
    wire: Wire,
    state: Arc<Configured>,
}

#[derive(Debug)]
struct Configured {
    /// What this node's configuration has.
    configured: ArcSwap<BTreeMap<ScheduleName, Arc<Schedule>>>,
    /// The configuration was loaded, and Redis does not know it yet.
    is_news: AtomicBool,
}

/// A schedule as it stands.
#[derive(Debug, Clone)]
pub struct Kept {
    /// What it is.
    pub schedule: Schedule,
    /// Who made it.
    pub source: Source,
    /// Its next nominal time; `None` while it is paused.
    pub next_ms: Option<u64>,
    /// It ticks no more until it is resumed.
    pub paused: Option<Paused>,
    /// Its last tick.
    pub last: Option<LastTick>,
    /// Its tick that is under way: due, and not in its queue yet.
    pub under_way: Option<TickUnderWay>,
    /// How many ticks it has fired.
    pub fired: u64,
    /// How many were left out (of many at once, at least so many).
    pub missed: u64,
    version: u64,
}

impl Kept {
    /// The nominal time of the oldest tick that has come and is not in its queue yet.
    #[must_use]
    pub fn overdue_ms(&self, now_ms: u64) -> Option<u64> {
        let under_way = self.under_way.as_ref().map(|tick| tick.nominal_ms);
        under_way.or(self.next_ms).filter(|at_ms| *at_ms <= now_ms)
    }
}

/// That a schedule is paused.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Paused {
    /// Since when.
    #[serde(rename = "since")]
    pub since_ms: u64,
    /// Why.
    pub reason: String,
    /// By whom.
    pub by: String,
}

/// The last tick of a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastTick {
    /// Its nominal time.
    pub nominal_ms: u64,
    /// When it fired.
    pub fired_ms: u64,
    /// Its message.
    pub message_id: String,
}

/// A tick that is due and not in its queue yet.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct TickUnderWay {
    /// Its nominal time.
    #[serde(rename = "n")]
    pub nominal_ms: u64,
    /// Since when.
    #[serde(rename = "s")]
    pub since_ms: u64,
    /// The ULID of its message.
    #[serde(rename = "u")]
    ulid: String,
}

/// A page of schedules, in the order of their names.
#[derive(Debug)]
pub struct SchedulePage {
    /// The schedules.
    pub schedules: Vec<Kept>,
    /// There are more after the last one.
    pub more: bool,
}

/// What a new definition came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutSchedule {
    /// There was none of this name.
    Created,
    /// It took another's place.
    Replaced,
    /// It was so already.
    Same,
    /// The name is the configuration's, and not the API's to change.
    Configured,
    /// There are too many.
    TooMany,
}

/// What a step on a schedule came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Touched {
    /// Done.
    Done,
    /// There is none of this name.
    NotFound,
    /// It is the configuration's.
    Configured,
}

/// The state as the scripts keep it.
#[derive(Debug, Deserialize)]
struct Stored {
    v: u64,
    p: Option<Paused>,
    n: Option<u64>,
    f: Option<u64>,
    i: Option<String>,
    c: u64,
    m: u64,
}

impl Schedules {
    pub(super) fn new(wire: &Wire, settings: &Settings) -> Self {
        let state = Configured {
            configured: ArcSwap::from_pointee(settings.schedules.clone()),
            is_news: AtomicBool::new(true),
        };
        Self { wire: wire.clone(), state: Arc::new(state) }
    }

    /// Wakes whoever sweeps on this node.
    pub fn wake(&self) {
        self.wire.wake_schedules();
    }

    /// Rings when a schedule may tick sooner than was known.
    #[must_use]
    pub fn shard(&self) -> Arc<Shard> {
        Arc::clone(&self.wire.schedules_shard)
    }

    /// A schedule by its name.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn get(&self, name: &ScheduleName) -> Result<Option<Kept>, StoreError> {
        let page = self.read(name.as_str(), "", 1).await?;
        Ok(page.schedules.into_iter().next())
    }

    /// A page of schedules, those after `after`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn list(&self, after: &str, limit: usize) -> Result<SchedulePage, StoreError> {
        self.read("", after, limit).await
    }

    async fn read(
        &self,
        name: &str,
        after: &str,
        limit: usize,
    ) -> Result<SchedulePage, StoreError> {
        let call = call!(ReadSchedules, wanted = name, after = after, most = limit);
        let mut reply = self.wire.read(&self.wire.schedules_shard, &call).await?;
        fields!(reply as ReadSchedules; has_more: bool);
        rows!(reply as ReadSchedules);
        let mut schedules = Vec::new();
        while reply.len() > 0 {
            schedules.extend(read_kept(&mut reply)?);
        }
        Ok(SchedulePage { schedules, more: has_more })
    }

    /// Writes a definition by the API.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Full`], [`StoreError::NotDurable`].
    pub async fn put(&self, schedule: &Schedule) -> Result<PutSchedule, StoreError> {
        Ok(self.write(schedule, "").await?.0)
    }

    /// Also says whether it was the API's and is the configuration's now.
    async fn write(
        &self,
        schedule: &Schedule,
        node: &str,
    ) -> Result<(PutSchedule, bool), StoreError> {
        let shard = &self.wire.schedules_shard;
        self.wire.check_capacity(&shard.keys.all[0])?;
        let call = call!(
            PutSchedule,
            name = arg(&schedule.name),
            definition = pack(schedule),
            cadence = arg(&schedule.cadence),
            first_ms = self.first_tick(schedule).await?,
            node = node,
            schedules_max = SCHEDULES_MAX,
        );
        let mut reply = self.wire.call_durably(shard, &call).await?;
        fields!(reply as PutSchedule; code: i64, is_taken: bool);
        let put = match code {
            0 => PutSchedule::Created,
            1 => PutSchedule::Replaced,
            2 => PutSchedule::Same,
            3 => PutSchedule::Configured,
            _ => PutSchedule::TooMany,
        };
        self.wire.wake_schedules();
        Ok((put, is_taken))
    }

    /// The first nominal time from now on, as scripts take it.
    async fn first_tick(&self, schedule: &Schedule) -> Result<Vec<u8>, StoreError> {
        let now_ms = self.wire.read_time().await? / 1000;
        Ok(schedule.cadence.next_after(now_ms).map(arg).unwrap_or_default())
    }

    /// Takes a schedule of the API away. A tick that is under way still comes.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::NotDurable`].
    pub async fn delete(&self, name: &ScheduleName) -> Result<Touched, StoreError> {
        let touched = self.touch(&call!(DeleteSchedule, name = arg(name))).await?;
        Ok(touched.unwrap_or(Touched::NotFound))
    }

    /// Stops a schedule, until it is resumed.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::NotDurable`].
    pub async fn pause(
        &self,
        name: &ScheduleName,
        reason: &str,
        by: &str,
    ) -> Result<Touched, StoreError> {
        let call = call!(PauseSchedule, name = arg(name), reason = reason, by = by);
        Ok(self.touch(&call).await?.unwrap_or(Touched::NotFound))
    }

    /// Lets a paused schedule tick again, from now on.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::NotDurable`].
    pub async fn resume(&self, name: &ScheduleName) -> Result<Touched, StoreError> {
        for _ in 0..TRIES {
            let Some(kept) = self.get(name).await? else { break };
            let first = self.first_tick(&kept.schedule).await?;
            let name = arg(name);
            let call = call!(ResumeSchedule, name = name, version = kept.version, first_ms = first);
            if let Some(touched) = self.touch(&call).await? {
                return Ok(touched);
            }
        }
        Ok(Touched::NotFound)
    }

    /// `None`: it was changed meanwhile.
    async fn touch(&self, call: &Call) -> Result<Option<Touched>, StoreError> {
        let mut reply = self.wire.call_durably(&self.wire.schedules_shard, call).await?;
        // All three answer alike, as a test holds.
        fields!(reply as ResumeSchedule; code: i64);
        let touched = match code {
            0 => Touched::Done,
            2 => return Ok(None),
            3 => Touched::Configured,
            _ => Touched::NotFound,
        };
        self.wire.wake_schedules();
        Ok(Some(touched))
    }
}

/// `None`: it cannot be read, as one that a newer version wrote; the log says so.
fn read_kept(reply: &mut Reply) -> Result<Option<Kept>, StoreError> {
    fields!(
        row of reply as ReadSchedules;
        name: String, is_configured: bool, next_ms: Option<u64>, state: Bytes, intent: Bytes,
        definition: Bytes
    );
    let Ok(state) = serde_json::from_slice::<Stored>(&state) else {
        tracing::debug!(schedule = name, "the state of a schedule cannot be read");
        return Ok(None);
    };
    let Some(schedule) = readable(&name, &definition) else { return Ok(None) };
    let last = state.n.zip(state.f).map(|(nominal_ms, fired_ms)| LastTick {
        nominal_ms,
        fired_ms,
        message_id: state.i.unwrap_or_default(),
    });
    Ok(Some(Kept {
        schedule,
        source: if is_configured { Source::Config } else { Source::Api },
        next_ms,
        paused: state.p,
        last,
        under_way: serde_json::from_slice(&intent).ok(),
        fired: state.c,
        missed: state.m,
        version: state.v,
    }))
}

fn readable(name: &str, definition: &[u8]) -> Option<Schedule> {
    let read = unpack(name, definition);
    read.inspect_err(|why| tracing::error!(schedule = name, why, "a schedule cannot be read")).ok()
}
