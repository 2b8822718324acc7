//! Entries as producers write them, good and bad.

use super::*;
use crate::domain::message::PayloadKind;
use proptest::prelude::*;

const ADDED_MS: u64 = 1_763_640_000_000;

fn entry(fields: &[(&str, &str)]) -> Vec<(Bytes, Bytes)> {
    let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    fields.iter().map(|(name, value)| (bytes(name), bytes(value))).collect()
}

fn asked(fields: &[(&str, &str)]) -> Result<AskedMessage, String> {
    read(&entry(fields), ADDED_MS, ADDED_MS + 5000, 1000)
}

#[test]
fn every_field_is_read() {
    let asked = asked(&[
        ("payload", "{\"order\": 1.0}"),
        ("delay", "90s"),
        ("ttl", "1h"),
        ("key", "order-1"),
        ("group", "customer-7"),
        ("priority", "9"),
        ("cost", "3"),
        ("header.X-Tenant", "eu"),
        ("label.shop", "berlin"),
    ])
    .unwrap();
    let message = asked.message;
    assert_eq!(message.payload, "{\"order\": 1.0}");
    assert_eq!(message.due, When::At(ADDED_MS + 90_000), "from when it was added");
    assert_eq!(message.expires, Some(When::At(ADDED_MS + 3_600_000)));
    assert_eq!((message.priority, asked.key.as_deref()), (9, Some("order-1")));
    assert_eq!(message.details.headers, [("x-tenant".to_owned(), "eu".to_owned())]);
    assert_eq!(message.details.labels["shop"], "berlin");
    assert_eq!(message.details.kind, PayloadKind::Json);
    assert_eq!(message.details.cost.units(), 3);
}

#[test]
fn the_bytes_or_the_content_type_decide_what_a_payload_is() {
    let kind = |fields: &[(&str, &str)]| {
        let details = asked(fields).unwrap().message.details;
        (details.kind, details.content_type)
    };
    let text = Some("text/plain".to_owned());
    assert_eq!(kind(&[("payload", "[1]")]), (PayloadKind::Json, None));
    assert_eq!(kind(&[("payload", "hello")]), (PayloadKind::Text, text.clone()));
    let declared = [("payload", "[1]"), ("content_type", "text/plain")];
    assert_eq!(kind(&declared), (PayloadKind::Text, text));
    let bytes = [(Bytes::from("payload"), Bytes::from_static(&[0xff]))];
    let raw = read(&bytes, ADDED_MS, ADDED_MS, 1000).unwrap().message.details;
    assert_eq!(raw.kind, PayloadKind::Raw);
    assert_eq!(raw.content_type.as_deref(), Some("application/octet-stream"));
}

#[test]
fn what_begins_like_json_is_json_or_refused() {
    for broken in ["{\"to\":1,}", " [1", "{"] {
        let why = asked(&[("payload", broken)]).unwrap_err();
        assert!(why.contains("content_type text/plain"), "{broken}: {why}");
        let text = asked(&[("payload", broken), ("content_type", "text/plain")]).unwrap();
        assert_eq!(text.message.details.kind, PayloadKind::Text);
    }
}

#[test]
fn bytes_of_another_charset_leave_as_they_came() {
    for content_type in ["text/plain; charset=iso-8859-1", "application/json; charset=utf-16"] {
        let latin = [
            (Bytes::from("payload"), Bytes::from_static(b"Gr\xfc\xdfe")),
            (Bytes::from("content_type"), Bytes::from(content_type)),
        ];
        let message = read(&latin, ADDED_MS, ADDED_MS, 1000).unwrap().message;
        assert_eq!(message.details.kind, PayloadKind::Raw, "{content_type}");
        assert_eq!(&message.payload[..], b"Gr\xfc\xdfe");
    }
    assert!(asked(&[("payload", "x"), ("content_type", "text/ plain")]).is_err());
}

#[test]
fn an_entry_is_bounded_in_fields_and_bytes() {
    let many: Vec<(String, String)> =
        (0..5000).map(|n| (format!("f{n}"), "1".to_owned())).collect();
    let many: Vec<_> = many.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    assert_eq!(asked(&many).unwrap_err(), "found 5000 fields, expected up to 100");
    let value = "v".repeat(8192);
    let names: Vec<String> = (0..9).map(|n| format!("header.x-{n}")).collect();
    let mut large: Vec<_> = names.iter().map(|name| (name.as_str(), value.as_str())).collect();
    large.push(("payload", "1"));
    let why = asked(&large).unwrap_err();
    assert!(why.contains("everything beside the payload takes"), "{why}");
}

#[test]
fn everything_wrong_is_told_at_once() {
    let why = asked(&[
        ("paylod", "1"),
        ("delay", "soon"),
        ("priority", "10"),
        ("header.Host", "h"),
        ("group", ""),
        ("group", "x"),
    ])
    .unwrap_err();
    for part in [
        "payload: missing",
        "paylod: unknown; expected one of payload, delay",
        "delay: ",
        "priority: found \"10\", expected a whole number, 0 to 9",
        "header.Host: ",
        "group: found 0 bytes",
        "group: given twice",
    ] {
        assert!(why.contains(part), "{part} not in {why}");
    }
    for (field, value, part) in [
        ("payload", &*"1".repeat(1001), "1001 bytes, expected up to 1000 (server.body_limit)"),
        ("content_type", "application/json", "payload: is not valid JSON"),
        (
            "payload",
            &*format!("{}1{}", "[".repeat(101), "]".repeat(101)),
            "100 levels; say content_type",
        ),
        ("delay", "367d", "delay: found 367d, expected 0s to 366d"),
        ("ttl", "0s", "ttl: found 0s, expected 1ms to 3660d"),
        ("due_at", "2126-01-01T00:00:00Z", "due_at: expected at most 366 days from now"),
    ] {
        let mut fields = vec![(field, value)];
        if field != "payload" {
            fields.push(("payload", "no json"));
        }
        let why = asked(&fields).unwrap_err();
        assert!(why.contains(part), "{part} not in {why}");
    }
}

#[test]
fn a_moment_that_a_producer_made_up_is_not_believed() {
    let now_ms = ADDED_MS;
    for added_ms in [1, now_ms + 1] {
        let fields = entry(&[("payload", "1"), ("delay", "1s")]);
        let asked = read(&fields, added_ms, now_ms, 1000).unwrap();
        assert_eq!(asked.message.due, When::At(now_ms + 1000));
    }
}

#[test]
fn the_content_type_that_it_has_anyway_may_be_named() {
    for (payload, named) in [("[1]", "application/json"), ("hello", "text/plain")] {
        let bare = entry(&[("payload", payload), ("group", "g")]);
        let full = entry(&[("payload", payload), ("content_type", named), ("group", "g")]);
        assert_eq!(other_fingerprint(&bare), Some(fingerprint(&full)), "{payload}");
        assert_eq!(other_fingerprint(&full), Some(fingerprint(&bare)), "{payload}");
    }
    let other = entry(&[("payload", "[1]"), ("content_type", "text/plain")]);
    assert_eq!(other_fingerprint(&other), None, "it says something");
}

#[test]
fn the_fingerprint_follows_everything_but_the_key_and_the_order() {
    let print = |fields: &[(&str, &str)]| asked(fields).unwrap().message.fingerprint;
    let first = print(&[("payload", "1"), ("group", "g")]);
    assert_eq!(first, print(&[("group", "g"), ("key", "k"), ("payload", "1")]));
    assert_ne!(first, print(&[("payload", "1"), ("group", "h")]));
}

proptest! {
    #[test]
    fn no_entry_panics(fields: Vec<(Vec<u8>, Vec<u8>)>) {
        let fields: Vec<_> =
            fields.into_iter().map(|(n, v)| (Bytes::from(n), Bytes::from(v))).collect();
        drop(read(&fields, ADDED_MS, ADDED_MS, 1000));
    }
}
