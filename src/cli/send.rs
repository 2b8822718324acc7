//! `send`: one message in, its id out, and waiting for its end.
//!
//! Owns the message as a producer writes it on the command line. Refuses to know files of many
//! (`batch`).

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use super::Session;
use super::args_messages::{MessageArgs, SendArgs};
use super::args_values::Length;
use super::client::Target;
use super::exit::{Exit, Failure};
use super::get::{show, verdict, wait_for_final};
use super::messages::due_fields;
use super::once::{Key, hand_over};
use super::payload::{self, Payload};
use crate::domain::units::format_duration;

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
    show(&ended, session).await?;
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
