//! Durations as they are written: texts in answers, texts or whole seconds in requests.

use std::borrow::Cow;

use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::json;
use utoipa::openapi::schema::OneOf;

use super::schema::{schema_of, string, string_of, whole};
use crate::domain::units::{format_duration, parse_duration_or_seconds};

/// Longest text of a duration.
const CHARS_MAX: usize = 40;
/// Whole seconds up to ten years: no duration may be longer.
const SECONDS_MAX: u64 = 10 * 366 * 86_400;
/// What [`parse_duration_or_seconds`] takes.
const PATTERN: &str = r"^\s*(?:[0-9]{1,10}|(?=[0-9])(?:[0-9]{1,4}\s*w\s*)?(?:[0-9]{1,5}\s*d\s*)?(?:[0-9]{1,6}\s*h\s*)?(?:[0-9]{1,8}\s*m\s*)?(?:[0-9]{1,10}\s*s\s*)?(?:[0-9]{1,13}\s*ms)?)\s*$";

/// A duration of an answer, in milliseconds; written as a text such as `1h30m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DurationText(pub u64);

/// A duration of a request, in milliseconds: a text, or a whole number of seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DurationMs(pub u64);

impl Serialize for DurationText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format_duration(self.0))
    }
}

impl<'de> Deserialize<'de> for DurationText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        parse_duration_or_seconds(&text).map(Self).map_err(D::Error::custom)
    }
}

impl From<DurationText> for DurationMs {
    fn from(duration: DurationText) -> Self {
        Self(duration.0)
    }
}

impl Serialize for DurationMs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        DurationText(self.0).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for DurationMs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrSeconds;
        impl Visitor<'_> for TextOrSeconds {
            type Value = DurationMs;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a duration such as \"90s\", or a whole number of seconds")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<DurationMs, E> {
                parse_duration_or_seconds(text).map(DurationMs).map_err(E::custom)
            }

            fn visit_u64<E: serde::de::Error>(self, seconds: u64) -> Result<DurationMs, E> {
                Ok(DurationMs(seconds.saturating_mul(1000)))
            }
        }
        deserializer.deserialize_any(TextOrSeconds)
    }
}

schema_of!(
    DurationText,
    "DurationText",
    string().description(Some("A text such as 250ms, 90s, 1h30m or 7d")).examples([json!("90s")])
);

schema_of!(
    DurationMs,
    "Duration",
    OneOf::builder()
        .description(Some("A text such as 250ms, 90s, 1h30m or 7d, or a whole number of seconds"))
        .item(string_of(0..=CHARS_MAX).pattern(Some(PATTERN)))
        .item(whole(0..=SECONDS_MAX))
        .examples([json!("90s")])
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_back_as_they_were_written() {
        for ms in [0, 250, 90_000, 5_400_000, 366 * 86_400_000] {
            let text = serde_json::to_string(&DurationText(ms)).unwrap();
            assert_eq!(serde_json::from_str::<DurationText>(&text).unwrap().0, ms, "{text}");
            assert_eq!(serde_json::from_str::<DurationMs>(&text).unwrap().0, ms, "{text}");
        }
        assert_eq!(serde_json::from_str::<DurationMs>("90").unwrap().0, 90_000);
        assert!(serde_json::from_str::<DurationMs>("\"soon\"").is_err());
        assert!(serde_json::from_str::<DurationText>("90").is_err());
    }
}
