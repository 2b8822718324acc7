//! Topics: one event becomes a message in each of several queues.
//!
//! Owns names, ids of events and what a topic is. Refuses to know how an event is completed.

use std::fmt;
use std::str::FromStr;

use ulid::Ulid;

use super::id::QueueName;

/// Most queues of a topic: each is a message more for every event.
pub const SUBSCRIBERS_MAX: usize = 64;

/// The name of a topic; the same letters as a queue's.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicName(QueueName);

/// Why a text is no topic name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is not a valid topic name; expected 1 to 63 of a-z, 0-9, _ and -, starting with a letter or digit, without \"__\""
)]
pub struct BadTopicName(pub String);

impl TopicName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for TopicName {
    type Err = BadTopicName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self).map_err(|_| BadTopicName(text.to_owned()))
    }
}

/// `[topics.<name>]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicPolicy {
    /// Its name.
    pub name: TopicName,
    /// Its subscribers, in the order of the configuration; never none, each once.
    pub queues: Vec<QueueName>,
}

/// The id of an event, `<topic>_<ULID>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EventId {
    /// What it was published to.
    pub topic: TopicName,
    /// When, by Redis' clock, and randomness.
    pub ulid: Ulid,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.topic, self.ulid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_those_of_queues() {
        assert_eq!("order_paid".parse::<TopicName>().unwrap().as_str(), "order_paid");
        let error = "Order".parse::<TopicName>().unwrap_err().to_string();
        assert!(error.starts_with("\"Order\" is not a valid topic name"), "{error}");
    }
}
