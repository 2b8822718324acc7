//! `[queues.<name>.retention]`: how long, how many and how much of what is finished is kept.

use crate::config::load::reader::{Field, Read, Section};
use crate::config::setting::{Kind as _, LONG_MS, duration, settings, size, whole};
use crate::domain::retention::{KeepLimits, Retention};
use crate::domain::units::format_size;

pub(in crate::config) const DEFAULT: Retention = Retention::by_age(86_400_000, 30 * 86_400_000);
/// The least that a shard may keep: some messages with their outcomes.
const BYTES_MIN: u64 = 64 << 10;
/// A bound against a slip of the finger.
const BYTES_MAX: u64 = 1 << 50;
const MESSAGES_MAX: u64 = 1_000_000_000_000;

settings! {
    struct Kept in "queues.NAME.retention" of Retention {
        /// How long delivered, expired and cancelled messages are kept. With `0s` nothing of them is kept, which costs
        /// Redis least: `GET` does not find such a message any more, unless the request was already waiting with `?wait=`.
        delivered: u64 = duration(0..=LONG_MS).or(DEFAULT.delivered_ms), |it| it.delivered_ms;
        /// How long dead messages are kept.
        dead: u64 = duration(1..=LONG_MS).or(DEFAULT.dead_ms), |it| it.dead_ms;
        /// [At most so many](operations.md#finished-messages) delivered, expired and cancelled messages are kept: if there
        /// are more, the oldest are deleted before their time.
        delivered_max_messages: Option<u64> =
            whole(1..=MESSAGES_MAX).unset_means("no limit").example("100000"),
            |it| it.delivered.messages_max;
        /// At most so much of them is kept. Each shard needs at least 64KiB.
        delivered_max_bytes: Option<u64> =
            size(BYTES_MIN..=BYTES_MAX).unset_means("no limit").example("\"256MiB\""),
            |it| it.delivered.bytes_max;
        /// At most so many dead messages are kept.
        dead_max_messages: Option<u64> =
            whole(1..=MESSAGES_MAX).unset_means("no limit").example("10000"),
            |it| it.dead.messages_max;
        /// At most so much of them is kept.
        dead_max_bytes: Option<u64> =
            size(BYTES_MIN..=BYTES_MAX).unset_means("no limit").example("\"64MiB\""),
            |it| it.dead.bytes_max;
    }
}

/// Each of the `shards` keeps its share of the limits.
pub(in crate::config) fn read(field: &Field<'_>, shards: Read<u16>) -> Read<Retention> {
    field.section(&[], |section| {
        let kept = Kept::of(section);
        let keys = ["delivered_max_messages", "delivered_max_bytes"];
        let delivered =
            limits(section, keys, [kept.delivered_max_messages, kept.delivered_max_bytes], shards);
        let keys_of_dead = ["dead_max_messages", "dead_max_bytes"];
        let dead =
            limits(section, keys_of_dead, [kept.dead_max_messages, kept.dead_max_bytes], shards);
        let (delivered_ms, delivered) = (kept.delivered?, delivered?);
        if delivered_ms == 0 && delivered != KeepLimits::default() {
            let set = if delivered.messages_max.is_some() { keys[0] } else { keys[1] };
            return Err(section.wrong(
                set,
                "has no effect, as delivered = \"0s\" keeps nothing; remove one of them",
            ));
        }
        Ok(Retention { delivered_ms, dead_ms: kept.dead?, delivered, dead: dead? })
    })
}

fn limits(
    section: &Section<'_>,
    keys: [&'static str; 2],
    [messages, bytes]: [Read<Option<u64>>; 2],
    shards: Read<u16>,
) -> Read<KeepLimits> {
    let shards = u64::from(shards?);
    let (messages_max, bytes_max) = (messages?, bytes?);
    if let Some(found) = messages_max.filter(|most| *most < shards) {
        return Err(section.wrong(
            keys[0],
            format!("found {found}, expected at least {shards}: each of the {shards} shards keeps its share; raise it, or lower shards"),
        ));
    }
    let least = BYTES_MIN * shards;
    if let Some(found) = bytes_max.filter(|most| *most < least) {
        return Err(section.wrong(
            keys[1],
            format!(
                "found \"{}\", expected at least {}: each of the {shards} shards keeps its share; raise it, or lower shards",
                format_size(found),
                format_size(least),
            ),
        ));
    }
    Ok(KeepLimits { messages_max, bytes_max })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::{queue_errors, queue_of};

    #[test]
    fn every_key_is_read() {
        assert_eq!(queue_of("").retention, DEFAULT);
        let queue = queue_of(
            "shards = 2\nretention = { delivered = \"1h\", dead = \"2h\", delivered_max_messages = 3, delivered_max_bytes = \"1MiB\", dead_max_messages = 4, dead_max_bytes = \"2MiB\" }",
        );
        let expected = Retention {
            delivered: KeepLimits { messages_max: Some(3), bytes_max: Some(1 << 20) },
            dead: KeepLimits { messages_max: Some(4), bytes_max: Some(2 << 20) },
            ..Retention::by_age(3_600_000, 7_200_000)
        };
        assert_eq!(queue.retention, expected);
    }

    #[test]
    fn bad_values_are_refused() {
        for (text, part) in [
            (
                "delivered_max_messages = 0",
                "retention.delivered_max_messages: found 0, expected a whole number from 1",
            ),
            (
                "dead_max_messages = \"many\"",
                "retention.dead_max_messages: found \"many\", expected",
            ),
            (
                "dead_max_bytes = \"1KiB\"",
                "retention.dead_max_bytes: found \"1KiB\", expected 64KiB to",
            ),
            ("dead_max_bytes = 5", "retention.dead_max_bytes: "),
            ("dead_max = 5", "retention.dead_max: unknown key"),
            (
                "delivered = \"0s\", delivered_max_bytes = \"1MiB\"",
                "retention.delivered_max_bytes: has no effect, as delivered = \"0s\" keeps nothing; remove one",
            ),
            (
                "dead_max_messages = 3",
                "retention.dead_max_messages: found 3, expected at least 4: each of the 4 shards",
            ),
            (
                "delivered_max_bytes = \"100KiB\"",
                "retention.delivered_max_bytes: found \"100KiB\", expected at least 256KiB: each of",
            ),
        ] {
            let error = queue_errors(&format!("shards = 4\nretention = {{ {text} }}"));
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
