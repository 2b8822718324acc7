//! The only module that speaks Redis.
//!
//! Owns the keys, the scripts (`lua/`, one verb a file), their callers (one method a verb), the
//! connections and the wake-ups. Refuses to know HTTP, downstreams and when a verb is called.

mod across;
mod actions;
mod audit;
mod callbacks;
mod clock;
mod events;
mod inbox;
mod limits;
mod messages;
mod operations;
mod overrides;
mod preset_id;
mod queue;
mod queues;
mod record;
mod redis;
mod routing;
mod schedules;
mod server;
mod tail;
mod topics;
mod wire;

use std::ops::Deref;
use std::sync::Arc;

pub use across::{Erasures, Gauges, HandOuts, WakeUps};
pub use actions::{ActionOutcome, Actions, NewAction, NotedAction};
pub use audit::{Audit, Audits, Books, IndexFinding};
pub use clock::alarm::ClockAlarm;
pub use clock::time::Clock;
pub use events::{Events, Heard, Subscription};
pub use inbox::{Backlog, Drawn, Inbox, InboxEntry};
pub use limits::{Charged, Limits, SharedLimit};
pub use messages::Messages;
pub use messages::bulk::walk::{WalkPage, WalkStep};
pub use messages::claim::ClaimReply;
pub use messages::claimed::Claimed;
pub use messages::gate::{ClaimStatus, ClaimWish};
pub use messages::housekeeping::{Reaped, Swept};
pub use messages::intake::{Accepted, NotAccepted};
pub use messages::operate::{Changed, Decision, Edit};
pub use messages::permit::{FurtherCall, Permit};
pub use messages::probe::{Doubtful, DueProbes, ProbeTimes};
pub use messages::prune::Pruned;
pub use messages::read::{Page, Part};
pub use messages::receipt::Received;
pub use messages::settle::{Lease, LeaseEnd, Verdict, Way};
pub use operations::{
    Keep, KeptOperation, OPERATIONS_RUNNING_MAX, Operations, Progress, Saved, TakenOperation,
};
pub use overrides::{KeptOverrides, OVERRIDES_MAX, Overrides};
pub use preset_id::PresetId;
pub use queue::{CallTimes, HORIZON_US, Queue, Shard, StructureStanding};
pub use queues::heads::{Earliest, EarliestScores};
pub use queues::{
    BacklogProfile, Counts, KEYS_MAX, KeptKey, KeyPage, KeyWritten, LaneBacklog, PauseInfo, Queues,
    ShardCounts, TimeSteps, WindowTurn,
};
pub use record::RECORD_VERSION;
pub use redis::error::StoreError;
pub use redis::script::Verb;
#[cfg(feature = "failpoints")]
pub use redis::script::assembled_scripts;
pub use routing::Routing;
pub use schedules::{
    Kept, LastTick, Paused, PutSchedule, SchedulePage, Schedules, Sweep, Tick, TickUnderWay,
    Touched,
};
pub use server::Servers;
pub use server::clock_alarms::ClockAlarms;
pub use server::managed::{GUARD_COMMAND, ManagedRedis, ManagedRefused, guard};
pub use server::nodes::{NodeInfo, Nodes};
pub use topics::{Outstanding, Published, Topic, TopicEvent, Topics};
pub use wire::health::{Health, StartRefused};
pub use wire::presence::{NodeId, RollCall};
pub use wire::recovery::rollback::{Rollback, RollbackCause};

use crate::config::Settings;
use crate::shutdown::Tasks;
use crate::telemetry::Metrics;
use wire::Wire;

/// A handle on everything kept in Redis, by families; cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    families: Arc<Families>,
}

/// The families of a store.
#[derive(Debug)]
pub struct Families {
    wire: Wire,
    /// The messages of all queues.
    pub messages: Messages,
    /// The queues that this node knows.
    pub queues: Queues,
    /// The limits that queues share.
    pub limits: Limits,
    /// Events that are kept until each of their queues has them.
    pub topics: Topics,
    /// What puts messages into queues by the calendar.
    pub schedules: Schedules,
    /// Streams that producers fill.
    pub inbox: Inbox,
    /// What operators do to many messages.
    pub operations: Operations,
    /// Every step of an operator.
    pub actions: Actions,
    /// What holds in place of the configuration for a time.
    pub overrides: Overrides,
    /// Changes of state, as they happen.
    pub events: Events,
    /// Looks whether indexes agree with records.
    pub audits: Audits,
    /// The servers that hold all of it.
    pub servers: Servers,
    /// The nodes that share it.
    pub nodes: Nodes,
    /// The alarm after a step of the clock of Redis.
    pub clock_alarms: ClockAlarms,
    /// The way of events into their queues.
    pub hand_outs: HandOuts,
    /// The wake-ups that other nodes send.
    pub wake_ups: WakeUps,
    /// What is done about data that was taken away.
    pub erasures: Erasures,
    /// The gauges of everything that is kept.
    pub gauges: Gauges,
}

impl Deref for Store {
    type Target = Families;

    fn deref(&self) -> &Families {
        &self.families
    }
}

impl Store {
    /// A store on the Redis of these settings; connects when first used.
    ///
    /// `managed_url` is where a managed Redis listens. Tasks of the store (flushing intake, listening
    /// for wake-ups) end with `tasks`.
    #[must_use]
    pub fn new(
        settings: &Settings,
        managed_url: Option<String>,
        metrics: Arc<Metrics>,
        tasks: Tasks,
    ) -> Self {
        redis::script::prepare();
        let wire = Wire::new(settings, managed_url, metrics, tasks);
        let (messages, queues) = (Messages::new(&wire), Queues::new(&wire));
        let (topics, inbox) = (Topics::new(&wire, settings), Inbox::new(&wire, settings));
        let schedules = Schedules::new(&wire, settings);
        Self {
            families: Arc::new(Families {
                limits: Limits::new(&wire),
                operations: Operations::new(&wire),
                actions: Actions::new(&wire),
                overrides: Overrides::new(&wire),
                events: Events::new(&wire),
                audits: Audits::new(&wire),
                servers: Servers::new(&wire),
                nodes: Nodes::new(&wire),
                clock_alarms: ClockAlarms::new(&wire),
                hand_outs: HandOuts::new(&wire, &messages, &topics),
                wake_ups: WakeUps::new(&wire, &messages),
                erasures: Erasures::new(&wire, &queues, &topics, &schedules),
                gauges: Gauges::new(&wire, (&queues, &topics, &schedules, &inbox)),
                messages,
                queues,
                topics,
                schedules,
                inbox,
                wire,
            }),
        }
    }

    /// The clock that follows Redis.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        self.wire.clock()
    }

    /// The metrics that this store counts into.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        self.wire.metrics()
    }
}
