//! A time zone with the name under which it was asked for.

use std::fmt;
use std::str::FromStr;

use jiff::tz::TimeZone;

use super::time::timestamp;

/// A time zone that has a name, for example `Asia/Shanghai`.
#[derive(Debug, Clone, PartialEq, Eq)]
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

    /// The changes of its clocks in `[from_ms, to_ms)`, ascending.
    pub fn clock_changes(&self, from_ms: u64, to_ms: u64) -> impl Iterator<Item = ClockChange> {
        // `following` leaves out a change at the very moment.
        let since = timestamp(from_ms.saturating_sub(1));
        let changes = self.zone.following(since).filter_map(|change| {
            let at_ms = u64::try_from(change.timestamp().as_millisecond()).ok()?;
            let before = self.zone.to_offset(timestamp(at_ms.saturating_sub(1)));
            let (before_s, after_s) = (before.seconds(), change.offset().seconds());
            Some(ClockChange { at_ms, before_s, after_s })
        });
        changes
            .skip_while(move |change| change.at_ms < from_ms)
            .take_while(move |change| change.at_ms < to_ms)
            .filter(|change| change.before_s != change.after_s)
    }
}

/// A moment at which the clocks of a zone are set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockChange {
    /// The first moment at which they show the new time.
    pub at_ms: u64,
    /// How far they were ahead of UTC, in seconds; below zero: behind.
    pub before_s: i32,
    /// How far they are ahead of UTC from then on.
    pub after_s: i32,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::parse_rfc3339;

    #[test]
    fn changes_of_clocks_are_listed_with_what_changes() {
        let berlin: NamedZone = "Europe/Berlin".parse().unwrap();
        let at_ms = parse_rfc3339("2026-10-25T01:00:00Z").unwrap();
        let change = ClockChange { at_ms, before_s: 7200, after_s: 3600 };
        let found = |from_ms, to_ms| berlin.clock_changes(from_ms, to_ms).collect::<Vec<_>>();
        assert_eq!(found(at_ms, at_ms + 1), [change]);
        assert_eq!((found(at_ms + 1, at_ms + 2), found(at_ms - 9, at_ms)), (vec![], vec![]));
        let year_ms = 366 * 86_400_000;
        assert_eq!(found(at_ms - 1, at_ms + year_ms).len(), 2);
        let shanghai: NamedZone = "Asia/Shanghai".parse().unwrap();
        assert_eq!(shanghai.clock_changes(at_ms, u64::MAX).count(), 0);
    }
}
