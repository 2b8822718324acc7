//! Commands on recurring messages: schedules, schedule NAME and its steps.
//!
//! Owns their tables. Refuses to know when a pattern ticks: the daemon says.

use std::collections::BTreeMap;

use http::Method;
use serde_json::json;

use super::Session;
use super::args_admin::{ScheduleArgs, ScheduleStep};
use super::client::{Answer, Target};
use super::describe::word;
use super::exit::{Exit, Failure};
use super::payload;
use super::plain::plain;
use super::queues::as_it_came;
use super::table::{whole, words};
use super::times::{Times, span};
use crate::domain::units::format_duration;
use crate::wire::schedule::{
    ScheduleList, SchedulePauseRequest, ScheduleRunAnswer, ScheduleView, WholeScheduleView,
};

/// Schedules asked for at once.
const PAGE: &str = "1000";

/// `schedules`.
pub(crate) async fn schedules(session: &mut Session) -> Result<Exit, Failure> {
    let mut all: Vec<ScheduleView> = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut target = Target::new(&["v1", "schedules"]).with("limit", PAGE);
        if let Some(cursor) = cursor.take() {
            target = target.with("cursor", cursor);
        }
        let answer = session.client.get(&target).await?;
        let page: ScheduleList = answer.read()?;
        if session.screen.is_json() && all.is_empty() && page.next_cursor.is_none() {
            return as_it_came(&answer, session);
        }
        all.extend(page.schedules);
        if page.next_cursor.is_none() {
            break;
        }
        cursor = page.next_cursor;
    }
    if session.screen.is_json() {
        session.screen.json(&ScheduleList { schedules: all, next_cursor: None })?;
        return Ok(Exit::Ok);
    }
    if all.is_empty() {
        session.screen.line("there are no schedules")?;
        return Ok(Exit::Ok);
    }
    let times = session.times();
    let rows = all.iter().map(|schedule| row(schedule, &times)).collect();
    let columns = [
        whole("SCHEDULE"),
        whole("QUEUE"),
        whole("WHEN"),
        whole("NEXT"),
        whole("LAST"),
        words("STANDS"),
        whole("BY"),
    ];
    session.screen.rows(&columns, rows)?;
    Ok(Exit::Ok)
}

fn row(schedule: &ScheduleView, times: &Times) -> Vec<String> {
    let next = schedule.next.first().filter(|_| schedule.paused.is_none());
    let last = schedule.last.as_ref().map(|last| times.distance(last.nominal_at.0));
    vec![
        schedule.name.clone(),
        schedule.queue.clone(),
        cadence(schedule),
        next.map(|next| times.distance(next.0)).unwrap_or_default(),
        last.unwrap_or_else(|| "never".to_owned()),
        stands(schedule),
        schedule.source.to_string(),
    ]
}

fn cadence(schedule: &ScheduleView) -> String {
    match (&schedule.every, &schedule.cron, &schedule.time_zone) {
        (Some(every), _, _) => format!("every {}", format_duration(every.0)),
        (None, Some(cron), Some(time_zone)) => format!("{cron} {time_zone}"),
        (None, cron, _) => cron.clone().unwrap_or_default(),
    }
}

/// In a few words, whether it ticks, and if not, why.
fn stands(schedule: &ScheduleView) -> String {
    match (&schedule.paused, &schedule.overdue) {
        (Some(paused), _) if paused.reason.is_empty() => "paused".to_owned(),
        (Some(paused), _) => format!("paused ({})", paused.reason),
        (None, Some(overdue)) => format!("overdue by {}", span(overdue.late_ms)),
        (None, None) => "ticks".to_owned(),
    }
}

/// `schedule NAME`, with or without a step.
pub(crate) async fn schedule(args: &ScheduleArgs, session: &mut Session) -> Result<Exit, Failure> {
    let name = args.name.as_str();
    let step = |step: &'static str| Target::new(&["v1", "schedules", name, step]);
    let own = Target::new(&["v1", "schedules", name]);
    match &args.step {
        None => {
            let answer = session.client.get(&own).await?;
            show(&answer, session)
        }
        Some(ScheduleStep::Pause { reason }) => {
            let body = SchedulePauseRequest { reason: reason.clone() };
            let answer = session.client.send(Method::POST, &step("pause"), &body).await?;
            confirm(&format!("{name} is paused until it is resumed"), &answer, session)
        }
        Some(ScheduleStep::Resume) => {
            let answer = session.client.send(Method::POST, &step("resume"), &json!({})).await?;
            confirm(&format!("{name} ticks again"), &answer, session)
        }
        Some(ScheduleStep::Run) => {
            let answer = session.client.send(Method::POST, &step("run"), &json!({})).await?;
            let run: ScheduleRunAnswer = answer.read()?;
            confirm(&plain(&run.id), &answer, session)
        }
        Some(ScheduleStep::Put(body)) => {
            let body = payload::json_document(body, &mut session.screen)?;
            let answer = session.client.send(Method::PUT, &own, &body).await?;
            show(&answer, session)
        }
        Some(ScheduleStep::Delete) => {
            let answer = session.client.delete(&own).await?;
            confirm(&format!("{name} is deleted"), &answer, session)
        }
    }
}

fn show(answer: &Answer, session: &mut Session) -> Result<Exit, Failure> {
    if session.screen.is_json() {
        return as_it_came(answer, session);
    }
    let whole: WholeScheduleView = answer.read()?;
    let schedule = &whole.schedule;
    let times = session.times();
    let mut pairs = vec![
        ("schedule", schedule.name.clone()),
        ("queue", schedule.queue.clone()),
        ("when", cadence(schedule)),
        ("in words", schedule.description.clone()),
        ("catch up", schedule.catch_up.to_string()),
        ("made by", schedule.source.to_string()),
        ("stands", stands(schedule)),
    ];
    for (number, at) in schedule.next.iter().enumerate() {
        let name = if number == 0 { "next" } else { "" };
        pairs.push((name, times.at_and_distance(at.0)));
    }
    if let Some(last) = &schedule.last {
        pairs.push(("last", times.at_and_distance(last.nominal_at.0)));
        pairs.push(("its message", last.message_id.clone()));
    }
    let payload = whole.payload.as_ref().map(|payload| word(&payload.to_value()));
    let retry = whole.retry.as_ref().and_then(|retry| serde_json::to_string(retry).ok());
    pairs.extend([
        ("fired", schedule.fired.to_string()),
        ("missed", schedule.missed.to_string()),
        ("payload", payload.unwrap_or_default()),
        ("payload_base64", whole.payload_base64.clone().unwrap_or_default()),
        ("content type", whole.content_type.clone().unwrap_or_default()),
        ("headers", pairs_text(&whole.headers)),
        ("labels", pairs_text(&whole.labels)),
        ("group", whole.group.clone().unwrap_or_default()),
        ("priority", whole.priority.to_string()),
        ("ttl", whole.ttl.map(|ttl| format_duration(ttl.0)).unwrap_or_default()),
        ("timeout", whole.timeout.map(|timeout| format_duration(timeout.0)).unwrap_or_default()),
        ("url", whole.url.clone().unwrap_or_default()),
        ("method", whole.method.clone().unwrap_or_default()),
        ("cost", whole.cost.to_string()),
        ("collapse key", whole.collapse_key.clone().unwrap_or_default()),
        ("retry", retry.unwrap_or_default()),
    ]);
    pairs.retain(|(_, value)| !value.is_empty());
    session.screen.pairs(&pairs)?;
    Ok(Exit::Ok)
}

/// Names with their values in one line.
fn pairs_text(pairs: &BTreeMap<String, String>) -> String {
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(", ")
}

fn confirm(done: &str, answer: &Answer, session: &mut Session) -> Result<Exit, Failure> {
    if session.screen.is_json() {
        return as_it_came(answer, session);
    }
    session.screen.line(done)?;
    Ok(Exit::Ok)
}
