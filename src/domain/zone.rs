//! A time zone with the name under which it was asked for.

use std::fmt;
use std::str::FromStr;

use jiff::tz::TimeZone;

/// A time zone that has a name, for example `Asia/Shanghai`.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedZone {
    zone: TimeZone,
    name: String,
}

/// Why a text is not a time zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is not a valid time zone; expected an IANA name, for example UTC, Asia/Shanghai or Europe/Berlin"
)]
pub struct BadTimeZone(pub String);

impl NamedZone {
    /// Its rules.
    #[must_use]
    pub const fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// Its IANA name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Default for NamedZone {
    fn default() -> Self {
        Self { zone: TimeZone::UTC, name: "UTC".to_owned() }
    }
}

impl fmt::Display for NamedZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl FromStr for NamedZone {
    type Err = BadTimeZone;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let zone = TimeZone::get(text).map_err(|_| BadTimeZone(text.to_owned()))?;
        let name = zone.iana_name().unwrap_or(text).to_owned();
        Ok(Self { zone, name })
    }
}
