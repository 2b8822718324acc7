//! The words of `override`.

use clap::{Args, Subcommand, ValueEnum};
use clap_complete::engine::ArgValueCandidates;

use super::args_values::{Length, parse_length};
use super::complete::queues;

/// `override`.
#[derive(Debug, Args)]
pub struct OverrideArgs {
    /// The queue
    #[arg(add = ArgValueCandidates::new(queues))]
    pub queue: String,
    /// What to do; without a step, the overrides that are in force are listed
    #[command(subcommand)]
    pub step: Option<OverrideStep>,
}

/// `override QUEUE ...`.
#[derive(Debug, Subcommand)]
pub enum OverrideStep {
    /// List the overrides that are in force
    List,
    /// Another rate of the queue, such as 5/s
    Rate {
        /// Calls per time
        #[arg(value_name = "RATE")]
        rate: String,
        /// How long it holds, and why
        #[command(flatten)]
        span: OverrideSpan,
    },
    /// Another number of calls in flight, over all nodes
    Concurrency {
        /// The number
        #[arg(value_name = "N")]
        calls: u32,
        /// How long it holds, and why
        #[command(flatten)]
        span: OverrideSpan,
    },
    /// Close the window, or open it, whatever its hours
    Window {
        /// What it is to be
        #[arg(value_name = "STATE")]
        state: WindowWord,
        /// How long it holds, and why
        #[command(flatten)]
        span: OverrideSpan,
    },
    /// Another value of one limit, such as 500/day
    Limit {
        /// The name of the limit, as `tidegate queue` shows it
        #[arg(value_name = "NAME")]
        name: String,
        /// What it allows: 5/s, 500/day, or a number of calls in flight
        #[arg(value_name = "VALUE")]
        value: String,
        /// How long it holds, and why
        #[command(flatten)]
        span: OverrideSpan,
    },
    /// End an override before its time
    End {
        /// Its id, as `tidegate override QUEUE` shows it
        #[arg(value_name = "ID")]
        id: String,
    },
}

/// What a window can be for a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum WindowWord {
    /// Calls may start (needs --above)
    Open,
    /// No call starts
    Closed,
}

/// How long an override holds, and why.
#[derive(Debug, Args)]
pub struct OverrideSpan {
    /// How long it lasts, for example 1h
    #[arg(long = "for", id = "override_for", value_name = "TIME", value_parser = parse_length, required_unless_present = "until")]
    pub lasts: Option<Length>,
    /// When it ends: RFC 3339, or a local time such as "2026-11-21 09:00" (in the zone --tz, else in this machine's)
    #[arg(long, value_name = "MOMENT", conflicts_with = "override_for")]
    pub until: Option<String>,
    /// Why; shown to other operators
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Hold also where this lets through more than the configuration does (needs the scope admin)
    #[arg(long)]
    pub above: bool,
}
