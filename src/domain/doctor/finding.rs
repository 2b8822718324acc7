//! What a finding is: what is wrong, what it is about, and what to do.

use crate::domain::id::QueueName;

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// Somebody must act.
    Problem,
    /// Worth knowing, such as a window that is closed as planned.
    Note,
}

impl Weight {
    /// Every weight.
    pub const ALL: [Self; 2] = [Self::Problem, Self::Note];

    /// The word that is shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Problem => "problem",
            Self::Note => "note",
        }
    }
}

/// Gives each kind of finding its word, and the alert whose section of the runbook says more.
macro_rules! finding_codes {
    ($($(#[$about:meta])* $name:ident = $word:literal $(, $alert:literal)?;)*) => {
        /// What kind of finding it is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum FindingCode {
            $($(#[$about])* $name,)*
        }

        impl FindingCode {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The word for it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }

            /// The alert whose section of the runbook says more.
            #[must_use]
            pub const fn alert(self) -> Option<&'static str> {
                match self {
                    $(Self::$name => finding_codes!(@alert $($alert)?),)*
                }
            }
        }
    };
    (@alert) => { None };
    (@alert $alert:literal) => { Some($alert) };
}

finding_codes! {
    /// Redis cannot be reached.
    StoreAway = "store-away", "TidegateStoreDown";
    /// Redis may not hold messages.
    StoreUnfit = "store-unfit", "TidegateStoreUnfit";
    /// Redis is not as safe as it is to be.
    NotDurable = "not-durable", "TidegateNotDurable";
    /// Redis has too little room.
    StoreFull = "store-full", "TidegateStoreFull";
    /// The node is stopping.
    Draining = "draining";
    /// The last reload was refused.
    ReloadFailed = "reload-failed", "TidegateReloadFailed";
    /// The collector does not take all traces.
    TracesLost = "traces-lost", "TidegateTracesLost";
    /// The data in Redis was deleted or replaced.
    StoreErased = "store-erased", "TidegateStoreErased";
    /// The durability is lower than on disk.
    LowDurability = "low-durability";
    /// The clock of Redis stepped.
    ClockAlarm = "clock-alarm", "TidegateClockAlarm";
    /// Redis has less than it had confirmed.
    Rollback = "rollback", "TidegateRollback";
    /// Events lack a queue.
    TopicIncomplete = "topic-incomplete", "TidegateTopicIncomplete";
    /// Entries of a stream are not taken in.
    InboxLate = "inbox-late", "TidegateInboxLate";
    /// Entries of streams were rejected.
    InboxRejected = "inbox-rejected", "TidegateInboxRejected";
    /// Streams have no queue.
    InboxStray = "inbox-stray", "TidegateInboxStray";
    /// Nodes run different configurations.
    ConfigsDiffer = "configs-differ";
    /// A node follows the structure that another one proposed.
    StructureFollowed = "structure-followed";
    /// Nodes read different versions of messages.
    RecordVersionsDiffer = "record-versions-differ";
    /// The queue is paused.
    Paused = "paused", "TidegatePausedLong";
    /// The window is closed.
    WindowClosed = "window-closed";
    /// The window is closed and never opens.
    WindowNeverOpens = "window-never-opens";
    /// The backlog is full, and messages are refused.
    BacklogFull = "backlog-full", "TidegateBacklogFull";
    /// A quota is used, and holds messages until it begins again.
    QuotaUsed = "quota-used";
    /// A message costs more than a quota by key has in a whole period.
    QuotaTooSmall = "quota-too-small";
    /// What keys were given at run time has no effect.
    KeysWithoutEffect = "keys-without-effect";
    /// The downstream's answers shut the gate.
    GateShut = "gate-shut", "TidegateGateShut";
    /// A certificate of the way to the downstream is out of date.
    CertificateOutOfDate = "certificate-out-of-date";
    /// The downstream fails.
    DownstreamFailing = "downstream-failing", "TidegateDownstreamFailing";
    /// Hosts of callbacks fail.
    CallbacksFail = "callbacks-fail", "TidegateCallbacksFail";
    /// Hosts that messages name fail.
    HostsFail = "hosts-fail", "TidegateHostsFail";
    /// Messages were given up.
    DeadMessages = "dead-messages", "TidegateMessagesDie";
    /// Nobody knows whether messages arrived.
    UncertainMessages = "uncertain-messages", "TidegateUncertain";
    /// No worker claims.
    NoWorker = "no-worker", "TidegateQueueStuck";
    /// Messages wait although no gate holds them.
    QueueStuck = "queue-stuck", "TidegateQueueStuck";
    /// An index disagrees with its messages.
    IndexFault = "index-fault", "TidegateIndexFaults";
    /// Not everything could be looked at.
    NotChecked = "not-checked";
}

/// What a finding is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    /// Redis.
    Store,
    /// The clock of Redis.
    Clock,
    /// This node.
    Daemon,
    /// The nodes together.
    Nodes,
    /// The streams of the inbox.
    Inbox,
    /// A topic.
    Topic(String),
    /// A queue.
    Queue(QueueName),
}

impl About {
    /// The queue, if it is one.
    #[must_use]
    pub const fn queue(&self) -> Option<&QueueName> {
        match self {
            Self::Queue(name) => Some(name),
            Self::Store
            | Self::Clock
            | Self::Daemon
            | Self::Nodes
            | Self::Inbox
            | Self::Topic(_) => None,
        }
    }

    /// What it is called where it is shown.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Store => "store",
            Self::Clock => "clock",
            Self::Daemon => "daemon",
            Self::Nodes => "nodes",
            Self::Inbox => "inbox",
            Self::Topic(name) => name,
            Self::Queue(name) => name.as_str(),
        }
    }
}

impl From<&QueueName> for About {
    fn from(name: &QueueName) -> Self {
        Self::Queue(name.clone())
    }
}

/// One thing that was found, with its remedy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What kind it is.
    pub code: FindingCode,
    /// How much it weighs.
    pub weight: Weight,
    /// What it is about.
    pub about: About,
    /// What was found, as a part of a sentence.
    pub detail: String,
    /// What to do.
    pub remedy: String,
    /// Since or until when it holds, ms; if the detail names it, as RFC 3339.
    pub at_ms: Option<u64>,
    /// Whether the runbook says more.
    has_section: bool,
}

impl Finding {
    /// Somebody must act.
    pub(super) fn problem(
        code: FindingCode,
        about: impl Into<About>,
        detail: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            code,
            weight: Weight::Problem,
            about: about.into(),
            detail: detail.into(),
            remedy: remedy.into(),
            at_ms: None,
            has_section: true,
        }
    }

    /// Worth knowing; there is nothing to look up.
    pub(super) fn note(
        code: FindingCode,
        about: impl Into<About>,
        detail: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let problem = Self::problem(code, about, detail, remedy);
        Self { weight: Weight::Note, has_section: false, ..problem }
    }

    /// The same with the moment since or until which it holds.
    pub(super) fn at(self, at_ms: Option<u64>) -> Self {
        Self { at_ms, ..self }
    }

    /// Where the runbook says more, written as the alerting rules write it.
    #[must_use]
    pub fn runbook(&self) -> Option<String> {
        let alert = self.code.alert().filter(|_| self.has_section)?;
        Some(format!("docs/runbook.md#{}", alert.to_lowercase()))
    }
}
