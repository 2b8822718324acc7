//! The operator's commands.
//!
//! Owns the command line: its words (`args`), its exit codes (`exit`), and one file per family of
//! commands. Speaks HTTP only: it knows nothing of Redis, of the daemon's rooms, or of how a
//! message is kept. `serve` is the exception that is no client command: `main` hands it to `app`.

mod actions;
mod answer_check;
mod args;
mod args_admin;
mod args_forecast;
mod args_keys;
mod args_limits;
mod args_messages;
mod args_operation;
mod args_overrides;
mod args_values;
mod batch;
mod batch_fate;
mod batch_rows;
mod batch_send;
mod bulk;
mod checkup;
mod client;
mod clock;
mod complete;
mod describe;
mod doctor;
mod events;
mod examples;
mod exit;
mod expected;
mod explain;
mod export;
mod filter;
mod forecast;
mod get;
mod health;
mod ids;
mod keys;
mod limits;
mod list;
mod local;
mod message_fields;
mod messages;
mod moments;
mod next_step;
mod nodes;
mod once;
mod operation;
mod operation_shown;
mod overridden;
mod overrides;
mod payload;
mod plain;
mod progress;
mod queues;
mod recorded;
mod schedules;
mod screen;
mod send;
mod sending;
mod shared_limits;
mod simulate;
mod sink;
mod stream;
mod table;
mod target;
mod times;
mod top;
mod topics;
mod trial;
mod usage;
mod user;
mod windows;

#[cfg(test)]
mod tests;

use std::process::ExitCode;

use jiff::tz::TimeZone;

pub use args::{
    Cli, ClientCommand, ClockStep, Command, Format, Globals, LocalCommand, TokenCommand,
};
pub use args_admin::{
    BulkArgs, CheckArgs, CompletionArgs, DoctorArgs, EventsArgs, HealthArgs, ManArgs, PauseArgs,
    QueueArgs, ScheduleArgs, ScheduleStep, ScopeWord, ServeArgs, TokenArgs, WindowsArgs,
};
pub use args_keys::{KeyArgs, KeyLimit, KeyPutArgs, KeyStep};
pub use args_messages::{
    BodyArgs, DueArgs, EditArgs, ExportArgs, GetArgs, IdsArgs, ListArgs, MessageArgs, PayloadArgs,
    PublishArgs, RescheduleArgs, SendArgs, SendBatchArgs, TryArgs,
};

pub use args_operation::{
    ActionWord, ActionsArgs, FilterArgs, OperationArgs, OperationCommand, PaceArgs, RequeueAllArgs,
    RetryArgs, StartArgs,
};

pub use args_forecast::{ForecastArgs, SimulateArgs};
pub use args_overrides::{OverrideArgs, OverrideSpan, OverrideStep, WindowWord};
pub use sink::SinkArgs;
pub use usage::parse;

use client::Client;
use exit::{Exit, Failure};
use screen::Screen;
use times::Times;

/// What a client command works with.
struct Session {
    client: Client,
    screen: Screen,
    /// The wall clock of this machine, for words such as "5s ago" and for nothing else.
    now_ms: fn() -> u64,
    /// The zone that was asked for: moments are shown in it, and local times are read in it.
    zone: Option<TimeZone>,
}

impl Session {
    /// How moments are shown now; JSON is for programs, and the same in every zone.
    fn times(&self) -> Times {
        let zone = self.zone.clone().filter(|_| !self.screen.is_json());
        Times { now_ms: (self.now_ms)(), zone }
    }
}

/// Answers a shell that asks what may come next, and ends; does nothing if none asks.
pub fn complete() {
    clap_complete::CompleteEnv::with_factory(<Cli as clap::CommandFactory>::command).complete();
}

/// Runs a command that talks to nobody.
#[must_use]
pub fn run_local(globals: &Globals, command: &LocalCommand) -> ExitCode {
    let mut screen = Screen::of_process(globals.output);
    execute_local(command, &mut screen).into()
}

/// Runs the downstream for practice.
pub async fn run_sink(globals: &Globals, args: SinkArgs) -> ExitCode {
    let mut screen = Screen::of_process(globals.output);
    let ended = sink::sink(&args, &mut screen).await;
    finish(ended, &mut screen).into()
}

/// Runs a command that talks to a daemon.
pub async fn run(globals: &Globals, command: ClientCommand) -> ExitCode {
    let mut screen = Screen::of_process(globals.output);
    let token = std::env::var("TIDEGATE_TOKEN").ok().filter(|token| !token.trim().is_empty());
    let zone = times::zone_asked(globals);
    match zone.and_then(|zone| Ok((Client::new(&globals.url, token.as_deref())?, zone))) {
        Ok((client, zone)) => {
            let mut session = Session { client, screen, now_ms: times::now_ms, zone };
            execute(command, &mut session).await.into()
        }
        Err(failure) => finish(Err(failure), &mut screen).into(),
    }
}

fn execute_local(command: &LocalCommand, screen: &mut Screen) -> Exit {
    let ended = match command {
        LocalCommand::Check(args) => local::check(args, screen),
        LocalCommand::Token(TokenCommand::New(args)) => local::token_new(args, screen),
        LocalCommand::Completion(args) => local::completion(args, screen),
        LocalCommand::Man(args) => local::man(args, screen),
    };
    finish(ended, screen)
}

async fn execute(command: ClientCommand, session: &mut Session) -> Exit {
    let ended = Box::pin(dispatch(command, session)).await;
    finish(ended, &mut session.screen)
}

/// Hands on what is buffered and shows the failure, if any.
fn finish(ended: Result<Exit, Failure>, screen: &mut Screen) -> Exit {
    let flushed = screen.flush();
    ended.and_then(|exit| flushed.map(|()| exit)).unwrap_or_else(|failure| {
        screen.failure(&failure);
        failure.exit
    })
}

/// The one place where commands meet their code.
async fn dispatch(command: ClientCommand, session: &mut Session) -> Result<Exit, Failure> {
    match command {
        ClientCommand::Try(args) => trial::try_once(&args, session).await,
        ClientCommand::Send(args) => send::send(&args, session).await,
        ClientCommand::SendBatch(args) => batch::send_batch(&args, session).await,
        ClientCommand::Get(args) => get::get(&args, session).await,
        ClientCommand::Explain(args) => explain::explain(&args, session).await,
        ClientCommand::List(args) => list::list(&args, session).await,
        ClientCommand::Cancel(args) => messages::cancel(&args.ids, session).await,
        ClientCommand::Run(args) => messages::run(&args.ids, session).await,
        ClientCommand::Requeue(args) => messages::requeue(&args.ids, session).await,
        ClientCommand::Resolve(args) => messages::resolve(&args, session).await,
        ClientCommand::Receipt(args) => messages::receipt(&args, session).await,
        ClientCommand::Reschedule(args) => messages::reschedule(&args, session).await,
        ClientCommand::Edit(args) => messages::edit(&args, session).await,
        ClientCommand::Publish(args) => topics::publish(&args, session).await,
        ClientCommand::Topics => topics::topics(session).await,
        ClientCommand::Limits => shared_limits::limits(session).await,
        ClientCommand::Limit(args) => shared_limits::limit(&args, session).await,
        ClientCommand::Queues => queues::queues(session).await,
        ClientCommand::Top => top::top(session).await,
        ClientCommand::Queue(args) => queues::queue(&args.queue, session).await,
        ClientCommand::Key(args) => keys::key(&args, session).await,
        ClientCommand::Override(args) => overrides::overrides(&args, session).await,
        ClientCommand::Pause(args) => queues::pause(&args, session).await,
        ClientCommand::Resume(args) => queues::resume(&args.queue, session).await,
        ClientCommand::Purge(args) => bulk::purge(&args, session).await,
        ClientCommand::Retry(args) => operation::retry(&args, session).await,
        ClientCommand::RequeueAll(args) => operation::requeue_all(&args, session).await,
        ClientCommand::Operation(command) => operation::operation(&command, session).await,
        ClientCommand::Events(args) => events::events(&args, session).await,
        ClientCommand::Actions(args) => actions::actions(&args, session).await,
        ClientCommand::Export(args) => export::export(&args, session).await,
        ClientCommand::Forecast(args) => forecast::forecast(&args, session).await,
        ClientCommand::Simulate(args) => simulate::simulate(&args, session).await,
        ClientCommand::Windows(args) => windows::windows(&args, session).await,
        ClientCommand::Clock { step } => clock::clock(step.as_ref(), session).await,
        ClientCommand::Schedules => schedules::schedules(session).await,
        ClientCommand::Schedule(args) => schedules::schedule(&args, session).await,
        ClientCommand::Nodes => nodes::nodes(session).await,
        ClientCommand::Health(args) => health::health(&args, session).await,
        ClientCommand::Doctor(args) => doctor::doctor(&args, session).await,
    }
}
