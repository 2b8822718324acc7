//! What the rooms receive: checked settings, cut to each room's needs.
//!
//! Owns the shape; refuses to know TOML, layers and error texts (see the other files of this room).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use url::Url;

use crate::domain::callback_host::CallbackHosts;
pub use crate::domain::durability::Durability;
use crate::domain::egress::EgressAllow;
use crate::domain::endpoint::Secret;
use crate::domain::id::QueueName;
use crate::domain::limit::{LimitName, LimitRule};
use crate::domain::overrides::{Override, put_in_force};
use crate::domain::policy::QueuePolicy;
use crate::domain::queue_pattern::QueuePattern;
use crate::domain::schedule::{Schedule, ScheduleName};
use crate::domain::topic::{TopicName, TopicPolicy};
use crate::domain::web_place::{BasePath, WebOrigin};
use crate::domain::window::{Calendar, CalendarName};

/// A whole configuration, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The HTTP door and the process.
    pub server: ServerSettings,
    /// Where messages are kept.
    pub redis: RedisSettings,
    /// The queues by name.
    pub queues: BTreeMap<QueueName, Arc<QueuePolicy>>,
    /// The limits that queues share, by name.
    pub limits: BTreeMap<LimitName, Arc<LimitRule>>,
    /// The calendars that windows share, by name.
    pub calendars: BTreeMap<CalendarName, Arc<Calendar>>,
    /// The topics by name.
    pub topics: BTreeMap<TopicName, Arc<TopicPolicy>>,
    /// The recurring messages by name.
    pub schedules: BTreeMap<ScheduleName, Arc<Schedule>>,
    /// Intake by Redis streams.
    pub inbox: InboxSettings,
    /// Where traces go.
    pub telemetry: TelemetrySettings,
}

impl Settings {
    /// The same with what these overrides put in force at a moment.
    #[must_use]
    pub fn with_overrides(&self, overrides: &[Override], now_ms: u64) -> Self {
        let queues = self.queues.iter();
        let queues = queues
            .map(|(name, configured)| (name.clone(), put_in_force(configured, overrides, now_ms)));
        Self { queues: queues.collect(), ..self.clone() }
    }
}

/// `[inbox]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InboxSettings {
    /// Whether streams are read.
    pub enabled: bool,
}

/// `[telemetry]`.
#[derive(Debug, Clone, PartialEq)]
pub struct TelemetrySettings {
    /// The collector; `None`: no traces are made.
    pub otlp: Option<Url>,
    /// Which share of the traces that begin here is made, from 0 to 1.
    pub sample: f64,
}

impl Default for TelemetrySettings {
    fn default() -> Self {
        Self { otlp: None, sample: 1.0 }
    }
}

/// `[server]`.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerSettings {
    /// Where the API listens.
    pub listen: SocketAddr,
    /// Who may call; empty: everybody on loopback.
    pub tokens: Vec<Token>,
    /// Largest request of one message, in bytes.
    pub body_limit_bytes: usize,
    /// Largest batch request, in bytes.
    pub batch_body_limit_bytes: usize,
    /// How long a graceful stop may take, in milliseconds.
    pub drain_timeout_ms: u64,
    /// Where messages may have themselves told; each queue's policy has them too.
    pub callback_hosts: CallbackHosts,
    /// What urls that messages name may reach although it is not public.
    pub egress_allow: EgressAllow,
    /// The path under which a proxy shows this daemon.
    pub base_path: BasePath,
    /// Origins of other pages that may call the API in a browser.
    pub origins: Vec<WebOrigin>,
}

/// One bearer token, known by its hash alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Who holds it; shown in logs and as `paused.by`.
    pub name: String,
    /// SHA-256 of the token's text.
    pub sha256: [u8; 32],
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// From when on it is not valid any more, in milliseconds since the Unix epoch; `None`: never.
    pub expires_ms: Option<u64>,
    /// The queues that it sees and touches; `None`: all.
    pub queues: Option<Vec<QueuePattern>>,
}

/// What a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Hand over messages.
    Send,
    /// Read messages, queues, metrics.
    Read,
    /// Claim and settle messages of queues that workers pull from.
    Work,
    /// Cancel, requeue, pause, purge and the like, [`Scope::Work`] and [`Scope::Receipt`] too.
    Operate,
    /// Send receipts, and nothing else: for downstreams.
    Receipt,
    /// All of the above; and change what holds above the configuration: run-time keys, and what shared limits have used.
    Admin,
}

impl Scope {
    /// All of them, in the order in which the manual names them.
    pub const ALL: [Self; 6] =
        [Self::Send, Self::Read, Self::Work, Self::Receipt, Self::Operate, Self::Admin];

    /// Whether a token with this scope may do what needs the other one.
    #[must_use]
    pub const fn covers(self, needed: Self) -> bool {
        match self {
            Self::Admin => true,
            // Who may purge a queue may as well empty it message by message, or say what became of one.
            Self::Operate => matches!(needed, Self::Operate | Self::Work | Self::Receipt),
            Self::Send => matches!(needed, Self::Send),
            Self::Read => matches!(needed, Self::Read),
            Self::Work => matches!(needed, Self::Work),
            Self::Receipt => matches!(needed, Self::Receipt),
        }
    }

    /// The word in the config and in `token new --scope`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Read => "read",
            Self::Work => "work",
            Self::Operate => "operate",
            Self::Receipt => "receipt",
            Self::Admin => "admin",
        }
    }
}

/// `[redis]`.
#[derive(Debug, Clone, PartialEq)]
pub struct RedisSettings {
    /// Which Redis.
    pub target: RedisTarget,
    /// First part of every key, `[a-z0-9][a-z0-9_-]{0,30}`.
    pub namespace: String,
    /// What must be safe before a producer is answered.
    pub durability: Durability,
    /// At `replicas`: how many must confirm; `None`: all that are in step, at least one.
    pub replicas: Option<u64>,
    /// When a slot comes free whose call has ended.
    pub settle: SettleAt,
    /// Where a managed Redis keeps its data.
    pub data_dir: PathBuf,
    /// What must stay free on a managed Redis' disk, in bytes: below it intake is refused.
    pub disk_reserve_bytes: u64,
    /// How long Redis' clock must be steady after a step before what goes by time goes on.
    pub clock_settle_ms: u64,
}

/// When the outcome of an attempt is safe enough for its slot to come free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettleAt {
    /// As soon as Redis has it, at the level at which Redis keeps everything.
    Level,
    /// When the replicas have it too: a failover then repeats at most what was in flight.
    Replicas,
}

impl SettleAt {
    /// The word in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Level => "level",
            Self::Replicas => "replicas",
        }
    }
}

/// Which Redis.
#[derive(Debug, Clone, PartialEq)]
pub enum RedisTarget {
    /// A child of the daemon, on a Unix socket in `data_dir`.
    Managed,
    /// One server, `redis://`, `rediss://` or `unix://`.
    Url(Secret),
    /// The master that these sentinels name.
    Sentinel {
        /// The sentinels' name for it.
        master: String,
        /// The sentinels.
        urls: Vec<Secret>,
    },
    /// A cluster with these seed nodes.
    Cluster(Vec<Secret>),
}
