//! `override QUEUE` and its steps: what holds in place of the configuration for a time.
//!
//! Owns their words. Refuses to know what fits a queue: the daemon says.

use http::Method;

use super::Session;
use super::args_overrides::{OverrideArgs, OverrideSpan, OverrideStep, WindowWord};
use super::client::{Answer, Target};
use super::exit::{Exit, Failure};
use super::limits::{self, GivenLimit};
use super::moments;
use super::overridden::{or_none, sentence};
use super::plain::plain;
use super::queues::as_it_came;
use super::table::words;
use crate::wire::overrides::{OverrideLimitRequest, OverrideList, OverrideRequest, OverrideView};
use crate::wire::queue::QueueView;
use crate::wire::{DurationMs, Moment};

/// `override QUEUE [STEP]`.
pub(crate) async fn overrides(args: &OverrideArgs, session: &mut Session) -> Result<Exit, Failure> {
    let queue = args.queue.as_str();
    let nothing = OverrideRequest::default();
    let (body, span) = match &args.step {
        None | Some(OverrideStep::List) => return list(queue, session).await,
        Some(OverrideStep::End { id }) => return end(queue, id, session).await,
        Some(OverrideStep::Rate { rate, span }) => {
            (OverrideRequest { rate: Some(rate.clone()), ..nothing }, span)
        }
        Some(OverrideStep::Concurrency { calls, span }) => {
            (OverrideRequest { concurrency: Some(*calls), ..nothing }, span)
        }
        Some(OverrideStep::Window { state, span }) => {
            let state = match state {
                WindowWord::Open => "open",
                WindowWord::Closed => "closed",
            };
            (OverrideRequest { window: Some(state.to_owned()), ..nothing }, span)
        }
        Some(OverrideStep::Limit { name, value, span }) => {
            let limit = limit(queue, name, value, session).await?;
            (OverrideRequest { limit: Some(limit), ..nothing }, span)
        }
    };
    let body = with_span(body, span, session)?;
    let target = Target::new(&["v1", "queues", queue, "overrides"]);
    let answer = session.client.send(Method::POST, &target, &body).await?;
    if session.screen.is_json() {
        return as_it_came(&answer, session);
    }
    let it: OverrideView = answer.read()?;
    let times = session.times();
    session.screen.line(&sentence(&it, &times))?;
    session.screen.note(&format!(
        "next: `tidegate override {} end {}` ends it before that",
        plain(queue),
        plain(&it.id)
    ))?;
    Ok(Exit::Ok)
}

/// What one limit is to allow.
async fn limit(
    queue: &str,
    name: &str,
    value: &str,
    session: &Session,
) -> Result<OverrideLimitRequest, Failure> {
    let answer = session.client.get(&Target::new(&["v1", "queues", queue])).await?;
    let known: QueueView = answer.read()?;
    let nothing = OverrideLimitRequest { name: name.to_owned(), ..OverrideLimitRequest::default() };
    Ok(match limits::given(&known, name, value) {
        GivenLimit::Calls(calls) => OverrideLimitRequest { concurrency: Some(calls), ..nothing },
        GivenLimit::Quota(text) => OverrideLimitRequest { quota: Some(text), ..nothing },
        GivenLimit::Rate(text) => OverrideLimitRequest { rate: Some(text), ..nothing },
    })
}

fn with_span(
    body: OverrideRequest,
    span: &OverrideSpan,
    session: &mut Session,
) -> Result<OverrideRequest, Failure> {
    let until = span.until.as_ref().map(|text| moments::asked(text, session)).transpose()?;
    if let Some(note) = span.lasts.as_ref().and_then(|length| length.note()) {
        session.screen.note(&note)?;
    }
    Ok(OverrideRequest {
        until: until.map(Moment),
        length: span.lasts.map(|length| DurationMs(length.ms)),
        reason: span.reason.clone(),
        above: span.above.then_some(true),
        ..body
    })
}

async fn list(queue: &str, session: &mut Session) -> Result<Exit, Failure> {
    let answer = session.client.get(&Target::new(&["v1", "queues", queue, "overrides"])).await?;
    if session.screen.is_json() {
        return as_it_came(&answer, session);
    }
    let OverrideList { overrides } = answer.read()?;
    if overrides.is_empty() {
        let line = format!("no override is in force: the configuration of {} holds", plain(queue));
        session.screen.line(&line)?;
        return Ok(Exit::Ok);
    }
    let times = session.times();
    let row = |it: &OverrideView| {
        vec![
            plain(&it.kind),
            plain(&it.value),
            or_none(it.configured.as_ref()),
            format!("{} ({})", times.at(it.until.0), times.distance(it.until.0)),
            plain(&it.by),
            plain(&it.id),
        ]
    };
    let columns = ["KIND", "VALUE", "CONFIGURED", "ENDS", "BY", "ID"].map(words);
    session.screen.rows(&columns, overrides.iter().map(row).collect())?;
    for it in &overrides {
        for text in [plain(&it.reason), in_force(it)] {
            if !text.is_empty() {
                session.screen.sentence(0, &format!("{}: {text}", plain(&it.kind)))?;
            }
        }
    }
    Ok(Exit::Ok)
}

/// What an override comes to, where that is not what it says.
fn in_force(it: &OverrideView) -> String {
    match &it.in_force {
        Some(in_force) if *in_force != it.value => {
            format!("{} of the configuration is less and stays in force", plain(in_force))
        }
        None => "the configuration has nothing of this kind any more".to_owned(),
        Some(_) if it.above => "it holds although it may let through more (above)".to_owned(),
        Some(_) => String::new(),
    }
}

async fn end(queue: &str, id: &str, session: &mut Session) -> Result<Exit, Failure> {
    let target = Target::new(&["v1", "queues", queue, "overrides", id]);
    let answer: Answer = session.client.delete(&target).await?;
    if session.screen.is_json() {
        return as_it_came(&answer, session);
    }
    let it: OverrideView = answer.read()?;
    let line = format!(
        "the override of {} has ended: {} is what the configuration says again ({})",
        plain(queue),
        plain(&it.kind),
        or_none(it.configured.as_ref()),
    );
    session.screen.line(&line)?;
    Ok(Exit::Ok)
}
