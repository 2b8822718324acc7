//! The words of the command line.
//!
//! Owns every command, flag and help sentence. Refuses to know what a command does with them.

use clap::{Parser, Subcommand, ValueEnum};
use jiff::tz::TimeZone;

use super::args_admin::{
    BulkArgs, CheckArgs, CompletionArgs, DoctorArgs, EventsArgs, HealthArgs, ManArgs, PauseArgs,
    QueueArgs, ScheduleArgs, ServeArgs, TokenArgs, WindowsArgs,
};
use super::args_forecast::{ForecastArgs, SimulateArgs};
use super::args_keys::KeyArgs;
use super::args_limits::LimitArgs;
use super::args_messages::{
    EditArgs, ExportArgs, GetArgs, IdsArgs, ListArgs, PublishArgs, ReceiptArgs, RescheduleArgs,
    ResolveArgs, SendArgs, SendBatchArgs, TryArgs,
};
use super::args_operation::{ActionsArgs, OperationCommand, RequeueAllArgs, RetryArgs};
use super::args_overrides::OverrideArgs;
use super::args_values::parse_zone;
use super::client::DEFAULT_URL;
use super::examples;
use super::sink::SinkArgs;

/// Exit codes and surroundings, shown below the help.
const AFTER_HELP: &str = "\
Client commands call the daemon at --url with the token in TIDEGATE_TOKEN.
Exit codes: 0 ok, 1 failure, 2 usage, configuration or a message that is not valid, 3 not found,
4 refused (state, limit, backlog), 5 unreachable or store unavailable, 6 timed out.";

/// The heading of flags that every command takes.
const EVERYWHERE: &str = "Everywhere";

/// Send messages from fast producers to slow downstreams: due times, windows, rate limits, retries.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, after_help = AFTER_HELP, max_term_width = 100)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub globals: Globals,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Debug, clap::Args)]
pub struct Globals {
    /// The address of the daemon that client commands call
    #[arg(
        long,
        global = true,
        env = "TIDEGATE_URL",
        default_value = DEFAULT_URL,
        value_name = "URL",
        help_heading = EVERYWHERE
    )]
    pub url: String,
    /// How answers are shown: table, or json as the API gives it
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t = Format::Table,
        value_name = "FORMAT",
        hide_possible_values = true,
        help_heading = EVERYWHERE
    )]
    pub output: Format,
    /// The zone in which times are shown, and in which local times such as that of --due are read
    #[arg(
        long,
        global = true,
        value_name = "ZONE",
        value_parser = parse_zone,
        help_heading = EVERYWHERE
    )]
    pub tz: Option<TimeZone>,
    /// Show times in this machine's zone, as --tz does with a named one; without both: in UTC
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    pub local: bool,
}

/// How answers are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// For scripts.
    Json,
}

/// Every command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon; without --config it uses the built-in defaults
    Serve(ServeArgs),
    /// Run a practice downstream on 127.0.0.1 that prints what it gets, until Ctrl-C
    Sink(SinkArgs),
    /// Commands that talk to nobody.
    #[command(flatten)]
    Local(LocalCommand),
    /// Commands that talk to a daemon.
    #[command(flatten)]
    Client(Box<ClientCommand>),
}

/// Commands that talk to nobody.
#[derive(Debug, Subcommand)]
pub enum LocalCommand {
    /// Verify a configuration and print every setting in force
    #[command(after_help = examples::CHECK)]
    Check(CheckArgs),
    /// Make access tokens
    #[command(subcommand)]
    Token(TokenCommand),
    /// Print the completion script of a shell
    Completion(CompletionArgs),
    /// Write the man pages of all commands into a folder
    #[command(hide = true)]
    Man(ManArgs),
}

/// Commands that talk to a daemon.
#[derive(Debug, Subcommand)]
pub enum ClientCommand {
    /// Make one signed test call to a queue's downstream; nothing is stored
    Try(TryArgs),
    /// Hand over one message and print its id
    Send(SendArgs),
    /// Hand over the messages of an NDJSON file; run it again after an interruption
    #[command(long_about = SEND_BATCH)]
    SendBatch(SendBatchArgs),
    /// Show messages, and say what they wait for
    Get(GetArgs),
    /// Say why messages wait: every gate, who blocks them, which setting decides, and when they can leave
    #[command(after_help = examples::EXPLAIN)]
    Explain(IdsArgs),
    /// List the messages of a queue
    List(ListArgs),
    /// Withdraw messages that wait
    #[command(after_help = examples::CANCEL)]
    Cancel(IdsArgs),
    /// Make messages due now; limits and windows still hold
    #[command(after_help = examples::RUN)]
    Run(IdsArgs),
    /// Send dead, uncertain, expired or cancelled messages again
    #[command(after_help = examples::REQUEUE)]
    Requeue(IdsArgs),
    /// Decide what became of uncertain messages: delivered, resend or dead
    Resolve(ResolveArgs),
    /// Report in the downstream's place what became of an accepted message
    Receipt(ReceiptArgs),
    /// Give messages another due time
    #[command(after_help = examples::RESCHEDULE)]
    Reschedule(RescheduleArgs),
    /// Replace the payload of a message that is dead, uncertain or scheduled
    #[command(after_help = examples::EDIT)]
    Edit(EditArgs),
    /// Hand over one event to a topic and print the ids of its messages, one for each queue
    Publish(PublishArgs),
    /// Show all topics with their queues, and the events that a queue does not have yet
    Topics,
    /// Show the limits that queues share, and how much of them is used
    Limits,
    /// Show one shared limit and who uses it, or charge it with what others used
    Limit(LimitArgs),
    /// Show all queues with their counts
    Queues,
    /// Show queues, messages and what is wrong on a screen that is kept current, with keys for the usual steps
    #[command(long_about = TOP, after_help = examples::TOP)]
    Top,
    /// Show one queue with its settings, and whether it sends now
    Queue(QueueArgs),
    /// Show keys of a queue that were given a weight or limits at run time, or put or delete them
    #[command(after_help = examples::KEY)]
    Key(KeyArgs),
    /// Put a rate, a limit, a window or a number of calls in place of the configuration for a time
    #[command(after_help = examples::OVERRIDE)]
    Override(Box<OverrideArgs>),
    /// Stop sending from a queue; messages are still accepted
    #[command(after_help = examples::PAUSE)]
    Pause(PauseArgs),
    /// End the pause of a queue, and open a gate that the downstream's answers have shut
    Resume(QueueArgs),
    /// Remove all messages of one state: waiting ones are cancelled, final ones deleted
    #[command(after_help = examples::PURGE)]
    Purge(BulkArgs),
    /// Send all messages of one state again, or those that match a filter, at a chosen rate
    RequeueAll(Box<RequeueAllArgs>),
    /// Make messages that wait for another attempt due now, when a downstream works again
    #[command(long_about = RETRY, after_help = examples::RETRY)]
    Retry(RetryArgs),
    /// Requeue, cancel, reschedule, move or retry many messages that match a filter
    #[command(subcommand, long_about = OPERATION)]
    Operation(OperationCommand),
    /// Follow changes of state as they happen, until Ctrl-C
    #[command(long_about = EVENTS)]
    Events(EventsArgs),
    /// Show what operators did: who, when, what and why
    Actions(ActionsArgs),
    /// Write the messages of one state as NDJSON that send-batch takes again
    #[command(long_about = EXPORT)]
    Export(ExportArgs),
    /// Say when the backlog of a queue will have left, if nothing more arrives
    Forecast(ForecastArgs),
    /// Say what would happen with a configuration: when each queue is empty, what holds it, and what misses its deadline
    #[command(after_help = examples::SIMULATE)]
    Simulate(SimulateArgs),
    /// Show when the window of a queue will be open
    Windows(WindowsArgs),
    /// Show the clock of Redis, and whether due times wait because it stepped
    Clock {
        /// What to do about it
        #[command(subcommand)]
        step: Option<ClockStep>,
    },
    /// Show the recurring messages
    Schedules,
    /// Show one recurring message with its next times, or pause, resume, run, put or delete it
    Schedule(ScheduleArgs),
    /// Show the running nodes
    Nodes,
    /// Check whether the daemon accepts messages (exit 0 if it does); needs no token
    Health(HealthArgs),
    /// List what prevents messages from being sent, with remedies; exit 1 if something was found
    #[command(long_about = DOCTOR)]
    Doctor(DoctorArgs),
}

/// `tidegate clock ...`.
#[derive(Debug, Subcommand)]
pub enum ClockStep {
    /// End the alarm after a step of the clock, because the time is correct now
    Resume,
}

/// `tidegate token ...`.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Print a token once, and its line for the configuration
    New(TokenArgs),
}

const SEND_BATCH: &str = "\
Hand over the messages of an NDJSON file. Each line is one message object, as POST \
/v1/queues/QUEUE/messages takes it, for example {\"payload\": {\"to\": \"+491511\"}, \"delay\": \
\"90s\"}.

A row without idempotency_key gets a key that is made from the file's name, the line number and the \
row. So if the command is interrupted and run again within the queue's idempotency_window, each row \
is stored only once. An id in a row (see export) is ignored. If the daemon is busy or cannot be \
reached, the command waits and then goes on by itself.

Rejected rows go to FILE.rejects.ndjson as {\"line\", \"row\", \"problem\"}; the exit code is then 1.";

const TOP: &str = "\
Show queues, messages and what is wrong on a screen that is kept current, with keys for the usual steps.

The arrows choose, Enter opens, Esc goes back, ? shows all keys and q quits. The screen needs a terminal of \
80 columns and 24 lines. It asks the daemon for what is seen, at most once a second, and changes nothing \
without a confirmation that names the command that does the same.";

const DOCTOR: &str = "\
List what prevents messages from being sent, with remedies; exit 1 if something was found.

The daemon also checks everything that is stored: whether each message is in the index that its \
record names, and whether each index entry has its message. This takes about a minute for a million \
messages, does not stop the daemon's work, and changes nothing without --repair.";

const EVENTS: &str = "\
Follow changes of state in all queues or in some as they happen, until Ctrl-C or --limit.

The changes of all nodes are shown. When the daemon restarts or the connection breaks, the command \
goes on after the last event that it showed. With --output json each line is an object with event \
(message or queue), event_id (for --after) and data.";

const OPERATION: &str = "\
Requeue, cancel, reschedule, move or retry many messages that match a filter.

An operation takes the messages that are in the state when it begins. A node carries it out at its \
--rate, and if that node is lost, another node continues. Ctrl-C ends only the display. Without a \
filter, --all is needed; it means every message in the state.";

const RETRY: &str = "\
Make messages that wait for another attempt due now, when a downstream works again.

Without --rate all of them become due at once. They are then sent as the rate, the concurrency and the \
window of the queue allow, and not while the queue is paused or its gate is shut. With --rate they \
become due one after the other. `tidegate queue QUEUE` shows how many still wait.";

const EXPORT: &str = "\
Write the messages of one state as NDJSON: id, payload (or payload_base64), content_type, headers, \
priority, group, labels, retry, timeout and cost; due_at of scheduled messages, and expires_at if it is in the future.

send-batch takes these rows again. It ignores the id, and the old idempotency key is not exported, \
so each row becomes a new message. The payload of delivered messages is not kept.";
