//! When a schedule ticks: by a cron pattern in a time zone, or every so long.
//!
//! croner matches patterns, on the wall clock alone; what a wall clock time means as a moment is ours,
//! and the same as for windows: a local time that clocks skip is the moment of the change (and ticks
//! once, however many skipped times the pattern names), and one that repeats counts once, the first.
//! With one exception: a pattern of every hour speaks of minutes, not of hours of a day, so it follows real
//! time, as cron has it. It goes on through the repeated hour, or `*/15 * * * *` would fall silent for an
//! hour each autumn, and leaves out local times that clocks skip, or `30 * * * *` would tick twice within
//! half an hour each spring.
//!
//! A day of the month or of the week that begins with `*` (`*/2` too) narrows the other one, as cron has
//! it: both must hold. Where neither does, either is enough.
//!
//! `every` counts from 1970-01-01T00:00Z, so that nodes, restarts and changes agree on the times
//! without remembering any.

use std::fmt;

use croner::Cron;
use croner::parser::{CronParser, Year};
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};

use crate::domain::message::Details;
use crate::domain::time::{MOMENT_MS_MAX, timestamp};
use crate::domain::units::{format_duration, parse_duration};
use crate::domain::window::edge::{first_ms, instant_ms};
use crate::domain::zone::{BadTimeZone, NamedZone};

/// The shortest time between two ticks of `every`: more often is no schedule but a loop.
pub const EVERY_MS_MIN: u64 = 100;
/// The longest.
pub const EVERY_MS_MAX: u64 = 366 * 86_400_000;
/// Longest cron pattern, in bytes.
pub const PATTERN_BYTES_MAX: usize = 256;

/// When a schedule ticks. Two cadences are equal if they are written alike.
#[derive(Debug, Clone)]
pub enum Cadence {
    /// By a pattern, in a time zone.
    Cron(Box<CronCadence>),
    /// Every so many milliseconds, counted from the epoch.
    Every(u64),
}

/// A cron pattern in a time zone.
#[derive(Clone)]
pub struct CronCadence {
    pattern: String,
    zone_name: String,
    cron: Cron,
    zone: TimeZone,
    /// The pattern names every hour.
    is_hourly: bool,
}

/// Why there is no such cadence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadCadence {
    /// The pattern cannot be read.
    #[error(
        "\"{pattern}\" is not a valid cron pattern: {why}; expected five fields (minute hour day month weekday), six with seconds first, or @daily and the like, for example \"30 0 * * *\""
    )]
    Pattern {
        /// As it was given.
        pattern: String,
        /// What is wrong with it.
        why: String,
    },
    /// The pattern names a date that does not exist.
    #[error("\"{0}\" never comes: no date matches it; expected a pattern that some day matches")]
    Never(String),
    /// The zone is not known.
    #[error(transparent)]
    Zone(#[from] BadTimeZone),
    /// The interval cannot be read, or is out of bounds.
    #[error("{0}")]
    Every(String),
}

/// The fields of a pattern, seconds first, each with what it may hold.
const FIELDS: [(&str, &str); 6] = [
    ("second", "0 to 59"),
    ("minute", "0 to 59"),
    ("hour", "0 to 23"),
    ("day of the month", "1 to 31"),
    ("month", "1 to 12 or jan to dec"),
    ("weekday", "0 to 7 (0 and 7 are Sunday) or sun to sat"),
];

/// Which field of a refused pattern is wrong: each is tried alone. The parser's own words speak of its parts.
fn what_is_wrong(parser: &CronParser, pattern: &str) -> String {
    let given: Vec<&str> = pattern.split_whitespace().collect();
    if let [nickname] = given.as_slice()
        && nickname.starts_with('@')
    {
        return format!(
            "{nickname} is not known, only @yearly, @monthly, @weekly, @daily and @hourly"
        );
    }
    let Some(names) = (5..=6).contains(&given.len()).then(|| &FIELDS[6 - given.len()..]) else {
        return match given.len() {
            1 => "it has one field".to_owned(),
            count => format!("it has {count} fields"),
        };
    };
    for (n, (name, range)) in names.iter().enumerate() {
        let alone: Vec<&str> = given
            .iter()
            .enumerate()
            .map(|(at, field)| if at == n { *field } else { "*" })
            .collect();
        if parser.parse(&alone.join(" ")).is_err() {
            let shown = shown(given[n]);
            return format!(
                "the field for the {name}, \"{shown}\", is not valid (it takes {range})"
            );
        }
    }
    "its fields do not fit together".to_owned()
}

impl Cadence {
    /// These details of its messages: their recipients are where its clock is.
    #[must_use]
    pub fn places(&self, details: Details) -> Details {
        let zone = match self {
            Self::Cron(cron) => cron.zone_name.parse().ok(),
            Self::Every(_) => None,
        };
        Details { time_zone: details.time_zone.or(zone), ..details }
    }

    /// A pattern of five fields, of six with seconds first, or a nickname such as `@daily`.
    ///
    /// # Errors
    /// [`BadCadence`], with what is expected.
    pub fn cron(pattern: &str, zone_name: &str) -> Result<Self, BadCadence> {
        let zone = zone_name.parse::<NamedZone>()?.zone().clone();
        let bad = |why: &str| BadCadence::Pattern { pattern: shown(pattern), why: why.to_owned() };
        if pattern.len() > PATTERN_BYTES_MAX {
            return Err(bad("it is far too long"));
        }
        let parser = CronParser::builder()
            .year(Year::Disallowed)
            .dom_and_dow(has_day_of_stars(pattern))
            .build();
        let cron = parser.parse(pattern).map_err(|_| bad(&what_is_wrong(&parser, pattern)))?;
        let is_hourly = (0..24).all(|hour| cron.pattern.hour_match(hour).unwrap_or(false));
        let pattern = pattern.split_whitespace().collect::<Vec<_>>().join(" ");
        let zone_name = zone_name.to_owned();
        let cadence = CronCadence { pattern, zone_name, cron, zone, is_hourly };
        if cadence.next_after(0).is_none() {
            return Err(BadCadence::Never(cadence.pattern));
        }
        Ok(Self::Cron(Box::new(cadence)))
    }

    /// An interval such as `15m`, counted from the epoch.
    ///
    /// # Errors
    /// [`BadCadence::Every`].
    pub fn every(text: &str) -> Result<Self, BadCadence> {
        let ms = parse_duration(text).map_err(BadCadence::Every)?;
        Self::every_ms(ms)
    }

    /// The same from a number.
    ///
    /// # Errors
    /// [`BadCadence::Every`].
    pub fn every_ms(ms: u64) -> Result<Self, BadCadence> {
        if (EVERY_MS_MIN..=EVERY_MS_MAX).contains(&ms) {
            return Ok(Self::Every(ms));
        }
        let [found, least, most] = [ms, EVERY_MS_MIN, EVERY_MS_MAX].map(format_duration);
        Err(BadCadence::Every(format!("found {found}, expected {least} to {most}")))
    }

    /// The first nominal time after this moment; `None`: it never ticks again.
    #[must_use]
    pub fn next_after(&self, after_ms: u64) -> Option<u64> {
        let next_ms = match self {
            Self::Cron(cron) => cron.next_after(after_ms)?,
            Self::Every(ms) => (after_ms / ms).checked_add(1)?.checked_mul(*ms)?,
        };
        (next_ms <= MOMENT_MS_MAX).then_some(next_ms)
    }

    /// The nominal times after this moment, in order.
    pub fn after(&self, after_ms: u64) -> impl Iterator<Item = u64> + '_ {
        std::iter::successors(self.next_after(after_ms), |at_ms| self.next_after(*at_ms))
    }

    /// For people: "At 09:00, on Monday".
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Cron(cron) => {
                format!("{}, {}", cron.cron.describe().trim_end_matches('.'), cron.zone_name)
            }
            Self::Every(ms) => {
                format!("Every {}, counted from 1970-01-01 00:00 UTC", format_duration(*ms))
            }
        }
    }
}

/// As it is written; two that are written alike tick alike.
impl fmt::Display for Cadence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cron(cron) => write!(f, "cron {} {}", cron.zone_name, cron.pattern),
            Self::Every(ms) => write!(f, "every {}", format_duration(*ms)),
        }
    }
}

impl PartialEq for Cadence {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl Eq for Cadence {}

impl fmt::Debug for CronCadence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} in {}", self.pattern, self.zone_name)
    }
}

impl CronCadence {
    /// The pattern.
    #[must_use]
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// The IANA name of its zone.
    #[must_use]
    pub fn time_zone(&self) -> &str {
        &self.zone_name
    }

    fn next_after(&self, after_ms: u64) -> Option<u64> {
        let first = self.first_pass_after(after_ms);
        if !self.is_hourly {
            return first;
        }
        let second = self.second_pass_after(after_ms, first.unwrap_or(u64::MAX));
        first.into_iter().chain(second).min()
    }

    /// Each local time at the first moment at which the wall clock shows it, or is past it.
    fn first_pass_after(&self, after_ms: u64) -> Option<u64> {
        let mut local = self.zone.to_datetime(timestamp(after_ms));
        let mut is_inclusive = false;
        // More than once only within a repeated hour, whose first pass is over, and over a gap.
        loop {
            local = self.cron.find_next_occurrence(&local, is_inclusive).ok()?;
            is_inclusive = false;
            let at_ms = first_ms(&self.zone, local);
            if self.is_hourly && self.is_skipped(local) {
                // On to the first local time that comes after the gap, which may be a whole day long.
                local = self.zone.to_datetime(timestamp(at_ms));
                is_inclusive = true;
            } else if at_ms > after_ms {
                return Some(at_ms);
            }
        }
    }

    /// Whether clocks leave this local time out.
    fn is_skipped(&self, local: DateTime) -> bool {
        let offset = self.zone.to_ambiguous_timestamp(local).offset();
        matches!(offset, AmbiguousOffset::Gap { .. })
    }

    /// The local times of a repeated stretch when it comes the second time, before `limit_ms`.
    fn second_pass_after(&self, after_ms: u64, limit_ms: u64) -> Option<u64> {
        let after = timestamp(after_ms);
        let local = self.zone.to_datetime(after);
        // Within a second pass already?
        if let Some(second) = self.second_offset(local)
            && self.zone.to_offset(after) == second
        {
            return self.in_second_pass(local, false, second);
        }
        // Or does one begin before the first pass has anything to tell?
        let change = self.zone.following(after).next()?.timestamp();
        let change_ms = u64::try_from(change.as_millisecond()).ok()?;
        if change_ms > limit_ms {
            return None;
        }
        let local = self.zone.to_datetime(change);
        let second = self.second_offset(local)?;
        self.in_second_pass(local, true, second)
    }

    fn in_second_pass(&self, local: DateTime, inclusive: bool, second: Offset) -> Option<u64> {
        let next = self.cron.find_next_occurrence(&local, inclusive).ok()?;
        (self.second_offset(next) == Some(second)).then(|| instant_ms(second, next))
    }

    /// The later of the two offsets of a local time that repeats.
    fn second_offset(&self, local: DateTime) -> Option<Offset> {
        match self.zone.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Fold { after, .. } => Some(after),
            AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Gap { .. } => None,
        }
    }
}

/// Whether the day of the month or of the week begins with `*`.
fn has_day_of_stars(pattern: &str) -> bool {
    let fields: Vec<&str> = pattern.split_whitespace().collect();
    // Seconds may stand in front.
    let days = match fields.len() {
        5 => [fields[2], fields[4]],
        6 => [fields[3], fields[5]],
        _ => return false,
    };
    days.iter().any(|field| field.starts_with(['*', '?']))
}

fn shown(pattern: &str) -> String {
    pattern.chars().take(60).collect()
}
