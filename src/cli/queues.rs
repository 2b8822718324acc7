//! Commands on queues: queues, queue, pause, resume.
//!
//! Owns their tables. Refuses to know what is wrong with a queue (`doctor`).

use std::collections::BTreeMap;

use http::Method;
use serde_json::{Value, json};

use super::Session;
use super::args_admin::PauseArgs;
use super::client::{Answer, Target};
use super::describe::{self, count, word};
use super::doctor;
use super::exit::{Exit, Failure};
use super::limits;
use super::moments;
use super::overridden;
use super::plain::plain;
use super::sending;
use super::table::{whole, words};
use super::times::span;
use crate::domain::state::State;
use crate::domain::units::format_size;
use crate::wire::backlog::BacklogView;
use crate::wire::message::{MessageList, MessageView};
use crate::wire::queue::{PauseRequest, QueueList, QueueView, SendingState};
use crate::wire::{DurationMs, Moment};

/// `queues`.
pub(crate) async fn queues(session: &mut Session) -> Result<Exit, Failure> {
    let answer = session.client.get(&Target::new(&["v1", "queues"])).await?;
    if session.screen.is_json() {
        return as_it_came(&answer, session);
    }
    let list: QueueList = answer.read()?;
    show_refusal(session).await?;
    let times = session.times();
    let queues: Vec<_> = list.queues.iter().filter(|queue| is_shown(queue)).collect();
    // There are more states than a line has room for: one in which no queue has anything is left out.
    let is_met = State::ALL.map(|state| queues.iter().any(|queue| queue.counts.of(state) > 0));
    let is_calling = queues.iter().any(|queue| queue.rate.observed_1m > 0.0);
    let counted = |is_met: bool, said: String| if is_met { said } else { String::new() };
    let mut columns = vec![whole("QUEUE")];
    columns.extend(State::ALL.map(|state| whole(state.as_str().to_uppercase())));
    columns.extend(["OLDEST READY", "CALLS/S", "DURABILITY"].map(whole));
    columns.push(words("SENDING"));
    let row = |queue: &&QueueView| {
        let mut cells = vec![plain(&queue.name)];
        let counts = State::ALL.into_iter().zip(is_met);
        cells.extend(counts.map(|(state, is)| counted(is, queue.counts.of(state).to_string())));
        cells.push(queue.oldest_ready_age_ms.map(span).unwrap_or_default());
        cells.push(counted(is_calling, calls_per_second(queue)));
        cells.push(durability(queue));
        cells.push(sending::cell(queue, &times));
        cells
    };
    session.screen.rows(&columns, queues.iter().map(row).collect())?;
    Ok(Exit::Ok)
}

/// Says above what is shown of queues that the daemon takes no new messages, and why: the queues may look well meanwhile.
async fn show_refusal(session: &mut Session) -> Result<(), Failure> {
    match doctor::refusals(&session.client).await {
        Ok(refusals) => {
            for finding in refusals {
                session.screen.sentence(0, &finding.detail)?;
                session.screen.sentence(2, &format!("next: {}", finding.remedy))?;
                session.screen.line("")?;
            }
            Ok(())
        }
        // The queues are shown all the same.
        Err(why) => session
            .screen
            .note(&format!("note: it is unknown whether new messages are taken: {}", why.what)),
    }
}

/// Every queue; one that carries callbacks only where there is something in it, or it does not send.
fn is_shown(queue: &QueueView) -> bool {
    let is_empty = State::ALL.into_iter().all(|state| queue.counts.of(state) == 0);
    let is_open = queue.sending.state.is(SendingState::Open);
    !(queue.name.ends_with("~callbacks") && is_empty && is_open)
}

/// The level that holds now for what comes in.
fn durability(queue: &QueueView) -> String {
    queue.durability.as_ref().map_or_else(|| "not met".to_owned(), |level| plain(level.as_str()))
}

/// With its decimal point, as JSON has it.
fn calls_per_second(queue: &QueueView) -> String {
    format!("{:?}", queue.rate.observed_1m)
}

/// `queue`.
pub(crate) async fn queue(name: &str, session: &mut Session) -> Result<Exit, Failure> {
    let answer = session.client.get(&Target::new(&["v1", "queues", name])).await?;
    if session.screen.is_json() {
        return as_it_came(&answer, session);
    }
    let queue: QueueView = answer.read()?;
    show_refusal(session).await?;
    let times = session.times();
    let mut pairs = vec![
        ("queue".to_owned(), plain(&queue.name)),
        ("sending".to_owned(), sending::cell(&queue, &times)),
        ("why".to_owned(), sending::why_of(&queue, &times)),
        ("durability".to_owned(), durability(&queue)),
        ("oldest ready".to_owned(), queue.oldest_ready_age_ms.map_or("none".to_owned(), span)),
    ];
    for state in State::ALL {
        pairs.push((state.as_str().to_owned(), queue.counts.of(state).to_string()));
    }
    let configured = queue.rate.configured.as_deref().map(plain).unwrap_or_default();
    for it in &queue.overrides {
        pairs.push(("override".to_owned(), overridden::sentence(it, &times)));
    }
    pairs.push(("rate.configured".to_owned(), configured));
    pairs.push(("rate.observed_1m".to_owned(), calls_per_second(&queue)));
    let held = held_values(&queue, session).await;
    pairs.extend(queue.limits.iter().map(|limit| {
        let value = held.get(&limit.name).map(String::as_str);
        (limits::title(limit), limits::line(limit, value, &times))
    }));
    pairs.extend(queue.backlog.iter().flat_map(backlog));
    if queue.keys > 0 {
        let keys = count(queue.keys, "key");
        let name = plain(&queue.name);
        pairs.push((
            "keys".to_owned(),
            format!("{keys} with settings of their own; `tidegate key {name}` lists them"),
        ));
    }
    pairs.extend(structure(&queue).map(|said| ("structure".to_owned(), said)));
    flatten("policy", &queue.policy, &mut pairs);
    pairs.retain(|(_, value)| !value.is_empty());
    session.screen.pairs(&pairs)?;
    Ok(Exit::Ok)
}

/// For each limit by key that holds messages one of the values whose messages it holds, as far as the ready messages that are listed
/// first show it.
async fn held_values(queue: &QueueView, session: &Session) -> BTreeMap<String, String> {
    let holding: Vec<_> =
        queue.limits.iter().filter(|limit| limit.per.is_some() && limit.held_keys > 0).collect();
    let mut values = BTreeMap::new();
    if holding.is_empty() {
        return values;
    }
    let target = Target::new(&["v1", "queues", &queue.name, "messages"]).with("state", "ready");
    let Ok(answer) = session.client.get(&target).await else { return values };
    let Ok(page) = answer.read::<MessageList<'_>>() else { return values };
    for limit in holding {
        let is_held = |message: &&MessageView<'_>| {
            message.held_by.iter().any(|held| held.limit() == Some(limit.name.as_str()))
        };
        let first = page.messages.iter().find(is_held);
        let value =
            first.zip(limit.per.as_deref()).and_then(|(it, per)| describe::value_of(per, it));
        values.extend(value.map(|value| (limit.name.clone(), value.to_owned())));
    }
    values
}

/// What of the backlog is used, a line for each of its parts.
fn backlog(backlog: &BacklogView) -> Vec<(String, String)> {
    let of = |what: &str, said: String| (format!("backlog.{what}"), said);
    let messages =
        backlog.max_messages.map(|most| of("messages", format!("{} of {most}", backlog.messages)));
    let bytes = backlog.max_bytes.map(|most| {
        let used = backlog.bytes.unwrap_or(0);
        of("bytes", format!("{} of {}", format_size(used), format_size(most)))
    });
    let per_key = backlog.max_messages_per_key.zip(backlog.per.as_deref()).map(|(most, per)| {
        let per = plain(per);
        of("per_key", format!("up to {} of each value of {per}", count(most, "message")))
    });
    [messages, bytes, per_key].into_iter().flatten().collect()
}

/// The structure in force, where it is not simply that of the configuration.
fn structure(queue: &QueueView) -> Option<String> {
    let structure = queue.structure?;
    let follows = (!structure.is_own).then(|| {
        "that of another node, whose configuration differs; give all nodes the same one, and reload them"
            .to_owned()
    });
    let moving = structure.switching.map(|switching| {
        let left = count(switching.lanes_left, "key");
        format!("messages are moving over to it, about {left} left; nothing is sent meanwhile")
    });
    let said: Vec<_> = follows.into_iter().chain(moving).collect();
    (!said.is_empty()).then(|| format!("number {}: {}", structure.number, said.join("; ")))
}

/// `pause`.
pub(crate) async fn pause(args: &PauseArgs, session: &mut Session) -> Result<Exit, Failure> {
    let mut body = PauseRequest { reason: args.reason.clone(), ..PauseRequest::default() };
    let mut until = "until it is resumed".to_owned();
    if let Some(text) = &args.until {
        let at_ms = moments::asked(text, session)?;
        until = format!("until {}", session.times().at(at_ms));
        body.until = Some(Moment(at_ms));
    }
    if let Some(length) = args.pause_for {
        if let Some(note) = length.note() {
            session.screen.note(&note)?;
        }
        until = format!("for {}", span(length.ms));
        body.length = Some(DurationMs(length.ms));
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
    if session.screen.is_json() {
        return as_it_came(&answer, session);
    }
    let queue: QueueView = answer.read()?;
    // An older daemon does not tell.
    let done = match queue.resumed {
        Some(false) => "was neither paused nor shut: nothing was changed",
        Some(true) | None => "is resumed",
    };
    session.screen.line(&format!("{name} {done}"))?;
    // Who resumes a queue wants it to send: say so where it still does not.
    if !queue.sending.state.is(SendingState::Open) {
        let cell = sending::cell(&queue, &session.times());
        session.screen.line(&format!("sending: {cell}"))?;
    }
    Ok(Exit::Ok)
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
