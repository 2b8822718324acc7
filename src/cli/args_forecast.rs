//! The words of `forecast` and `simulate`.

use std::path::PathBuf;

use clap::Args;
use clap_complete::engine::ArgValueCandidates;

use super::complete::queues;
use crate::domain::forecast::HOURS_MAX;
use crate::domain::units::parse_duration_or_seconds;

/// `forecast`.
#[derive(Debug, Args)]
pub struct ForecastArgs {
    /// The queue
    #[arg(add = ArgValueCandidates::new(queues))]
    pub queue: String,
    /// How many hours to look ahead
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=i64::from(HOURS_MAX)))]
    pub hours: u32,
}

/// `simulate`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("messages").required(true).multiple(true).args(["trace", "backlog", "load"]))]
pub struct SimulateArgs {
    /// The configuration (TOML) that is tried; it need not be in force anywhere
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// One message on each line, as send-batch takes it, with "queue" and "at" (RFC 3339); time begins at the first
    #[arg(long, value_name = "FILE.ndjson")]
    pub trace: Option<PathBuf>,
    /// What waits in the daemon now; it is only read
    #[arg(long, conflicts_with = "trace")]
    pub backlog: bool,
    /// Messages that come at once, for example "200000 at 12:00 sms"; may be repeated
    #[arg(long, value_name = "LOAD")]
    pub load: Vec<String>,
    /// How many hours to look ahead
    #[arg(long, value_name = "N", default_value_t = 48, value_parser = clap::value_parser!(u32).range(1..=i64::from(HOURS_MAX)))]
    pub hours: u32,
    /// How long a call takes on average; without it, calls take no time, and only limits and windows hold messages
    #[arg(long, value_name = "TIME", value_parser = parse_duration_or_seconds)]
    pub call: Option<u64>,
}
