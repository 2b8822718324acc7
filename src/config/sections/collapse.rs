//! `[queues.<name>.collapse]`: how long the first message of a collapse key waits for newer ones.

use crate::config::load::reader::{Field, Read, Section};
use crate::config::setting::{Kind as _, LONG_MS, duration, settings};
use crate::domain::policy::CollapsePolicy;

settings! {
    struct Collapse in "queues.NAME.collapse" of CollapsePolicy {
        /// A message with a [collapse key](collapse.md) that names no due time is due so long after the newest message of its
        /// key was accepted.
        wait: u64 = duration(1..=LONG_MS).required("\"5s\""), |it| it.wait_ms;
        /// It is due no later than so long after the first message of its key was accepted, however many newer ones come; at least
        /// `wait`.
        max_wait: u64 = duration(1..=LONG_MS).required("\"1m\""), |it| it.max_wait_ms;
    }
}

pub(in crate::config) fn read(field: &Field<'_>) -> Read<CollapsePolicy> {
    field.section(&[], |section| {
        let Collapse { wait, max_wait } = Collapse::of(section);
        let (wait_ms, max_wait_ms) = (wait?, max_wait?);
        if max_wait_ms < wait_ms {
            let why = "is shorter than wait, so that no message would wait so long; set max_wait to at least wait, for example wait = \"5s\" and max_wait = \"1m\"";
            return Err(section.wrong("max_wait", why));
        }
        Ok(CollapsePolicy { wait_ms, max_wait_ms })
    })
}

/// The newest message of a key finds those before it in its own shard alone.
fn in_one_shard(section: &Section<'_>, shards: u16) -> Read<()> {
    if shards == 1 {
        return Ok(());
    }
    let why = format!(
        "found {shards}, but messages with a collapse key need shards = 1, so that the newest one finds those before it; set shards = 1 or remove collapse"
    );
    Err(section.wrong("shards", why))
}

/// That of a queue with so many shards.
pub(in crate::config) fn of_queue(
    section: &Section<'_>,
    shards: &Read<u16>,
) -> Read<Option<CollapsePolicy>> {
    let collapse = section.read("collapse", read);
    if let (Ok(Some(_)), Ok(shards)) = (&collapse, shards) {
        in_one_shard(section, *shards)?;
    }
    collapse
}

#[cfg(test)]
mod tests {
    use crate::config::testing::{queue_errors, queue_of};
    use crate::domain::policy::CollapsePolicy;

    #[test]
    fn every_key_is_read() {
        assert_eq!(queue_of("").collapse, None);
        let queue = queue_of("collapse = { wait = \"5s\", max_wait = \"1m\" }");
        assert_eq!(queue.collapse, Some(CollapsePolicy { wait_ms: 5000, max_wait_ms: 60_000 }));
    }

    #[test]
    fn bad_values_are_refused() {
        for (text, part) in [
            ("collapse = { wait = \"5s\" }", "queues.q.collapse.max_wait: is missing"),
            ("collapse = { max_wait = \"5s\" }", "queues.q.collapse.wait: is missing"),
            (
                "collapse = { wait = \"5s\", max_wait = \"4s\" }",
                "queues.q.collapse.max_wait: is shorter than wait",
            ),
            ("collapse = { wait = \"0s\", max_wait = \"4s\" }", "collapse.wait: found \"0s\""),
            ("collapse = { wait = 5, max_wat = \"4s\" }", "unknown key; did you mean max_wait?"),
            ("collapse = \"5s\"", "queues.q.collapse: found a text, expected a table"),
            (
                "shards = 2\ncollapse = { wait = \"5s\", max_wait = \"1m\" }",
                "queues.q.shards: found 2, but messages with a collapse key need shards = 1",
            ),
        ] {
            let error = queue_errors(text);
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
