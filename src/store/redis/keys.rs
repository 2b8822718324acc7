//! Every key name, with its Redis type; no other place makes one.
//!
//! All keys of a shard carry one hash tag, `{<namespace>:<queue>.<shard>}`, so one script touches
//! one slot. A script names them as `K.<name>` and declares those (see `assembly`).

use crate::domain::id::QueueName;
use crate::domain::inbox::REJECTED;
use crate::domain::limit::LimitName;
use crate::domain::topic::TopicName;

/// The structures of a shard.
pub(crate) const SHARD_KEYS: [&str; 63] = [
    "meta",      // hash: pause, gate, arrival time, counters
    "records",   // hash: ulid → record
    "states",    // hash: ulid → state entry
    "history",   // hash: ulid → past attempts
    "due",       // zset: entry by due time, ms
    "leased",    // zset: ulid by lease deadline, ms
    "exchanges", // zset: claim token by lease deadline, ms (queues with batches)
    "expiry",    // zset: ulid by expires_at, ms (waiting messages with a ttl)
    "uncertain", // zset: ulid by the moment it was parked, ms
    "accepted",  // zset: ulid by the moment it was accepted, ms
    "delivered", // zset: ulid by purge time, ms
    "dead",      // zset: ulid by purge time, ms
    "expired",   // zset: ulid by purge time, ms
    "cancelled", // zset: ulid by purge time, ms
    "idem:new",  // hash: idempotency key → ulid and fingerprint, this generation
    "idem:old",  // hash: the generation before
    "claims",    // hash: node → its last claim
    "waited",    // zset: ulid that somebody waits for, by the end of the wait, ms
    "ready:0",   // list: entries of band 0, the lowest
    "ready:1",
    "ready:2",
    "ready:3",
    "ready:4",
    "ready:5",
    "ready:6",
    "ready:7",
    "ready:8",
    "ready:9",  // list: entries of band 9, the first to go
    "probes",   // zset: uncertain ulid by when the downstream is asked about it, ms
    "ticks",    // zset: schedule by the nominal time of its last message, ms
    "refs",     // hash: a downstream's reference → ulid
    "early",    // hash: `=` ulid or `#` reference → a receipt that came before the acceptance
    "looks",    // zset: `r` reference or `e` field of early, by when it is looked at again, ms
    "events",   // stream: changes of state, while somebody listens
    "collapse", // hash: hash of a collapse key → the messages of it that are not final
    // The index of lanes, at queues with keys (docs/lanes.md; "equal scores": members stand in the order of their bytes).
    "heads",        // hash: lane → its first message, and where the lane stands
    "rest",         // zset of equal scores: lane, place and ulid of the messages behind the heads
    "open", // zset of equal scores: level, flow, place and lane of the lanes that nothing holds
    "parked", // zset of equal scores: blocker, level, flow, place and lane of those that a limit by key holds
    "waits",  // zset: blocker by when it lets one unit pass, us
    "lent",   // hash: blocker → the lane that it has let go
    "tags",   // zset: flow by start tag, of those that have no turn
    "arrivals", // zset: limit and key by theoretical arrival time, us
    "used",   // zset: limit and key by the end of the period and the units used in it
    "flight", // hash: limit and key → calls in flight
    "held",   // hash: ulid → what its lease has to give back
    "weights", // hash: flow → weight, in thousandths
    "key_settings", // zset of equal scores: a key and what it was given at run time
    "key_values", // hash: limit and key → what it allows this key; key → weight, in thousandths
    "key_parts", // hash: weight, or a limit → how many keys were given that
    "turns:0", // zset: flow by start tag, of those with an open lane of level 0, the lowest
    "turns:1",
    "turns:2",
    "turns:3",
    "turns:4",
    "turns:5",
    "turns:6",
    "turns:7",
    "turns:8",
    "turns:9",
    // At queues that count their backlog (`lua/include/lanes/backlog.lua`).
    "backlog",      // hash: ulid → the value of the key and the bytes that it is counted as
    "backlog:keys", // hash: value of the key → messages of it
    "backlog:at",   // string: how far the counting of what was there before is
];

/// The structures of all schedules, in the order of `KEYS` (`lua/include/schedules.lua`). They carry one
/// hash tag, `{<namespace>:~schedules}`, which no queue can have.
pub(crate) const SCHEDULE_KEYS: [&str; 7] = [
    "names",       // zset: every schedule, in the order of the names
    "next",        // zset: schedule by its next nominal time, ms; not while paused
    "definitions", // hash: schedule → what it is
    "states",      // hash: schedule → version, pause, last tick, counters
    "firing",      // zset: schedule by when its tick under way may be taken over, ms
    "intents",     // hash: schedule → its tick under way: nominal time, ulid, definition
    "held",        // hash: schedule of the configuration → the nodes that have it
];

/// What a final state writes of the queue's callbacks: of the second set of these structures under the
/// same tag, `{<tag>}:callbacks:<name>`, which the internal queue `<queue>~callbacks` works on. They
/// follow the others.
pub(crate) const CALLBACK_KEYS: [&str; 3] = ["meta", "records", "ready:0"];

/// All of them as scripts write them: `idem_new`, `ready_0`, `callbacks_meta`; in the order of
/// [`ShardKeys::all`].
pub(in crate::store) fn shard_key_names() -> Vec<String> {
    let own = SHARD_KEYS.iter().map(|name| name.replace(':', "_"));
    let told = CALLBACK_KEYS.iter().map(|name| format!("callbacks_{}", name.replace(':', "_")));
    own.chain(told).collect()
}

/// The keys of one shard, made once.
#[derive(Debug, Clone)]
pub(crate) struct ShardKeys {
    /// `<namespace>:<queue>.<shard>`, as it stands in wake-ups.
    pub(crate) tag: String,
    /// In the order of [`SHARD_KEYS`] and [`CALLBACK_KEYS`].
    pub(crate) all: Vec<String>,
}

impl ShardKeys {
    pub(crate) fn new(namespace: &str, queue: &QueueName, shard: u16) -> Self {
        let tag = format!("{namespace}:{queue}.{shard}");
        let (slot, set) = match queue.callbacks_of() {
            Some(told) => (format!("{namespace}:{told}.{shard}"), "callbacks:"),
            None => (tag.clone(), ""),
        };
        let own = SHARD_KEYS.iter().map(|name| format!("{{{slot}}}:{set}{name}"));
        let told = CALLBACK_KEYS.iter().map(|name| format!("{{{slot}}}:callbacks:{name}"));
        let all = own.chain(told).collect();
        Self { tag, all }
    }

    /// The keys of all schedules: they are no shard, and are called like one.
    pub(crate) fn of_schedules(namespace: &str) -> Self {
        let tag = format!("{namespace}:~schedules");
        let all = SCHEDULE_KEYS.iter().map(|name| format!("{{{tag}}}:{name}")).collect();
        Self { tag, all }
    }

    /// The keys of the account of a shared limit, named like those of a shard (see `lua/include/shared.lua`).
    pub(crate) fn of_limit(namespace: &str, limit: &LimitName) -> Self {
        let tag = format!("{namespace}:~limit.{limit}");
        let own = SHARD_KEYS.iter().map(|name| format!("{{{tag}}}:{name}"));
        let told = CALLBACK_KEYS.iter().map(|name| format!("{{{tag}}}:callbacks:{name}"));
        let all = own.chain(told).collect();
        Self { tag, all }
    }
}

/// The structures of a topic, in the order of `KEYS` (`lua/include/topic.lua`).
pub(crate) const TOPIC_KEYS: [&str; 8] = [
    "meta",     // hash: counters, when the idempotency keys turned
    "events",   // hash: ulid → an event that some queue lacks still
    "due",      // zset: ulid by the moment from which any node may complete it, ms
    "put_off",  // zset: the same of events that some queue could not take
    "born",     // zset: ulid by the moment it was published, ms
    "left",     // hash: ulid → the queues that lack it, by comma; absent: all of them
    "idem:new", // hash: idempotency key → ulid, fingerprint and queues, this generation
    "idem:old", // hash: the generation before
];

/// The keys of one topic, made once. All carry the tag `{<namespace>:~topic.<topic>}`.
#[derive(Debug, Clone)]
pub(crate) struct TopicKeys {
    /// In the order of [`TOPIC_KEYS`].
    pub(crate) all: Vec<String>,
}

impl TopicKeys {
    pub(crate) fn new(namespace: &str, topic: &TopicName) -> Self {
        let key = |name| format!("{{{namespace}:~topic.{topic}}}:{name}");
        Self { all: TOPIC_KEYS.iter().map(key).collect() }
    }
}

/// Stream: what producers add for a queue; theirs, so no tag of ours.
pub(crate) fn inbox(namespace: &str, queue: &str) -> String {
    format!("{namespace}:inbox:{queue}")
}

/// Stream: entries that could not be taken, with the reason.
pub(crate) fn inbox_rejected(namespace: &str) -> String {
    inbox(namespace, REJECTED)
}

/// Hash: topic → its queues when it was last configured, by comma.
pub(crate) fn topics(namespace: &str) -> String {
    format!("{{{namespace}}}:topics")
}

/// Hash, outside the shards: queue → its shards and schema, as JSON.
pub(crate) fn registry(namespace: &str) -> String {
    format!("{{{namespace}}}:queues")
}

/// String: the newest version of records that may stand in this namespace (see `format`).
pub(crate) fn schema(namespace: &str) -> String {
    format!("{{{namespace}}}:schema")
}

/// What all nodes share, in the order of `KEYS` (`lua/include/beat.lua`).
pub(crate) fn of_nodes(namespace: &str) -> [String; 4] {
    [nodes(namespace), node_info(namespace), clock(namespace), schema(namespace)]
}

/// Zset: node by its last sign of life, ms.
pub(crate) fn nodes(namespace: &str) -> String {
    format!("{{{namespace}}}:nodes")
}

/// Hash: node → what it says of itself, as JSON.
pub(crate) fn node_info(namespace: &str) -> String {
    format!("{{{namespace}}}:node_info")
}

/// Hash: `seen_ms`, the last sign of life of any node; `alarm`, the clock alarm as JSON; `raised_ms`, when the schema was
/// raised.
pub(crate) fn clock(namespace: &str) -> String {
    format!("{{{namespace}}}:clock")
}

/// String: written by `/readyz`.
pub(crate) fn probe(namespace: &str) -> String {
    format!("{{{namespace}}}:probe")
}

/// String: the node that looks a shard through, or that it was looked through of late.
pub(crate) fn audit(namespace: &str, tag: &str) -> String {
    format!("{{{namespace}}}:audit:{tag}")
}

/// String: what went through a queue on one day since 1970, by minute (`queues/minutes.rs`).
pub(crate) fn minutes(namespace: &str, queue: &QueueName, day: u64) -> String {
    format!("{{{namespace}:{queue}.0}}:minutes:{day}")
}

/// Channel: `<tag> <flags>` when a shard got an earlier head or something ready.
pub(crate) fn wake_channel(namespace: &str) -> String {
    format!("{namespace}:wake")
}

/// Channel: `<tag> <ulid>` when a waited-for message became final.
pub(crate) fn final_channel(namespace: &str) -> String {
    format!("{namespace}:final")
}

/// The structures of all operations, in the order of `KEYS` (`lua/include/operations.lua`). Their hash tag,
/// `{<namespace>:~operations}`, is no shard's.
pub(crate) const OPERATION_KEYS: [&str; 6] = [
    "definitions", // hash: operation → what was asked for, as JSON
    "progress",    // hash: operation → how far it has come, as JSON
    "leases",      // hash: operation → "<deadline, ms> <token>" of the run that carries it out
    "stops",       // hash: operation → who asked to stop it
    "running",     // zset: operation by when it began, ms
    "ended",       // zset: operation by when it ended, ms; bounded
];

/// The structures of the list of operators' actions, in the order of `KEYS` (`lua/include/actions.lua`).
pub(crate) const ACTION_KEYS: [&str; 2] = [
    "list",     // stream: one entry an action, its id by Redis TIME; bounded
    "outcomes", // hash: entry → what came of it, as JSON
];

/// The structures of all overrides, in the order of `KEYS` (`lua/include/overrides.lua`, which says what they are).
pub(crate) const OVERRIDE_KEYS: [&str; 6] =
    ["definitions", "kinds", "current", "ended", "ends", "meta"];

/// The keys of all overrides.
pub(crate) fn overrides(namespace: &str) -> Vec<String> {
    OVERRIDE_KEYS.iter().map(|name| format!("{{{namespace}:~overrides}}:{name}")).collect()
}

/// The keys of all operations.
pub(crate) fn operations(namespace: &str) -> Vec<String> {
    OPERATION_KEYS.iter().map(|name| format!("{{{namespace}:~operations}}:{name}")).collect()
}

/// The keys of the list of actions.
pub(crate) fn actions(namespace: &str) -> Vec<String> {
    ACTION_KEYS.iter().map(|name| format!("{{{namespace}:~actions}}:{name}")).collect()
}
