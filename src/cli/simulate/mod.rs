//! `simulate`: what would happen with a configuration that is not in force, in virtual time.
//!
//! Owns where the messages come from: a trace, a load in words, or the backlog of a daemon, which is only read. What follows from them
//! says `domain::forecast`.

mod arrivals;
mod backlog;
mod load;
mod trace;

use std::collections::BTreeMap;

use serde::Serialize;

use self::arrivals::Arrivals;
use super::Session;
use super::args_forecast::SimulateArgs;
use super::exit::{Exit, Failure};
use super::forecast::show;
use crate::config::{self, Settings, Sources};
use crate::domain::forecast::forecast;
use crate::domain::id::QueueName;
use crate::domain::policy::QueuePolicy;
use crate::domain::units::format_duration;
use crate::wire::forecast::ForecastView;

const HOUR_MS: u64 = 3_600_000;

/// What is shown as JSON.
#[derive(Serialize)]
struct Simulated {
    queues: BTreeMap<String, ForecastView>,
}

/// `simulate`.
pub(crate) async fn simulate(args: &SimulateArgs, session: &mut Session) -> Result<Exit, Failure> {
    let settings = load_settings(args)?;
    let mut all = Arrivals::new(&settings, (session.now_ms)());
    if let Some(file) = &args.trace {
        trace::read(file, &mut all, session)?;
    }
    for text in &args.load {
        load::add(text, &mut all)?;
    }
    if args.backlog {
        backlog::read(args.hours, &mut all, session).await?;
    }
    let until_ms = all.from_ms.saturating_add(u64::from(args.hours) * HOUR_MS);
    let mut queues = BTreeMap::new();
    for (name, facts) in all.facts(args.call) {
        check_call(args.call, facts.policy)?;
        let beyond = facts.due.iter().filter(|it| it.at_ms >= until_ms);
        let beyond: f64 = beyond.map(|it| it.messages).sum();
        if beyond > 0.0 {
            session.screen.note(&format!(
                "note: {beyond:.0} of the messages of {name} come after these {} hours and are left out; --hours looks further ahead",
                args.hours
            ))?;
        }
        let forecast = forecast(&facts, args.hours);
        let view = ForecastView::new(&forecast);
        // Of a backlog in Redis the deadlines are not known.
        let view = if args.backlog { view } else { view.expiring(&forecast) };
        queues.insert(name.to_string(), view);
    }
    if session.screen.is_json() {
        session.screen.json(&Simulated { queues })?;
        return Ok(Exit::Ok);
    }
    let times = session.times();
    for (number, (name, forecast)) in queues.iter().enumerate() {
        if number > 0 {
            session.screen.line("")?;
        }
        session.screen.line(&format!("{name}:"))?;
        show(forecast, &times, &mut session.screen)?;
    }
    Ok(Exit::Ok)
}

/// A call that takes longer than its queue waits for it fails each time, and nothing of a forecast would hold.
fn check_call(call_ms: Option<u64>, policy: &QueuePolicy) -> Result<(), Failure> {
    let timeout_ms = policy.downstream.timeout_ms();
    match call_ms {
        Some(call_ms) if timeout_ms > 0 && call_ms > timeout_ms => Err(Failure::usage(format!(
            "--call {} is longer than the calls of {} may take (downstream.timeout = \"{}\"): none would succeed",
            format_duration(call_ms),
            policy.name,
            format_duration(timeout_ms)
        ))),
        _ => Ok(()),
    }
}

fn load_settings(args: &SimulateArgs) -> Result<Settings, Failure> {
    let sources = Sources::of_process(Some(args.config.clone()), Vec::new());
    config::load(&sources).map_err(|errors| Failure {
        details: errors.iter().map(ToString::to_string).collect(),
        ..Failure::usage("the configuration is refused")
    })
}

/// A queue that the configuration does not have.
fn unknown(name: &str, settings: &Settings) -> String {
    let known: Vec<_> = settings.queues.keys().map(QueueName::as_str).collect();
    format!("the configuration has no queue \"{name}\"; it has {}", known.join(", "))
}
