//! What a run leaves behind: what was sent, what arrived, what became of it, and what was done to the
//! system meanwhile.
//!
//! Owns the plain data between the rig, which writes it, and the checker, which judges it. All
//! moments are of this machine's wall clock, in microseconds since the epoch unless they say `_ms`.
//! Refuses to know how it was recorded and what makes it good or bad.

use serde::{Deserialize, Serialize};

use super::flow::{Key, Limit};

/// A whole run, after its drain.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct History {
    /// By their place here, queues are named below.
    pub(crate) queues: Vec<Queue>,
    pub(crate) sent: Vec<Sent>,
    /// In the order of the recorder's log.
    pub(crate) arrivals: Vec<Arrival>,
    pub(crate) finals: Vec<Final>,
    pub(crate) faults: Vec<Fault>,
    /// What the rig, as an operator, said about uncertain messages.
    pub(crate) decisions: Vec<Decision>,
    /// What the rig, as an operator, did to messages that waited.
    pub(crate) moves: Vec<Move>,
    /// Ids that the daemons still hold in a state that is not final: empty after a full drain.
    pub(crate) left: Vec<String>,
    /// How slow this machine was at worst, where nobody knows when: no moment is known better.
    pub(crate) stall_us: u64,
    /// Moments at which it was slow, in their order.
    pub(crate) lags: Vec<Lag>,
    /// Callbacks as they arrived.
    pub(crate) told: Vec<Told>,
    /// What the rig, as a downstream, said later about messages that it had accepted.
    pub(crate) receipts: Vec<Receipt>,
    /// What the recorder was asked about messages.
    pub(crate) probes: Vec<Probe>,
}

/// An exchange with the recorder that costs next to nothing on an idle machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lag {
    /// When it ended.
    pub(crate) at_us: u64,
    pub(crate) took_us: u64,
}

/// What was asked of a queue.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Queue {
    pub(crate) name: String,
    /// Calls that may be under way at once, over all nodes.
    pub(crate) concurrency: u32,
    /// Messages in one call at most; 1 without batches.
    pub(crate) batch_max: u32,
    pub(crate) limits: Vec<Limit>,
    /// Of messages with one value of this key, one is on its way at a time, and they begin in their order.
    pub(crate) order: Option<Key>,
    /// Half-open openings in which a call may start; `None`: always open.
    pub(crate) open_ms: Option<Vec<(u64, u64)>>,
    /// Its messages have collapse keys.
    #[serde(default)]
    pub(crate) collapses: bool,
    /// `on_uncertain = "park"`: never twice without a decision.
    pub(crate) parks: bool,
    /// `redis.settle = "replicas"`: a slot comes free when the replicas have the outcome of its call.
    #[serde(default)]
    pub(crate) settles_at_replicas: bool,
    pub(crate) timeout_ms: u64,
    pub(crate) lease_ms: u64,
    /// Every final state of its messages is told by a callback.
    pub(crate) tells: bool,
    /// Its downstream accepts now and says later what became of a message.
    pub(crate) accepts: bool,
    /// `on_uncertain = "probe"`: what was booked never comes again.
    pub(crate) probes: bool,
    /// A schedule sends into it so often; 0 for none. Its messages carry their nominal time as key.
    pub(crate) every_ms: u64,
}

impl Queue {
    /// A quota may hold its messages for longer than a run.
    pub(crate) fn has_quota(&self) -> bool {
        self.limits.iter().any(Limit::is_quota)
    }

    pub(crate) fn has_keys(&self) -> bool {
        self.order.is_some() || self.limits.iter().any(|limit| limit.per.is_some())
    }
}

/// A callback at its receiver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Told {
    pub(crate) at_us: u64,
    /// Its own.
    pub(crate) id: String,
    /// Of the message that it tells of.
    pub(crate) subject: String,
    /// The final state that it tells.
    pub(crate) state: String,
}

/// A receipt that a daemon took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Receipt {
    pub(crate) at_us: u64,
    pub(crate) id: String,
    /// Told under the downstream's own reference, which its answer brought, instead of the id.
    pub(crate) is_by_reference: bool,
    /// `delivered` or `dead`.
    pub(crate) status: String,
    /// `ok`, `kept`, `already`; `waits`: not yet, it is to be sent again; or how the daemon contradicted it.
    pub(crate) verdict: String,
}

/// A question about a message, and the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Probe {
    pub(crate) at_us: u64,
    pub(crate) id: String,
    /// Whether it was booked.
    pub(crate) found: bool,
}

/// One message as its producer knows it; of an event of a topic, one for each of its queues, all with one
/// key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sent {
    /// The idempotency key, which the body carries too.
    pub(crate) key: u64,
    pub(crate) queue: usize,
    /// Of the payload's bytes, see [`body_hash`].
    pub(crate) body_hash: u64,
    /// When it was to leave at the earliest; 0 for at once.
    pub(crate) due_ms: u64,
    /// When it was to be given up; 0 for never.
    pub(crate) expires_ms: u64,
    /// What the queue orders and limits by; none: it has no such value.
    pub(crate) group: Option<u32>,
    pub(crate) customer: Option<u32>,
    /// Of messages with this value only the newest counts; none: it has no collapse key.
    #[serde(default)]
    pub(crate) collapse_key: Option<u32>,
    /// The daemon said that it took the place of the message whose id it has.
    #[serde(default)]
    pub(crate) is_collapsed: bool,
    /// In units.
    pub(crate) cost: u32,
    /// When the first request with this key left.
    pub(crate) first_try_us: u64,
    /// The request that surely brought it in; its rows are in the order of their keys. None: it was sent more than
    /// once, and nobody knows which one did.
    pub(crate) request: Option<u64>,
    pub(crate) verdict: Verdict,
}

/// What the producer got to know in the end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Verdict {
    /// 201 (or 200 with `duplicate`) with this id, at this moment.
    Accepted { id: String, at_us: u64 },
    /// A definite no on the first request: it must not arrive.
    Refused,
    /// The producer gave up, or the answer to an earlier request was never known: it may arrive.
    #[default]
    Unknown,
}

/// One message at the downstream; a batch of n leaves n of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Arrival {
    /// When its call had been read.
    pub(crate) at_us: u64,
    /// Calls are counted from 0: the items of a batch share one.
    pub(crate) call: u64,
    pub(crate) queue: usize,
    pub(crate) id: String,
    /// From the body; `None` if the body is not one of ours.
    pub(crate) key: Option<u64>,
    pub(crate) attempt: u32,
    pub(crate) body_hash: u64,
    /// Which life of which node made the call.
    pub(crate) by: Life,
    pub(crate) answer: Answer,
    /// When the answer was to leave; equals `at_us` for one that left at once.
    pub(crate) answer_at_us: u64,
}

/// One life of a daemon: the node and how often it had been started before.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub(crate) struct Life {
    pub(crate) node: u32,
    pub(crate) boot: u32,
}

/// What the downstream did with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// 200.
    Taken,
    /// 200, and words that mean nothing.
    Garbage,
    /// It did what was asked, and then cut the connection without a word.
    TakenUnsaid,
    /// It did what was asked, and never answered.
    TakenSilence,
    /// It did nothing and cut the connection: the caller cannot tell.
    Unsaid,
    /// It did nothing and never answered: the caller cannot tell.
    Silence,
    /// 500: under `park` unknown, else a failure.
    Failed,
    /// 429 with Retry-After: no attempt.
    Throttled,
    /// 422: for good.
    Refused,
}

impl Answer {
    /// Whether the downstream did what was asked.
    pub(crate) fn is_booking(self) -> bool {
        matches!(self, Self::Taken | Self::Garbage | Self::TakenUnsaid | Self::TakenSilence)
    }
}

/// What the daemons say about a final message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Final {
    pub(crate) id: String,
    /// `delivered`, `dead`, `expired`, `cancelled`.
    pub(crate) state: String,
    pub(crate) attempts: u32,
    pub(crate) reason: String,
}

/// `resolve`, asked for at this moment; it may have been asked for twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Decision {
    pub(crate) at_us: u64,
    pub(crate) id: String,
    pub(crate) resolved: Resolved,
}

/// A message that an operator took out of its place, asked for at this moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Move {
    pub(crate) at_us: u64,
    pub(crate) id: String,
    pub(crate) how: Moved,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum Moved {
    /// It is due at once, behind all that is.
    Run,
    /// It has another due time.
    Rescheduled,
    Cancelled,
    /// It was final and begins anew.
    Requeued,
}

/// `as` of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Resolved {
    /// The recorder has it.
    Delivered,
    /// The recorder has no trace of it: one more call is right.
    Resend,
}

/// What was done to the system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fault {
    /// When it began.
    pub(crate) at_us: u64,
    /// When it was over: the process ran again, Redis took writes again; equals `at_us` where
    /// nothing had to come back.
    pub(crate) until_us: u64,
    pub(crate) kind: FaultKind,
    /// Whose, where it hit a daemon.
    pub(crate) life: Option<Life>,
    /// The failpoint, by how much a clock stepped: whatever the name does not say.
    pub(crate) detail: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum FaultKind {
    /// `kill -9`, or a death at a failpoint.
    DaemonKill,
    /// SIGTERM, waited for.
    DaemonStop,
    /// SIGSTOP until `until_us`.
    DaemonPause,
    RedisKill,
    RedisPause,
    /// The master of a shard or set gave way to a replica: killed, stopped, or by plan.
    FailoverKill,
    FailoverPause,
    FailoverPlanned,
    Reshard,
    WireCut,
    WireBlackhole,
    WireHalfReply,
    WireDelay,
    ClockStep,
    MemoryFull,
    DiskFull,
    DownstreamBad,
    IdleClients,
}

/// FNV-1a, as good as any against bytes that were damaged by mistake.
pub(crate) fn body_hash(body: &[u8]) -> u64 {
    body.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
