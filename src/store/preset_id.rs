//! The identity of a message that is taken in. That of a producer's message is new; what is handed over
//! by ourselves, and perhaps twice, gets the same id, and the same key, both times.
//!
//! The key tells a repeat, also after retention or a purge took the message, for the queue's idempotency
//! window.

use sha2::{Digest as _, Sha256};
use ulid::Ulid;

use super::record::OptionalFields;
use crate::domain::id::{QueueName, new_ulid};
use crate::domain::message::NewMessage;

/// First character of our own keys: a producer's key has no control characters.
const OURS: char = '\u{1f}';

/// The id of a message before it is taken in, and the key under which a repeat is recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresetId {
    /// The id; it carries the shard of the key.
    pub ulid: Ulid,
    /// The idempotency key in the queue's shard.
    pub key: String,
    /// Optional fields of the record that it continues, if it continues one.
    pub(super) fields: OptionalFields,
}

impl PresetId {
    /// What a producer's message gets: a fresh id, in the shard of its idempotency key if it has one.
    pub(super) fn drawn(message: &NewMessage, shards: u16, now_ms: u64) -> Self {
        let random: u128 = rand::random();
        let key = message.details.idempotency_key.clone().unwrap_or_default();
        let number = if key.is_empty() {
            u16::try_from(random % u128::from(shards.max(1))).unwrap_or(0)
        } else {
            shard_of_key(&key, shards)
        };
        Self::new(new_ulid(now_ms, number, shards, random.rotate_left(64)), key)
    }

    /// What `queue` gets of something that happened once at `at_ms` and is known as `origin`, whatever
    /// the number of shards: the key is found in the shard that the id names.
    #[must_use]
    pub fn of_origin(origin: &str, at_ms: u64, queue: &QueueName) -> Self {
        let ulid = Ulid::from_parts(at_ms, hashed(&[origin, queue.as_str()]));
        Self::new(ulid, format!("{OURS}{origin}"))
    }

    /// What a queue of so many shards gets under a key that producers use too.
    #[must_use]
    pub fn of_key(key: &str, origin: &str, at_ms: u64, queue: &QueueName, shards: u16) -> Self {
        let random = hashed(&[origin, queue.as_str()]);
        let ulid = new_ulid(at_ms, shard_of_key(key, shards), shards, random);
        Self::new(ulid, key.to_owned())
    }

    fn new(ulid: Ulid, key: String) -> Self {
        Self { ulid, key, fields: OptionalFields::default() }
    }
}

/// The shard of an idempotency key.
pub(super) fn shard_of_key(key: &str, shards: u16) -> u16 {
    let digest = Sha256::digest(key.as_bytes());
    u16::from_be_bytes([digest[0], digest[1]]) % shards.max(1)
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

    #[test]
    fn the_same_origin_gives_the_same_id_and_any_other_another() {
        let (stock, sms) = ("stock".parse().unwrap(), "sms".parse().unwrap());
        let given = PresetId::of_origin("paid_01", 5, &stock);
        assert_eq!(given, PresetId::of_origin("paid_01", 5, &stock));
        assert_eq!(given.ulid.timestamp_ms(), 5);
        for other in
            [PresetId::of_origin("paid_02", 5, &stock), PresetId::of_origin("paid_01", 5, &sms)]
        {
            assert_ne!(other.ulid, given.ulid);
        }
    }

    #[test]
    fn a_key_of_producers_lies_in_the_shard_of_the_id() {
        let queue: QueueName = "sms".parse().unwrap();
        for shards in [1, 3, 64] {
            let given = PresetId::of_key("order-42", "5-0", 5, &queue, shards);
            assert_eq!(shard_of(given.ulid, shards), shard_of_key("order-42", shards));
        }
    }
}
