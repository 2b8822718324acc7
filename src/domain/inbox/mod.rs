//! A message as it comes over a Redis stream: names and values, all of them bytes.
//!
//! Owns what the fields are called, their forms and bounds, and everything that can be wrong with them.
//! Refuses to know streams: an entry's moment is handed in.

use std::collections::BTreeMap;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::domain::details::check_room;
use crate::domain::headers::{check_content_type, check_header};
use crate::domain::message::{
    DELAY_MS_MAX, Details, HEADERS_MAX, LABEL_BYTES_MAX, LABELS_MAX, NAME_BYTES_MAX, NewMessage,
    PRIORITY_MAX, When, check_name,
};
use crate::domain::payload::kind;
use crate::domain::time::parse_rfc3339;
use crate::domain::units::parse_duration_or_seconds;

/// What stands in place of a queue's name in the key of the stream of rejected entries.
pub const REJECTED: &str = "rejected";

/// Most fields of an entry: more than a message can have, so that one with far more is not judged at
/// length.
const FIELDS_MAX: usize = 100;
/// An entry's own moment counts as long as it lies so little back: others were made up by the producer.
const BELIEVED_MS: u64 = 366 * 86_400_000;
/// The names that an entry may have, for whoever used another one.
const KNOWN: &str = "payload, delay, due_at, ttl, expires_at, key, group, priority, content_type, header.<name>, label.<name>";

/// What an entry asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedMessage {
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
) -> Result<AskedMessage, String> {
    if fields.len() > FIELDS_MAX {
        return Err(format!("found {} fields, expected up to {FIELDS_MAX}", fields.len()));
    }
    let is_believed = added_ms <= now_ms && now_ms - added_ms <= BELIEVED_MS;
    let mut reading = EntryReading::new(if is_believed { added_ms } else { now_ms });
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

/// The fingerprint of the same entry as others may have written it: with the content type named that it has
/// anyway, or left out.
#[must_use]
pub fn other_fingerprint(fields: &[(Bytes, Bytes)]) -> Option<[u8; 16]> {
    let find = |name: &[u8]| fields.iter().find(|(field, _)| field.as_ref() == name);
    let (_, payload) = find(b"payload")?;
    let (kind_of_none, default) = kind(payload, None).ok()?;
    let default = default.unwrap_or_else(|| "application/json".to_owned());
    let Some((_, named)) = find(b"content_type") else {
        let named = (Bytes::from_static(b"content_type"), Bytes::from(default));
        return Some(fingerprint(&[fields, &[named]].concat()));
    };
    let is_default = named.as_ref() == default.as_bytes()
        && kind(payload, Some(&default)).is_ok_and(|(kind, _)| kind == kind_of_none);
    is_default.then(|| {
        let rest = fields.iter().filter(|(name, _)| name.as_ref() != b"content_type");
        fingerprint(&rest.cloned().collect::<Vec<_>>())
    })
}

#[derive(Debug)]
struct EntryReading {
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

impl EntryReading {
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
            _ => Err("is not valid UTF-8; only payload may be other bytes".to_owned()),
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
                check_name(value, NAME_BYTES_MAX)?;
                self.details.idempotency_key = Some(value.to_owned());
            }
            "group" => {
                check_name(value, NAME_BYTES_MAX)?;
                self.details.group = Some(value.to_owned());
            }
            "priority" => {
                let number = value.parse::<u8>().ok().filter(|number| *number <= PRIORITY_MAX);
                self.priority = number
                    .ok_or_else(|| format!("found {value:?}, expected 0 to {PRIORITY_MAX}"))?;
            }
            "content_type" => {
                check_name(value, NAME_BYTES_MAX)?;
                check_content_type(value)?;
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
        check_name(name, LABEL_BYTES_MAX)?;
        if value.len() > NAME_BYTES_MAX || self.labels.len() >= LABELS_MAX {
            return Err(format!(
                "expected up to {LABELS_MAX} labels with values of up to {NAME_BYTES_MAX} bytes"
            ));
        }
        self.labels.insert(name.to_owned(), value.to_owned());
        Ok(())
    }

    fn finish(
        mut self,
        payload_bytes_max: usize,
        fingerprint: [u8; 16],
    ) -> Result<AskedMessage, String> {
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
        if let Err(why) = check_room(&self.details) {
            self.wrong.push(why);
        }
        match payload {
            Some(payload) if self.wrong.is_empty() => Ok(AskedMessage {
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

#[cfg(test)]
mod tests;
