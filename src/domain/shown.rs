//! Payloads and answers as they are shown again: as JSON, as text, or as bytes in base64.

use serde_json::value::RawValue;

use super::message::{Message, PayloadKind};
use super::payload::to_base64;

/// How a payload is shown again: its field and value.
#[derive(Debug)]
pub enum Shown<'a> {
    /// The JSON value that it is.
    Json(&'a RawValue),
    /// Its text.
    Text(&'a str),
    /// Bytes that are neither.
    Base64(String),
}

/// The payload of a message, while it is kept.
#[must_use]
pub fn show(message: &Message) -> Option<Shown<'_>> {
    Some(show_payload(message.details.kind, message.payload.as_deref()?))
}

/// A payload that came in this way.
#[must_use]
pub fn show_payload(kind: PayloadKind, bytes: &[u8]) -> Shown<'_> {
    let shown = match kind {
        PayloadKind::Json => serde_json::from_slice(bytes).ok().map(Shown::Json),
        PayloadKind::Text => std::str::from_utf8(bytes).ok().map(Shown::Text),
        PayloadKind::Raw => None,
    };
    shown.unwrap_or_else(|| Shown::Base64(to_base64(bytes)))
}

/// Foreign bytes for people: as text, or in base64 where they are none.
#[must_use]
pub fn show_bytes(bytes: &[u8]) -> Shown<'_> {
    std::str::from_utf8(bytes).map_or_else(|_| Shown::Base64(to_base64(bytes)), Shown::Text)
}
