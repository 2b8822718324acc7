//! What a callback says: a CloudEvents 1.0 event in structured JSON.
//!
//! Owns the form. Refuses to know where it goes.

use serde::Serialize;

use super::Moment;
use super::message::MessageView;
use crate::domain::gates::Gates;
use crate::domain::id::MessageId;
use crate::domain::message::Message;

/// The content type of a structured event.
pub const CONTENT_TYPE: &str = "application/cloudevents+json";

#[derive(Serialize)]
struct Event<'a> {
    specversion: &'static str,
    id: String,
    source: String,
    r#type: String,
    subject: String,
    time: Moment,
    datacontenttype: &'static str,
    data: MessageView<'a>,
}

/// The event that `message` became final; `id` is the callback's, the same however often it is sent.
#[must_use]
pub fn of_final(id: &MessageId, message: &Message) -> Vec<u8> {
    let event = Event {
        specversion: "1.0",
        id: id.to_string(),
        source: format!("/v1/queues/{}", message.id.queue),
        r#type: format!("tidegate.message.{}", message.state),
        subject: message.id.to_string(),
        time: Moment(message.final_at_ms.unwrap_or(id.ulid.timestamp_ms())),
        datacontenttype: "application/json",
        data: MessageView::new(message, &Gates::OPEN, None, false),
    };
    serde_json::to_vec(&event).expect("strings and numbers always serialise")
}
