//! `publish` and `topics`: one event in, the ids of its messages out; what is configured.
//!
//! Refuses to know the message itself (`send`).

use super::Session;
use super::args_messages::PublishArgs;
use super::client::Target;
use super::exit::{Exit, Failure};
use super::once::{Key, hand_over};
use super::plain::plain;
use super::queues::as_it_came;
use super::send::new_message;
use super::table::{whole, words};
use super::times::span;
use crate::wire::topic::{EventAnswer, TopicList, TopicView};

/// `publish`.
pub(crate) async fn publish(args: &PublishArgs, session: &mut Session) -> Result<Exit, Failure> {
    let key = Key::of(args.message.key.as_ref());
    let message = new_message(&args.message, &key, session)?;
    let target = Target::new(&["v1", "topics", &args.topic, "messages"]);
    let answer = hand_over(&target, &message, &key, session).await?;
    let event: EventAnswer = answer.read()?;
    if event.duplicate == Some(true) && !key.is_own {
        session.screen.note("note: this key was published before; this is the first event")?;
    }
    let pending = event.messages.iter().filter(|message| message.pending == Some(true));
    let pending: Vec<String> = pending.map(|message| plain(&message.queue)).collect();
    if !pending.is_empty() {
        let queues = pending.join(", ");
        session.screen.note(&format!("note: the event is kept; {queues} will get it later"))?;
    }
    if session.screen.is_json() {
        return as_it_came(&answer, session);
    }
    for message in &event.messages {
        session.screen.line(&plain(&message.id))?;
    }
    Ok(Exit::Ok)
}

/// `topics`.
pub(crate) async fn topics(session: &mut Session) -> Result<Exit, Failure> {
    let answer = session.client.get(&Target::new(&["v1", "topics"])).await?;
    if session.screen.is_json() {
        return as_it_came(&answer, session);
    }
    let TopicList { topics } = answer.read()?;
    if topics.is_empty() {
        session.screen.line("no topics; add [topics.NAME] with queues = [...] to the config")?;
        return Ok(Exit::Ok);
    }
    let rows = topics.iter().map(row).collect();
    let columns =
        [whole("TOPIC"), words("QUEUES"), whole("PENDING"), whole("OLDEST"), words("WAITS FOR")];
    session.screen.rows(&columns, rows)?;
    Ok(Exit::Ok)
}

fn row(topic: &TopicView) -> Vec<String> {
    let names = |names: &[String]| plain(&names.join(", "));
    let retired = if topic.retired { " (retired)" } else { "" };
    vec![
        plain(&topic.topic),
        format!("{}{retired}", names(&topic.queues)),
        topic.pending.to_string(),
        topic.oldest_pending_age_ms.map(span).unwrap_or_default(),
        names(&topic.waits_for),
    ]
}
