//! What is said of single dates: those on which nothing opens, and those with hours of their own.
//!
//! Owns which place decides for a date (a queue before its calendar). Refuses to know time zones and moments.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use jiff::civil::Date;

use super::rule::{Hours, spans_of_day};

/// Longest name of a calendar, in bytes.
const NAME_BYTES_MAX: usize = 63;

/// A date with hours of its own, in place of those of its day of the week.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatedOpening {
    /// The date on which they start.
    pub date: Date,
    /// At least one.
    pub open: Vec<Hours>,
}

/// What one place, a queue or a calendar, says of dates.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dates {
    /// Ascending, without repetition.
    closed: Vec<Date>,
    /// Ascending, each date once.
    dated: Vec<DatedOpening>,
}

/// Why entries of dates do not go together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadDates {
    /// One place says two things of a date.
    #[error(
        "{0} is also in closed_dates; a date is either closed or has hours of its own: remove it from one of the two lists"
    )]
    OpenAndClosed(Date),
    /// A date stands twice among those with hours.
    #[error(
        "{0} stands twice; write all hours of a date in one entry: {{ date = \"{0}\", open = [{{ from = \"01:00\", to = \"04:00\" }}, {{ from = \"22:00\", to = \"24:00\" }}] }}"
    )]
    Twice(Date),
    /// A date has an empty list of hours.
    #[error("{0} has no hours; write them in open, or put the date into closed_dates")]
    NoHours(Date),
}

impl Dates {
    /// Dates without hours and dates with hours.
    ///
    /// # Errors
    /// When a date is in both lists, stands twice among those with hours, or has none.
    pub fn new(mut closed: Vec<Date>, mut dated: Vec<DatedOpening>) -> Result<Self, BadDates> {
        closed.sort_unstable();
        closed.dedup();
        dated.sort_by_key(|entry| entry.date);
        if let Some(entry) = dated.iter().find(|entry| entry.open.is_empty()) {
            return Err(BadDates::NoHours(entry.date));
        }
        if let Some(two) = dated.windows(2).find(|two| two[0].date == two[1].date) {
            return Err(BadDates::Twice(two[0].date));
        }
        let both = dated.iter().find(|entry| closed.binary_search(&entry.date).is_ok());
        if let Some(entry) = both {
            return Err(BadDates::OpenAndClosed(entry.date));
        }
        Ok(Self { closed, dated })
    }

    /// The dates on which nothing opens, ascending.
    #[must_use]
    pub fn closed(&self) -> &[Date] {
        &self.closed
    }

    /// The dates with hours of their own, ascending.
    #[must_use]
    pub fn dated(&self) -> &[DatedOpening] {
        &self.dated
    }

    fn entries(&self) -> impl Iterator<Item = (Date, &[Hours])> {
        let closed = self.closed.iter().map(|date| (*date, [].as_slice()));
        closed.chain(self.dated.iter().map(|entry| (entry.date, entry.open.as_slice())))
    }
}

/// The name of a calendar: `[a-z0-9][a-z0-9_-]{0,62}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CalendarName(Arc<str>);

/// Why a text is not the name of a calendar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is not a valid calendar name; expected 1 to 63 of a-z, 0-9, _ and -, starting with a letter or digit"
)]
pub struct BadCalendarName(pub String);

impl CalendarName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CalendarName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for CalendarName {
    type Err = BadCalendarName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let starts_well = text.bytes().next().is_some_and(is_plain);
        let is_known = |byte: u8| is_plain(byte) || matches!(byte, b'_' | b'-');
        if !starts_well || text.len() > NAME_BYTES_MAX || !text.bytes().all(is_known) {
            return Err(BadCalendarName(text.to_owned()));
        }
        Ok(Self(text.into()))
    }
}

/// Dates that several queues share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar {
    /// The calendar.
    pub name: CalendarName,
    /// What it says.
    pub dates: Dates,
}

/// Who said what holds on a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaidBy {
    /// The queue itself.
    Queue,
    /// The calendar of its window.
    Calendar,
}

/// A date that does not go by its day of the week.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecialDate {
    /// The local date.
    pub date: Date,
    /// Who said so.
    pub said_by: SaidBy,
    /// Spans in seconds since its midnight, ascending; none: nothing opens.
    pub(super) spans: Vec<(u32, u32)>,
}

impl SpecialDate {
    /// Whether nothing opens on it.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.spans.is_empty()
    }
}

/// The dates that do not go by their day of the week, ascending, each once: for one date the queue's own entry
/// decides, else the calendar's.
pub(super) fn special(own: &Dates, calendar: Option<&Calendar>) -> Vec<SpecialDate> {
    let own = own.entries().map(|entry| (SaidBy::Queue, entry));
    let shared = calendar.into_iter().flat_map(|calendar| calendar.dates.entries());
    let all = own.chain(shared.map(|entry| (SaidBy::Calendar, entry)));
    let mut dates: Vec<_> = all
        .map(|(said_by, (date, hours))| SpecialDate { date, said_by, spans: spans_of_day(hours) })
        .collect();
    // Stable: of two entries for one date, the queue's stays first and is the one that is kept.
    dates.sort_by_key(|special| special.date);
    dates.dedup_by_key(|special| special.date);
    dates
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> Date {
        text.parse().unwrap()
    }

    fn dated(text: &str) -> DatedOpening {
        let hours = Hours::new("01:00".parse().unwrap(), "06:00".parse().unwrap()).unwrap();
        DatedOpening { date: date(text), open: vec![hours] }
    }

    #[test]
    fn one_place_says_one_thing_of_a_date() {
        let (eve, day) = ("2026-12-24", "2026-12-25");
        let both = Dates::new(vec![date(day)], vec![dated(day)]);
        assert_eq!(both, Err(BadDates::OpenAndClosed(date(day))));
        let twice = Dates::new(Vec::new(), vec![dated(day), dated(eve), dated(day)]);
        assert_eq!(twice, Err(BadDates::Twice(date(day))));
        let empty = DatedOpening { date: date(day), open: Vec::new() };
        assert_eq!(Dates::new(Vec::new(), vec![empty]), Err(BadDates::NoHours(date(day))));
        let dates = Dates::new(vec![date(day), date(day)], vec![dated(eve)]).unwrap();
        assert_eq!((dates.closed(), dates.dated().len()), ([date(day)].as_slice(), 1));
    }

    #[test]
    fn the_queue_decides_before_its_calendar() {
        let (first, second, third) = ("2026-12-24", "2026-12-25", "2026-12-26");
        let own = Dates::new(vec![date(first)], vec![dated(second)]).unwrap();
        let shared = Dates::new(vec![date(second)], vec![dated(first), dated(third)]).unwrap();
        let calendar = Calendar { name: "cn".parse().unwrap(), dates: shared };
        let said: Vec<_> = special(&own, Some(&calendar))
            .iter()
            .map(|it| (it.date, it.said_by, it.is_closed()))
            .collect();
        let expected = [
            (date(first), SaidBy::Queue, true),
            (date(second), SaidBy::Queue, false),
            (date(third), SaidBy::Calendar, false),
        ];
        assert_eq!(said, expected);
    }

    #[test]
    fn names_are_plain() {
        for good in ["cn", "0", "a_b-c"] {
            assert_eq!(good.parse::<CalendarName>().unwrap().as_str(), good);
        }
        for bad in ["", "-a", "CN", "a.b", &"a".repeat(64)] {
            assert!(bad.parse::<CalendarName>().is_err(), "{bad}");
        }
    }
}
