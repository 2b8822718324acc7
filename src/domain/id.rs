//! Names of queues and ids of messages.
//!
//! A queue's callbacks are messages of a queue of their own, `<queue>~callbacks`: no configuration and
//! no producer can name it, operators can.
//!
//! An id is `<queue>_<ULID>`; the first two random characters of the ULID carry the shard, so an
//! id alone finds its message. Refuses to know how many shards a queue has: callers say.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use ulid::Ulid;

/// Longest queue name, in bytes.
pub const QUEUE_NAME_BYTES_MAX: usize = 63;
/// Length of a ULID in text.
pub const ULID_BYTES: usize = 26;
/// Most shards a queue may have: what two base-32 characters can carry.
pub const SHARDS_MAX: u16 = 1024;

/// What the name of a queue's internal queue of callbacks ends in: never a part of a queue's own name.
const CALLBACKS: &str = "~callbacks";

/// Crockford's base 32, the alphabet of ULID.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// The name of a queue: `[a-z0-9][a-z0-9_-]{0,62}`, without `__`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueName(Arc<str>);

/// Why a text is no queue name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is not a valid queue name; expected 1 to 63 of a-z, 0-9, _ and -, starting with a letter or digit, without \"__\""
)]
pub struct BadQueueName(pub String);

impl QueueName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The internal queue of this queue's callbacks.
    #[must_use]
    pub fn callbacks(&self) -> Self {
        Self(format!("{self}{CALLBACKS}").into())
    }

    /// The queue whose callbacks this one carries; `None`: it is no internal queue.
    #[must_use]
    pub fn callbacks_of(&self) -> Option<Self> {
        self.0.strip_suffix(CALLBACKS).map(|queue| Self(queue.into()))
    }

    /// Reads a name as operators and Redis say it: internal queues have one too.
    ///
    /// # Errors
    /// When it is none.
    pub fn any(text: &str) -> Result<Self, BadQueueName> {
        match text.strip_suffix(CALLBACKS) {
            Some(queue) => queue.parse::<Self>().map(|queue| queue.callbacks()),
            None => text.parse(),
        }
    }
}

impl fmt::Display for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for QueueName {
    type Err = BadQueueName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let first_ok =
            text.as_bytes().first().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let rest_ok = text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-');
        if first_ok && rest_ok && text.len() <= QUEUE_NAME_BYTES_MAX && !text.contains("__") {
            Ok(Self(text.into()))
        } else {
            Err(BadQueueName(text.to_owned()))
        }
    }
}

/// The id of a message, as the producer holds it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId {
    /// The queue that the message lives in.
    pub queue: QueueName,
    /// The part that Redis stores: time, shard and randomness.
    pub ulid: Ulid,
}

/// Why a text is no message id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is not a valid message id; expected <queue>_<26 characters>, as the answer to a send gave it"
)]
pub struct BadMessageId(pub String);

impl MessageId {
    /// The shard of a queue with `shards` shards that this id belongs to.
    #[must_use]
    pub fn shard(&self, shards: u16) -> u16 {
        shard_of(self.ulid, shards)
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.queue, self.ulid)
    }
}

impl FromStr for MessageId {
    type Err = BadMessageId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || BadMessageId(text.to_owned());
        let (queue, ulid) = text.rsplit_once('_').ok_or_else(bad)?;
        if ulid.len() != ULID_BYTES || ulid.bytes().any(|b| b.is_ascii_lowercase()) {
            return Err(bad());
        }
        Ok(Self {
            queue: QueueName::any(queue).map_err(|_| bad())?,
            ulid: Ulid::from_string(ulid).map_err(|_| bad())?,
        })
    }
}

/// The shard carried by a ULID: its first ten random bits, modulo the number of shards.
#[must_use]
pub fn shard_of(ulid: Ulid, shards: u16) -> u16 {
    let carried = u16::try_from((ulid.random() >> 70) & 0x3ff).unwrap_or(0);
    carried % shards.max(1)
}

/// A fresh ULID of shard `shard`, made of the moment `now_ms` and the given randomness.
///
/// The ten bits that carry the shard are `shard` itself plus a random multiple of `shards`, so
/// that they stay as random as they can be.
#[must_use]
pub fn new_ulid(now_ms: u64, shard: u16, shards: u16, random: u128) -> Ulid {
    let shards = u128::from(shards.clamp(1, SHARDS_MAX));
    let shard = u128::from(shard) % shards;
    let room = (1024 - shard).div_ceil(shards);
    let carried = shard + ((random >> 70) % room) * shards;
    Ulid::from_parts(now_ms, (carried << 70) | (random & ((1 << 70) - 1)))
}

/// This ULID, so that it carries this shard. It is the same where it does already.
#[must_use]
pub fn in_shard(ulid: Ulid, shard: u16, shards: u16) -> Ulid {
    if shard_of(ulid, shards) == shard {
        return ulid;
    }
    new_ulid(ulid.timestamp_ms(), shard, shards, ulid.random())
}

/// Whether two ULIDs differ at most in the shard that they carry.
#[must_use]
pub fn is_same_but_for_its_shard(one: Ulid, other: Ulid) -> bool {
    let without_shard = |ulid: Ulid| (ulid.timestamp_ms(), ulid.random() & ((1 << 70) - 1));
    without_shard(one) == without_shard(other)
}

/// A text of `len` characters in the ULID alphabet, from the given randomness: ids of nodes,
/// batches and tokens.
#[must_use]
pub fn base32(mut random: u128, len: usize) -> String {
    let mut text = String::with_capacity(len);
    for _ in 0..len {
        text.push(char::from(ALPHABET[(random & 31) as usize]));
        random >>= 5;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_follow_the_contract() {
        for good in ["a", "0", "sms", "order_paid", "a-b_c", &"x".repeat(63)] {
            assert!(good.parse::<QueueName>().is_ok(), "{good}");
        }
        for bad in ["", "_a", "-a", "A", "a__b", "a.b", "ä", &"x".repeat(64)] {
            assert!(bad.parse::<QueueName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn ids_with_underscores_in_the_queue_read_back() {
        let id = MessageId { queue: "order_paid".parse().unwrap(), ulid: Ulid::from_parts(5, 7) };
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("sms".parse::<MessageId>().is_err());
        assert!("sms_01ARZ3NDEKTSV4RRFFQ69G5FA".parse::<MessageId>().is_err());
    }

    #[test]
    fn callbacks_have_a_queue_that_nobody_else_can_name() {
        let queue: QueueName = "sms".parse().unwrap();
        let callbacks = queue.callbacks();
        assert_eq!(callbacks.as_str(), "sms~callbacks");
        assert_eq!((callbacks.callbacks_of(), queue.callbacks_of()), (Some(queue), None));
        assert!("sms~callbacks".parse::<QueueName>().is_err());
        assert_eq!(QueueName::any("sms~callbacks"), Ok(callbacks.clone()));
        for bad in ["~callbacks", "a__b~callbacks", "sms~callbacks~callbacks", "sms~other"] {
            assert!(QueueName::any(bad).is_err(), "{bad}");
        }
        let id = MessageId { queue: callbacks, ulid: Ulid::from_parts(5, 7) };
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    proptest! {
        #[test]
        fn an_id_carries_its_shard(shards in 1u16..=SHARDS_MAX, shard: u16, random: u128, now_ms in 0u64..(1 << 47)) {
            let shard = shard % shards;
            let ulid = new_ulid(now_ms, shard, shards, random);
            prop_assert_eq!(shard_of(ulid, shards), shard);
            prop_assert_eq!(ulid.timestamp_ms(), now_ms);
        }

        #[test]
        fn an_id_goes_into_any_shard_and_stays_the_same_there(shards in 1u16..=SHARDS_MAX, shard: u16, random: u128, now_ms in 0u64..(1 << 47)) {
            let shard = shard % shards;
            let before = Ulid::from_parts(now_ms, random & ((1 << 80) - 1));
            let ulid = in_shard(before, shard, shards);
            prop_assert_eq!(shard_of(ulid, shards), shard);
            prop_assert_eq!(in_shard(ulid, shard, shards), ulid);
            prop_assert!(is_same_but_for_its_shard(ulid, before));
        }
    }
}
