//! The fingerprint of a message: tells a repeat from a different message with the same key.
//!
//! Payload bytes and fields as sent, in one fixed order: the order of names in a body does not
//! matter, the bytes of the payload do. Nodes of different versions compare them, so that the order
//! and form here may only grow at the end.

use sha2::{Digest as _, Sha256};

use crate::domain::limit::Cost;
use crate::domain::message::{Details, PayloadKind, RetryOverride, When};

/// What a producer sent, apart from its idempotency key.
pub(super) struct Sent<'a> {
    pub(super) payload: &'a [u8],
    pub(super) details: &'a Details,
    pub(super) due: Option<When>,
    pub(super) expires: Option<When>,
    pub(super) priority: u8,
}

/// The first 16 bytes of a SHA-256 over everything sent.
pub(super) fn of(sent: &Sent<'_>) -> [u8; 16] {
    let mut hash = Hash(Sha256::new());
    let details = sent.details;
    hash.part(sent.payload);
    hash.part(match details.kind {
        PayloadKind::Json => b"json",
        PayloadKind::Text => b"text",
        PayloadKind::Raw => b"raw",
    });
    hash.optional(details.content_type.as_deref());
    hash.optional(details.group.as_deref());
    hash.when(sent.due);
    hash.when(sent.expires);
    hash.number(u64::from(sent.priority));
    let mut headers: Vec<_> = details.headers.iter().collect();
    headers.sort();
    hash.number(headers.len() as u64);
    for (name, value) in headers {
        hash.part(name.as_bytes());
        hash.part(value.as_bytes());
    }
    hash.number(details.labels.len() as u64);
    for (name, value) in &details.labels {
        hash.part(name.as_bytes());
        hash.part(value.as_bytes());
    }
    if let Some(retry) = &details.retry {
        hash.retry(retry);
    }
    if let Some(callback) = &details.callback {
        hash.part(b"callback");
        hash.optional(callback.url.as_ref().map(url::Url::as_str));
        hash.maybe(callback.on.map(|on| u64::from(on.bits())));
    }
    if let Some(timeout_ms) = details.timeout_ms {
        hash.part(b"timeout");
        hash.number(timeout_ms);
    }
    if let Some(target) = &details.target {
        hash.part(b"url");
        hash.part(target.url().as_str().as_bytes());
        hash.optional(target.method().map(http::Method::as_str));
    }
    if details.cost != Cost::default() {
        hash.part(b"cost");
        hash.number(u64::from(details.cost.units()));
    }
    if let Some(key) = &details.collapse_key {
        hash.part(b"collapse_key");
        hash.part(key.as_bytes());
    }
    if let Some(zone) = &details.time_zone {
        hash.part(b"time_zone");
        hash.part(zone.name().as_bytes());
    }
    if details.ignores_recipient_hours {
        hash.part(b"recipient_hours");
    }
    let digest = hash.0.finalize();
    let mut first = [0; 16];
    first.copy_from_slice(&digest[..16]);
    first
}

/// Every part carries its length, so that no two lists of parts are alike.
struct Hash(Sha256);

impl Hash {
    fn part(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.update(bytes);
    }

    fn number(&mut self, number: u64) {
        self.0.update(number.to_be_bytes());
    }

    fn optional(&mut self, text: Option<&str>) {
        self.number(u64::from(text.is_some()));
        self.part(text.unwrap_or_default().as_bytes());
    }

    fn maybe(&mut self, number: Option<u64>) {
        self.number(u64::from(number.is_some()));
        self.number(number.unwrap_or_default());
    }

    fn when(&mut self, when: Option<When>) {
        let (kind, ms) = match when {
            None => (0, 0),
            Some(When::After(ms)) => (1, ms),
            Some(When::At(ms)) => (2, ms),
        };
        self.number(kind);
        self.number(ms);
    }

    fn retry(&mut self, retry: &RetryOverride) {
        self.maybe(retry.max_attempts.map(u64::from));
        self.maybe(retry.initial_ms);
        self.maybe(retry.factor.map(f64::to_bits));
        self.maybe(retry.max_ms);
        self.maybe(retry.jitter.map(f64::to_bits));
        self.maybe(retry.max_age_ms);
        let schedule = retry.schedule_ms.as_deref();
        self.maybe(schedule.map(|delays| delays.len() as u64));
        for delay_ms in schedule.unwrap_or_default() {
            self.number(*delay_ms);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::intake;

    const NOW_MS: u64 = 1_763_640_000_000;

    #[test]
    fn the_fingerprint_follows_payload_bytes_and_fields() {
        let print = |body: &str| {
            intake::message(&Bytes::copy_from_slice(body.as_bytes()), NOW_MS, Some("k"))
                .unwrap()
                .fingerprint
        };
        assert_eq!(
            intake::message(&Bytes::from_static(b"{\"payload\": 1}"), NOW_MS, None)
                .unwrap()
                .fingerprint,
            [0; 16],
            "nobody asks for it"
        );
        let first =
            print(r#"{"payload": {"a": 1}, "priority": 1, "labels": {"x": "1", "y": "2"}}"#);
        let same = print(r#"{"labels": {"y": "2", "x": "1"}, "priority":1,"payload":{"a": 1}}"#);
        assert_eq!(first, same);
        let keyed = print(
            r#"{"payload": {"a": 1}, "priority": 1, "labels": {"x": "1", "y": "2"}, "idempotency_key": "k"}"#,
        );
        assert_eq!(first, keyed);
        for other in [
            r#"{"payload": {"a":1}, "priority": 1, "labels": {"x": "1", "y": "2"}}"#,
            r#"{"payload": {"a": 1}, "priority": 2, "labels": {"x": "1", "y": "2"}}"#,
            r#"{"payload": {"a": 1}, "priority": 1, "labels": {"x": "12", "y": ""}}"#,
            r#"{"payload": {"a": 1}, "priority": 1, "labels": {"x": "1", "y": "2"}, "delay": 1}"#,
            r#"{"payload": {"a": 1}, "priority": 1, "labels": {"x": "1", "y": "2"}, "retry": {"max_attempts": 1}}"#,
            r#"{"payload": {"a": 1}, "priority": 1, "labels": {"x": "1", "y": "2"}, "callback": {"on": []}}"#,
            r#"{"payload": {"a": 1}, "priority": 1, "labels": {"x": "1", "y": "2"}, "cost": 2}"#,
        ] {
            assert_ne!(first, print(other), "{other}");
        }
        let usual =
            r#"{"payload": {"a": 1}, "priority": 1, "labels": {"x": "1", "y": "2"}, "cost": 1}"#;
        assert_eq!(first, print(usual), "the cost of a message that names none");
        let late = r#"{"payload": 1, "due_at": "1999-01-01T00:00:00Z"}"#;
        assert_ne!(print(late), print(r#"{"payload": 1}"#), "as sent, not as meant");
    }
}
