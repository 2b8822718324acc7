//! `list`: the messages of a queue, page by page.
//!
//! Owns paging. Refuses to know what else is done with messages.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::Session;
use super::args_messages::ListArgs;
use super::client::Target;
use super::describe::{due_ms, gates, why};
use super::exit::{Exit, Failure};
use super::expected::unexpected;
use super::filter::parameters_of;
use super::progress::Progress;
use super::table::{whole, words};
use super::times::Times;
use crate::wire::message::MessageView;

/// The largest page the API gives.
const PAGE_MAX: u64 = 1000;

/// One page of messages, each as it came.
#[derive(Deserialize)]
pub(crate) struct Page {
    /// The messages.
    pub(crate) messages: Vec<Box<RawValue>>,
    /// Where the next page begins; `None`: this was the last.
    #[serde(default)]
    pub(crate) next_cursor: Option<String>,
    /// How many messages a search has looked at so far.
    #[serde(default)]
    looked: Option<u64>,
    /// Of how many.
    #[serde(default)]
    of: Option<u64>,
}

/// `list`.
pub(crate) async fn list(args: &ListArgs, session: &mut Session) -> Result<Exit, Failure> {
    let filter = parameters_of(&args.filter, session)?;
    let mut messages = Vec::new();
    let mut cursor = None;
    let mut progress = Progress::new(&session.screen, 0);
    loop {
        let left = args.limit - u64::try_from(messages.len()).unwrap_or(u64::MAX);
        let target = page_target(args, &filter, left.min(PAGE_MAX), cursor.as_deref());
        let page: Page = session.client.get(&target).await?.read()?;
        messages.extend(page.messages);
        cursor = page.next_cursor;
        let is_full = u64::try_from(messages.len()).unwrap_or(u64::MAX) >= args.limit;
        // A page may be empty and not be the last: one request looks only so far.
        if cursor.is_none() || is_full {
            break;
        }
        if let (Some(looked), Some(of)) = (page.looked, page.of) {
            progress.grow(of);
            let text = format!("looked at {looked} of {of}, found {}", messages.len());
            progress.show(looked, &text, &mut session.screen)?;
        }
    }
    progress.clear();
    if session.screen.is_json() {
        return as_json(&messages, cursor.as_deref(), session);
    }
    let times = session.times();
    let rows = messages.iter().map(|message| row(message, &times)).collect::<Result<_, _>>()?;
    let columns = [
        whole("ID"),
        whole("STATE"),
        whole("DUE"),
        whole("ATTEMPTS"),
        whole("PRIORITY"),
        whole("GROUP"),
        words("HELD BY"),
        words("WHY"),
    ];
    session.screen.rows(&columns, rows)?;
    if cursor.is_some() {
        session.screen.note("there are more than these; --limit N shows more of them")?;
    }
    Ok(Exit::Ok)
}

fn page_target(
    args: &ListArgs,
    filter: &[(&'static str, String)],
    limit: u64,
    cursor: Option<&str>,
) -> Target {
    let mut target =
        Target::new(&["v1", "queues", &args.queue, "messages"]).with("limit", limit.to_string());
    if !args.state.is_empty() {
        let states: Vec<_> = args.state.iter().map(|state| state.as_str()).collect();
        target = target.with("state", states.join(","));
    }
    for (name, value) in filter {
        target = target.with(name, value.clone());
    }
    if let Some(key) = &args.key {
        target = target.with("idempotency_key", key);
    }
    match cursor {
        Some(cursor) => target.with("cursor", cursor),
        None => target,
    }
}

fn as_json(
    messages: &[Box<RawValue>],
    cursor: Option<&str>,
    session: &mut Session,
) -> Result<Exit, Failure> {
    let items: Vec<&str> = messages.iter().map(|message| message.get()).collect();
    let cursor = Value::from(cursor);
    let document = format!("{{\"messages\":[{}],\"next_cursor\":{cursor}}}", items.join(","));
    session.screen.raw(document.as_bytes())?;
    Ok(Exit::Ok)
}

fn row(message: &RawValue, times: &Times) -> Result<Vec<String>, Failure> {
    let message: MessageView<'_> =
        serde_json::from_str(message.get()).map_err(|error| unexpected(&error.to_string()))?;
    Ok(vec![
        message.id.clone(),
        message.state.to_string(),
        times.at(due_ms(&message)),
        message.attempts.to_string(),
        message.priority.to_string(),
        message.group.as_deref().unwrap_or_default().to_owned(),
        gates(&message),
        why(&message),
    ])
}
