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
use super::sending;
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
    let queues = list(&document, "queues").iter().filter(|queue| is_shown(queue));
    let mut titles = vec!["QUEUE".to_owned()];
    titles.extend(State::ALL.map(|state| state.as_str().to_uppercase()));
    titles.extend(["OLDEST READY", "RATE 1M", "DURABILITY", "SENDING"].map(ToOwned::to_owned));
    let row = |queue: &Value| {
        let mut cells = vec![name_of(queue)];
        cells.extend(State::ALL.map(|state| word(&queue["counts"][state.as_str()])));
        cells.push(age(queue).map(span).unwrap_or_default());
        cells.push(word(&queue["rate"]["observed_1m"]));
        cells.push(durability(queue));
        cells.push(sending::cell(queue, now_ms));
        cells
    };
    let titles: Vec<&str> = titles.iter().map(String::as_str).collect();
    session.screen.rows(&titles, queues.map(row).collect())?;
    Ok(Exit::Ok)
}

/// Every queue; one that carries callbacks only where there is something in it, or it does not send.
fn is_shown(queue: &Value) -> bool {
    let counts = queue["counts"].as_object();
    let is_empty = counts.is_none_or(|counts| counts.values().all(|count| *count == 0));
    let is_open = matches!(queue["sending"]["state"].as_str(), None | Some("open"));
    !(name_of(queue).ends_with("~callbacks") && is_empty && is_open)
}

/// The level that holds now for what comes in.
fn durability(queue: &Value) -> String {
    match queue.get("durability") {
        Some(Value::Null) => "not met".to_owned(),
        level => level.map(word).unwrap_or_default(),
    }
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
        ("sending".to_owned(), sending::cell(&queue, now_ms)),
        ("why".to_owned(), word(&queue["sending"]["reason"])),
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
