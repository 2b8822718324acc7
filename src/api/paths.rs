//! What stands in a path: a queue, a topic, a schedule, or a message's id.

use std::sync::Arc;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::Method;
use axum::http::request::Parts;

use super::Door;
use super::auth::Caller;
use super::problem::{Code, Problem};
use crate::domain::id::{MessageId, QueueName};
use crate::domain::schedule::ScheduleName;
use crate::domain::suggest::did_you_mean;
use crate::domain::topic::TopicName;
use crate::store::{Queue, Topic};

/// Schedules that are looked through for a near name.
const SUGGESTED_FROM: usize = 1000;

/// A queue that is known, retired ones too.
#[derive(Debug)]
pub(super) struct InQueue(pub(super) Arc<Queue>);

impl InQueue {
    /// The queue, if it still takes messages.
    ///
    /// # Errors
    /// 404 for a retired one.
    pub(super) fn taking(self) -> Result<Arc<Queue>, Problem> {
        if let Some(queue) = self.0.policy.name.callbacks_of() {
            return Err(Problem::not_found(format!(
                "\"{queue}~callbacks\" carries the callbacks of the queue \"{queue}\" and takes no messages"
            )));
        }
        if self.0.retired {
            return Err(Problem::not_found(format!(
                "the queue \"{}\" is retired: it is gone from the configuration and takes no messages",
                self.0.policy.name
            )));
        }
        Ok(self.0)
    }
}

impl FromRequestParts<Arc<Door>> for InQueue {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, door: &Arc<Door>) -> Result<Self, Problem> {
        let text = param(parts, door, "queue").await?;
        let caller = caller(parts)?;
        match QueueName::any(&text) {
            Ok(name) => queue_for(door, &caller, &name).map(Self),
            Err(_) => Err(no_queue(door, &caller, &text)),
        }
    }
}

/// A topic that is known, retired ones too.
#[derive(Debug)]
pub(super) struct InTopic(pub(super) Arc<Topic>);

impl InTopic {
    /// The topic, if it still takes events.
    ///
    /// # Errors
    /// 404 for a retired one.
    pub(super) fn taking(self) -> Result<Arc<Topic>, Problem> {
        if self.0.retired {
            return Err(Problem::not_found(format!(
                "the topic \"{}\" is retired: it is gone from the configuration and takes no events",
                self.0.policy.name
            )));
        }
        Ok(self.0)
    }
}

impl FromRequestParts<Arc<Door>> for InTopic {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, door: &Arc<Door>) -> Result<Self, Problem> {
        let text = param(parts, door, "topic").await?;
        let caller = caller(parts)?;
        let known = text.parse::<TopicName>().ok().and_then(|name| door.store().topics.get(&name));
        let reached = known.filter(|topic| caller.reaches_topic(&topic.policy));
        reached.map(Self).ok_or_else(|| {
            let shown: String = text.chars().take(80).collect();
            let topics = door.store().topics.all();
            let is_shown =
                |topic: &&Arc<Topic>| !topic.retired && caller.reaches_topic(&topic.policy);
            let names = topics.iter().filter(is_shown);
            let meant = did_you_mean(&text, names.map(|topic| topic.policy.name.as_str()));
            Problem::not_found(format!("there is no topic \"{shown}\"{meant}"))
        })
    }
}

/// The id of a message, well formed.
#[derive(Debug)]
pub(super) struct OfMessage(pub(super) MessageId);

impl FromRequestParts<Arc<Door>> for OfMessage {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, door: &Arc<Door>) -> Result<Self, Problem> {
        let text = param(parts, door, "id").await?;
        let id: MessageId = text.parse().map_err(|_| no_message(&text))?;
        if caller(parts)?.reaches(&id.queue) { Ok(Self(id)) } else { Err(no_message(&text)) }
    }
}

/// The name of a schedule, well formed.
#[derive(Debug)]
pub(super) struct OfSchedule(pub(super) ScheduleName);

impl FromRequestParts<Arc<Door>> for OfSchedule {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, door: &Arc<Door>) -> Result<Self, Problem> {
        let text = param(parts, door, "name").await?;
        match text.parse::<ScheduleName>() {
            Ok(name) => {
                let caller = caller(parts)?;
                // One that is not there yet may be made by whoever reaches its queue.
                if !caller.reaches_all()
                    && let Some(kept) = door.store().schedules.get(&name).await?
                    && !caller.reaches(&kept.schedule.queue)
                {
                    return Err(no_schedule(door, &caller, &text).await);
                }
                Ok(Self(name))
            }
            // What is to be made is told what is wrong; what is looked for is not there.
            Err(error) if parts.method == Method::PUT => {
                Err(Problem::new(Code::InvalidRequest, error.to_string()))
            }
            Err(_) => Err(no_schedule(door, &caller(parts)?, &text).await),
        }
    }
}

/// Who is asking; `guard` has put it there.
fn caller(parts: &Parts) -> Result<Caller, Problem> {
    parts.extensions.get::<Caller>().cloned().ok_or_else(|| {
        Problem::new(Code::Internal, "nobody knows who is asking; please report this")
    })
}

/// A queue that a body or a query names.
///
/// # Errors
/// 404 where there is none, or the caller does not reach it.
pub(super) fn queue_for(
    door: &Door,
    caller: &Caller,
    name: &QueueName,
) -> Result<Arc<Queue>, Problem> {
    let known = if caller.reaches(name) { door.store().queues.get(name).ok() } else { None };
    known.ok_or_else(|| no_queue(door, caller, name.as_str()))
}

/// 404 for a queue, with the nearest one that the caller sees.
fn no_queue(door: &Door, caller: &Caller, text: &str) -> Problem {
    let shown: String = text.chars().take(80).collect();
    let queues = door.store().queues.all();
    let names = queues.iter().filter(|queue| !queue.retired).map(|queue| &queue.policy.name);
    let seen = names.filter(|name| name.callbacks_of().is_none() && caller.reaches(name));
    let meant = did_you_mean(text, seen.map(QueueName::as_str));
    Problem::not_found(format!("there is no queue \"{shown}\"{meant}"))
}

/// 404 for a schedule, with the nearest one that the caller sees: the same words for one that is not there and
/// for one that it does not reach.
pub(super) async fn no_schedule(door: &Door, caller: &Caller, name: &str) -> Problem {
    let shown: String = name.chars().take(80).collect();
    // Only a help: without it the answer stands as well.
    let page = door.store().schedules.list("", SUGGESTED_FROM).await.ok();
    let known = page.iter().flat_map(|page| &page.schedules).map(|kept| &kept.schedule);
    let seen = known.filter(|schedule| caller.reaches(&schedule.queue));
    let meant = did_you_mean(name, seen.map(|schedule| schedule.name.as_str()));
    Problem::not_found(format!("there is no schedule \"{shown}\"{meant}"))
}

/// 404 for an id.
pub(super) fn no_message(id: &str) -> Problem {
    let shown: String = id.chars().take(100).collect();
    Problem::not_found(format!(
        "there is no message \"{shown}\"; its id is wrong, or its retention is over"
    ))
}

/// A parameter of the path, decoded. One that is no UTF-8 names nothing that we have.
async fn param(parts: &mut Parts, door: &Arc<Door>, name: &str) -> Result<String, Problem> {
    let params = RawPathParams::from_request_parts(parts, door)
        .await
        .map_err(|error| Problem::not_found(format!("the path cannot be read: {error}")))?;
    let value = params.iter().find(|(known, _)| *known == name).map(|(_, value)| value.to_owned());
    Ok(value.unwrap_or_default())
}
