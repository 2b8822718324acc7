//! A message as it comes over a Redis stream: names and values, all of them bytes.
//!
//! Owns what the fields are called, their forms and bounds, and everything that can be wrong with them.
//! Refuses to know streams: an entry's moment is handed in.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::headers::check_header;
use super::message::{
    DELAY_MS_MAX, Details, NAME_BYTES_MAX, NewMessage, PRIORITY_MAX, PayloadKind, When,
};
use super::time::parse_rfc3339;
use super::units::parse_duration_or_seconds;

/// What stands in place of a queue's name in the key of the stream of rejected entries.
pub const REJECTED: &str = "rejected";

/// Most labels of a message, and the longest name of one: as over HTTP.
const LABELS_MAX: usize = 16;
const LABEL_BYTES_MAX: usize = 64;
/// Most headers of a message.
const HEADERS_MAX: usize = 32;
/// An entry's own moment counts as long as it lies so little back: others were made up by the producer.
const BELIEVED_MS: u64 = 366 * 86_400_000;
/// The names that an entry may have, for whoever used another one.
const KNOWN: &str = "payload, delay, due_at, ttl, expires_at, key, group, priority, content_type, header.<name>, label.<name>";

/// What an entry asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The message.
    pub message: NewMessage,
    /// The producer's idempotency key, if it gave one.
    pub key: Option<String>,
}

/// Reads an entry that was added at `added_ms`, as far as its id can be believed; delays run from then.
///
/// # Errors
/// Everything that is wrong, in one sentence.
pub fn read(
    fields: &[(Bytes, Bytes)],
    added_ms: u64,
    now_ms: u64,
    payload_bytes_max: usize,
) -> Result<Asked, String> {
    let is_believed = added_ms <= now_ms && now_ms - added_ms <= BELIEVED_MS;
    let mut reading = Reading::new(if is_believed { added_ms } else { now_ms });
    for (name, value) in fields {
        reading.take(name, value);
    }
    reading.finish(payload_bytes_max, fingerprint(fields))
}

/// Names and values in a fixed order, all but the key: tells a repeat from another message.
fn fingerprint(fields: &[(Bytes, Bytes)]) -> [u8; 16] {
    let mut sorted: Vec<_> = fields.iter().filter(|(name, _)| name.as_ref() != b"key").collect();
    sorted.sort();
    let mut hash = Sha256::new();
    for part in sorted.into_iter().flat_map(|(name, value)| [name, value]) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let digest = hash.finalize();
    let mut first = [0; 16];
    first.copy_from_slice(&digest[..16]);
    first
}

#[derive(Debug)]
struct Reading {
    base_ms: u64,
    seen: Vec<Bytes>,
    wrong: Vec<String>,
    payload: Option<Bytes>,
    due_ms: Option<u64>,
    expires: Option<When>,
    priority: u8,
    details: Details,
    labels: BTreeMap<String, String>,
}

impl Reading {
    fn new(base_ms: u64) -> Self {
        Self {
            base_ms,
            seen: Vec::new(),
            wrong: Vec::new(),
            payload: None,
            due_ms: None,
            expires: None,
            priority: 0,
            details: Details::default(),
            labels: BTreeMap::new(),
        }
    }

    fn take(&mut self, name: &Bytes, value: &Bytes) {
        let shown = String::from_utf8_lossy(&name[..name.len().min(60)]).into_owned();
        if self.seen.contains(name) {
            return self.wrong.push(format!("{shown}: given twice; give it once"));
        }
        self.seen.push(name.clone());
        if name.as_ref() == b"payload" {
            self.payload = Some(value.clone());
            return;
        }
        let taken = match (std::str::from_utf8(name), std::str::from_utf8(value)) {
            (Ok(name), Ok(value)) => self.take_text(name, value),
            _ => Err("no UTF-8; only payload may be other bytes".to_owned()),
        };
        if let Err(why) = taken {
            self.wrong.push(format!("{shown}: {why}"));
        }
    }

    fn take_text(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "delay" => {
                let delay_ms = parse_duration_or_seconds(value)?;
                self.due(self.base_ms.saturating_add(delay_ms))?;
            }
            "due_at" => self.due(parse_rfc3339(value)?)?,
            "ttl" => {
                let ttl_ms = parse_duration_or_seconds(value)?;
                self.expires(self.base_ms.saturating_add(ttl_ms))?;
            }
            "expires_at" => self.expires(parse_rfc3339(value)?)?,
            "key" => {
                plain(value, NAME_BYTES_MAX)?;
                self.details.idempotency_key = Some(value.to_owned());
            }
            "group" => {
                plain(value, NAME_BYTES_MAX)?;
                self.details.group = Some(value.to_owned());
            }
            "priority" => {
                let number = value.parse::<u8>().ok().filter(|number| *number <= PRIORITY_MAX);
                self.priority = number
                    .ok_or_else(|| format!("found {value:?}, expected 0 to {PRIORITY_MAX}"))?;
            }
            "content_type" => {
                plain(value, NAME_BYTES_MAX)?;
                if !value.is_ascii() || !value.contains('/') {
                    return Err(format!("found {value:?}, expected for example text/plain"));
                }
                self.details.content_type = Some(value.to_owned());
            }
            _ => match name.split_once('.') {
                Some(("header", header)) => self.header(header, value)?,
                Some(("label", label)) => self.label(label, value)?,
                _ => return Err(format!("unknown; expected one of {KNOWN}")),
            },
        }
        Ok(())
    }

    fn due(&mut self, at_ms: u64) -> Result<(), String> {
        if self.due_ms.is_some() {
            return Err("give delay or due_at, not both".to_owned());
        }
        if at_ms > self.base_ms.saturating_add(DELAY_MS_MAX) {
            return Err("expected at most 366 days ahead".to_owned());
        }
        self.due_ms = Some(at_ms);
        Ok(())
    }

    fn expires(&mut self, at_ms: u64) -> Result<(), String> {
        if self.expires.is_some() {
            return Err("give ttl or expires_at, not both".to_owned());
        }
        self.expires = Some(When::At(at_ms));
        Ok(())
    }

    fn header(&mut self, name: &str, value: &str) -> Result<(), String> {
        check_header(name, value)?;
        let lower = name.to_ascii_lowercase();
        if self.details.headers.iter().any(|(known, _)| *known == lower) {
            return Err("given twice; give it once".to_owned());
        }
        if self.details.headers.len() >= HEADERS_MAX {
            return Err(format!("expected up to {HEADERS_MAX} headers"));
        }
        self.details.headers.push((lower, value.to_owned()));
        Ok(())
    }

    fn label(&mut self, name: &str, value: &str) -> Result<(), String> {
        plain(name, LABEL_BYTES_MAX)?;
        if value.len() > NAME_BYTES_MAX || self.labels.len() >= LABELS_MAX {
            return Err(format!(
                "expected up to {LABELS_MAX} labels with values of up to {NAME_BYTES_MAX} bytes"
            ));
        }
        self.labels.insert(name.to_owned(), value.to_owned());
        Ok(())
    }

    fn finish(mut self, payload_bytes_max: usize, fingerprint: [u8; 16]) -> Result<Asked, String> {
        let due_ms = self.due_ms.unwrap_or(self.base_ms);
        if let Some(When::At(at_ms)) = self.expires
            && at_ms <= due_ms.max(self.base_ms)
        {
            self.wrong.push("it would expire before it is due".to_owned());
        }
        let payload = self.payload.take();
        match &payload {
            None => self.wrong.insert(0, "payload: missing".to_owned()),
            Some(payload) if payload.len() > payload_bytes_max => self.wrong.push(format!(
                "payload: found {} bytes, expected up to {payload_bytes_max} (server.body_limit)",
                payload.len()
            )),
            Some(payload) => match kind(payload, self.details.content_type.as_deref()) {
                Ok((kind, content_type)) => {
                    self.details.kind = kind;
                    self.details.content_type = self.details.content_type.take().or(content_type);
                }
                Err(why) => self.wrong.push(why),
            },
        }
        self.details.labels = self.labels;
        match payload {
            Some(payload) if self.wrong.is_empty() => Ok(Asked {
                key: self.details.idempotency_key.clone(),
                message: NewMessage {
                    payload,
                    details: self.details,
                    due: When::At(due_ms),
                    expires: self.expires,
                    priority: self.priority,
                    fingerprint,
                },
            }),
            _ => Err(self.wrong.join("; ")),
        }
    }
}

/// Words of one line.
fn plain(text: &str, bytes_max: usize) -> Result<(), String> {
    if text.is_empty() || text.len() > bytes_max {
        return Err(format!("found {} bytes, expected 1 to {bytes_max}", text.len()));
    }
    if text.chars().any(char::is_control) {
        return Err("found a control character, expected plain text".to_owned());
    }
    Ok(())
}

/// The rule of the command line: without a content type JSON if it parses, else text, else bytes; with
/// one, it decides. Also the content type that follows.
fn kind(
    payload: &[u8],
    content_type: Option<&str>,
) -> Result<(PayloadKind, Option<String>), String> {
    let is_json = || serde_json::from_slice::<&RawValue>(payload).is_ok();
    let is_text = || std::str::from_utf8(payload).is_ok();
    let essence = content_type
        .map(|text| text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    match essence.as_deref() {
        Some(kind) if kind == "application/json" || kind.ends_with("+json") => match is_json() {
            true => Ok((PayloadKind::Json, None)),
            false => Err(format!("payload: is no JSON, as content_type {kind} says")),
        },
        Some("text/plain") if is_text() => Ok((PayloadKind::Text, None)),
        Some(_) => Ok((PayloadKind::Raw, None)),
        None if is_json() => Ok((PayloadKind::Json, None)),
        None if is_text() => Ok((PayloadKind::Text, Some("text/plain".to_owned()))),
        None => Ok((PayloadKind::Raw, Some("application/octet-stream".to_owned()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ADDED_MS: u64 = 1_763_640_000_000;

    fn entry(fields: &[(&str, &str)]) -> Vec<(Bytes, Bytes)> {
        let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
        fields.iter().map(|(name, value)| (bytes(name), bytes(value))).collect()
    }

    fn asked(fields: &[(&str, &str)]) -> Result<Asked, String> {
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
            "priority: found \"10\", expected 0 to 9",
            "header.Host: ",
            "group: found 0 bytes",
            "group: given twice",
        ] {
            assert!(why.contains(part), "{part} not in {why}");
        }
        for (field, value, part) in [
            ("payload", &*"1".repeat(1001), "1001 bytes, expected up to 1000 (server.body_limit)"),
            ("content_type", "application/json", "payload: is no JSON"),
            ("delay", "367d", "at most 366 days"),
            ("ttl", "0s", "it would expire before it is due"),
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
}
