//! The identity of a message that is taken in. That of a producer's message is new; what is handed over
//! by ourselves, and perhaps twice, gets the same id, and the same key, both times.
//!
//! The key tells a repeat, also after retention or a purge took the message, for the queue's idempotency
//! window.

use sha2::{Digest as _, Sha256};
use ulid::Ulid;

use super::record::OptionalFields;
use super::routing::{Routing, shard_of_text};
use crate::domain::id::{QueueName, new_ulid};
use crate::domain::message::{Details, NewMessage};

/// First character of our own keys: a producer's key has no control characters.
const OURS: char = '\u{1f}';

/// The id of a message before it is taken in, and the key under which a repeat is recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresetId {
    /// The id; it carries the shard in which the idempotency key is known.
    pub ulid: Ulid,
    /// The idempotency key in that shard.
    pub key: String,
    /// Optional fields of the record that it continues, if it continues one.
    pub(super) fields: OptionalFields,
}

impl PresetId {
    /// What a producer's message gets: a fresh id. If messages may go into any shard, it goes into that of its idempotency key
    /// if it has one.
    pub(super) fn drawn(message: &NewMessage, routing: &Routing, now_ms: u64) -> Self {
        let random: u128 = rand::random();
        let (key, shards) =
            (message.details.idempotency_key.clone().unwrap_or_default(), routing.shards);
        let number = match routing.shard_of(&message.details) {
            Some(number) => number,
            None if key.is_empty() => {
                u16::try_from(random % u128::from(shards.max(1))).unwrap_or(0)
            }
            None => shard_of_text(&key, shards),
        };
        Self::new(new_ulid(now_ms, number, shards, random.rotate_left(64)), key)
    }

    /// What `queue` gets of something that happened once at `at_ms` and is known as `origin`, in a message with these
    /// details. Where it may go into any shard, the id is the same whatever their number.
    #[must_use]
    pub fn of_origin(
        origin: &str,
        at_ms: u64,
        (queue, routing): (&QueueName, &Routing),
        details: &Details,
    ) -> Self {
        let ulid = Ulid::from_parts(at_ms, hashed(&[origin, queue.as_str()]));
        Self::new(routing.ulid(ulid, details), format!("{OURS}{origin}"))
    }

    /// What a queue gets under an idempotency key that producers use too, in a message with these details.
    #[must_use]
    pub fn of_key(
        key: &str,
        (origin, at_ms): (&str, u64),
        (queue, routing): (&QueueName, &Routing),
        details: &Details,
    ) -> Self {
        let shards = routing.shards;
        let number = routing.shard_of(details).unwrap_or_else(|| shard_of_text(key, shards));
        let random = hashed(&[origin, queue.as_str()]);
        Self::new(new_ulid(at_ms, number, shards, random), key.to_owned())
    }

    fn new(ulid: Ulid, key: String) -> Self {
        Self { ulid, key, fields: OptionalFields::default() }
    }
}

/// 80 bits; each part with its length, so that no two lists of parts are alike.
fn hashed(parts: &[&str]) -> u128 {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let digest = hash.finalize();
    let mut bytes = [0; 16];
    bytes[6..].copy_from_slice(&digest[..10]);
    u128::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::shard_of;
    use crate::domain::keys::MessageKey;
    use crate::domain::message::When;

    fn of_group(group: &str, idempotency_key: &str) -> Details {
        let group = (!group.is_empty()).then(|| group.to_owned());
        Details { group, idempotency_key: Some(idempotency_key.to_owned()), ..Details::default() }
    }

    #[test]
    fn the_same_origin_gives_the_same_id_and_any_other_another() {
        let (stock, sms) = ("stock".parse().unwrap(), "sms".parse().unwrap());
        let (anywhere, details) = (Routing::default(), Details::default());
        let of = |origin, queue| PresetId::of_origin(origin, 5, (queue, &anywhere), &details);
        let given = of("paid_01", &stock);
        assert_eq!(given, of("paid_01", &stock));
        assert_eq!(given.ulid.timestamp_ms(), 5);
        for other in [of("paid_02", &stock), of("paid_01", &sms)] {
            assert_ne!(other.ulid, given.ulid);
        }
    }

    #[test]
    fn an_idempotency_key_of_producers_lies_in_the_shard_of_the_id() {
        let queue: QueueName = "sms".parse().unwrap();
        for shards in [1, 3, 64] {
            let routing = Routing::new(shards, None);
            let details = of_group("g", "order-42");
            let given = PresetId::of_key("order-42", ("5-0", 5), (&queue, &routing), &details);
            assert_eq!(shard_of(given.ulid, shards), shard_of_text("order-42", shards));
        }
    }

    #[test]
    fn every_way_in_leads_to_the_shard_of_the_key() {
        let queue: QueueName = "sms".parse().unwrap();
        let routing = Routing::new(7, Some(MessageKey::Group));
        for group in ["", "a", "b", "c", "d"] {
            for idempotency_key in ["order-42", "order-43"] {
                let details = of_group(group, idempotency_key);
                let expected = shard_of_text(group, 7);
                let message = NewMessage {
                    payload: bytes::Bytes::new(),
                    details: details.clone(),
                    due: When::After(0),
                    expires: None,
                    priority: 0,
                    fingerprint: [0; 16],
                };
                let to = (&queue, &routing);
                for given in [
                    PresetId::drawn(&message, &routing, 5),
                    PresetId::of_origin("paid_01", 5, to, &details),
                    PresetId::of_key(idempotency_key, ("5-0", 5), to, &details),
                ] {
                    assert_eq!(shard_of(given.ulid, 7), expected, "{group}: {given:?}");
                }
            }
        }
    }
}
