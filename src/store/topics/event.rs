//! An event as it is kept: its queues, and the message that each of them gets.

use bytes::{Buf as _, Bytes};
use serde::{Deserialize, Serialize};

use crate::domain::headers::{EVENT_HEADER, TOPIC_HEADER};
use crate::domain::id::{MessageId, QueueName};
use crate::domain::message::{Details, NewMessage, When};
use crate::domain::topic::EventId;
use crate::store::record::{OptionalFields, pack_rest, unpack_rest};
use crate::store::{PresetId, Routing, StoreError};

/// The newest version that this program writes.
const EVENT_VERSION: u8 = 1;

/// An event that some queue lacks still.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicEvent {
    /// Its id.
    pub id: EventId,
    /// The queues that lack it, as far as is known.
    pub queues: Vec<QueueName>,
    /// What each of them gets; its times are moments once the event is kept.
    pub(super) message: NewMessage,
}

/// What stands before details and payload.
#[derive(Debug, Serialize, Deserialize)]
struct EventHead {
    /// The queues.
    q: String,
    /// Due and expiry: a moment, or a delay after the event was taken, both in ms.
    d: PackedWhen,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    e: Option<PackedWhen>,
    p: u8,
    f: [u8; 16],
}

#[derive(Debug, Serialize, Deserialize)]
enum PackedWhen {
    #[serde(rename = "a")]
    After(u64),
    #[serde(rename = "t")]
    At(u64),
}

impl From<When> for PackedWhen {
    fn from(when: When) -> Self {
        match when {
            When::After(ms) => Self::After(ms),
            When::At(ms) => Self::At(ms),
        }
    }
}

impl PackedWhen {
    fn read(&self) -> When {
        match self {
            Self::After(ms) => When::After(*ms),
            Self::At(ms) => When::At(*ms),
        }
    }
}

impl TopicEvent {
    /// An event before it is kept. Downstreams are told what it came from.
    pub(super) fn new(id: EventId, queues: Vec<QueueName>, mut message: NewMessage) -> Self {
        let headers = &mut message.details.headers;
        headers.push((TOPIC_HEADER.to_owned(), id.topic.to_string()));
        headers.push((EVENT_HEADER.to_owned(), id.to_string()));
        Self { id, queues, message }
    }

    /// Delays run from the moment at which the event was taken, however late a queue gets it.
    pub(super) fn taken_at(&mut self, taken_ms: u64) {
        let message = &mut self.message;
        message.due = When::At(message.due.at_ms(taken_ms));
        message.expires = message.expires.map(|expires| When::At(expires.at_ms(taken_ms)));
    }

    /// The id of its message in this queue: it follows from the event, and from the key of the message that the queue is
    /// divided by.
    #[must_use]
    pub fn message_id(
        event: &EventId,
        queue: &QueueName,
        routing: &Routing,
        details: &Details,
    ) -> MessageId {
        MessageId { queue: queue.clone(), ulid: given(event, (queue, routing), details).ulid }
    }

    /// What this queue gets. The producer's key is the topic's: in the queue it might be somebody
    /// else's.
    pub(in crate::store) fn for_queue(
        &self,
        queue: &QueueName,
        routing: &Routing,
    ) -> (PresetId, NewMessage) {
        let mut message = self.message.clone();
        message.details.idempotency_key = None;
        (given(&self.id, (queue, routing), &message.details), message)
    }

    /// # Errors
    /// [`StoreError::TooLarge`] when its details do not fit into a record.
    pub(super) fn pack(&self) -> Result<Vec<u8>, StoreError> {
        let message = &self.message;
        let head = EventHead {
            q: joined(&self.queues),
            d: message.due.into(),
            e: message.expires.map(Into::into),
            p: message.priority,
            f: message.fingerprint,
        };
        let head = serde_json::to_vec(&head).unwrap_or_default();
        let rest = pack_rest(message, 0, &OptionalFields::default())?;
        let length = u32::try_from(head.len())
            .map_err(|_| StoreError::TooLarge("the event names too many queues".to_owned()))?;
        let mut packed = Vec::with_capacity(5 + head.len() + rest.len());
        packed.push(EVENT_VERSION);
        packed.extend(length.to_be_bytes());
        packed.extend(head);
        packed.extend(rest);
        Ok(packed)
    }

    /// `left` as it was concluded; "": every queue lacks it. Six bytes of the moment at which it was
    /// taken stand in front.
    pub(super) fn unpack(id: EventId, left: &str, mut packed: Bytes) -> Result<Self, StoreError> {
        let wrong = |why: &str| StoreError::Reply(format!("the event {id}: {why}"));
        if packed.len() < 11 {
            return Err(wrong("too short"));
        }
        let (taken_ms, version) = (packed.get_uint(6), packed.get_u8());
        if version != EVENT_VERSION {
            return Err(wrong(&format!("version {version} is not known here")));
        }
        let length = usize::try_from(packed.get_u32()).unwrap_or(usize::MAX);
        if packed.len() < length {
            return Err(wrong("cut"));
        }
        let head: EventHead = serde_json::from_slice(&packed.split_to(length))
            .map_err(|error| wrong(&error.to_string()))?;
        if packed.is_empty() {
            return Err(wrong("cut"));
        }
        let _number_in_its_call = packed.get_u8();
        let (details, payload) = unpack_rest(packed)?;
        let message = NewMessage {
            payload,
            details,
            due: head.d.read(),
            expires: head.e.map(|expires| expires.read()),
            priority: head.p,
            fingerprint: head.f,
        };
        let queues = split(if left.is_empty() { &head.q } else { left });
        let mut event = Self { id, queues, message };
        event.taken_at(taken_ms);
        Ok(event)
    }
}

fn given(event: &EventId, queue: (&QueueName, &Routing), details: &Details) -> PresetId {
    PresetId::of_origin(&event.to_string(), event.ulid.timestamp_ms(), queue, details)
}

/// Names by comma, which no name has.
pub(super) fn joined(queues: &[QueueName]) -> String {
    queues.iter().map(QueueName::as_str).collect::<Vec<_>>().join(",")
}

pub(super) fn split(names: &str) -> Vec<QueueName> {
    names.split(',').filter_map(|name| name.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use ulid::Ulid;

    use super::*;

    fn event() -> TopicEvent {
        let id = EventId { topic: "paid".parse().unwrap(), ulid: Ulid::from_parts(5, 7) };
        let details = Details { idempotency_key: Some("k".to_owned()), ..Details::default() };
        let message = NewMessage {
            payload: Bytes::from_static(b"{\"order\": 1}"),
            details,
            due: When::After(90),
            expires: Some(When::At(9000)),
            priority: 7,
            fingerprint: [3; 16],
        };
        TopicEvent::new(id, split("stock,sms"), message)
    }

    fn kept(event: &TopicEvent, taken_ms: u64) -> Bytes {
        let mut packed = taken_ms.to_be_bytes()[2..].to_vec();
        packed.extend(event.pack().unwrap());
        Bytes::from(packed)
    }

    #[test]
    fn everything_reads_back_and_delays_run_from_the_moment_it_was_taken() {
        let mut event = event();
        let read = TopicEvent::unpack(event.id.clone(), "", kept(&event, 1000)).unwrap();
        event.taken_at(1000);
        assert_eq!(read, event);
        assert_eq!(
            (read.message.due, read.message.expires),
            (When::At(1090), Some(When::At(9000)))
        );
    }

    #[test]
    fn only_what_is_left_is_handed_out() {
        let event = event();
        let read = TopicEvent::unpack(event.id.clone(), "sms", kept(&event, 1000)).unwrap();
        assert_eq!(joined(&read.queues), "sms");
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        let event = event();
        let good = kept(&event, 1000);
        for cut in [0, 10, 12, good.len() - 20] {
            let packed = good.slice(..cut);
            assert!(TopicEvent::unpack(event.id.clone(), "", packed).is_err(), "{cut}");
        }
        let mut newer = good.to_vec();
        newer[6] = 2;
        let error = TopicEvent::unpack(event.id.clone(), "", newer.into()).unwrap_err().to_string();
        assert!(error.contains("version 2 is not known here"), "{error}");
    }

    #[test]
    fn a_queue_gets_its_own_id_and_the_events_name() {
        let event = event();
        for routing in [Routing::default(), Routing::new(4, Some("labels.to".parse().unwrap()))] {
            let (queue, details) = (&event.queues[0], &event.message.details);
            let (given, _) = event.for_queue(queue, &routing);
            let id = TopicEvent::message_id(&event.id, queue, &routing, details);
            assert_eq!(given.ulid, id.ulid);
            assert_ne!(given.ulid, event.for_queue(&event.queues[1], &routing).0.ulid);
        }
        let (_, message) = event.for_queue(&event.queues[0], &Routing::default());
        assert_eq!(message.details.idempotency_key, None);
        let event_header = (EVENT_HEADER.to_owned(), event.id.to_string());
        assert!(message.details.headers.contains(&event_header));
    }
}
