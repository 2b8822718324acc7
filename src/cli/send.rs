//! `send`: one message in, its id out, and waiting for its end.
//!
//! Owns the message as a producer writes it on the command line. Refuses to know files of many
//! (`batch`).

use std::collections::BTreeMap;

use super::Session;
use super::args_messages::{MessageArgs, SendArgs};
use super::args_values::Length;
use super::client::Target;
use super::exit::{Exit, Failure};
use super::get::{show, verdict, wait_for_final};
use super::messages::due_fields;
use super::moments;
use super::once::{Key, hand_over};
use super::payload;
use crate::wire::message::{MessageView, RepeatedAnswer};
use crate::wire::new_message::MessageRequest;
use crate::wire::{DurationMs, Moment};

/// `send`.
pub(crate) async fn send(args: &SendArgs, session: &mut Session) -> Result<Exit, Failure> {
    let key = Key::of(args.message.key.as_ref());
    let message = new_message(&args.message, &key, session)?;
    let mut target = Target::new(&["v1", "queues", &args.queue, "messages"]);
    if args.estimate {
        target = target.with("estimate", "true");
    }
    let answer = hand_over(&target, &message, &key, session).await?;
    let (id, is_duplicate) = match answer.read()? {
        RepeatedAnswer::Kept(message) => {
            if args.estimate && !session.screen.is_json() {
                say_estimate(&message, session)?;
            }
            (message.id, message.duplicate == Some(true))
        }
        RepeatedAnswer::Forgotten(message) => (message.id, message.duplicate),
    };
    // A key of our own was sent before by this very command.
    if is_duplicate && !key.is_own {
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

/// When the message can leave, and when it will: beside the id, which stands alone on standard output.
fn say_estimate(message: &MessageView<'_>, session: &mut Session) -> Result<(), Failure> {
    let times = session.times();
    let at = |moment: Option<Option<Moment>>| match moment.flatten() {
        Some(at) => times.at_and_distance(at.0),
        None => "at a time that nobody can know".to_owned(),
    };
    let (earliest, expected) = (at(message.earliest_at), at(message.expected_at));
    session.screen.note(&format!("it can leave {earliest}, and is expected to leave {expected}"))
}

/// The message that the arguments describe, as the API takes it.
pub(crate) fn new_message(
    args: &MessageArgs,
    key: &Key,
    session: &mut Session,
) -> Result<MessageRequest, Failure> {
    let payload = payload::required(&args.payload, &mut session.screen)?;
    let (delay, due_at) = due_fields(&args.due, session)?;
    let must_dispatch_by = match &args.must_dispatch_by {
        Some(text) => Some(Moment(moments::due(text, session)?)),
        None => None,
    };
    for note in [args.ttl, args.timeout].into_iter().flatten().filter_map(Length::note) {
        session.screen.note(&note)?;
    }
    Ok(MessageRequest {
        payload: payload.payload,
        payload_base64: payload.payload_base64,
        content_type: payload.content_type,
        headers: each_once("--header", &args.headers)?,
        delay,
        due_at,
        must_dispatch_by,
        ttl: args.ttl.map(|ttl| DurationMs(ttl.ms)),
        timeout: args.timeout.map(|timeout| DurationMs(timeout.ms)),
        url: args.target.to.clone(),
        method: args.target.method.clone(),
        cost: args.cost,
        collapse_key: args.collapse_key.clone(),
        time_zone: args.recipient_zone.clone(),
        priority: args.priority,
        group: args.group.clone(),
        idempotency_key: Some(key.text.clone()),
        labels: each_once("--label", &args.labels)?,
        ..MessageRequest::default()
    })
}

/// Pairs that were given; `None`: there are none.
fn each_once(
    flag: &str,
    pairs: &[(String, String)],
) -> Result<Option<BTreeMap<String, String>>, Failure> {
    let mut found = BTreeMap::new();
    for (name, value) in pairs {
        if found.insert(name.clone(), value.clone()).is_some() {
            return Err(Failure::usage(format!("{flag} {name} is given twice; give it once")));
        }
    }
    Ok((!found.is_empty()).then_some(found))
}
