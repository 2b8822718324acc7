//! The words of `key`.

use clap::{Args, Subcommand};
use clap_complete::engine::ArgValueCandidates;

use super::complete::queues;

/// `key`.
#[derive(Debug, Args)]
pub struct KeyArgs {
    /// The queue
    #[arg(add = ArgValueCandidates::new(queues))]
    pub queue: String,
    /// The value of the key, such as acme; '' is that of messages without the key; without VALUE, all keys are listed
    #[arg(value_name = "VALUE")]
    pub value: Option<String>,
    /// What to do with the key; without a command, it is shown
    #[command(subcommand)]
    pub step: Option<KeyStep>,
}

/// `key QUEUE VALUE ...`.
#[derive(Debug, Subcommand)]
pub enum KeyStep {
    /// Give the key a weight, or limits of its own, in place of all that it was given before
    Put(KeyPutArgs),
    /// Take everything from the key that it was given, so that the configuration holds for it again
    Delete,
}

/// `key QUEUE VALUE put`.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub struct KeyPutArgs {
    /// Its weight among the values of the key that the fairness of the queue goes by, 0.01 to 1000
    #[arg(long, value_name = "WEIGHT")]
    pub weight: Option<f64>,
    /// What a limit with per allows this key, as 2/min, 500/day or 4 (calls in flight); may be repeated
    #[arg(long = "limit", value_name = "NAME=VALUE", value_parser = parse_limit)]
    pub limits: Vec<KeyLimit>,
}

/// What a limit allows a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyLimit {
    /// Its name.
    pub name: String,
    /// As it is written.
    pub value: String,
}

fn parse_limit(text: &str) -> Result<KeyLimit, String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => {
            Ok(KeyLimit { name: name.to_owned(), value: value.to_owned() })
        }
        _ => Err("expected NAME=VALUE, for example per_to=2/min".to_owned()),
    }
}
