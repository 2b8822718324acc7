//! The words of commands about messages.
//!
//! Owns their flags. Refuses to know the wire.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use clap_complete::engine::ArgValueCandidates;

use super::args_operation::FilterArgs;
use super::args_values::{Length, parse_length, states};
use super::complete::queues;
use crate::domain::limit::COST_MAX;
use crate::domain::message::PRIORITY_MAX;
use crate::domain::receipt::ReceiptSaid;
use crate::domain::state::State;
use crate::domain::units::parse_duration_or_seconds;
use crate::wire::new_message::ResolveAs;

/// The bytes of a payload, given in one of three ways.
#[derive(Debug, Default, Args)]
pub struct BodyArgs {
    /// The payload: JSON if it parses, else text/plain
    #[arg(
        short = 'd',
        long = "data",
        value_name = "BODY",
        group = "payload",
        allow_hyphen_values = true
    )]
    pub data: Option<String>,
    /// Read the payload from a file: JSON if it parses, else text if UTF-8, else raw bytes
    #[arg(short = 'f', long = "file", value_name = "FILE", group = "payload")]
    pub file: Option<PathBuf>,
    /// "-" reads the payload from standard input
    #[arg(value_name = "-", group = "payload", value_parser = parse_dash)]
    pub stdin: Option<String>,
}

/// A payload and its type.
#[derive(Debug, Default, Args)]
pub struct PayloadArgs {
    /// Its bytes.
    #[command(flatten)]
    pub body: BodyArgs,
    /// The media type that the downstream gets as Content-Type
    #[arg(long, value_name = "TYPE")]
    pub content_type: Option<String>,
}

/// `send`.
#[derive(Debug, Args)]
pub struct SendArgs {
    /// The queue
    #[arg(add = ArgValueCandidates::new(queues))]
    pub queue: String,
    /// The message.
    #[command(flatten)]
    pub message: MessageArgs,
    /// Wait at most this long for a final state: exit 0 delivered, 1 another final state, 6 not final
    #[arg(long, value_name = "TIME", value_parser = parse_duration_or_seconds)]
    pub wait: Option<u64>,
    /// Say on standard error when the message can leave, and when it will, if nothing more arrives
    #[arg(long)]
    pub estimate: bool,
}

/// `publish`.
#[derive(Debug, Args)]
pub struct PublishArgs {
    /// The topic
    pub topic: String,
    /// The event: each queue of the topic gets it as a message.
    #[command(flatten)]
    pub message: MessageArgs,
}

/// Where a message goes, in a queue whose messages bring their own url.
#[derive(Debug, Default, Args)]
pub struct TargetArgs {
    /// Where the message goes, in a queue whose messages bring their own url (--url is the address of the daemon)
    #[arg(long, value_name = "URL")]
    pub to: Option<String>,
    /// The method of the call, beside --to: POST, PUT, PATCH, DELETE, GET or HEAD
    #[arg(long, value_name = "METHOD", requires = "to")]
    pub method: Option<String>,
}

/// A message on the command line.
#[derive(Debug, Default, Args)]
pub struct MessageArgs {
    /// The payload.
    #[command(flatten)]
    pub payload: PayloadArgs,
    /// When the message is due; without it: now.
    #[command(flatten)]
    pub due: DueArgs,
    /// How long from now until the message expires, if it has not been sent
    #[arg(long, value_name = "TIME", value_parser = parse_length)]
    pub ttl: Option<Length>,
    /// Until when the message has to leave, as --due: it is refused where that cannot be any more, and expires then
    #[arg(long, value_name = "MOMENT")]
    pub must_dispatch_by: Option<String>,
    /// Idempotency key: repeats with the same key store one message (one event of a topic);
    /// without it, each call makes a new key
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// A value that messages which belong together share, for example a customer; filters find it, and order, shares and limits of the
    /// queue may go by it
    #[arg(long, value_name = "GROUP")]
    pub group: Option<String>,
    /// How long an attempt may take, at most the downstream.timeout of the queue
    #[arg(long, value_name = "TIME", value_parser = parse_length)]
    pub timeout: Option<Length>,
    /// Where the message goes.
    #[command(flatten)]
    pub target: TargetArgs,
    /// Units that the message takes of the limits of its queue: 1 to 10000; without it, 1
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=i64::from(COST_MAX)))]
    pub cost: Option<u16>,
    /// While a message with the same key waits and no attempt at it has begun, this one takes its place
    #[arg(long, value_name = "KEY")]
    pub collapse_key: Option<String>,
    /// The time zone of the recipient, for example Europe/Berlin: the hours of recipients of the queue go by its clock (--tz is the zone of --due)
    #[arg(long, value_name = "ZONE")]
    pub recipient_zone: Option<String>,
    /// 0 to 9; 9 goes first
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=i64::from(PRIORITY_MAX)))]
    pub priority: Option<u8>,
    /// A name and a value, for example --label shop=us; filters find it, and order, shares and limits of the queue may go by it; may be
    /// repeated
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = parse_label)]
    pub labels: Vec<(String, String)>,
    /// A header for the downstream; may be repeated
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = parse_header)]
    pub headers: Vec<(String, String)>,
}

/// When something is to happen.
#[derive(Debug, Default, Args)]
pub struct DueArgs {
    /// How long from now the message is due, for example 90s or 1h30m
    #[arg(long, value_name = "TIME", value_parser = parse_length, conflicts_with = "due")]
    pub delay: Option<Length>,
    /// When the message is due: RFC 3339, or a local time such as "2026-11-21 09:00" (in the zone --tz, else in this machine's)
    #[arg(long, value_name = "MOMENT")]
    pub due: Option<String>,
}

/// `send-batch`.
#[derive(Debug, Args)]
pub struct SendBatchArgs {
    /// The queue
    #[arg(add = ArgValueCandidates::new(queues))]
    pub queue: String,
    /// One message object on each line
    #[arg(value_name = "FILE.ndjson")]
    pub file: PathBuf,
}

/// Commands that take ids.
#[derive(Debug, Args)]
pub struct IdsArgs {
    /// Ids of messages; "-" reads them from standard input, one per line
    #[arg(value_name = "ID", required = true)]
    pub ids: Vec<String>,
}

/// `get`.
#[derive(Debug, Args)]
pub struct GetArgs {
    /// Which messages.
    #[command(flatten)]
    pub ids: IdsArgs,
    /// Wait at most this long for a final state: exit 0 delivered, 1 another final state, 6 not final
    #[arg(long, value_name = "TIME", value_parser = parse_duration_or_seconds)]
    pub wait: Option<u64>,
}

/// `reschedule`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("when").required(true).multiple(true).args(["delay", "due", "priority", "expires"]))]
pub struct RescheduleArgs {
    /// Ids of messages; "-" reads them from standard input, one per line
    #[arg(value_name = "ID", required = true)]
    pub ids: Vec<String>,
    /// The new due time.
    #[command(flatten)]
    pub due: DueArgs,
    /// 0 to 9; 9 goes first
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=i64::from(PRIORITY_MAX)))]
    pub priority: Option<u8>,
    /// When the message expires, as --due; "never" takes its expiry back
    #[arg(long, value_name = "MOMENT")]
    pub expires: Option<String>,
}

/// `resolve`.
#[derive(Debug, Args)]
pub struct ResolveArgs {
    /// Ids of uncertain messages; "-" reads them from standard input, one per line
    #[arg(value_name = "ID", required = true)]
    pub ids: Vec<String>,
    /// The decision: delivered (the downstream has it), resend (it does not), dead (give it up)
    #[arg(long = "as", value_name = "DECISION", value_enum)]
    pub decision: Decision,
    /// Why; kept with the message
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// What became of an attempt whose outcome nobody could tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Decision {
    /// The downstream has it.
    Delivered,
    /// The downstream does not have it.
    Resend,
    /// Given up.
    Dead,
}

impl Decision {
    /// What the API calls it.
    #[must_use]
    pub const fn meaning(self) -> ResolveAs {
        match self {
            Self::Delivered => ResolveAs::Delivered,
            Self::Resend => ResolveAs::Resend,
            Self::Dead => ResolveAs::Dead,
        }
    }
}

/// `receipt`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("of").required(true).args(["id", "reference"]))]
pub struct ReceiptArgs {
    /// The queue
    #[arg(add = ArgValueCandidates::new(queues))]
    pub queue: String,
    /// The message's id
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    /// The downstream's own reference
    #[arg(long = "ref", value_name = "REFERENCE")]
    pub reference: Option<String>,
    /// What became of the message: delivered or dead
    #[arg(long = "as", value_name = "STATUS", value_enum)]
    pub status: ReceiptStatus,
    /// Why; kept with the message
    #[arg(long, value_name = "TEXT")]
    pub detail: Option<String>,
}

/// What a receipt says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReceiptStatus {
    /// The downstream has processed the message.
    Delivered,
    /// The downstream will never process it.
    Dead,
}

impl ReceiptStatus {
    /// What the API calls it.
    #[must_use]
    pub const fn meaning(self) -> ReceiptSaid {
        match self {
            Self::Delivered => ReceiptSaid::Delivered,
            Self::Dead => ReceiptSaid::Dead,
        }
    }
}

/// `edit`.
#[derive(Debug, Args)]
pub struct EditArgs {
    /// The id of the message
    pub id: String,
    /// The new payload, of the kind that the message has: JSON, text or bytes.
    #[command(flatten)]
    pub body: BodyArgs,
}

/// `try`.
#[derive(Debug, Args)]
pub struct TryArgs {
    /// The queue
    #[arg(add = ArgValueCandidates::new(queues))]
    pub queue: String,
    /// The payload.
    #[command(flatten)]
    pub payload: PayloadArgs,
    /// Where the message goes.
    #[command(flatten)]
    pub target: TargetArgs,
}

/// `list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// The queue
    #[arg(add = ArgValueCandidates::new(queues))]
    pub queue: String,
    /// Only messages in this state, or in these, with commas
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = states(), hide_possible_values = true)]
    pub state: Vec<State>,
    /// Which messages.
    #[command(flatten)]
    pub filter: FilterArgs,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: u64,
    /// Only the message with this idempotency key
    #[arg(long, value_name = "KEY", conflicts_with = "state")]
    pub key: Option<String>,
}

/// `export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The queue
    #[arg(add = ArgValueCandidates::new(queues))]
    pub queue: String,
    /// Messages in this state
    #[arg(long, value_name = "STATE", value_parser = states(), hide_possible_values = true)]
    pub state: State,
}

/// Nothing but "-": a payload in its place lacks its flag.
fn parse_dash(text: &str) -> Result<String, String> {
    if text == "-" {
        return Ok(text.to_owned());
    }
    let shown: String = text.chars().take(60).collect();
    if text.ends_with(['}', ']']) && !text.starts_with(['{', '[']) {
        return Err(format!(
            "\"{shown}\" is the rest of a payload that the shell has cut at a space; put the whole JSON in single quotes, for example -d '{{\"to\": \"x\"}}'"
        ));
    }
    Err(format!(
        "a payload is given with -d, for example -d '{shown}'; \"-\" reads it from standard input"
    ))
}

/// Reads `NAME=VALUE`.
fn parse_label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("\"{text}\" is not a valid label; expected NAME=VALUE")),
    }
}

/// Reads `Name: value`.
fn parse_header(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err(format!("\"{text}\" is not a valid header; expected \"Name: value\"")),
    }
}
