//! A payload as it is written.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::domain::shown::{Shown, show_bytes};

/// The value of a field `payload`: JSON as it came, or a text.
#[derive(Debug, Clone)]
pub enum Payload<'a> {
    /// A JSON value, byte for byte.
    Json(Cow<'a, RawValue>),
    /// A text, which is written as a JSON string.
    Text(Cow<'a, str>),
}

/// The fields `payload` and `payload_base64`, of which one is given.
#[must_use]
pub fn payload_fields(shown: Shown<'_>) -> (Option<Payload<'_>>, Option<String>) {
    match shown {
        Shown::Json(raw) => (Some(Payload::Json(Cow::Borrowed(raw))), None),
        Shown::Text(text) => (Some(Payload::Text(Cow::Borrowed(text))), None),
        Shown::Base64(text) => (None, Some(text)),
    }
}

impl Payload<'_> {
    /// The same with a text of its own.
    #[must_use]
    pub fn into_owned(self) -> Payload<'static> {
        match self {
            Self::Json(raw) => Payload::Json(Cow::Owned(raw.into_owned())),
            Self::Text(text) => Payload::Text(Cow::Owned(text.into_owned())),
        }
    }

    /// Whether it is a JSON string.
    #[must_use]
    pub fn is_text(&self) -> bool {
        match self {
            Self::Json(raw) => raw.get().starts_with('"'),
            Self::Text(_) => true,
        }
    }

    /// The value as JSON.
    #[must_use]
    pub fn to_value(&self) -> serde_json::Value {
        match self {
            Self::Json(raw) => serde_json::from_str(raw.get()).unwrap_or_default(),
            Self::Text(text) => text.as_ref().into(),
        }
    }
}

impl Serialize for Payload<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Json(raw) => raw.serialize(serializer),
            Self::Text(text) => serializer.serialize_str(text),
        }
    }
}

impl<'de> Deserialize<'de> for Payload<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::Json(Cow::Owned(Box::<RawValue>::deserialize(deserializer)?)))
    }
}

/// The fields `body` and `body_base64` for foreign bytes: a text, base64 where they are not text, or null where
/// there are none.
#[must_use]
pub fn text_or_base64(bytes: Option<&[u8]>) -> (Option<Option<Cow<'_, str>>>, Option<String>) {
    match bytes.map(show_bytes) {
        None => (Some(None), None),
        Some(Shown::Text(text)) => (Some(Some(Cow::Borrowed(text))), None),
        Some(Shown::Json(raw)) => (Some(Some(Cow::Borrowed(raw.get()))), None),
        Some(Shown::Base64(text)) => (None, Some(text)),
    }
}

/// A value that is there, be it null: absent and null are told apart.
pub(super) fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}
