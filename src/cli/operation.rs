//! Operations on many messages: started, followed with a bar, listed, shown, stopped.
//!
//! Owns their tables and the way back after Ctrl-C: an operation goes on without whoever watches it.

use std::time::Duration;

use http::Method;
use serde_json::{Map, Value, json};

use super::Session;
use super::args_operation::{
    ActionWord, FilterArgs, OperationArgs, OperationCommand, PaceArgs, RequeueAllArgs, RetryArgs,
    StartArgs,
};
use super::bulk;
use super::client::{Answer, Target};
use super::describe::{count, field, word};
use super::exit::{Exit, Failure};
use super::filter::{filter_of, is_meant};
use super::moments;
use super::plain::plain;
use super::progress::Progress;
use super::queues::{as_it_came, list};
use super::table::{whole, words};
use super::times::{Times, of_answer, span};
use crate::domain::id::MessageId;
use crate::domain::state::State;
use crate::domain::time::rfc3339;
use crate::domain::units::format_duration;

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
        body.insert("delay".to_owned(), format_duration(delay.ms).into());
    }
    if let Some(text) = &args.due {
        body.insert("due_at".to_owned(), rfc3339(moments::due(text, session)?).into());
    }
    if let Some(to) = &args.to {
        body.insert("to".to_owned(), to.clone().into());
    }
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
        body.insert("state".to_owned(), state.as_str().into());
        exit = exit.or(launch(&body, args.pace.no_follow, session).await?);
    }
    Ok(exit)
}

/// Whoever sits at a terminal is asked before many messages change.
async fn ask(args: &StartArgs, states: &[State], session: &mut Session) -> Result<(), Failure> {
    let states = if states.is_empty() { &[State::Scheduled] } else { states };
    let target = Target::new(&["v1", "queues", &args.queue]);
    let queue: Value = session.client.get(&target).await?.read()?;
    let found = states.iter().map(|state| queue["counts"][state.as_str()].as_u64().unwrap_or(0));
    let words: Vec<&str> = states.iter().map(|state| state.as_str()).collect();
    let found = count(found.sum(), &format!("{} message", words.join(" or ")));
    let which = if args.all { String::new() } else { "those that match of ".to_owned() };
    let question = format!("{} {which}{found} of {}; do it?", args.action.as_str(), args.queue);
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
) -> Result<Map<String, Value>, Failure> {
    let mut body = Map::new();
    body.insert("action".to_owned(), action.as_str().into());
    body.insert("queue".to_owned(), queue.into());
    if let Some(state) = state {
        body.insert("state".to_owned(), state.as_str().into());
    }
    let filter = filter_of(filter, session)?;
    if !filter.is_empty() {
        body.insert("filter".to_owned(), filter.into());
    }
    for (name, flag) in [("all", is_all), ("dry_run", pace.dry_run)] {
        if flag {
            body.insert(name.to_owned(), true.into());
        }
    }
    if let Some(rate) = pace.rate {
        body.insert("rate".to_owned(), rate.to_string().into());
    }
    if let Some(reason) = &pace.reason {
        body.insert("reason".to_owned(), reason.clone().into());
    }
    Ok(body)
}

async fn launch(
    body: &Map<String, Value>,
    no_follow: bool,
    session: &mut Session,
) -> Result<Exit, Failure> {
    let target = Target::new(&["v1", "operations"]);
    let answer = session.client.send(Method::POST, &target, body).await?;
    let operation: Value = answer.read()?;
    let id = word(&operation["id"]);
    if !no_follow {
        return follow(&id, session).await;
    }
    if session.screen.is_json() {
        return as_it_came(&answer, session);
    }
    session.screen.line(&id)?;
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
        let operation: Value = answer.read()?;
        if operation["state"] != "running" {
            break answer;
        }
        let number = |name: &str| operation[name].as_u64().unwrap_or(0);
        let in_hand = number("matched").saturating_sub(number("done") + number("skipped"));
        let looked =
            number("seen").saturating_sub(if operation["dry_run"] == true { 0 } else { in_hand });
        progress.grow(looked + number("remaining"));
        progress.show(looked, &told(&operation), &mut session.screen)?;
        tokio::select! {
            () = tokio::time::sleep(sleep) => {}
            _ = &mut interrupt => return left(id, &progress, session),
        }
        sleep = (sleep * 2).min(LOOK_EVERY);
    };
    progress.clear();
    let operation: Value = answer.read()?;
    if session.screen.is_json() {
        session.screen.raw(&answer.body)?;
    } else {
        session.screen.line(&summary(&operation))?;
        for id in list(&operation, "sample").iter().filter(|_| operation["dry_run"] == true) {
            session.screen.line(&word(id))?;
        }
    }
    match operation["state"].as_str() {
        Some("done") => Ok(Exit::Ok),
        Some("stopped") => {
            let who = word(&operation["stopped_by"]);
            Err(Failure::new(Exit::Failure, format!("the operation was stopped by {who}"))
                .next("start it again: it takes what is left"))
        }
        _ => {
            let why = word(&operation["trouble"]);
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

/// How far it has come, in a line.
fn told(operation: &Value) -> String {
    let number = |name: &str| word(&operation[name]);
    let text = if operation["dry_run"] == true {
        format!("{} of {} match", number("matched"), number("seen"))
    } else {
        format!(
            "{} done, {} skipped, {} remain",
            number("done"),
            number("skipped"),
            number("remaining")
        )
    };
    match operation["trouble"].as_str() {
        Some(trouble) => format!("{text}; waits: {}", plain(trouble)),
        None => text,
    }
}

/// What came of it, in a sentence.
fn summary(operation: &Value) -> String {
    let number = |name: &str| operation[name].as_u64().unwrap_or(0);
    let (matched, seen) = (number("matched"), count(number("seen"), "message"));
    let (action, queue) = (word(&operation["action"]), word(&operation["queue"]));
    if operation["dry_run"] == true {
        return format!(
            "dry run: {matched} of {seen} of {queue} would be taken by {action}; nothing was done"
        );
    }
    let done = match action.as_str() {
        "requeue" => "requeued",
        "cancel" => "cancelled",
        "reschedule" => "rescheduled",
        "retry" => "made due now",
        _ => "moved",
    };
    let skipped = match number("skipped") {
        0 => String::new(),
        n => format!(", {n} had moved on"),
    };
    format!(
        "{} of {queue} {done} ({matched} of {seen} matched{skipped})",
        count(number("done"), "message")
    )
}

async fn show_all(session: &mut Session) -> Result<Exit, Failure> {
    let answer = session.client.get(&Target::new(&["v1", "operations"])).await?;
    if session.screen.is_json() {
        return as_it_came(&answer, session);
    }
    let document: Value = answer.read()?;
    let times = session.times();
    let rows = list(&document, "operations").iter().map(|o| row(o, &times)).collect();
    let numbers = ["ID", "STATE", "ACTION", "QUEUE", "DONE", "REMAIN", "RATE", "STARTED", "BY"];
    let columns: Vec<_> = numbers.into_iter().map(whole).chain([words("REASON")]).collect();
    session.screen.rows(&columns, rows)?;
    Ok(Exit::Ok)
}

fn row(operation: &Value, times: &Times) -> Vec<String> {
    let text = |name: &str| word(&operation[name]);
    let action = if operation["dry_run"] == true {
        format!("{} (dry run)", text("action"))
    } else {
        text("action")
    };
    let counted = if operation["dry_run"] == true { text("matched") } else { text("done") };
    let started = of_answer(&operation["started_at"]).map(|at| times.distance(at));
    vec![
        text("id"),
        text("state"),
        action,
        text("queue"),
        counted,
        text("remaining"),
        text("rate"),
        started.unwrap_or_default(),
        text("by"),
        text("reason"),
    ]
}

async fn show(args: &OperationArgs, session: &mut Session) -> Result<Exit, Failure> {
    let answer = look(&args.id, session).await?;
    if session.screen.is_json() {
        return as_it_came(&answer, session);
    }
    let operation: Value = answer.read()?;
    let fields = operation.as_object().cloned().unwrap_or_default();
    let times = session.times();
    let mut pairs: Vec<_> = fields
        .iter()
        .filter(|(_, value)| !value.is_null() && **value != json!([]) && **value != json!(""))
        .map(|(name, value)| (name.replace('_', " "), field(name, value, &times)))
        .collect();
    if let (Some(began), Some(ended)) =
        (of_answer(&operation["started_at"]), of_answer(&operation["ended_at"]))
    {
        pairs.push(("took".to_owned(), span(ended.saturating_sub(began))));
    }
    session.screen.pairs(&pairs)?;
    Ok(Exit::Ok)
}

async fn stop(args: &OperationArgs, session: &mut Session) -> Result<Exit, Failure> {
    let target = Target::new(&["v1", "operations", &args.id, "stop"]);
    let answer = session.client.send(Method::POST, &target, &json!({})).await?;
    if session.screen.is_json() {
        return as_it_came(&answer, session);
    }
    let operation: Value = answer.read()?;
    let state = match operation["state"].as_str() {
        Some("running") => "is to stop",
        Some("stopped") => "is stopped",
        _ => "had ended already",
    };
    session.screen.line(&format!("{} {state}: {}", args.id, told(&operation)))?;
    Ok(Exit::Ok)
}
