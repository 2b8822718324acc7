//! Commands that change single messages: cancel, run, requeue, resolve, reschedule, edit.
//!
//! Owns their requests and words. Refuses to know how a message is shown (`get`).

use http::Method;
use serde_json::{Value, json};

use super::Session;
use super::args_messages::{DueArgs, EditArgs, ReceiptArgs, RescheduleArgs, ResolveArgs};
use super::client::{Answer, Target};
use super::describe;
use super::exit::{Exit, Failure};
use super::ids::each;
use super::moments;
use super::payload;
use crate::domain::time::rfc3339;
use crate::domain::units::format_duration;

/// `cancel`.
pub(crate) async fn cancel(ids: &[String], session: &mut Session) -> Result<Exit, Failure> {
    each(ids, session, async |id, session| {
        let answer = session.client.delete(&message(id)).await?;
        confirm(id, "cancelled", &answer, session)
    })
    .await
}

/// `run`.
pub(crate) async fn run(ids: &[String], session: &mut Session) -> Result<Exit, Failure> {
    each(ids, session, async |id, session| {
        let answer = post(id, "run", session).await?;
        confirm_sending(id, "due now", &answer, session)
    })
    .await
}

/// `requeue`.
pub(crate) async fn requeue(ids: &[String], session: &mut Session) -> Result<Exit, Failure> {
    each(ids, session, async |id, session| {
        let answer = post(id, "requeue", session).await?;
        confirm_sending(id, "requeued", &answer, session)
    })
    .await
}

/// `resolve`.
pub(crate) async fn resolve(args: &ResolveArgs, session: &mut Session) -> Result<Exit, Failure> {
    let mut decision = json!({ "as": args.decision.as_str() });
    if let Some(reason) = &args.reason {
        decision["reason"] = json!(reason);
    }
    each(&args.ids, session, async |id, session| {
        let target = Target::new(&["v1", "messages", id, "resolve"]);
        let answer = session.client.send(Method::POST, &target, &decision).await?;
        confirm(id, &format!("resolved as {}", args.decision.as_str()), &answer, session)
    })
    .await
}

/// `receipt`.
pub(crate) async fn receipt(args: &ReceiptArgs, session: &mut Session) -> Result<Exit, Failure> {
    let mut receipt = json!({ "status": args.status.as_str() });
    for (name, value) in [("id", &args.id), ("ref", &args.reference), ("detail", &args.detail)] {
        if let Some(value) = value {
            receipt[name] = json!(value);
        }
    }
    let target = Target::new(&["v1", "queues", &args.queue, "receipts"]);
    let answer = session.client.send(Method::POST, &target, &receipt).await?;
    if session.screen.is_json() {
        session.screen.raw(&answer.body)?;
        return Ok(Exit::Ok);
    }
    let told: Value = answer.read()?;
    let name = told["id"].as_str().or(args.id.as_deref()).or(args.reference.as_deref());
    let done = match told["verdict"].as_str() {
        Some("kept") => "is not accepted yet: the receipt is kept".to_owned(),
        Some("already") => format!("was {} already", args.status.as_str()),
        _ => format!("is {}", args.status.as_str()),
    };
    session.screen.line(&format!("{} {done}", name.unwrap_or_default()))?;
    Ok(Exit::Ok)
}

/// `reschedule`.
pub(crate) async fn reschedule(
    args: &RescheduleArgs,
    session: &mut Session,
) -> Result<Exit, Failure> {
    let due = due_fields(&args.due, session)?;
    each(&args.ids, session, async |id, session| {
        let answer = session.client.send(Method::PATCH, &message(id), &due).await?;
        let due_ms = answer.read::<Value>().ok().and_then(|m| describe::due_ms(&m));
        let done =
            due_ms.map_or("rescheduled".to_owned(), |at| format!("due {}", session.times().at(at)));
        confirm(id, &done, &answer, session)
    })
    .await
}

/// `edit`: the message says which kind of payload it takes.
pub(crate) async fn edit(args: &EditArgs, session: &mut Session) -> Result<Exit, Failure> {
    let bytes = payload::required_bytes(&args.body, &mut session.screen)?;
    each(std::slice::from_ref(&args.id), session, async |id, session| {
        let before = session.client.get(&message(id).with("view", "full")).await?.read()?;
        let payload = payload::in_place_of(&before, bytes.clone())?;
        let answer = session.client.send(Method::PATCH, &message(id), &payload).await?;
        let done = match answer.read::<Value>().ok().as_ref().and_then(|m| m["state"].as_str()) {
            Some("dead") => format!("edited; it is still dead: `tidegate requeue {id}` sends it"),
            Some("uncertain") => format!(
                "edited; it is still uncertain: `tidegate resolve {id} --as resend` sends it"
            ),
            _ => "edited".to_owned(),
        };
        confirm(id, &done, &answer, session)
    })
    .await
}

/// `delay` or `due_at` of a request; no field if neither was given. Says what is odd about the time.
pub(crate) fn due_fields(args: &DueArgs, session: &mut Session) -> Result<Value, Failure> {
    if let Some(delay) = args.delay {
        if let Some(note) = delay.note() {
            session.screen.note(&note)?;
        }
        return Ok(json!({ "delay": format_duration(delay.ms) }));
    }
    let Some(due) = &args.due else { return Ok(json!({})) };
    Ok(json!({ "due_at": rfc3339(moments::due(due, session)?) }))
}

pub(crate) fn message(id: &str) -> Target {
    Target::new(&["v1", "messages", id])
}

async fn post(id: &str, verb: &str, session: &Session) -> Result<Answer, Failure> {
    let target = Target::new(&["v1", "messages", id, verb]);
    session.client.send(Method::POST, &target, &json!({})).await
}

/// As [`confirm`], with what keeps the queue of the message from sending.
fn confirm_sending(
    id: &str,
    done: &str,
    answer: &Answer,
    session: &mut Session,
) -> Result<(), Failure> {
    let message = answer.read::<Value>().unwrap_or_default();
    match describe::held_with_its_queue(&message) {
        Some(gates) => confirm(id, &format!("{done}; it waits for {gates}"), answer, session),
        None => confirm(id, done, answer, session),
    }
}

/// One line: what was done to which message.
fn confirm(id: &str, done: &str, answer: &Answer, session: &mut Session) -> Result<(), Failure> {
    if session.screen.is_json() {
        return session.screen.raw(&answer.body);
    }
    session.screen.line(&format!("{id} {done}"))
}
