//! `[queues.<name>.backlog]`: what may wait in a queue and be on its way.

use super::keys;
use crate::config::load::reader::{Field, Read};
use crate::config::setting::{Kind as _, settings, size, whole};
use crate::domain::backlog::{BacklogPolicy, KeyBacklog};
use crate::domain::keys::MessageKey;

/// Bounds against a slip of the finger.
const MESSAGES_MAX: u64 = 1_000_000_000_000;
const BYTES_MAX: u64 = 1 << 50;

settings! {
    struct Backlog in "queues.NAME.backlog" of BacklogPolicy {
        /// Most messages that are scheduled, ready or leased. With several shards, each has its share.
        max_messages: Option<u64> =
            whole(1..=MESSAGES_MAX).unset_means("no limit").example("1000000"),
            |it| it.messages_max;
        /// Most bytes of their records: payload, headers, labels and some 40 bytes each. An empty queue takes one message of any
        /// size.
        max_bytes: Option<u64> =
            size(1..=BYTES_MAX).unset_means("no limit").example("\"1GiB\""), |it| it.bytes_max;
        /// The key whose values `max_messages_per_key` counts. Messages without it share one value, the empty one.
        per: Option<MessageKey> = keys::key().unset_means("none").example("\"labels.tenant\""),
            |it| it.per_key.as_ref().map(|per_key| per_key.key.clone());
        /// Most messages of each value of the key `per` that are scheduled, ready or leased.
        max_messages_per_key: Option<u64> =
            whole(1..=MESSAGES_MAX).unset_means("no limit").example("10000"),
            |it| it.per_key.as_ref().map(|per_key| per_key.messages_max);
    }
}

/// Each of the `shards` has its share.
pub(in crate::config) fn read(field: &Field<'_>, shards: Read<u16>) -> Read<BacklogPolicy> {
    field.section(&[], |section| {
        let it = Backlog::of(section);
        let (messages_max, bytes_max) = (it.max_messages?, it.max_bytes?);
        let per_key = match (it.per?, it.max_messages_per_key?) {
            (Some(key), Some(messages_max)) => Some(KeyBacklog { key, messages_max }),
            (None, None) => None,
            (Some(_), None) => {
                return Err(section.wrong(
                    "per",
                    "has no effect without max_messages_per_key; add for example max_messages_per_key = 10000, or remove per",
                ));
            }
            (None, Some(_)) => {
                return Err(section.wrong(
                    "max_messages_per_key",
                    "counts the values of a key, and there is no per; add for example per = \"labels.tenant\"",
                ));
            }
        };
        if messages_max.is_none() && bytes_max.is_none() && per_key.is_none() {
            return Err(section.wrong(
                "max_messages",
                "is missing; expected at least one of max_messages, max_bytes, and max_messages_per_key with per",
            ));
        }
        let shards = u64::from(shards?);
        if let Some(found) = messages_max.filter(|most| *most < shards) {
            return Err(section.wrong(
                "max_messages",
                format!("found {found}, expected at least {shards}: each of the {shards} shards has its share; raise it, or lower shards"),
            ));
        }
        Ok(BacklogPolicy { messages_max, bytes_max, per_key })
    })
}

#[cfg(test)]
mod tests {
    use crate::config::testing::{queue_errors, queue_of};
    use crate::domain::backlog::{BacklogPolicy, KeyBacklog};
    use crate::domain::keys::MessageKey;

    #[test]
    fn what_is_set_is_limited() {
        assert_eq!(queue_of("").backlog, None);
        let all = "max_messages = 1000000, max_bytes = \"1GiB\", per = \"labels.tenant\", max_messages_per_key = 10000";
        assert_eq!(
            queue_of(&format!("backlog = {{ {all} }}")).backlog,
            Some(BacklogPolicy {
                messages_max: Some(1_000_000),
                bytes_max: Some(1 << 30),
                per_key: Some(KeyBacklog {
                    key: "labels.tenant".parse().unwrap(),
                    messages_max: 10_000
                }),
            })
        );
        let sharded = queue_of(
            "shards = 2\nbacklog = { per = \"group\", max_messages_per_key = 1 }\nfairness = \"group\"",
        );
        let per_key = sharded.backlog.as_ref().unwrap().per_key.as_ref().unwrap();
        assert_eq!(per_key.key, MessageKey::Group);
    }

    #[test]
    fn bad_values_are_refused() {
        for (text, part) in [
            ("", "queues.q.backlog.max_messages: is missing; expected at least one of"),
            ("max_messages = 0", "found 0, expected a whole number from 1 to"),
            ("max_bytes = \"0B\"", "found \"0B\", expected 1B to"),
            (
                "max_messages = 1, per = \"group\"",
                "per: has no effect without max_messages_per_key",
            ),
            ("max_messages_per_key = 1", "counts the values of a key, and there is no per"),
            ("per = \"tenant\", max_messages_per_key = 1", "\"tenant\" is not a valid key"),
            ("max_message = 1", "unknown key; did you mean max_messages?"),
        ] {
            let error = queue_errors(&format!("backlog = {{ {text} }}"));
            assert!(error.contains(part), "{text}: {error}");
        }
        let few = queue_errors("shards = 4\nbacklog = { max_messages = 3 }");
        assert!(few.contains("found 3, expected at least 4"), "{few}");
        let other = queue_errors(
            "shards = 2\nfairness = \"labels.a\"\nbacklog = { per = \"group\", max_messages_per_key = 1 }",
        );
        assert!(other.contains("here fairness goes by labels.a, and backlog by group"), "{other}");
    }
}
