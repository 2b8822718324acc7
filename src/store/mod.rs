//! The only room that speaks Redis.
//!
//! Owns the keys, the scripts (`lua/`, one verb a file), their callers (one method a verb), the
//! connections and the wake-ups. Refuses to know HTTP, downstreams and when a verb is called.

mod across;
mod actions;
mod alarm;
mod audit;
mod belief;
mod callbacks;
mod check;
mod claim;
mod claimed;
mod clock;
mod clock_alarms;
mod connect;
mod erasure;
mod error;
mod events;
mod format;
mod gate;
mod given;
mod grant;
mod health;
mod housekeeping;
mod inbox;
mod intake;
mod keys;
mod link;
mod managed;
mod messages;
mod nodes;
mod operate;
mod operations;
#[cfg(feature = "failpoints")]
mod plants;
mod portion;
mod probe;
mod promises;
mod prune;
mod queue;
mod queues;
mod read;
mod receipt;
mod record;
mod reply;
mod restarts;
mod reviews;
mod rights;
mod schedules;
mod script;
mod sentinels;
mod servers;
mod settle;
mod site;
mod survey;
mod tables;
mod tail;
mod topics;
mod trouble;
mod wire;

use std::ops::Deref;
use std::sync::Arc;

pub use across::{Erasures, Gauges, HandOuts, WakeUps};
pub use actions::{ActionOutcome, Actions, NewAction, NotedAction};
pub use alarm::ClockAlarm;
pub use audit::{Audit, Audits, Books, Fault, Finding};
pub use claim::ClaimReply;
pub use claimed::Claimed;
pub use clock::Clock;
pub use clock_alarms::ClockAlarms;
pub use error::StoreError;
pub use events::{Events, Heard, Subscription};
pub use gate::{ClaimStatus, ClaimWish, HORIZON_US};
pub use given::Given;
pub use grant::Permit;
pub use health::{Health, StartRefused};
pub use housekeeping::{Reaped, Swept};
pub use inbox::{Backlog, Entry, Inbox};
pub use intake::{Accepted, NotAccepted};
pub use managed::{GUARD_COMMAND, ManagedRedis, ManagedRefused, guard};
pub use messages::Messages;
pub use nodes::{NodeId, NodeInfo, Nodes, RollCall};
pub use operate::{Changed, Decision, Edit};
pub use operations::{
    Keep, KeptOperation, OPERATIONS_RUNNING_MAX, Operations, Progress, Saved, Stage, Step, Taken,
    WalkPage,
};
pub use probe::{Doubtful, DueProbes, ProbeTimes};
pub use prune::Pruned;
pub use queue::{Queue, Shard};
pub use queues::heads::{Head, Heads};
pub use queues::{Counts, PauseInfo, Queues};
pub use read::{Page, Part};
pub use receipt::{Receipt, ReceiptOf, Received};
pub use record::RECORD_VERSION;
pub use schedules::{
    Kept, LastTick, Paused, PutSchedule, SchedulePage, Schedules, Sweep, Tick, Touched, UnderWay,
};
pub use script::Verb;
pub use servers::Servers;
pub use settle::{Lease, LeaseEnd, Verdict, Way};
pub use topics::{Event, Outstanding, Published, Topic, Topics};
pub use wire::rollback::{Rollback, RollbackCause};

use crate::config::Settings;
use crate::domain::message::When;
use crate::shutdown::Tasks;
use crate::telemetry::Metrics;
use queue::queue_label;
use site::Site;
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
        let wire = Wire::new(settings, managed_url, metrics, tasks);
        let (messages, queues) = (Messages::new(&wire), Queues::new(&wire));
        let (topics, inbox) = (Topics::new(&wire, settings), Inbox::new(&wire, settings));
        let schedules = Schedules::new(&wire, settings);
        Self {
            families: Arc::new(Families {
                operations: Operations::new(&wire),
                actions: Actions::new(&wire),
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

/// A number as an argument of a script.
#[expect(
    clippy::needless_pass_by_value,
    reason = "callers pass numbers, words and references alike"
)]
fn arg(value: impl ToString) -> Vec<u8> {
    value.to_string().into_bytes()
}

/// A moment as an argument of a script, which adds a delay to its own now.
fn when(when: When) -> Vec<u8> {
    when_text(when).into_bytes()
}

fn when_text(when: When) -> String {
    match when {
        When::After(ms) => format!("+{ms}"),
        When::At(ms) => ms.to_string(),
    }
}
