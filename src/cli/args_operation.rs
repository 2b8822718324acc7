//! The words of commands on many messages: operations, and what operators did.
//!
//! Owns their flags. Refuses to know the wire.

use clap::{Args, Subcommand, ValueEnum};
use clap_complete::engine::ArgValueCandidates;

use super::args_values::{Length, parse_length, states};
use super::complete::queues;
use crate::domain::limit::Rate;
use crate::domain::operation::Action;
use crate::domain::state::State;

/// `operation ...`.
#[derive(Debug, Subcommand)]
pub enum OperationCommand {
    /// Requeue, cancel, reschedule, move or retry all messages that match a filter
    Start(Box<StartArgs>),
    /// Show the operations that are running, and the last ones that have ended
    List,
    /// Show one operation
    Show(OperationArgs),
    /// Show the progress of an operation until it ends
    Follow(OperationArgs),
    /// Stop an operation; what it has done stays done
    Stop(OperationArgs),
}

/// Which messages are meant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct FilterArgs {
    /// Only messages with this label, for example --label shop=us; may be repeated, and then all labels must match
    #[arg(long = "label", value_name = "NAME=VALUE")]
    pub labels: Vec<String>,
    /// Only messages of this group
    #[arg(long, value_name = "GROUP")]
    pub group: Option<String>,
    /// Only messages with this text in their last error or reason
    #[arg(long, value_name = "TEXT")]
    pub error_contains: Option<String>,
    /// Only messages handed over at this moment or later: RFC 3339, or a local time
    #[arg(long, value_name = "MOMENT")]
    pub created_after: Option<String>,
    /// Only messages handed over before this moment
    #[arg(long, value_name = "MOMENT")]
    pub created_before: Option<String>,
    /// Only messages due at this moment or later
    #[arg(long, value_name = "MOMENT")]
    pub due_after: Option<String>,
    /// Only messages due before this moment
    #[arg(long, value_name = "MOMENT")]
    pub due_before: Option<String>,
    /// Only messages that ended (died, expired, were cancelled) at this moment or later
    #[arg(long, value_name = "MOMENT")]
    pub final_after: Option<String>,
    /// Only messages that ended before this moment
    #[arg(long, value_name = "MOMENT")]
    pub final_before: Option<String>,
}

/// How an operation goes about it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct PaceArgs {
    /// The rate at which messages are changed, evenly spaced, for example 5/s
    #[arg(long, value_name = "RATE")]
    pub rate: Option<Rate>,
    /// Change nothing; only count the messages and show some of them
    #[arg(long)]
    pub dry_run: bool,
    /// Why; shown to other operators; required for cancel
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Print the id of the operation, and do not wait for its end
    #[arg(long)]
    pub no_follow: bool,
}

/// `operation start`.
#[derive(Debug, Args)]
pub struct StartArgs {
    /// What is done to each message
    #[arg(value_enum)]
    pub action: ActionWord,
    /// The queue
    #[arg(add = ArgValueCandidates::new(queues))]
    pub queue: String,
    /// Messages in this state, or in these, with commas (one operation for each); retry takes those that wait for
    /// another attempt
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = states(), hide_possible_values = true, required_if_eq_any([
        ("action", "requeue"), ("action", "cancel"), ("action", "reschedule"), ("action", "move"),
    ]))]
    pub state: Vec<State>,
    /// Every message in the state
    #[arg(long)]
    pub all: bool,
    /// Do not ask for confirmation
    #[arg(long)]
    pub yes: bool,
    /// Which messages.
    #[command(flatten)]
    pub filter: FilterArgs,
    /// How.
    #[command(flatten)]
    pub pace: PaceArgs,
    /// For reschedule: how long from now the messages are due
    #[arg(long, value_name = "TIME", value_parser = parse_length, conflicts_with = "due")]
    pub delay: Option<Length>,
    /// For reschedule: when the messages are due: RFC 3339, or a local time such as "2026-11-21 09:00"
    #[arg(long, value_name = "MOMENT")]
    pub due: Option<String>,
    /// For move: the queue to which the messages are moved
    #[arg(long, value_name = "QUEUE")]
    pub to: Option<String>,
}

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ActionWord {
    /// Send dead, uncertain, expired or cancelled messages again.
    Requeue,
    /// Withdraw messages that wait or are uncertain.
    Cancel,
    /// Give waiting messages another due time.
    Reschedule,
    /// Hand messages over to another queue.
    Move,
    /// Make messages that wait for another attempt due now.
    Retry,
}

impl ActionWord {
    /// What is done.
    #[must_use]
    pub const fn action(self) -> Action {
        match self {
            Self::Requeue => Action::Requeue,
            Self::Cancel => Action::Cancel,
            Self::Reschedule => Action::Reschedule,
            Self::Move => Action::Move,
            Self::Retry => Action::Retry,
        }
    }
}

/// Commands that take an operation alone.
#[derive(Debug, Args)]
pub struct OperationArgs {
    /// The operation's id
    pub id: String,
}

/// `requeue-all`.
#[derive(Debug, Args)]
pub struct RequeueAllArgs {
    /// The queue
    #[arg(add = ArgValueCandidates::new(queues))]
    pub queue: String,
    /// The messages in this state
    #[arg(long, value_name = "STATE", value_parser = states(), hide_possible_values = true)]
    pub state: State,
    /// Do not ask for confirmation
    #[arg(long)]
    pub yes: bool,
    /// Which messages.
    #[command(flatten)]
    pub filter: FilterArgs,
    /// How.
    #[command(flatten)]
    pub pace: PaceArgs,
}

/// `retry`.
#[derive(Debug, Args)]
pub struct RetryArgs {
    /// The queue
    #[arg(add = ArgValueCandidates::new(queues))]
    pub queue: String,
    /// The rate at which messages are changed, evenly spaced, for example 5/s
    #[arg(long, value_name = "RATE")]
    pub rate: Option<Rate>,
    /// Why; shown to other operators
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Change nothing; only count the messages and show some of them
    #[arg(long)]
    pub dry_run: bool,
    /// Print the id of the operation, and do not wait for its end
    #[arg(long)]
    pub no_follow: bool,
}

/// `actions`.
#[derive(Debug, Args)]
pub struct ActionsArgs {
    /// How many actions to show, the newest first
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub limit: u32,
}
