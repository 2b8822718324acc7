//! A message as it comes over a Redis stream: names and values, all of them bytes.
//!
//! Owns from when an entry's delays run, and what tells a repeat. What a message may say is in `draft`, how an entry says it
//! in [`entry`]. Refuses to know streams: an entry's moment is handed in.

mod entry;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use self::entry::Entry;
use crate::domain::details::check_room;
use crate::domain::draft::{self, Draft};
use crate::domain::message::{NewMessage, When};
use crate::domain::payload::kind;

/// What stands in place of a queue's name in the key of the stream of rejected entries.
pub const REJECTED: &str = "rejected";

/// Most fields of an entry: more than a message can have, so that one with far more is not judged at
/// length.
const FIELDS_MAX: usize = 100;
/// An entry's own moment counts as long as it lies so little back: others were made up by the producer.
const BELIEVED_MS: u64 = 366 * 86_400_000;
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
    if fields.len() > FIELDS_MAX {
        return Err(format!("found {} fields, expected up to {FIELDS_MAX}", fields.len()));
    }
    let is_believed = added_ms <= now_ms && now_ms - added_ms <= BELIEVED_MS;
    let base_ms = if is_believed { added_ms } else { now_ms };
    let mut entry = Entry::of(fields, payload_bytes_max);
    let draft = draft::message(&mut entry, base_ms, None);
    if let Some(Err(why)) = draft.as_ref().map(|draft| check_room(&draft.content.details)) {
        entry.wrong.push(why);
    }
    let (Some(draft), true) = (draft, entry.wrong.is_empty()) else {
        return Err(entry.wrong.join("; "));
    };
    let Draft { content, due, expires } = draft;
    let at = |when: When| When::At(when.at_ms(base_ms));
    Ok(Asked {
        key: content.details.idempotency_key.clone(),
        message: NewMessage {
            payload: content.payload,
            details: content.details,
            due: at(due.unwrap_or(When::After(0))),
            expires: expires.map(at),
            priority: content.priority,
            fingerprint: fingerprint(fields),
        },
    })
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

#[cfg(test)]
mod tests;
