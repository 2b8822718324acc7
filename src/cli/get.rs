//! `get`: one message, what it waits for, and waiting for its end.
//!
//! Owns the questions. Refuses to know how a message is described (`describe`).

use std::time::Duration;

use tokio::time::Instant;

use super::Session;
use super::args_messages::GetArgs;
use super::client::{Answer, Target};
use super::describe;
use super::exit::{Exit, Failure};
use super::explain;
use super::ids::each;
use super::message_fields;
use super::messages::message;
use super::times::span;
use crate::domain::gates::Gate;
use crate::domain::state::State;
use crate::domain::units::format_duration;
use crate::wire::message::MessageView;
use crate::wire::queue::QueueView;

/// The longest wait the API takes in one request, in milliseconds.
const WAIT_MS_MAX: u64 = 60_000;
/// The pause after an answer that came before its time (a daemon that is stopping answers early).
const EARLY_ANSWER_PAUSE: Duration = Duration::from_millis(200);

/// `get`: the sentence, then the fields; with `--wait`, as soon as the message is final.
pub(crate) async fn get(args: &GetArgs, session: &mut Session) -> Result<Exit, Failure> {
    let mut verdicts = Exit::Ok;
    let exit = each(&args.ids.ids, session, async |id, session| {
        let Some(wait_ms) = args.wait else {
            let answer = session.client.get(&message(id).with("view", "full")).await?;
            return show(&answer, session).await;
        };
        let answer = wait_for_final(id, wait_ms, session).await?;
        show(&answer, session).await?;
        verdict(&answer, wait_ms, session).map(|exit| verdicts = verdicts.or(exit))
    })
    .await?;
    Ok(exit.or(verdicts))
}

/// A message: in a sentence and a table, or as it came.
pub(crate) async fn show(answer: &Answer, session: &mut Session) -> Result<(), Failure> {
    if session.screen.is_json() {
        return session.screen.raw(&answer.body);
    }
    let message: MessageView<'_> = answer.read()?;
    let times = session.times();
    session.screen.sentence(0, &describe::sentence(&message, &times))?;
    let waits = message.state.is(State::Scheduled) || message.state.is(State::Ready);
    if waits && let Some(why) = explain::sentence_of(&message.id, session).await {
        session.screen.sentence(0, &why)?;
    }
    if let Some(why) = behind_another(&message, session).await {
        session.screen.sentence(0, &why)?;
    }
    session.screen.line("")?;
    session.screen.pairs(&message_fields::fields(&message, &times))
}

/// How the message stands that goes before it in its order. Nothing where there is none, or where nobody may ask.
async fn behind_another(waiting: &MessageView<'_>, session: &Session) -> Option<String> {
    if !waiting.held_by.iter().any(|held| held.is(Gate::Order)) {
        return None;
    }
    let ahead = &waiting.blocked_by.first()?.id;
    let answer = session.client.get(&message(ahead)).await.ok()?;
    let ahead: MessageView<'_> = answer.read().ok()?;
    let target = Target::new(&["v1", "queues", waiting.queue.as_ref()]);
    let queue: QueueView = session.client.get(&target).await.ok()?.read().ok()?;
    Some(describe::behind(waiting, &ahead, &queue.policy["ordering"], &session.times()))
}

/// The message once it is final, or as it stands when the time is over.
pub(crate) async fn wait_for_final(
    id: &str,
    wait_ms: u64,
    session: &Session,
) -> Result<Answer, Failure> {
    let end = Instant::now() + Duration::from_millis(wait_ms);
    loop {
        let asked = Instant::now();
        let left = end.saturating_duration_since(asked);
        let left_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX).min(WAIT_MS_MAX);
        let wait = Duration::from_millis(left_ms);
        let target = message(id).with("view", "full").with("wait", format_duration(left_ms));
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
    let message: MessageView<'_> = answer.read()?;
    Ok(message.state.known().filter(|state| state.is_final()))
}

/// The exit code of a wait.
pub(crate) fn verdict(
    ended: &Answer,
    wait_ms: u64,
    session: &mut Session,
) -> Result<Exit, Failure> {
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
