//! The words of commands about queues, the daemon and this machine.
//!
//! Owns their flags. Refuses to know the wire.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use clap_complete::engine::ArgValueCandidates;

use super::args_messages::BodyArgs;
use super::args_values::{Length, parse_length, states};
use super::complete::queues;
use crate::config::{Scope, Sources, expiry_ms};
use crate::domain::queue_pattern::{BadQueuePattern, QueuePattern};
use crate::domain::state::State;
use crate::domain::units::parse_duration_or_seconds;

/// `serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// The configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where the API listens, instead of server.listen
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
    /// The Redis to use, instead of the one in the configuration
    #[arg(long, value_name = "URL")]
    pub redis: Option<String>,
}

impl ServeArgs {
    /// Where the daemon's settings come from, flags on top.
    #[must_use]
    pub fn sources(&self) -> Sources {
        let flags =
            [("server.listen", &self.listen, "--listen"), ("redis.url", &self.redis, "--redis")];
        let overrides = flags
            .into_iter()
            .filter_map(|(key, value, flag)| Some((key.to_owned(), value.clone()?, flag)))
            .collect();
        Sources::of_process(self.config.clone(), overrides)
    }
}

/// `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The configuration file (TOML); without it the built-in defaults and the environment are checked
    #[arg(value_name = "FILE", conflicts_with = "config")]
    pub file: Option<PathBuf>,
    /// The same as FILE; `serve` has this option too
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The queue whose rules judge the answer
    #[arg(long, value_name = "NAME", requires = "answer")]
    pub queue: Option<String>,
    /// Say what this recorded answer of a downstream means: a file with head and body as `curl -i` prints them, or `-`
    #[arg(long, value_name = "RECORDED", requires = "queue")]
    pub answer: Option<PathBuf>,
}

/// `events`.
#[derive(Debug, Args)]
pub struct EventsArgs {
    /// Only these queues; without any, all queues
    #[arg(value_name = "QUEUE", add = ArgValueCandidates::new(queues))]
    pub queues: Vec<String>,
    /// Only messages that enter these states, separated by commas
    #[arg(long = "state", value_name = "STATE", value_delimiter = ',', value_parser = states(), hide_possible_values = true)]
    pub states: Vec<State>,
    /// Begin after this event id, or after a time in milliseconds since 1970
    #[arg(long, value_name = "EVENT_ID")]
    pub after: Option<String>,
    /// End after this many events
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
}

/// `token new`.
#[derive(Debug, Args)]
pub struct TokenArgs {
    /// Who will use the token; shown in logs
    pub name: String,
    /// What the token may do; may be repeated; without it, only send
    #[arg(long = "scope", value_name = "SCOPE", value_enum)]
    pub scopes: Vec<ScopeWord>,
    /// A queue that the token may use, for example sms or "erp-*"; may be repeated; without it, all
    #[arg(long = "queue", value_name = "QUEUE", value_parser = parse_pattern)]
    pub queues: Vec<QueuePattern>,
    /// When the token expires: a date (its first instant in UTC), or RFC 3339; without it, never
    #[arg(long, value_name = "TIME", value_parser = parse_expiry)]
    pub expires: Option<String>,
}

fn parse_pattern(text: &str) -> Result<QueuePattern, String> {
    text.parse().map_err(|error: BadQueuePattern| error.to_string())
}

/// Checked here, and written into the line as it was given.
fn parse_expiry(text: &str) -> Result<String, String> {
    expiry_ms(text).map(|_| text.trim().to_owned())
}

/// What a token may do, as a word of the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ScopeWord {
    /// Hand over messages.
    Send,
    /// Read messages, queues and metrics.
    Read,
    /// Claim and settle messages of queues that workers pull from.
    Work,
    /// Work on messages and queues: cancel, requeue, pause, purge; `work` and `receipt` too.
    Operate,
    /// Send receipts, and nothing else: for downstreams.
    Receipt,
    /// Everything: also run-time keys, and what shared limits have used.
    Admin,
}

impl From<ScopeWord> for Scope {
    fn from(word: ScopeWord) -> Self {
        match word {
            ScopeWord::Send => Self::Send,
            ScopeWord::Read => Self::Read,
            ScopeWord::Work => Self::Work,
            ScopeWord::Operate => Self::Operate,
            ScopeWord::Receipt => Self::Receipt,
            ScopeWord::Admin => Self::Admin,
        }
    }
}

/// Commands that take a queue alone.
#[derive(Debug, Args)]
pub struct QueueArgs {
    /// The queue
    #[arg(add = ArgValueCandidates::new(queues))]
    pub queue: String,
}

/// `pause`.
#[derive(Debug, Args)]
pub struct PauseArgs {
    /// The queue
    #[arg(add = ArgValueCandidates::new(queues))]
    pub queue: String,
    /// When the pause ends: RFC 3339, or a local time such as "2026-11-21 09:00" (in the zone --tz, else in this machine's)
    #[arg(long, value_name = "MOMENT", conflicts_with = "pause_for")]
    pub until: Option<String>,
    /// How long the pause lasts, for example 30m
    #[arg(long = "for", id = "pause_for", value_name = "TIME", value_parser = parse_length)]
    pub pause_for: Option<Length>,
    /// Why; shown to other operators
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// `purge`.
#[derive(Debug, Args)]
pub struct BulkArgs {
    /// The queue
    #[arg(add = ArgValueCandidates::new(queues))]
    pub queue: String,
    /// The messages in this state
    #[arg(long, value_name = "STATE", value_parser = states(), hide_possible_values = true)]
    pub state: State,
    /// Do not ask for confirmation; without this option, purge only counts the messages
    #[arg(long)]
    pub yes: bool,
}

/// `health`.
#[derive(Debug, Args)]
pub struct HealthArgs {
    /// Wait at most this long until the daemon accepts messages
    #[arg(long, value_name = "TIME", value_parser = parse_duration_or_seconds)]
    pub wait: Option<u64>,
}

/// `doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Repair indexes that disagree with their messages; messages themselves are never changed
    #[arg(long, conflicts_with = "quick")]
    pub repair: bool,
    /// Do not check the stored messages; check only gates, nodes and the store
    #[arg(long)]
    pub quick: bool,
}

/// `schedule`.
#[derive(Debug, Args)]
pub struct ScheduleArgs {
    /// The schedule
    pub name: String,
    /// What to do with the schedule; without a command, it is shown
    #[command(subcommand)]
    pub step: Option<ScheduleStep>,
}

/// `schedule NAME ...`.
#[derive(Debug, Subcommand)]
pub enum ScheduleStep {
    /// Stop the schedule until resume; ticks during the pause are not sent later
    Pause {
        /// Why; shown to other operators
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// End the pause of the schedule; the next tick is sent again
    Resume,
    /// Send the message of the schedule now and print its id; later ticks do not change
    Run,
    /// Create or replace the schedule, from JSON as PUT /v1/schedules/NAME takes it
    Put(BodyArgs),
    /// Delete the schedule
    Delete,
}

/// `windows`.
#[derive(Debug, Args)]
pub struct WindowsArgs {
    /// The queue
    #[arg(add = ArgValueCandidates::new(queues))]
    pub queue: String,
    /// How many days to show
    #[arg(long, value_name = "N", default_value_t = 14, value_parser = clap::value_parser!(u16).range(1..))]
    pub days: u16,
}

/// `man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// The folder; it is created if it is missing
    #[arg(value_name = "FOLDER")]
    pub folder: PathBuf,
}

/// `completion`.
#[derive(Debug, Args)]
pub struct CompletionArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}
