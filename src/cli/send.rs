//! `send`: one message in, its id out, and waiting for its end.
//!
//! Owns the message as a producer writes it on the command line. Refuses to know files of many
//! (`batch`).

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::Session;
use super::args_messages::{MessageArgs, SendArgs};
use super::args_values::Length;
use super::client::{Answer, Target};
use super::exit::{Exit, Failure};
use super::messages::{due_fields, show};
use super::once::{Key, hand_over};
use super::payload::{self, Payload};
use super::times::span;
use crate::domain::state::State;
use crate::domain::units::format_duration;

/// The longest wait the API takes in one request, in milliseconds.
const WAIT_MS_MAX: u64 = 60_000;
/// The pause after an answer that came before its time (a daemon that is stopping answers early).
const EARLY_ANSWER_PAUSE: Duration = Duration::from_millis(200);

/// A message on its way.
#[derive(Serialize)]
pub(crate) struct NewMessage<'a> {
    #[serde(flatten)]
    payload: Payload,
    #[serde(flatten)]
    rest: Map<String, Value>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<&'a str, &'a str>,
}

/// `send`.
pub(crate) async fn send(args: &SendArgs, session: &mut Session) -> Result<Exit, Failure> {
    let key = Key::of(args.message.key.as_ref());
    let message = new_message(&args.message, &key, session)?;
    let target = Target::new(&["v1", "queues", &args.queue, "messages"]);
    let answer = hand_over(&target, &message, &key, session).await?;
    let stored: Value = answer.read()?;
    let id = stored["id"].as_str().unwrap_or_default().to_owned();
    // A key of our own was sent before by this very command.
    if stored["duplicate"] == true && !key.is_own {
        session.screen.note("note: this key was sent before; this is the first message")?;
    }
    let Some(wait_ms) = args.wait else {
        if session.screen.is_json() {
            session.screen.raw(&answer.body)?;
        } else {
            session.screen.line(&id)?;
        }
        return Ok(Exit::Ok);
    };
    let ended = wait_for_final(&id, wait_ms, session).await.map_err(|failure| {
        let step = format!("the message is stored as {id}; `tidegate get {id}` shows it");
        failure.next(step)
    })?;
    show(&ended, session)?;
    verdict(&ended, wait_ms, session)
}

/// The message that the arguments describe, as the API takes it.
pub(crate) fn new_message<'a>(
    args: &'a MessageArgs,
    key: &Key,
    session: &mut Session,
) -> Result<NewMessage<'a>, Failure> {
    let payload = payload::required(&args.payload, &mut session.screen)?;
    let mut rest = Map::new();
    if let Value::Object(due) = due_fields(&args.due, session)? {
        rest.extend(due);
    }
    if let Some(note) = args.ttl.and_then(Length::note) {
        session.screen.note(&note)?;
    }
    let optional = [
        ("ttl", args.ttl.map(|ttl| format_duration(ttl.ms).into())),
        ("priority", args.priority.map(Value::from)),
        ("group", args.group.clone().map(Value::from)),
        ("idempotency_key", Some(key.text.clone().into())),
    ];
    rest.extend(optional.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
    Ok(NewMessage {
        payload,
        rest,
        labels: each_once("--label", &args.labels)?,
        headers: each_once("--header", &args.headers)?,
    })
}

fn each_once<'a>(
    flag: &str,
    pairs: &'a [(String, String)],
) -> Result<BTreeMap<&'a str, &'a str>, Failure> {
    let mut found = BTreeMap::new();
    for (name, value) in pairs {
        if found.insert(name.as_str(), value.as_str()).is_some() {
            return Err(Failure::usage(format!("{flag} {name} is given twice; give it once")));
        }
    }
    Ok(found)
}

/// The message once it is final, or as it stands when the time is over.
async fn wait_for_final(id: &str, wait_ms: u64, session: &Session) -> Result<Answer, Failure> {
    let end = Instant::now() + Duration::from_millis(wait_ms);
    loop {
        let asked = Instant::now();
        let left = end.saturating_duration_since(asked);
        let left_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX).min(WAIT_MS_MAX);
        let wait = Duration::from_millis(left_ms);
        let target = Target::new(&["v1", "messages", id])
            .with("view", "full")
            .with("wait", format_duration(left_ms));
        let answer = session.client.get_within(&target, wait).await?;
        if final_state(&answer)?.is_some() || Instant::now() >= end {
            return Ok(answer);
        }
        if asked.elapsed() < wait {
            tokio::time::sleep(EARLY_ANSWER_PAUSE.min(left)).await;
        }
    }
}

fn final_state(answer: &Answer) -> Result<Option<State>, Failure> {
    let message: Value = answer.read()?;
    let state = message["state"].as_str().and_then(|word| word.parse::<State>().ok());
    Ok(state.filter(|state| state.is_final()))
}

/// The exit code of a wait.
fn verdict(ended: &Answer, wait_ms: u64, session: &mut Session) -> Result<Exit, Failure> {
    match final_state(ended)? {
        Some(State::Delivered) => Ok(Exit::Ok),
        Some(_) => Ok(Exit::Failure),
        None => {
            session.screen.flush()?;
            session.screen.note(&format!("not final after {}", span(wait_ms)))?;
            Ok(Exit::TimedOut)
        }
    }
}
