//! `[queues.<name>.batch]`: messages that leave together in one call.

use crate::config::load::reader::{Field, Read};
use crate::config::setting::{Kind as _, duration, settings, size, whole};
use crate::domain::policy::BatchPolicy;

/// Most messages in one call.
const ITEMS_MAX: u32 = 10_000;
/// Most payload bytes in one call: they are held in memory.
const BYTES_MAX: u64 = 256 << 20;
/// The longest wait for company, in milliseconds.
const WAIT_MS_MAX: u64 = 86_400_000;

settings! {
    struct Batch in "queues.NAME.batch" of BatchPolicy {
        /// Most messages in a batch.
        max_items: u32 = whole(1..=ITEMS_MAX).or(500), |it| it.max_items;
        /// Most payload bytes; a larger message goes alone.
        max_bytes: u64 = size(1..=BYTES_MAX).or(1 << 20), |it| it.max_bytes;
        /// How long the first message may wait for more messages. Meanwhile it is `ready`, and no node holds it.
        max_wait: u64 = duration(0..=WAIT_MS_MAX).or(5000), |it| it.max_wait_ms;
    }
}

pub(in crate::config) fn read(field: &Field<'_>) -> Read<BatchPolicy> {
    field.section(&[], |section| {
        let Batch { max_items, max_bytes, max_wait } = Batch::of(section);
        Ok(BatchPolicy { max_items: max_items?, max_bytes: max_bytes?, max_wait_ms: max_wait? })
    })
}

#[cfg(test)]
mod tests {
    use crate::config::testing::{queue_errors, queue_of};
    use crate::domain::policy::BatchPolicy;

    #[test]
    fn no_section_means_one_message_a_call() {
        assert_eq!(queue_of("").batch, None);
        let default = BatchPolicy { max_items: 500, max_bytes: 1 << 20, max_wait_ms: 5000 };
        assert_eq!(queue_of("[queues.q.batch]").batch, Some(default));
        assert_eq!(
            queue_of("[queues.q.batch]\nmax_items = 1\nmax_bytes = \"2KiB\"\nmax_wait = \"0s\"")
                .batch,
            Some(BatchPolicy { max_items: 1, max_bytes: 2048, max_wait_ms: 0 })
        );
    }

    #[test]
    fn bad_values_are_refused() {
        for (text, part) in [
            ("max_items = 0", "found 0, expected a whole number from 1 to 10000"),
            ("max_items = 10001", "found 10001, expected"),
            ("max_bytes = \"0B\"", "queues.q.batch.max_bytes: found \"0B\", expected 1B to"),
            ("max_wait = \"2d\"", "found \"2d\", expected 0s to 1d"),
            ("max_item = 5", "unknown key; did you mean max_items?"),
        ] {
            let error = queue_errors(&format!("[queues.q.batch]\n{text}"));
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
