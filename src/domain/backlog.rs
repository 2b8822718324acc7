//! What a queue may have waiting and on its way, and when there may be room again.
//!
//! Pure: refuses to know how it is counted.

use std::time::Duration;

use crate::domain::keys::{CountedBacklog, MessageKey};
use crate::domain::units::format_size;

/// The longest time after which somebody is asked to try again, in seconds.
const RETRY_AFTER_S_MAX: u32 = 3600;

/// How many messages may be scheduled, ready and leased together; at least one of the three is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BacklogPolicy {
    /// Most messages; `None`: any number.
    pub messages_max: Option<u64>,
    /// Most bytes of their records; `None`: any size.
    pub bytes_max: Option<u64>,
    /// Most messages of each value of a key; `None`: any number.
    pub per_key: Option<KeyBacklog>,
}

/// Most messages of each value of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyBacklog {
    /// The key. Messages without it share one value, the empty one.
    pub key: MessageKey,
    /// Most messages of one value.
    pub messages_max: u64,
}

/// Most characters of a value of a key that are shown where a sentence names it.
const VALUE_CHARS_MAX: usize = 64;

/// What of a backlog is full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Full {
    /// There are as many messages as may be there.
    Messages,
    /// Their records are as large as they may be.
    Bytes,
    /// There are as many messages of this value of the key as may be there. Messages without the key have the empty one.
    Key(String),
}

impl Full {
    /// Which cap has been reached, as it is written in the configuration: `max_messages = 3`. `None`: the policy does not have it
    /// any more.
    #[must_use]
    pub fn cap(&self, policy: &BacklogPolicy) -> Option<String> {
        match self {
            Self::Messages => policy.messages_max.map(|most| format!("max_messages = {most}")),
            Self::Bytes => {
                policy.bytes_max.map(|most| format!("max_bytes = \"{}\"", format_size(most)))
            }
            Self::Key(_) => {
                let per_key = policy.per_key.as_ref();
                per_key.map(|per_key| format!("max_messages_per_key = {}", per_key.messages_max))
            }
        }
    }
}

/// A value of a key within a sentence: `labels.tenant = "acme"`, cut where it is long.
#[must_use]
pub fn named_value(key: &MessageKey, value: &str) -> String {
    match value.char_indices().nth(VALUE_CHARS_MAX) {
        _ if value.is_empty() => format!("no value of {key}"),
        None => format!("{key} = \"{value}\""),
        Some((end, _)) => format!("{key} = \"{}…\"", &value[..end]),
    }
}

impl BacklogPolicy {
    /// The share of one of so many shards, each at least one: none asks what the others hold. A value of a key is in one
    /// shard alone.
    #[must_use]
    pub fn share(&self, shards: u16) -> Self {
        let share = |most: u64| (most / u64::from(shards.max(1))).max(1);
        Self {
            messages_max: self.messages_max.map(share),
            bytes_max: self.bytes_max.map(share),
            per_key: self.per_key.clone(),
        }
    }

    /// What has to be counted, message by message: bytes and keys are not known from the length of an index. `None`: nothing.
    #[must_use]
    pub fn counted(&self) -> Option<CountedBacklog> {
        let per = self.per_key.as_ref().map(|per_key| per_key.key.clone());
        (self.bytes_max.is_some() || per.is_some()).then_some(CountedBacklog { per })
    }
}

/// After how many seconds one place is likely to be free, from one second to an hour.
///
/// `leaving`: messages that leave in a second; `held_ms`: for how long nothing leaves by the gates, `None`: nobody can know. What stands first
/// leaves when the last gate opens, or, where none holds, after the one before it. Where nothing is known to leave, it is worth another
/// try in a minute.
#[must_use]
pub fn retry_after_s(leaving: Option<f64>, held_ms: Option<u64>) -> u32 {
    const UNKNOWN_S: f64 = 60.0;
    let most_s = f64::from(RETRY_AFTER_S_MAX);
    let one_s = leaving.filter(|pace| *pace > 0.0).map(|pace| 1.0 / pace);
    let one_s = match held_ms {
        Some(1..) => one_s.unwrap_or(0.0),
        Some(0) => one_s.unwrap_or(UNKNOWN_S),
        None => one_s.unwrap_or(0.0).max(UNKNOWN_S),
    };
    let held_ms = held_ms.unwrap_or(0).min(u64::from(RETRY_AFTER_S_MAX) * 1000);
    let after = Duration::from_secs_f64(one_s.min(most_s)).max(Duration::from_millis(held_ms));
    let after_s = after.as_millis().div_ceil(1000);
    u32::try_from(after_s).unwrap_or(RETRY_AFTER_S_MAX).clamp(1, RETRY_AFTER_S_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_place_is_free_after_one_message_has_left() {
        assert_eq!(retry_after_s(Some(20.0), Some(0)), 1);
        assert_eq!(retry_after_s(Some(0.1), Some(0)), 10);
        assert_eq!(retry_after_s(Some(0.1), Some(15_001)), 16);
        assert_eq!(retry_after_s(Some(1e-9), Some(0)), 3600);
        assert_eq!(retry_after_s(None, Some(0)), 60);
        assert_eq!(retry_after_s(None, Some(7000)), 7);
        assert_eq!(retry_after_s(Some(20.0), None), 60, "a pause without an end");
        assert_eq!(retry_after_s(Some(1000.0), Some(u64::MAX)), 3600);
    }

    #[test]
    fn what_is_full_is_named_and_never_at_length() {
        let policy = BacklogPolicy {
            messages_max: Some(3),
            bytes_max: None,
            per_key: Some(KeyBacklog { key: MessageKey::Group, messages_max: 7 }),
        };
        assert_eq!(Full::Messages.cap(&policy).unwrap(), "max_messages = 3");
        assert_eq!(Full::Bytes.cap(&policy), None);
        let of_key = Full::Key("acme".to_owned());
        assert_eq!(of_key.cap(&policy).unwrap(), "max_messages_per_key = 7");
        assert_eq!(named_value(&MessageKey::Group, "acme"), "group = \"acme\"");
        assert_eq!(named_value(&MessageKey::Group, ""), "no value of group");
        let long = named_value(&MessageKey::Group, &"é".repeat(256));
        assert_eq!(long, format!("group = \"{}…\"", "é".repeat(VALUE_CHARS_MAX)));
    }

    #[test]
    fn each_shard_has_its_share_and_at_least_one() {
        let key = KeyBacklog { key: MessageKey::Group, messages_max: 7 };
        let whole =
            BacklogPolicy { messages_max: Some(10), bytes_max: Some(3), per_key: Some(key) };
        let share = whole.share(4);
        assert_eq!((share.messages_max, share.bytes_max), (Some(2), Some(1)));
        assert_eq!(share.per_key, whole.per_key);
        assert_eq!(whole.counted().unwrap().per, Some(MessageKey::Group));
        let of_bytes = BacklogPolicy { per_key: None, ..whole };
        assert_eq!(of_bytes.counted().unwrap().per, None);
        assert_eq!(BacklogPolicy { bytes_max: None, ..of_bytes }.counted(), None);
    }
}
