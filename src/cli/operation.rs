//! Operations on many messages: started, followed with a bar, listed, shown, stopped.
//!
//! Owns the asking and the way back after Ctrl-C: an operation goes on without whoever watches it. How one is shown is
//! the matter of `operation_shown`.

use std::time::Duration;

use http::Method;
use serde_json::json;

use super::Session;
use super::args_operation::{
    ActionWord, FilterArgs, OperationArgs, OperationCommand, PaceArgs, RequeueAllArgs, RetryArgs,
    StartArgs,
};
use super::bulk;
use super::client::{Answer, Target};
use super::describe::count;
use super::exit::{Exit, Failure};
use super::filter::{filter_of, is_meant};
use super::moments;
use super::operation_shown::{pairs, progress_line, row, summary};
use super::plain::plain;
use super::progress::Progress;
use super::queues::as_it_came;
use super::table::{whole, words};
use crate::domain::id::MessageId;
use crate::domain::operation::Stage;
use crate::domain::state::State;
use crate::wire::operation::{FilterRequest, OperationList, OperationRequest, OperationView};
use crate::wire::queue::QueueView;
use crate::wire::{DurationMs, Moment};

/// Between two looks at an operation that runs.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The first looks come sooner: most operations are short.
const LOOK_FIRST: Duration = Duration::from_millis(50);

/// `operation ...`.
pub(crate) async fn operation(
    command: &OperationCommand,
    session: &mut Session,
) -> Result<Exit, Failure> {
    match command {
        OperationCommand::Start(args) => start(args, session).await,
        OperationCommand::List => show_all(session).await,
        OperationCommand::Show(args) => show(args, session).await,
        OperationCommand::Follow(args) => follow(&args.id, session).await,
        OperationCommand::Stop(args) => stop(args, session).await,
    }
}

async fn start(args: &StartArgs, session: &mut Session) -> Result<Exit, Failure> {
    is_meant(args)?;
    let filter = (&args.filter, args.all);
    let mut body = wish(args.action, &args.queue, None, filter, &args.pace, session)?;
    if let Some(delay) = args.delay {
        if let Some(note) = delay.note() {
            session.screen.note(&note)?;
        }
        body.delay = Some(DurationMs(delay.ms));
    }
    if let Some(text) = &args.due {
        body.due_at = Some(Moment(moments::due(text, session)?));
    }
    body.to.clone_from(&args.to);
    let states: Vec<State> = State::ALL.into_iter().filter(|s| args.state.contains(s)).collect();
    if !args.yes && !args.pace.dry_run && session.screen.in_is_tty {
        ask(args, &states, session).await?;
    }
    if states.is_empty() {
        return launch(&body, args.pace.no_follow, session).await;
    }
    // In the order of a message's life: one that goes on to the next state meanwhile is taken there.
    let mut exit = Exit::Ok;
    for state in states {
        body.state = Some(state.into());
        exit = exit.or(launch(&body, args.pace.no_follow, session).await?);
    }
    Ok(exit)
}

/// Whoever sits at a terminal is asked before many messages change.
async fn ask(args: &StartArgs, states: &[State], session: &mut Session) -> Result<(), Failure> {
    let states = if states.is_empty() { &[State::Scheduled] } else { states };
    let target = Target::new(&["v1", "queues", &args.queue]);
    let queue: QueueView = session.client.get(&target).await?.read()?;
    let found = states.iter().map(|state| queue.counts.of(*state));
    let words: Vec<&str> = states.iter().map(|state| state.as_str()).collect();
    let found = count(found.sum(), &format!("{} message", words.join(" or ")));
    let which = if args.all { String::new() } else { "those that match of ".to_owned() };
    let question =
        format!("{} {which}{found} of {}; do it?", args.action.action().as_str(), args.queue);
    if session.screen.ask(&question)? {
        return Ok(());
    }
    Err(Failure::new(Exit::Failure, "nothing was done")
        .next("--dry-run counts and shows what would be taken; --yes does it without asking"))
}

/// `requeue-all`: the short way where all of them are meant at once, an operation for everything else.
pub(crate) async fn requeue_all(
    args: &RequeueAllArgs,
    session: &mut Session,
) -> Result<Exit, Failure> {
    let is_plain = args.filter == FilterArgs::default() && args.pace == PaceArgs::default();
    if is_plain {
        return bulk::requeue_all(&args.queue, args.state, args.yes, session).await;
    }
    if !args.yes && !args.pace.dry_run && session.screen.in_is_tty {
        let question = format!("requeue {} messages of {}; do it?", args.state, args.queue);
        if !session.screen.ask(&question)? {
            return Err(Failure::new(Exit::Failure, "nothing was done")
                .next("--dry-run counts and shows what would be requeued"));
        }
    }
    let is_all = args.filter == FilterArgs::default();
    let filter = (&args.filter, is_all);
    let state = Some(args.state);
    let body = wish(ActionWord::Requeue, &args.queue, state, filter, &args.pace, session)?;
    launch(&body, args.pace.no_follow, session).await
}

/// `retry`: what waits for another attempt is due now.
pub(crate) async fn retry(args: &RetryArgs, session: &mut Session) -> Result<Exit, Failure> {
    if args.queue.parse::<MessageId>().is_ok() {
        let id = plain(&args.queue);
        return Err(Failure::usage(format!(
            "\"{id}\" is the id of a message; retry takes a queue"
        ))
        .next(format!(
            "`tidegate run {id}` makes it due now; `tidegate requeue {id}` starts a dead one again"
        )));
    }
    let pace = PaceArgs {
        rate: args.rate,
        reason: args.reason.clone(),
        no_follow: args.no_follow,
        dry_run: args.dry_run,
    };
    let all = (&FilterArgs::default(), true);
    let body = wish(ActionWord::Retry, &args.queue, None, all, &pace, session)?;
    let exit = launch(&body, args.no_follow, session).await?;
    if exit == Exit::Ok && !args.dry_run {
        let queue = plain(&args.queue);
        session.screen.note(&format!("`tidegate queue {queue}` shows how many still wait"))?;
    }
    Ok(exit)
}

/// The body that asks for an operation.
fn wish(
    action: ActionWord,
    queue: &str,
    state: Option<State>,
    (filter, is_all): (&FilterArgs, bool),
    pace: &PaceArgs,
    session: &mut Session,
) -> Result<OperationRequest, Failure> {
    let filter = filter_of(filter, session)?;
    Ok(OperationRequest {
        action: action.action().into(),
        queue: queue.to_owned(),
        state: state.map(Into::into),
        filter: (filter != FilterRequest::default()).then_some(filter),
        all: is_all.then_some(true),
        rate: pace.rate.map(|rate| rate.to_string()),
        dry_run: pace.dry_run.then_some(true),
        reason: pace.reason.clone(),
        due_at: None,
        delay: None,
        to: None,
    })
}

async fn launch(
    body: &OperationRequest,
    no_follow: bool,
    session: &mut Session,
) -> Result<Exit, Failure> {
    let target = Target::new(&["v1", "operations"]);
    let answer = session.client.send(Method::POST, &target, body).await?;
    let operation: OperationView = answer.read()?;
    if !no_follow {
        return follow(&operation.id, session).await;
    }
    if session.screen.is_json() {
        return as_it_came(&answer, session);
    }
    session.screen.line(&plain(&operation.id))?;
    Ok(Exit::Ok)
}

async fn look(id: &str, session: &Session) -> Result<Answer, Failure> {
    session.client.get(&Target::new(&["v1", "operations", id])).await
}

/// Shows progress until the end, or until Ctrl-C, which ends the watching alone.
async fn follow(id: &str, session: &mut Session) -> Result<Exit, Failure> {
    let mut progress = Progress::new(&session.screen, 0);
    let mut sleep = LOOK_FIRST;
    let interrupt = tokio::signal::ctrl_c();
    tokio::pin!(interrupt);
    let answer = loop {
        let answer = tokio::select! {
            answer = look(id, session) => answer?,
            _ = &mut interrupt => return left(id, &progress, session),
        };
        let operation: OperationView = answer.read()?;
        if !operation.state.is(Stage::Running) {
            break answer;
        }
        let in_hand = operation.matched.saturating_sub(operation.done + operation.skipped);
        let looked = operation.seen.saturating_sub(if operation.dry_run { 0 } else { in_hand });
        progress.grow(looked + operation.remaining);
        progress.show(looked, &progress_line(&operation), &mut session.screen)?;
        tokio::select! {
            () = tokio::time::sleep(sleep) => {}
            _ = &mut interrupt => return left(id, &progress, session),
        }
        sleep = (sleep * 2).min(LOOK_EVERY);
    };
    progress.clear();
    let operation: OperationView = answer.read()?;
    if session.screen.is_json() {
        session.screen.raw(&answer.body)?;
    } else {
        session.screen.line(&summary(&operation))?;
        for id in operation.sample.iter().filter(|_| operation.dry_run) {
            session.screen.line(&plain(id))?;
        }
    }
    match operation.state.known() {
        Some(Stage::Done) => Ok(Exit::Ok),
        Some(Stage::Stopped) => {
            let who = plain(operation.stopped_by.as_deref().unwrap_or_default());
            Err(Failure::new(Exit::Failure, format!("the operation was stopped by {who}"))
                .next("start it again: it takes what is left"))
        }
        _ => {
            let why = plain(operation.trouble.as_deref().unwrap_or_default());
            Err(Failure::new(Exit::Failure, format!("the operation failed: {why}"))
                .next("`tidegate doctor` looks for the cause"))
        }
    }
}

/// Ctrl-C: the operation goes on.
fn left(id: &str, progress: &Progress, session: &mut Session) -> Result<Exit, Failure> {
    progress.clear();
    session.screen.note(&format!(
        "the operation goes on: `tidegate operation follow {id}` shows it again, `tidegate operation stop {id}` ends it"
    ))?;
    Ok(Exit::TimedOut)
}

async fn show_all(session: &mut Session) -> Result<Exit, Failure> {
    let answer = session.client.get(&Target::new(&["v1", "operations"])).await?;
    if session.screen.is_json() {
        return as_it_came(&answer, session);
    }
    let found: OperationList = answer.read()?;
    let times = session.times();
    let rows = found.operations.iter().map(|operation| row(operation, &times)).collect();
    let numbers = ["ID", "STATE", "ACTION", "QUEUE", "DONE", "REMAIN", "RATE", "STARTED", "BY"];
    let columns: Vec<_> = numbers.into_iter().map(whole).chain([words("REASON")]).collect();
    session.screen.rows(&columns, rows)?;
    Ok(Exit::Ok)
}

async fn show(args: &OperationArgs, session: &mut Session) -> Result<Exit, Failure> {
    let answer = look(&args.id, session).await?;
    if session.screen.is_json() {
        return as_it_came(&answer, session);
    }
    let operation: OperationView = answer.read()?;
    session.screen.pairs(&pairs(&operation, &session.times()))?;
    Ok(Exit::Ok)
}

async fn stop(args: &OperationArgs, session: &mut Session) -> Result<Exit, Failure> {
    let target = Target::new(&["v1", "operations", &args.id, "stop"]);
    let answer = session.client.send(Method::POST, &target, &json!({})).await?;
    if session.screen.is_json() {
        return as_it_came(&answer, session);
    }
    let operation: OperationView = answer.read()?;
    let state = match operation.state.known() {
        Some(Stage::Running) => "is to stop",
        Some(Stage::Stopped) => "is stopped",
        _ => "had ended already",
    };
    session.screen.line(&format!("{} {state}: {}", args.id, progress_line(&operation)))?;
    Ok(Exit::Ok)
}
