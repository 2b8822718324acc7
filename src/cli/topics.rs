//! `publish` and `topics`: one event in, the ids of its messages out; what is configured.
//!
//! Refuses to know the message itself (`send`).

use serde_json::Value;

use super::Session;
use super::args_messages::PublishArgs;
use super::client::Target;
use super::describe::word;
use super::exit::{Exit, Failure};
use super::once::{Key, hand_over};
use super::queues::{as_it_came, list};
use super::send::new_message;
use super::table::{whole, words};
use super::times::span;

/// `publish`.
pub(crate) async fn publish(args: &PublishArgs, session: &mut Session) -> Result<Exit, Failure> {
    let key = Key::of(args.message.key.as_ref());
    let message = new_message(&args.message, &key, session)?;
    let target = Target::new(&["v1", "topics", &args.topic, "messages"]);
    let answer = hand_over(&target, &message, &key, session).await?;
    let event: Value = answer.read()?;
    if event["duplicate"] == true && !key.is_own {
        session.screen.note("note: this key was published before; this is the first event")?;
    }
    let pending: Vec<String> = list(&event, "messages")
        .iter()
        .filter(|message| message["pending"] == true)
        .map(|message| word(&message["queue"]))
        .collect();
    if !pending.is_empty() {
        let queues = pending.join(", ");
        session.screen.note(&format!("note: the event is kept; {queues} will get it later"))?;
    }
    if session.screen.is_json() {
        return as_it_came(&answer, session);
    }
    for message in list(&event, "messages") {
        session.screen.line(&word(&message["id"]))?;
    }
    Ok(Exit::Ok)
}

/// `topics`.
pub(crate) async fn topics(session: &mut Session) -> Result<Exit, Failure> {
    let answer = session.client.get(&Target::new(&["v1", "topics"])).await?;
    if session.screen.is_json() {
        return as_it_came(&answer, session);
    }
    let document: Value = answer.read()?;
    let topics = list(&document, "topics");
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

fn row(topic: &Value) -> Vec<String> {
    let names = |key: &str| list(topic, key).iter().map(word).collect::<Vec<_>>().join(", ");
    let queues = match topic["retired"] == true {
        true => format!("{} (retired)", names("queues")),
        false => names("queues"),
    };
    let oldest = topic["oldest_pending_age_ms"].as_u64().map(span).unwrap_or_default();
    vec![word(&topic["topic"]), queues, word(&topic["pending"]), oldest, names("waits_for")]
}
