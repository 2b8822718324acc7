//! A quota: so many units in each calendar period of a time zone (`50000/day`).
//!
//! Owns the notation, and where periods begin. A day, a week (from Monday) and a month begin where their first date
//! begins: at local midnight, or where clocks skip midnight, at the moment of the change; where it repeats, at the
//! first (see `window::edge`). So a day may have 23 or 25 hours, and a date that clocks skip altogether is no period.
//! An hour begins at each full hour that clocks show, also at one that they show a second time, and where they are
//! changed to something else than a full hour, at the change: no hour is longer than 60 minutes of real time.

#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp, ToSpan as _};

use crate::domain::time::{MOMENT_MS_MAX, timestamp};
use crate::domain::window::edge::first_ms;
use crate::domain::zone::NamedZone;

/// Most units of a quota.
pub const UNITS_MAX: u64 = 1_000_000_000_000;

const HOUR_MS: u64 = 3_600_000;
/// How the periods may be written, with what they are.
const PERIODS: [(&str, QuotaPeriod); 6] = [
    ("h", QuotaPeriod::Hour),
    ("hour", QuotaPeriod::Hour),
    ("d", QuotaPeriod::Day),
    ("day", QuotaPeriod::Day),
    ("week", QuotaPeriod::Week),
    ("month", QuotaPeriod::Month),
];
/// What a rate may have and a quota may not: nobody's calendar has such periods.
const PACES: [&str; 5] = ["s", "sec", "second", "min", "minute"];

/// The periods of the calendar in which a quota may count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuotaPeriod {
    /// From full hour to full hour.
    Hour,
    /// A date.
    Day,
    /// From Monday.
    Week,
    /// A month.
    Month,
}

impl QuotaPeriod {
    /// The word in the configuration and in the names of limits.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }
}

/// So many units in each period.
#[derive(Debug, Clone, PartialEq)]
pub struct Quota {
    units: u64,
    period: QuotaPeriod,
    zone: NamedZone,
}

/// Why a text is not a quota.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadQuota {
    /// It cannot be read, or its number is out of bounds.
    #[error(
        "\"{0}\" is not a valid quota; expected for example 1000/hour, 50000/day, 300000/week or 1000000/month, with a number from 1 to {UNITS_MAX}"
    )]
    Text(String),
    /// It is a pace.
    #[error(
        "\"{0}\" is not a valid quota, because a quota counts in a period of the calendar: hour, day, week or month; write rate = \"{0}\" instead"
    )]
    Pace(String),
}

/// As it is written, without its time zone: `50000/day`.
impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.units, self.period.as_str())
    }
}

/// Its periods are those of UTC.
impl FromStr for Quota {
    type Err = BadQuota;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || BadQuota::Text(text.to_owned());
        let (units, period) = text.split_once('/').ok_or_else(bad)?;
        let units: u64 = units.trim().replace('_', "").parse().map_err(|_| bad())?;
        let word = period.trim();
        let Some((_, period)) = PERIODS.iter().find(|(name, _)| *name == word) else {
            let is_pace = PACES.contains(&word);
            return Err(if is_pace { BadQuota::Pace(text.to_owned()) } else { bad() });
        };
        if !(1..=UNITS_MAX).contains(&units) {
            return Err(bad());
        }
        Ok(Self { units, period: *period, zone: NamedZone::default() })
    }
}

impl Quota {
    /// The same units, in the periods of this zone.
    #[must_use]
    pub fn in_zone(self, zone: NamedZone) -> Self {
        Self { zone, ..self }
    }

    /// How many units a period has, from 1 to [`UNITS_MAX`].
    #[must_use]
    pub const fn units(&self) -> u64 {
        self.units
    }

    /// In which periods it counts.
    #[must_use]
    pub const fn period(&self) -> QuotaPeriod {
        self.period
    }

    /// The time zone of its periods.
    #[must_use]
    pub const fn zone(&self) -> &NamedZone {
        &self.zone
    }

    /// The start of the period in which `now_ms` lies, the start of the next one, and the end of that: milliseconds
    /// since the Unix epoch, ascending. A period that began before 1970 begins at 0.
    #[must_use]
    pub fn boundaries_ms(&self, now_ms: u64) -> [u64; 3] {
        let now_ms = now_ms.min(MOMENT_MS_MAX);
        let zone = self.zone.zone();
        let step = match self.period {
            QuotaPeriod::Hour => {
                let (start_ms, next_ms) = hour_ms(zone, now_ms);
                return [start_ms, next_ms, hour_ms(zone, next_ms).1];
            }
            QuotaPeriod::Day => 1.day(),
            QuotaPeriod::Week => 1.week(),
            QuotaPeriod::Month => 1.month(),
        };
        let first = self.first_date(zone.to_datetime(timestamp(now_ms)).date());
        let (start_ms, next_ms) = dates_ms(zone, first, step, now_ms);
        [start_ms, next_ms, dates_ms(zone, first, step, next_ms).1]
    }

    /// The first date of the period that has this date.
    fn first_date(&self, date: Date) -> Date {
        match self.period {
            QuotaPeriod::Hour | QuotaPeriod::Day => date,
            QuotaPeriod::Week => {
                let since_monday = i64::from(date.weekday().to_monday_zero_offset());
                date.saturating_sub(since_monday.days())
            }
            QuotaPeriod::Month => date.first_of_month(),
        }
    }
}

/// The start of the period at `at_ms` and of the one after it. `first` begins one nearby, and each is `step` long.
fn dates_ms(zone: &TimeZone, first: Date, step: Span, at_ms: u64) -> (u64, u64) {
    let start_ms_of = |date: Date| first_ms(zone, DateTime::from_parts(date, Time::midnight()));
    // The local date may be behind the period: where clocks go back over midnight, a date comes a second time.
    let (mut date, mut start_ms) = (first, start_ms_of(first));
    while start_ms > at_ms {
        date = date.saturating_sub(step);
        start_ms = start_ms_of(date);
    }
    // Not the first that begins later than this one, but than the moment: a date that clocks skip begins with the next.
    while let Ok(next) = date.checked_add(step) {
        let next_ms = start_ms_of(next);
        if next_ms > at_ms {
            return (start_ms, next_ms);
        }
        (date, start_ms) = (next, next_ms);
    }
    (start_ms, u64::MAX)
}

/// The start of the hour at `at_ms` and of the one after it: full hours of local time, cut where the clocks change.
fn hour_ms(zone: &TimeZone, at_ms: u64) -> (u64, u64) {
    let offset_ms = i64::from(zone.to_offset(timestamp(at_ms)).seconds()) * 1000;
    let into_hour = (at_ms.cast_signed() + offset_ms).rem_euclid(HOUR_MS.cast_signed());
    let into_hour_ms = into_hour.cast_unsigned();
    let start_ms = at_ms.saturating_sub(into_hour_ms);
    let end_ms = at_ms + HOUR_MS - into_hour_ms;
    let changes = zone.following(timestamp(start_ms)).map(|change| change.timestamp());
    let changes = changes.take_while(|at| ms_of(*at) < end_ms);
    let mut hour = (start_ms, end_ms);
    for change_ms in changes.filter(|at| changes_offset(zone, *at)).map(ms_of) {
        if change_ms > at_ms {
            return (hour.0, change_ms);
        }
        hour.0 = change_ms;
    }
    hour
}

/// Some changes of a zone are of its name alone.
fn changes_offset(zone: &TimeZone, at: Timestamp) -> bool {
    let just_before = at.saturating_sub(SignedDuration::from_secs(1));
    just_before.is_ok_and(|before| zone.to_offset(before) != zone.to_offset(at))
}

fn ms_of(at: Timestamp) -> u64 {
    u64::try_from(at.as_millisecond()).unwrap_or(0)
}
