//! Commands on queues and nodes: queues, queue, pause, resume, windows, nodes.
//!
//! Owns their tables. Refuses to know what is wrong with a queue (`doctor`).

use std::collections::BTreeSet;

use http::Method;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

use super::Session;
use super::args_admin::{PauseArgs, WindowsArgs};
use super::client::{Answer, Target};
use super::describe::word;
use super::exit::{Exit, Failure};
use super::times::{distance, local, moment, of_answer, of_name, span, utc};
use crate::domain::state::State;
use crate::domain::time::rfc3339;
use crate::domain::units::format_duration;

/// `queues`.
pub(crate) async fn queues(session: &mut Session) -> Result<Exit, Failure> {
    let answer = session.client.get(&Target::new(&["v1", "queues"])).await?;
    if session.screen.is_json() {
        return as_it_came(&answer, session);
    }
    let document: Value = answer.read()?;
    let now_ms = (session.now_ms)();
    let queues: Vec<Value> =
        list(&document, "queues").iter().filter(|queue| is_shown(queue)).cloned().collect();
    let queues = queues.as_slice();
    let mut columns = vec![column("QUEUE", true, queues, name_of)];
    for state in State::ALL {
        let counted = |queue: &Value| word(&queue["counts"][state.as_str()]);
        let title = state.as_str().to_uppercase();
        columns.push(column(&title, ALWAYS_SHOWN.contains(&state), queues, counted));
    }
    let oldest = |queue: &Value| age(queue).map(span).unwrap_or_default();
    columns.push(column("OLDEST READY", false, queues, oldest));
    columns.push(column("RATE 1M", false, queues, |queue| word(&queue["rate"]["observed_1m"])));
    columns.push(column("DURABILITY", false, queues, durability));
    columns.push(column("DOOR", true, queues, |queue| door(queue, now_ms)));
    let columns: Vec<Column> = columns.into_iter().flatten().collect();
    let titles: Vec<&str> = columns.iter().map(|column| column.title.as_str()).collect();
    let row = |at: usize| columns.iter().map(|column| column.cells[at].clone()).collect();
    session.screen.rows(&titles, (0..queues.len()).map(row).collect())?;
    Ok(Exit::Ok)
}

/// Every queue; one that carries callbacks only where there is something in it, or it does not send.
fn is_shown(queue: &Value) -> bool {
    let counts = queue["counts"].as_object();
    let is_empty = counts.is_none_or(|counts| counts.values().all(|count| *count == 0));
    !(name_of(queue).ends_with("~callbacks") && is_empty && queue["paused"].is_null())
}

/// The level that holds now for what comes in.
fn durability(queue: &Value) -> String {
    match queue.get("durability") {
        Some(Value::Null) => "not met".to_owned(),
        level => level.map(word).unwrap_or_default(),
    }
}

/// States that have a column in any case; the others only where there is something to count, so
/// that the table fits a terminal.
const ALWAYS_SHOWN: [State; 5] =
    [State::Scheduled, State::Ready, State::Leased, State::Delivered, State::Dead];

struct Column {
    title: String,
    cells: Vec<String>,
}

/// A column of the table of queues; `None` if it may be left out and says nothing.
fn column(
    title: &str,
    is_needed: bool,
    queues: &[Value],
    cell: impl Fn(&Value) -> String,
) -> Option<Column> {
    let cells: Vec<String> = queues.iter().map(cell).collect();
    let says_something = cells.iter().any(|cell| !matches!(cell.as_str(), "" | "0" | "0.0"));
    (is_needed || says_something).then(|| Column { title: title.to_owned(), cells })
}

/// `queue`.
pub(crate) async fn queue(name: &str, session: &mut Session) -> Result<Exit, Failure> {
    let answer = session.client.get(&Target::new(&["v1", "queues", name])).await?;
    if session.screen.is_json() {
        return as_it_came(&answer, session);
    }
    let queue: Value = answer.read()?;
    let now_ms = (session.now_ms)();
    let mut pairs = vec![
        ("queue".to_owned(), name_of(&queue)),
        ("door".to_owned(), door(&queue, now_ms)),
        ("durability".to_owned(), durability(&queue)),
        ("oldest ready".to_owned(), age(&queue).map_or("none".to_owned(), span)),
    ];
    for state in State::ALL {
        pairs.push((state.as_str().to_owned(), word(&queue["counts"][state.as_str()])));
    }
    flatten("rate", &queue["rate"], &mut pairs);
    flatten("policy", &queue["policy"], &mut pairs);
    pairs.retain(|(_, value)| !value.is_empty());
    session.screen.pairs(pairs)?;
    Ok(Exit::Ok)
}

/// `pause`.
pub(crate) async fn pause(args: &PauseArgs, session: &mut Session) -> Result<Exit, Failure> {
    let mut body = Map::new();
    let mut until = "until it is resumed".to_owned();
    if let Some(text) = &args.until {
        let moment = moment(text, args.tz.as_deref())?;
        if let Some(note) = &moment.note {
            session.screen.note(note)?;
        }
        until = format!("until {}", utc(moment.at_ms));
        body.insert("until".to_owned(), rfc3339(moment.at_ms).into());
    }
    if let Some(length) = args.pause_for {
        if let Some(note) = length.note() {
            session.screen.note(&note)?;
        }
        until = format!("for {}", span(length.ms));
        body.insert("for".to_owned(), format_duration(length.ms).into());
    }
    if let Some(reason) = &args.reason {
        body.insert("reason".to_owned(), reason.clone().into());
    }
    let target = Target::new(&["v1", "queues", &args.queue, "pause"]);
    let answer = session.client.send(Method::POST, &target, &body).await?;
    confirm(
        &format!("{} is paused {until}; messages are still accepted", args.queue),
        &answer,
        session,
    )
}

/// `resume`.
pub(crate) async fn resume(name: &str, session: &mut Session) -> Result<Exit, Failure> {
    let target = Target::new(&["v1", "queues", name, "resume"]);
    let answer = session.client.send(Method::POST, &target, &json!({})).await?;
    confirm(&format!("{name} is resumed"), &answer, session)
}

/// `windows`.
pub(crate) async fn windows(args: &WindowsArgs, session: &mut Session) -> Result<Exit, Failure> {
    let target =
        Target::new(&["v1", "queues", &args.queue, "windows"]).with("days", args.days.to_string());
    let answer = session.client.get(&target).await?;
    if session.screen.is_json() {
        return as_it_came(&answer, session);
    }
    let document: Value = answer.read()?;
    let now_ms = (session.now_ms)();
    let windows = list(&document, "windows");
    if windows.is_empty() {
        session.screen.line(&format!("no window opens within {} days", args.days))?;
        return Ok(Exit::Ok);
    }
    let zone = of_name(document["time_zone"].as_str().unwrap_or("UTC"));
    let rows = windows.iter().map(|window| window_row(window, now_ms, &zone)).collect();
    session.screen.rows(&["OPENS", "CLOSES", "LENGTH", ""], rows)?;
    Ok(Exit::Ok)
}

fn window_row(window: &Value, now_ms: u64, zone: &TimeZone) -> Vec<String> {
    let at = |keys: [&str; 2]| keys.iter().find_map(|key| of_answer(&window[*key]));
    let (opens, closes) = (at(["opens_at", "from"]), at(["closes_at", "to"]));
    let length = opens.zip(closes).map(|(opens, closes)| span(closes.saturating_sub(opens)));
    let stands = match opens {
        Some(opens) if opens <= now_ms => "open now".to_owned(),
        Some(opens) => distance(opens, now_ms),
        None => String::new(),
    };
    let shown =
        |at: Option<u64>, none: &str| at.map_or_else(|| none.to_owned(), |at| local(at, zone));
    vec![shown(opens, "always"), shown(closes, "never"), length.unwrap_or_default(), stands]
}

/// `nodes`.
pub(crate) async fn nodes(session: &mut Session) -> Result<Exit, Failure> {
    let answer = session.client.get(&Target::new(&["v1", "nodes"])).await?;
    if session.screen.is_json() {
        return as_it_came(&answer, session);
    }
    let document: Value = answer.read()?;
    let nodes = list(&document, "nodes");
    let keys: BTreeSet<&str> = nodes
        .iter()
        .filter_map(Value::as_object)
        .flat_map(|node| node.keys().map(String::as_str))
        .collect();
    let first = ["node", "id", "name"];
    let mut keys: Vec<&str> = keys.into_iter().collect();
    keys.sort_by_key(|key| first.iter().position(|known| known == key).unwrap_or(first.len()));
    let titles: Vec<String> = keys.iter().map(|key| key.replace('_', " ").to_uppercase()).collect();
    let titles: Vec<&str> = titles.iter().map(String::as_str).collect();
    let rows =
        nodes.iter().map(|node| keys.iter().map(|key| word(&node[*key])).collect()).collect();
    session.screen.rows(&titles, rows)?;
    if document["config_agrees"] == false {
        session.screen.note("note: the nodes run different configs; see `tidegate doctor`")?;
    }
    Ok(Exit::Ok)
}

/// The objects of a list in an answer.
pub(crate) fn list<'a>(document: &'a Value, key: &str) -> &'a [Value] {
    document[key].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The name of a queue in an answer.
pub(crate) fn name_of(queue: &Value) -> String {
    word(queue.get("queue").or_else(|| queue.get("name")).unwrap_or(&Value::Null))
}

/// How long the oldest ready message has waited, in milliseconds.
pub(crate) fn age(queue: &Value) -> Option<u64> {
    queue["oldest_ready_age_ms"].as_u64()
}

/// Whether a queue sends, and if not, why.
fn door(queue: &Value, now_ms: u64) -> String {
    let mut words = Vec::new();
    if let Some(paused) = queue["paused"].as_object() {
        let until = paused.get("until").and_then(of_answer);
        let until = until.map_or(String::new(), |at| format!(" until {}", utc(at)));
        let reason = paused.get("reason").map(word).filter(|reason| !reason.is_empty());
        let reason = reason.map_or(String::new(), |reason| format!(" ({reason})"));
        words.push(format!("paused{until}{reason}"));
    }
    let window = &queue["window"];
    if window["open"] == false {
        let opens = of_answer(&window["opens_at"]);
        let opens =
            opens.map_or("never opens".to_owned(), |at| format!("opens {}", distance(at, now_ms)));
        words.push(format!("window closed, {opens}"));
    } else if let Some(at) = of_answer(&window["closes_at"]) {
        words.push(format!("open, window closes {}", distance(at, now_ms)));
    }
    if words.is_empty() { "open".to_owned() } else { words.join("; ") }
}

/// Nested settings as dotted names.
fn flatten(name: &str, value: &Value, pairs: &mut Vec<(String, String)>) {
    match value.as_object() {
        Some(fields) => {
            for (key, value) in fields {
                flatten(&format!("{name}.{key}"), value, pairs);
            }
        }
        None => pairs.push((name.to_owned(), word(value))),
    }
}

fn confirm(done: &str, answer: &Answer, session: &mut Session) -> Result<Exit, Failure> {
    if session.screen.is_json() {
        return as_it_came(answer, session);
    }
    session.screen.line(done)?;
    Ok(Exit::Ok)
}

pub(crate) fn as_it_came(answer: &Answer, session: &mut Session) -> Result<Exit, Failure> {
    session.screen.raw(&answer.body)?;
    Ok(Exit::Ok)
}
