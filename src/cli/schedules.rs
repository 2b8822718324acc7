//! Commands on recurring messages: schedules, schedule NAME and its steps.
//!
//! Owns their tables. Refuses to know when a pattern ticks: the daemon says.

use http::Method;
use serde_json::{Map, Value, json};

use super::Session;
use super::args_admin::{ScheduleArgs, ScheduleStep};
use super::client::{Answer, Target};
use super::describe::word;
use super::exit::{Exit, Failure};
use super::payload;
use super::queues::{as_it_came, list};
use super::table::{whole, words};
use super::times::{Times, of_answer, span};

/// Schedules asked for at once.
const PAGE: &str = "1000";

/// `schedules`.
pub(crate) async fn schedules(session: &mut Session) -> Result<Exit, Failure> {
    let mut all = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut target = Target::new(&["v1", "schedules"]).with("limit", PAGE);
        if let Some(cursor) = cursor.take() {
            target = target.with("cursor", cursor);
        }
        let answer = session.client.get(&target).await?;
        let document: Value = answer.read()?;
        let next = document["next_cursor"].as_str().map(str::to_owned);
        if session.screen.is_json() && all.is_empty() && next.is_none() {
            return as_it_came(&answer, session);
        }
        all.extend_from_slice(list(&document, "schedules"));
        if next.is_none() {
            break;
        }
        cursor = next;
    }
    if session.screen.is_json() {
        session.screen.json(&json!({ "schedules": all, "next_cursor": null }))?;
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

fn row(schedule: &Value, times: &Times) -> Vec<String> {
    let at = |value: &Value| of_answer(value).map(|at_ms| times.distance(at_ms));
    let is_paused = !schedule["paused"].is_null();
    let next = at(&schedule["next"][0]).filter(|_| !is_paused);
    vec![
        word(&schedule["name"]),
        word(&schedule["queue"]),
        cadence(schedule),
        next.unwrap_or_default(),
        at(&schedule["last"]["nominal_at"]).unwrap_or_else(|| "never".to_owned()),
        stands(schedule),
        word(&schedule["source"]),
    ]
}

fn cadence(schedule: &Value) -> String {
    match schedule["every"].as_str() {
        Some(every) => format!("every {every}"),
        None => format!("{} {}", word(&schedule["cron"]), word(&schedule["time_zone"])),
    }
}

/// In a few words, whether it ticks, and if not, why.
fn stands(schedule: &Value) -> String {
    let paused = &schedule["paused"];
    if !paused.is_null() {
        let reason = word(&paused["reason"]);
        return if reason.is_empty() { "paused".to_owned() } else { format!("paused ({reason})") };
    }
    match schedule["overdue"]["late_ms"].as_u64() {
        Some(late_ms) => format!("overdue by {}", span(late_ms)),
        None => "ticks".to_owned(),
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
            let mut body = Map::new();
            if let Some(reason) = reason {
                body.insert("reason".to_owned(), reason.clone().into());
            }
            let answer = session.client.send(Method::POST, &step("pause"), &body).await?;
            confirm(&format!("{name} is paused until it is resumed"), &answer, session)
        }
        Some(ScheduleStep::Resume) => {
            let answer = session.client.send(Method::POST, &step("resume"), &json!({})).await?;
            confirm(&format!("{name} ticks again"), &answer, session)
        }
        Some(ScheduleStep::Run) => {
            let answer = session.client.send(Method::POST, &step("run"), &json!({})).await?;
            let document: Value = answer.read()?;
            confirm(&word(&document["id"]), &answer, session)
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
    let schedule: Value = answer.read()?;
    let times = session.times();
    let moment =
        |value: &Value| of_answer(value).map_or_else(String::new, |at| times.at_and_distance(at));
    let mut pairs = vec![
        ("schedule".to_owned(), word(&schedule["name"])),
        ("queue".to_owned(), word(&schedule["queue"])),
        ("when".to_owned(), cadence(&schedule)),
        ("in words".to_owned(), word(&schedule["description"])),
        ("catch up".to_owned(), word(&schedule["catch_up"])),
        ("made by".to_owned(), word(&schedule["source"])),
        ("stands".to_owned(), stands(&schedule)),
    ];
    for (number, at) in list(&schedule, "next").iter().enumerate() {
        let name = if number == 0 { "next" } else { "" };
        pairs.push((name.to_owned(), moment(at)));
    }
    let last = &schedule["last"];
    pairs.push(("last".to_owned(), moment(&last["nominal_at"])));
    pairs.push(("its message".to_owned(), word(&last["message_id"])));
    for key in ["fired", "missed", "payload", "content_type", "group", "priority", "ttl"] {
        pairs.push((key.replace('_', " "), word(&schedule[key])));
    }
    pairs.retain(|(_, value)| !value.is_empty());
    session.screen.pairs(pairs)?;
    Ok(Exit::Ok)
}

fn confirm(done: &str, answer: &Answer, session: &mut Session) -> Result<Exit, Failure> {
    if session.screen.is_json() {
        return as_it_came(answer, session);
    }
    session.screen.line(done)?;
    Ok(Exit::Ok)
}
