//! The scripts: each verb's Lua file with the includes it names, spliced once.
//!
//! Owns how a script's text comes about. Refuses to know what it does (see `lua/<verb>.lua`) and
//! where it runs (see `link`).

use std::sync::LazyLock;

use redis::{Cmd, cmd};

/// The files under `lua/include`, by name.
const INCLUDES: &[(&str, &str)] = &[
    ("shard", include_str!("lua/include/shard.lua")),
    ("clock", include_str!("lua/include/clock.lua")),
    ("writes", include_str!("lua/include/writes.lua")),
    ("events", include_str!("lua/include/events.lua")),
    ("record", include_str!("lua/include/record.lua")),
    ("state", include_str!("lua/include/state.lua")),
    ("ready", include_str!("lua/include/ready.lua")),
    ("callback", include_str!("lua/include/callback.lua")),
    ("weight", include_str!("lua/include/weight.lua")),
    ("finish", include_str!("lua/include/finish.lua")),
    ("fence", include_str!("lua/include/fence.lua")),
    ("gate", include_str!("lua/include/gate.lua")),
    ("limit", include_str!("lua/include/limit.lua")),
    ("history", include_str!("lua/include/history.lua")),
    ("uncertain", include_str!("lua/include/uncertain.lua")),
    ("receipt", include_str!("lua/include/receipt.lua")),
    ("place", include_str!("lua/include/place.lua")),
    ("idempotency", include_str!("lua/include/idempotency.lua")),
    ("topic", include_str!("lua/include/topic.lua")),
    ("schedules", include_str!("lua/include/schedules.lua")),
    ("inbox", include_str!("lua/include/inbox.lua")),
    ("page", include_str!("lua/include/page.lua")),
    ("operations", include_str!("lua/include/operations.lua")),
    ("actions", include_str!("lua/include/actions.lua")),
];

macro_rules! verbs {
    ($($(#[$doc:meta])* $variant:ident = $name:literal),+ $(,)?) => {
        /// One script: a verb, or a reading.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Verb { $($(#[$doc])* $variant),+ }

        impl Verb {
            /// Every script.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word for it: file name, metric label.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            const fn source(self) -> &'static str {
                match self { $(Self::$variant => include_str!(concat!("lua/", $name, ".lua"))),+ }
            }
        }
    };
}

verbs! {
    /// – → scheduled or ready.
    Schedule = "schedule",
    /// scheduled → ready.
    Promote = "promote",
    /// Permits of a queue with several shards.
    Grant = "grant",
    /// ready → leased.
    Claim = "claim",
    /// A later lease deadline.
    Renew = "renew",
    /// leased → ready, as if not claimed.
    Release = "release",
    /// leased → ready, counted.
    Defer = "defer",
    /// leased → delivered.
    Ack = "ack",
    /// leased → accepted: a receipt will follow.
    Accept = "accept",
    /// accepted → delivered or dead: the receipt.
    Receive = "receive",
    /// accepted for too long → uncertain, dead or delivered.
    Lapse = "lapse",
    /// leased → scheduled.
    Retry = "retry",
    /// leased → dead.
    Bury = "bury",
    /// leased → uncertain.
    Park = "park",
    /// uncertain → delivered, ready or dead.
    Resolve = "resolve",
    /// Uncertain ones that the downstream is asked about now.
    Probe = "probe",
    /// uncertain still: asked about later, or no more.
    Postpone = "postpone",
    /// A lease ran out → ready, uncertain or dead.
    Reap = "reap",
    /// scheduled or ready → expired.
    Expire = "expire",
    /// scheduled, ready or uncertain → cancelled.
    Cancel = "cancel",
    /// Another due time, priority, expiry or payload.
    Reschedule = "reschedule",
    /// dead, uncertain, expired or cancelled → ready.
    Requeue = "requeue",
    /// A message goes over into another queue.
    Move = "move",
    /// A state is emptied.
    Purge = "purge",
    /// Retention is over.
    Prune = "prune",
    /// The queue stops.
    Pause = "pause",
    /// The queue goes on.
    Resume = "resume",
    /// Reads messages.
    Get = "get",
    /// Reads a page of ids.
    List = "list",
    /// Reads counts and gates.
    Count = "count",
    /// Reads an idempotency key.
    Find = "find",
    /// Marks ids that somebody waits for.
    Watch = "watch",
    /// Another run of a server serves the shard.
    Recover = "recover",
    /// Reads sizes, and whether they add up.
    Books = "books",
    /// Reads a page of a structure, and what of it disagrees with the records.
    Audit = "audit",
    /// Indexes follow their records again.
    Mend = "mend",
    /// An event of a topic is kept.
    Publish = "publish",
    /// Takes kept events, to complete them.
    Pursue = "pursue",
    /// Kept events are complete, or put off.
    Conclude = "conclude",
    /// Reads what a topic keeps.
    Outstanding = "outstanding",
    /// – → ready: the message of a tick.
    Fire = "fire",
    /// A schedule's definition.
    PutSchedule = "put_schedule",
    /// A schedule is gone.
    DeleteSchedule = "delete_schedule",
    /// A schedule stops.
    PauseSchedule = "pause_schedule",
    /// A schedule goes on.
    ResumeSchedule = "resume_schedule",
    /// Reads schedules.
    ReadSchedules = "read_schedules",
    /// Which schedules a node's configuration has.
    Configure = "configure",
    /// Which schedules are due.
    Sweep = "sweep",
    /// The tick that is due is under way.
    Tick = "tick",
    /// The tick under way is in its queue.
    Fired = "fired",
    /// Reads what lies in streams of the inbox.
    Glance = "glance",
    /// Takes entries of a stream, to take them in.
    Draw = "draw",
    /// Entries of a stream are done with.
    Digest = "digest",
    /// An entry that cannot be taken is kept.
    Reject = "reject",
    /// Somebody listens to a shard's changes.
    Listen = "listen",
    /// Reads which streams there are.
    Stray = "stray",
    /// An operation is written down.
    OperationStart = "operation_start",
    /// A node takes an operation up.
    OperationTake = "operation_take",
    /// How far an operation has come.
    OperationSave = "operation_save",
    /// An operation is asked to stop.
    OperationStop = "operation_stop",
    /// Reads a page of messages without their bodies, for an operation.
    Walk = "walk",
    /// An operator's action is written down.
    Note = "note",
}

/// A script, called by its hash, and by its text where a server does not have it yet.
#[derive(Debug)]
pub(crate) struct Script {
    text: String,
    hash: String,
}

impl Script {
    fn new(text: String) -> Self {
        let hash = redis::Script::new(&text).get_hash().to_owned();
        Self { text, hash }
    }

    pub(crate) fn by_hash(&self, keys: &[String], args: &[Vec<u8>]) -> Cmd {
        call("EVALSHA", &self.hash, keys, args)
    }

    /// A server that runs it so has it from then on; nobody else needs to be told.
    pub(crate) fn by_text(&self, keys: &[String], args: &[Vec<u8>]) -> Cmd {
        call("EVAL", &self.text, keys, args)
    }
}

fn call(how: &str, what: &str, keys: &[String], args: &[Vec<u8>]) -> Cmd {
    let mut command = cmd(how);
    command.arg(what).arg(keys.len()).arg(keys);
    for arg in args {
        command.arg(arg.as_slice());
    }
    command
}

static SCRIPTS: LazyLock<Vec<Script>> =
    LazyLock::new(|| Verb::ALL.iter().map(|verb| Script::new(verb.text())).collect());

impl Verb {
    /// The script, ready to be invoked.
    pub(crate) fn script(self) -> &'static Script {
        &SCRIPTS[self as usize]
    }

    /// The verb whose script a server knows by this hash.
    #[must_use]
    pub fn of_hash(hash: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|verb| verb.script().hash == hash)
    }

    pub(super) fn text(self) -> String {
        let text = assemble(self.source());
        #[cfg(feature = "failpoints")]
        let text = super::plants::spoil(text);
        text
    }
}

/// The first line (flags) first, then the includes that the header names, then the verb.
fn assemble(source: &str) -> String {
    let (flags, body) = source.split_once('\n').unwrap_or((source, ""));
    let mut text = format!("{flags}\n");
    for name in includes(source) {
        let include = INCLUDES.iter().find(|(known, _)| *known == name);
        text.push_str(include.expect("a test checks that every include exists").1);
    }
    text.push_str(body);
    text
}

/// The names in the line `-- include: …` of a script's header.
fn includes(source: &str) -> impl Iterator<Item = &str> {
    let line = source.lines().find_map(|line| line.strip_prefix("-- include: "));
    line.unwrap_or_default().split_whitespace()
}

#[cfg(test)]
mod tests {
    use super::super::keys::{SCHEDULE_KEYS, SHARD_KEYS};
    use super::*;

    #[test]
    fn every_script_names_includes_that_exist_and_starts_with_its_flags() {
        for verb in Verb::ALL {
            let source = verb.source();
            for name in includes(source) {
                assert!(INCLUDES.iter().any(|(known, _)| *known == name), "{verb:?}: {name}");
            }
            let text = assemble(source);
            assert!(text.starts_with("#!lua"), "{verb:?}");
            assert!(text.contains(&format!("-- {}: ", verb.as_str())), "{verb:?}");
            assert_eq!(Verb::ALL[*verb as usize], *verb);
            assert_eq!(Verb::of_hash(&verb.script().hash), Some(*verb));
        }
    }

    #[test]
    fn the_lua_side_reads_a_topic_in_the_order_of_the_rust_side() {
        let (_, topic) = INCLUDES.iter().find(|(name, _)| *name == "topic").unwrap();
        for (at, name) in super::super::keys::TOPIC_KEYS.iter().enumerate() {
            let lua = name.replace(':', "_");
            assert!(topic.contains(&format!("{lua} = KEYS[{}]", at + 1)), "{lua}");
        }
    }

    #[test]
    fn the_lua_side_reads_the_keys_in_the_order_of_the_rust_side() {
        let shard = INCLUDES[0].1;
        let schedules = INCLUDES.iter().find(|(name, _)| *name == "schedules").unwrap().1;
        let ready = |name: &str| name.starts_with("ready:");
        let shard_keys = SHARD_KEYS.iter().enumerate().filter(|(_, name)| !ready(name));
        let keys = shard_keys.map(|key| (shard, key));
        for (text, (at, name)) in
            keys.chain(SCHEDULE_KEYS.iter().enumerate().map(|key| (schedules, key)))
        {
            let lua = name.replace(':', "_");
            assert!(text.contains(&format!("{lua} = KEYS[{}]", at + 1)), "{lua}");
        }
        for (include, names) in [
            ("operations", &super::super::keys::OPERATION_KEYS[..]),
            ("actions", &super::super::keys::ACTION_KEYS[..]),
        ] {
            let text = INCLUDES.iter().find(|(name, _)| *name == include).unwrap().1;
            for (at, name) in names.iter().enumerate() {
                assert!(text.contains(&format!("{name} = KEYS[{}]", at + 1)), "{include}: {name}");
            }
        }
    }
}
