//! Into which of its shards a message of a queue goes.
//!
//! Where a queue with several shards goes by a key, all messages with one value of it stand in one shard: order and limits hold
//! there. Refuses to know ids (see `preset_id`).

use sha2::{Digest as _, Sha256};
use ulid::Ulid;

use crate::domain::id::in_shard;
use crate::domain::keys::MessageKey;
use crate::domain::message::Details;

/// How messages are divided among the shards of a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routing {
    pub(in crate::store) shards: u16,
    by: Option<MessageKey>,
}

/// A queue with one shard.
impl Default for Routing {
    fn default() -> Self {
        Self::new(1, None)
    }
}

impl Routing {
    /// `by`: the key, where the queue goes by one.
    pub(in crate::store) fn new(shards: u16, by: Option<MessageKey>) -> Self {
        Self { shards, by: by.filter(|_| shards > 1) }
    }

    /// Whether messages are divided by a key of theirs.
    pub(in crate::store) const fn is_by_key(&self) -> bool {
        self.by.is_some()
    }

    /// The shard of a message with these details; `None`: it may go into any.
    pub(in crate::store) fn shard_of(&self, details: &Details) -> Option<u16> {
        // All messages without the key share one value, the empty one.
        let by = self.by.as_ref()?;
        Some(shard_of_text(by.value_of(details).unwrap_or_default(), self.shards))
    }

    /// This ULID as a message with these details gets it.
    pub(in crate::store) fn ulid(&self, ulid: Ulid, details: &Details) -> Ulid {
        self.shard_of(details).map_or(ulid, |number| in_shard(ulid, number, self.shards))
    }
}

/// The shard that a text stands for.
pub(in crate::store) fn shard_of_text(text: &str, shards: u16) -> u16 {
    let digest = Sha256::digest(text.as_bytes());
    u16::from_be_bytes([digest[0], digest[1]]) % shards.max(1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::domain::id::shard_of;

    fn to(value: Option<&str>) -> Details {
        let labels = value.map(|value| ("to".to_owned(), value.to_owned()));
        Details { labels: labels.into_iter().collect(), ..Details::default() }
    }

    #[test]
    fn one_value_goes_into_one_shard_and_many_into_all() {
        let routing = Routing::new(4, Some("labels.to".parse().unwrap()));
        let shard = |value: &str| routing.shard_of(&to(Some(value))).unwrap();
        let met: BTreeSet<u16> = (0..64).map(|number| shard(&number.to_string())).collect();
        assert_eq!(met.len(), 4);
        assert_eq!(shard("+49"), shard("+49"));
        let other = Details { group: Some("g".to_owned()), ..to(Some("+49")) };
        assert_eq!(routing.shard_of(&other), Some(shard("+49")), "only the key decides");
        assert_eq!(routing.shard_of(&to(None)), Some(shard("")), "the empty value");
    }

    #[test]
    fn the_id_carries_the_shard_of_the_value() {
        let routing = Routing::new(5, Some("labels.to".parse().unwrap()));
        for value in ["a", "b", "c"] {
            let ulid = routing.ulid(Ulid::from_parts(7, 99), &to(Some(value)));
            assert_eq!(Some(shard_of(ulid, 5)), routing.shard_of(&to(Some(value))));
            assert_eq!(routing.ulid(ulid, &to(Some(value))), ulid);
        }
    }

    #[test]
    fn without_a_key_or_with_one_shard_any_will_do() {
        let ulid = Ulid::from_parts(7, 99);
        for routing in
            [Routing::new(1, Some(MessageKey::Group)), Routing::new(4, None), Routing::default()]
        {
            assert_eq!(routing.shard_of(&to(Some("a"))), None);
            assert_eq!(routing.ulid(ulid, &to(Some("a"))), ulid);
            assert!(!routing.is_by_key());
        }
    }
}
