//! A moment as it is written.

use std::borrow::Cow;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::json;
use utoipa::openapi::schema::{KnownFormat, SchemaFormat};

use super::schema::{schema_of, string};
use crate::domain::time::{parse_rfc3339, rfc3339};

/// A moment, in milliseconds since the Unix epoch; written as RFC 3339 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub u64);

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&rfc3339(self.0))
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        parse_rfc3339(&text).map(Self).map_err(D::Error::custom)
    }
}

schema_of!(
    Moment,
    "Moment",
    string()
        .description(Some("RFC 3339, UTC, with milliseconds; requests may use any offset"))
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
        .examples([json!("2026-11-20T12:00:00.000Z")])
);
