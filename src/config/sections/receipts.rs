//! `[queues.<name>.receipts]`: how long the word of a downstream that accepted a message may take.

use crate::config::load::reader::{Field, Read};
use crate::config::setting::{Kind as _, LONG_MS, duration, settings, word};
use crate::domain::receipt::{OnTimeout, ReceiptPolicy};

settings! {
    struct Receipts in "queues.NAME.receipts" of ReceiptPolicy {
        /// How long Tidegate waits for the [receipt](outcomes.md#receipts) of an accepted message.
        timeout: u64 = duration(1..=LONG_MS).or(ReceiptPolicy::DEFAULT.timeout_ms), |it| it.timeout_ms;
        /// What the message becomes if no receipt comes in that time.
        on_timeout: OnTimeout =
            word(&OnTimeout::ALL.map(|choice| (choice.as_str(), choice)), &[])
                .or(ReceiptPolicy::DEFAULT.on_timeout),
            |it| it.on_timeout;
    }
}

pub(in crate::config) fn read(field: &Field<'_>) -> Read<ReceiptPolicy> {
    field.section(&[], |section| {
        let Receipts { timeout, on_timeout } = Receipts::of(section);
        Ok(ReceiptPolicy { timeout_ms: timeout?, on_timeout: on_timeout? })
    })
}

#[cfg(test)]
mod tests {
    use crate::config::testing::{queue_errors, queue_of};
    use crate::domain::receipt::{OnTimeout, ReceiptPolicy};

    #[test]
    fn every_key_is_read() {
        assert_eq!(queue_of("").receipts, ReceiptPolicy::DEFAULT);
        let queue = queue_of("receipts = { timeout = \"2h\", on_timeout = \"dead\" }");
        let expected = ReceiptPolicy { timeout_ms: 7_200_000, on_timeout: OnTimeout::Dead };
        assert_eq!(queue.receipts, expected);
    }

    #[test]
    fn bad_values_are_refused() {
        for (text, part) in [
            ("{ timeout = \"0s\" }", "receipts.timeout: found \"0s\", expected 1ms"),
            ("{ on_timeout = \"resend\" }", "receipts.on_timeout: found \"resend\", expected"),
            ("{ timeouts = \"1h\" }", "unknown key; did you mean timeout?"),
            ("true", "receipts: found true, expected a table"),
        ] {
            let error = queue_errors(&format!("receipts = {text}"));
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
