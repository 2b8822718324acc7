//! What stands in a path: a queue, a topic, a schedule, or a message's id.

use std::sync::Arc;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::Method;
use axum::http::request::Parts;

use super::Door;
use super::problem::{Code, Problem};
use super::suggest::did_you_mean;
use crate::domain::id::{MessageId, QueueName};
use crate::domain::schedule::ScheduleName;
use crate::domain::topic::TopicName;
use crate::store::{Queue, Topic};

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
        let shown: String = text.chars().take(80).collect();
        let unknown = || Problem::not_found(format!("there is no queue \"{shown}\""));
        let name = QueueName::any(&text).map_err(|_| unknown())?;
        door.store().queue(&name).map(Self).map_err(|_| unknown())
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
        let known = text.parse::<TopicName>().ok().and_then(|name| door.store().topic(&name));
        known.map(Self).ok_or_else(|| {
            let shown: String = text.chars().take(80).collect();
            let topics = door.store().topics();
            let names = topics.iter().filter(|topic| !topic.retired);
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
        text.parse().map(Self).map_err(|_| no_message(&text))
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
            Ok(name) => Ok(Self(name)),
            // What is to be made is told what is wrong; what is looked for is not there.
            Err(error) if parts.method == Method::PUT => {
                Err(Problem::new(Code::InvalidRequest, error.to_string()))
            }
            Err(_) => Err(no_schedule(&text)),
        }
    }
}

/// 404 for a schedule.
pub(super) fn no_schedule(name: &str) -> Problem {
    let shown: String = name.chars().take(80).collect();
    Problem::not_found(format!("there is no schedule \"{shown}\""))
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
