//! Every script, by its verb.

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

            /// As it was written.
            pub(in crate::store) const fn source(self) -> &'static str {
                match self { $(Self::$variant => include_str!(concat!("../../lua/", $name, ".lua"))),+ }
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
    /// Units of limits by key for a further call.
    TakeAnew = "take_anew",
    /// Units of quotas of calls that did not start.
    GiveBack = "give_back",
    /// What could start by all but shared limits.
    Estimate = "estimate",
    /// Units for calls at a shared limit.
    Reserve = "reserve",
    /// Units of a shared limit that no call used.
    PutBack = "put_back",
    /// Units of a shared limit that others used.
    Charge = "charge",
    /// Reads how a shared limit stands.
    Standing = "standing",
    /// ready → leased.
    Claim = "claim",
    /// A node proposes the structure of its configuration.
    Propose = "propose",
    /// Messages move over to another structure.
    Switch = "switch",
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
    /// How the downstream does, as another shard of the queue found out.
    Spread = "spread",
    /// uncertain → delivered, ready or dead.
    Resolve = "resolve",
    /// Uncertain ones that the downstream is asked about now.
    Probe = "probe",
    /// uncertain still: asked about later, or no more.
    Postpone = "postpone",
    /// A lease ran out → ready, uncertain or dead.
    Reap = "reap",
    /// Messages that wait for a decided one of their collapse key go on.
    FreeHeld = "free_held",
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
    /// The window of the queue has closed, or is open.
    Window = "window",
    /// What a key is given at run time.
    PutKey = "put_key",
    /// Reads what keys were given at run time.
    ReadKeys = "read_keys",
    /// Reads messages.
    Get = "get",
    /// Reads what of their keys holds messages.
    Holds = "holds",
    /// Reads what stands before a message.
    Position = "position",
    /// Reads what of the backlog becomes due when.
    Profile = "profile",
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
    /// Reads a page of a structure of lanes, and what of it disagrees with the others.
    AuditLanes = "audit_lanes",
    /// Lanes, blockers, flows and leases agree again.
    MendLanes = "mend_lanes",
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
    /// An override of a queue begins.
    PutOverride = "put_override",
    /// An override ends before its time.
    EndOverride = "end_override",
    /// One write outside the shards.
    Keep = "keep",
    /// Which version records are written as.
    Format = "format",
    /// A sign of life of a node.
    Beat = "beat",
    /// Reads what the user may not do.
    Ask = "ask",
}
