//! Topics: what came of an event, and which queues get a message of each.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What came of an event: its id, and the message of each queue
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Event)]
pub struct EventAnswer {
    /// `<topic>_<ULID>`; downstreams get it as Tidegate-Event
    pub id: String,
    /// One for each queue of the topic
    pub messages: Vec<EventMessageView>,
    /// true where it was published before, under the same idempotency key
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub duplicate: Option<bool>,
}

/// The message of one queue.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = EventMessage)]
pub struct EventMessageView {
    /// The queue
    pub queue: String,
    /// The message's id
    pub id: String,
    /// true where the queue did not have it yet when this was answered; it gets it as soon as it can
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub pending: Option<bool>,
}

/// A topic: its queues, and the events that some of them lack still.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Topic)]
pub struct TopicView {
    /// Its name
    pub topic: String,
    /// The queues that get a message of each event
    pub queues: Vec<String>,
    /// Gone from the configuration: takes no events, and completes those it has
    pub retired: bool,
    /// Events that some queue lacks still
    pub pending: u64,
    /// How long the oldest of them has been stored
    #[schema(required)]
    pub oldest_pending_age_ms: Option<u64>,
    /// The queues that could not take the oldest
    pub waits_for: Vec<String>,
}

/// Every topic, in the order of their names.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Topics)]
pub struct TopicList {
    /// The topics
    pub topics: Vec<TopicView>,
}
