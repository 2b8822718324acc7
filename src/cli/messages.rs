//! Commands that change single messages: cancel, run, requeue, resolve, reschedule, edit.
//!
//! Owns their requests and words. Refuses to know how a message is shown (`get`).

use http::{Method, StatusCode};
use serde_json::json;

use super::Session;
use super::args_messages::{DueArgs, EditArgs, ReceiptArgs, RescheduleArgs, ResolveArgs};
use super::client::{Answer, Target};
use super::describe;
use super::exit::{Exit, Failure};
use super::ids::each;
use super::moments;
use super::payload;
use crate::domain::gates::Gate;
use crate::domain::state::State;
use crate::wire::message::MessageView;
use crate::wire::new_message::{MessagePatchRequest, ResolveRequest};
use crate::wire::receipt::{RECEIPT_TYPE, ReceiptRequest, ReceiptVerdict, ReceiptView};
use crate::wire::{DurationMs, Moment, Vocabulary as _};

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
        let times = session.times();
        let after = of_answer(&answer)?;
        let is_put_off =
            |message: &&MessageView<'_>| message.held_by.iter().any(|gate| gate.is(Gate::Hours));
        let later = after.as_ref().filter(is_put_off).map(describe::due_ms);
        let done = later.map_or("due now".to_owned(), |at_ms| {
            let at = times.at_and_distance(at_ms);
            format!("due {at}, when the hours of its recipient allow it")
        });
        confirm_sending(id, &done, &answer, session)
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
    let decision =
        ResolveRequest { r#as: args.decision.meaning().into(), reason: args.reason.clone() };
    each(&args.ids, session, async |id, session| {
        let target = Target::new(&["v1", "messages", id, "resolve"]);
        let answer = session.client.send(Method::POST, &target, &decision).await?;
        confirm(id, &format!("resolved as {}", args.decision.meaning().word()), &answer, session)
    })
    .await
}

/// `receipt`.
pub(crate) async fn receipt(args: &ReceiptArgs, session: &mut Session) -> Result<Exit, Failure> {
    let receipt = ReceiptRequest {
        id: args.id.clone(),
        reference: args.reference.clone(),
        status: args.status.meaning().into(),
        detail: args.detail.clone(),
    };
    let target = Target::new(&["v1", "queues", &args.queue, "receipts"]).typed(RECEIPT_TYPE);
    let answer = session.client.send(Method::POST, &target, &receipt).await?;
    if session.screen.is_json() {
        session.screen.raw(&answer.body)?;
        return Ok(Exit::Ok);
    }
    let told: ReceiptView = answer.read()?;
    let name = told.id.as_deref().or(args.id.as_deref()).or(args.reference.as_deref());
    let done = match told.verdict.and_then(|verdict| verdict.known()) {
        Some(ReceiptVerdict::Kept) => "is not accepted yet: the receipt is kept".to_owned(),
        Some(ReceiptVerdict::Ignored) => "is not changed by this receipt".to_owned(),
        Some(ReceiptVerdict::Already) => format!("was {} already", args.status.meaning().word()),
        Some(ReceiptVerdict::Ok) | None => format!("is {}", args.status.meaning().word()),
    };
    session.screen.line(&format!("{} {done}", name.unwrap_or_default()))?;
    Ok(Exit::Ok)
}

/// `reschedule`.
pub(crate) async fn reschedule(
    args: &RescheduleArgs,
    session: &mut Session,
) -> Result<Exit, Failure> {
    let (delay, due_at) = due_fields(&args.due, session)?;
    let expires_at = match args.expires.as_deref() {
        None => None,
        Some("never") => Some(None),
        Some(at) => Some(Some(Moment(moments::asked(at, session)?))),
    };
    let priority = args.priority;
    let patch = MessagePatchRequest {
        delay,
        due_at,
        priority,
        expires_at,
        ..MessagePatchRequest::default()
    };
    each(&args.ids, session, async |id, session| {
        let answer = session.client.send(Method::PATCH, &message(id), &patch).await?;
        let after = of_answer(&answer)?;
        let due_ms = after.as_ref().map(describe::due_ms);
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
        let given = payload::in_place_of(&before, bytes.clone())?;
        let patch = MessagePatchRequest {
            payload: given.payload,
            payload_base64: given.payload_base64,
            ..MessagePatchRequest::default()
        };
        let answer = session.client.send(Method::PATCH, &message(id), &patch).await?;
        let done = match of_answer(&answer)?.and_then(|message| message.state.known()) {
            Some(State::Dead) => {
                format!("edited; it is still dead: `tidegate requeue {id}` sends it")
            }
            Some(State::Uncertain) => format!(
                "edited; it is still uncertain: `tidegate resolve {id} --as resend` sends it"
            ),
            _ => "edited".to_owned(),
        };
        confirm(id, &done, &answer, session)
    })
    .await
}

/// `delay` or `due_at` of a request; none if neither was given. Says what is odd about the time.
pub(crate) fn due_fields(
    args: &DueArgs,
    session: &mut Session,
) -> Result<(Option<DurationMs>, Option<Moment>), Failure> {
    if let Some(delay) = args.delay {
        if let Some(note) = delay.note() {
            session.screen.note(&note)?;
        }
        return Ok((Some(DurationMs(delay.ms)), None));
    }
    let Some(due) = &args.due else { return Ok((None, None)) };
    Ok((None, Some(Moment(moments::due(due, session)?))))
}

pub(crate) fn message(id: &str) -> Target {
    Target::new(&["v1", "messages", id])
}

/// The message after a step; `None`: the queue keeps nothing of it.
fn of_answer(answer: &Answer) -> Result<Option<MessageView<'static>>, Failure> {
    if answer.status == StatusCode::NO_CONTENT { Ok(None) } else { answer.read().map(Some) }
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
    let message = of_answer(answer)?;
    match message.as_ref().and_then(describe::held_with_its_queue) {
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
