//! The words of commands about shared limits.

use clap::{Args, Subcommand};
use clap_complete::engine::ArgValueCandidates;

use super::complete::limits;

/// `limit`.
#[derive(Debug, Args)]
pub struct LimitArgs {
    /// The shared limit
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(limits))]
    pub name: String,
    /// What to do with it; without a step, it is shown
    #[command(subcommand)]
    pub step: Option<LimitStep>,
}

/// `limit NAME ...`.
#[derive(Debug, Subcommand)]
pub enum LimitStep {
    /// Count units that somebody else used; a negative number gives units back
    Charge(ChargeArgs),
}

/// `limit NAME charge`.
#[derive(Debug, Args)]
pub struct ChargeArgs {
    /// How many units, for example 1500, or -200 for units that were given back
    #[arg(value_name = "UNITS", allow_negative_numbers = true)]
    pub units: i64,
    /// Why; it is shown by `tidegate actions`
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// An idempotency key: the same command with the same key charges once
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
}
