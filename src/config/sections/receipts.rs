//! `receipts`: how long a downstream that accepts now may take to tell what became of it.

use crate::config::kinds::{LONG_MS, duration, word};
use crate::config::load::reader::{Field, Read};
use crate::domain::receipt::{OnTimeout, ReceiptPolicy};

pub(in crate::config) fn read(field: &Field<'_>) -> Read<ReceiptPolicy> {
    let default = ReceiptPolicy::DEFAULT;
    let words = OnTimeout::ALL.map(|choice| (choice.as_str(), choice));
    field.section(&[], |section| {
        let timeout = section.read_or("timeout", default.timeout_ms, duration(1..=LONG_MS));
        let on_timeout = section.read_or("on_timeout", default.on_timeout, word(&words, &[]));
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
