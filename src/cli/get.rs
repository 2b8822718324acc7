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
use super::ids::each;
use super::message_fields;
use super::messages::message;
use super::sending;
use super::times::span;
use crate::domain::gates::Gate;
use crate::domain::state::State;
use crate::domain::units::format_duration;
use crate::wire::message::MessageView;
use crate::wire::queue::{QueueView, SendingState};
use crate::wire::window::{OpeningView, WindowsAnswer};

/// The longest wait the API takes in one request, in milliseconds.
const WAIT_MS_MAX: u64 = 60_000;
/// The pause after an answer that came before its time (a daemon that is stopping answers early).
const EARLY_ANSWER_PAUSE: Duration = Duration::from_millis(200);

const DAY_MS: u64 = 86_400_000;
/// Most days of windows that the API shows.
const WINDOW_DAYS_MAX: u64 = 366;
/// How far beyond the due time the next opening is looked for: a window of one day a week is found.
const WINDOW_DAYS_BEYOND: u64 = 9;

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
    if let Some(why) = held_by_its_queue(&message, session).await {
        session.screen.sentence(0, &why)?;
    }
    if let Some(why) = behind_another(&message, session).await {
        session.screen.sentence(0, &why)?;
    }
    for why in held_by_its_keys(&message, session).await {
        session.screen.sentence(0, &why)?;
    }
    session.screen.line("")?;
    session.screen.pairs(&message_fields::fields(&message, &times))
}

/// What the queue says of the gate that holds the message: until when, and why. Nothing where nobody may ask.
async fn held_by_its_queue(message: &MessageView<'_>, session: &Session) -> Option<String> {
    let is_held = message.held_by.iter().any(|held| held.is(Gate::Pause) || held.is(Gate::Window));
    let is_scheduled = message.state.is(State::Scheduled);
    if !is_held && !is_scheduled {
        return None;
    }
    let name = message.queue.as_ref();
    let target = Target::new(&["v1", "queues", name]);
    let queue: QueueView = session.client.get(&target).await.ok()?.read().ok()?;
    let times = session.times();
    let state = queue.sending.state.known();
    let is_shut = matches!(state, Some(SendingState::Paused | SendingState::Closed));
    if is_held && is_shut {
        return Some(sending::hold(&queue.sending, &times));
    }
    let due_ms = describe::due_ms(message);
    if due_ms <= times.now_ms || !is_scheduled || queue.window.is_none() {
        return None;
    }
    let opens_ms = opens_after(name, due_ms, session).await?;
    let (at, distance) = (times.at(opens_ms), times.distance(opens_ms));
    Some(format!("Its window is closed when it is due, and opens at {at} ({distance})"))
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

/// What the limits by key say that hold the message: what each lets pass, and for which value of its key. Nothing where nobody may ask.
async fn held_by_its_keys(message: &MessageView<'_>, session: &Session) -> Vec<String> {
    let names: Vec<_> = message.held_by.iter().filter_map(|held| held.limit()).collect();
    if names.is_empty() {
        return Vec::new();
    }
    let target = Target::new(&["v1", "queues", message.queue.as_ref()]);
    let Ok(answer) = session.client.get(&target).await else { return Vec::new() };
    let Ok(queue) = answer.read::<QueueView>() else { return Vec::new() };
    let hold = queue.limits.iter().filter(|limit| names.contains(&limit.name.as_str()));
    hold.filter_map(|limit| describe::limit_by_key(limit, message)).collect()
}

/// When the window opens that is closed at this moment; `None`: it is open then, or nobody knows.
async fn opens_after(queue: &str, at_ms: u64, session: &Session) -> Option<u64> {
    let days = at_ms.saturating_sub((session.now_ms)()) / DAY_MS + WINDOW_DAYS_BEYOND;
    let target = Target::new(&["v1", "queues", queue, "windows"])
        .with("days", days.min(WINDOW_DAYS_MAX).to_string());
    let hours: WindowsAnswer = session.client.get(&target).await.ok()?.read().ok()?;
    let closes_later =
        |opening: &&OpeningView| opening.closes_at.is_none_or(|closes| closes.0 > at_ms);
    let opens_ms = hours.windows.iter().find(closes_later)?.opens_at?.0;
    (opens_ms > at_ms).then_some(opens_ms)
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
