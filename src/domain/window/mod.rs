//! The hours in which a downstream may be called.
//!
//! A pure function of now: opening rules in a time zone, but for dates that are closed or have hours of their
//! own. Owns when a window opens and closes; what an edge means when clocks change is in `edge`, the notation
//! in `rule`, what holds on single dates in `dates`, and how both become openings in `pieces`.
//! Refuses to read a clock, to remember anything, and to know who is let through.

mod dates;
pub(super) mod edge;
#[cfg(test)]
mod oracle;
mod pieces;
mod rule;
mod spans;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use jiff::tz::TimeZone;

use self::rule::Week;
use super::units::format_duration;
use super::zone::{BadTimeZone, ClockChange, NamedZone};

pub use self::dates::{
    BadCalendarName, BadDates, Calendar, CalendarName, DatedOpening, Dates, SaidBy, SpecialDate,
};
pub use self::rule::{BadDays, BadRule, BadTimeOfDay, Days, Hours, OpeningRule, TimeOfDay};
pub use self::spans::WindowSpan;

/// How far ahead the next opening or close is looked for: two years.
pub const HORIZON_MS: u64 = 2 * 366 * 86_400_000;

/// The longest range whose open time is counted: ten years. It bounds the work, and nothing waits
/// that long.
const COUNTED_MS_MAX: u64 = 10 * 366 * 86_400_000;

/// Opening hours in a time zone.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    zone: NamedZone,
    rules: Vec<OpeningRule>,
    /// What the rules add up to, computed once.
    week: Week,
    /// What the queue itself says of dates.
    own: Dates,
    calendar: Option<Arc<Calendar>>,
    /// What both add up to, computed once: ascending, each date once.
    special: Vec<SpecialDate>,
    min_remaining_ms: u64,
    on_close: OnClose,
    /// Spans of time about which the rules say nothing, ascending and apart from one another.
    spans: Vec<WindowSpan>,
}

/// What becomes of a message at the close that was claimed, and whose attempt has not begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnClose {
    /// It keeps its place in line until its turn comes, and goes back then: a hold by the window.
    #[default]
    Finish,
    /// It goes back at the close, as if it had not been claimed.
    Release,
}

impl OnClose {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Finish, Self::Release];

    /// The word in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Finish => "finish",
            Self::Release => "release",
        }
    }
}

/// Whether a window is open at a moment, and until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowState {
    /// The downstream may be called.
    Open {
        /// The first moment that is closed again; `None`: not within two years.
        closes_at_ms: Option<u64>,
    },
    /// The downstream may not be called.
    Closed {
        /// The first moment that is open; `None`: not within two years.
        opens_at_ms: Option<u64>,
    },
}

/// Why rules make no window.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadWindow {
    /// The time zone is not known.
    #[error(transparent)]
    UnknownTimeZone(#[from] BadTimeZone),
    /// There is no rule.
    #[error(
        "no opening is given, so nothing could ever leave; expected at least one, for example {{ days = \"mon-sun\", from = \"01:00\", to = \"04:00\" }}"
    )]
    NoOpening,
    /// No opening is long enough for an attempt to start.
    #[error(
        "the longest opening is {}, not longer than min_remaining {}, so nothing could ever leave; widen the opening or set a shorter min_remaining",
        format_duration(*longest_ms), format_duration(*min_remaining_ms)
    )]
    TooShort {
        /// The longest opening of an ordinary week.
        longest_ms: u64,
        /// What must remain for an attempt to start.
        min_remaining_ms: u64,
    },
}

impl Window {
    /// A window in which something can leave.
    ///
    /// # Errors
    /// When the time zone is unknown, there is no rule, or no opening is longer than
    /// `min_remaining_ms`.
    pub fn new(
        time_zone: &str,
        rules: Vec<OpeningRule>,
        own: Dates,
        min_remaining_ms: u64,
    ) -> Result<Self, BadWindow> {
        Self::in_zone(time_zone.parse()?, rules, own, min_remaining_ms)
    }

    /// The same in a zone that is known.
    ///
    /// # Errors
    /// When there is no rule, or no opening is longer than `min_remaining_ms`.
    pub fn in_zone(
        zone: NamedZone,
        rules: Vec<OpeningRule>,
        own: Dates,
        min_remaining_ms: u64,
    ) -> Result<Self, BadWindow> {
        if rules.is_empty() {
            return Err(BadWindow::NoOpening);
        }
        let week = Week::of(&rules);
        if let Some(longest_s) = week.longest_s() {
            let longest_ms = u64::from(longest_s) * 1000;
            if longest_ms <= min_remaining_ms {
                return Err(BadWindow::TooShort { longest_ms, min_remaining_ms });
            }
        }
        let special = dates::special(&own, None);
        Ok(Self {
            zone,
            rules,
            week,
            own,
            calendar: None,
            special,
            min_remaining_ms,
            on_close: OnClose::Finish,
            spans: Vec::new(),
        })
    }

    /// The same window with a calendar, which decides for the dates of which the queue itself says nothing.
    #[must_use]
    pub fn with_calendar(self, calendar: Arc<Calendar>) -> Self {
        let special = dates::special(&self.own, Some(&calendar));
        Self { calendar: Some(calendar), special, ..self }
    }

    /// The same window with another answer to what becomes of claimed messages at the close.
    #[must_use]
    pub fn closing_by(self, on_close: OnClose) -> Self {
        Self { on_close, ..self }
    }

    /// What becomes of claimed messages at the close.
    #[must_use]
    pub const fn on_close(&self) -> OnClose {
        self.on_close
    }

    /// A window that never closes by itself.
    #[must_use]
    pub fn always() -> Self {
        let rules = vec![OpeningRule::ALWAYS];
        Self {
            zone: NamedZone::default(),
            week: Week::of(&rules),
            rules,
            own: Dates::default(),
            calendar: None,
            special: Vec::new(),
            min_remaining_ms: 0,
            on_close: OnClose::Finish,
            spans: Vec::new(),
        }
    }

    /// The state at `now_ms`. Cheap: looks at the week of `now_ms` first, and further only as far
    /// as the answer lies.
    #[must_use]
    pub fn state(&self, now_ms: u64) -> WindowState {
        if self.never_closes() {
            return WindowState::Open { closes_at_ms: None };
        }
        let horizon_ms = now_ms.saturating_add(HORIZON_MS);
        match self.openings_from(now_ms, horizon_ms).next() {
            None => WindowState::Closed { opens_at_ms: None },
            Some((opens_at_ms, closes_at_ms)) if opens_at_ms <= now_ms => {
                WindowState::Open { closes_at_ms: Some(closes_at_ms).filter(|ms| *ms < horizon_ms) }
            }
            Some((opens_at_ms, _)) => WindowState::Closed { opens_at_ms: Some(opens_at_ms) },
        }
    }

    /// The first moment, `from_ms` or later, at which a call may start that needs so long before the close;
    /// `None`: not within two years.
    #[must_use]
    pub fn next_start_ms(&self, from_ms: u64, needs_ms: u64) -> Option<u64> {
        let mut openings = self.openings_from(from_ms, from_ms.saturating_add(HORIZON_MS));
        openings
            .find(|(open_ms, close_ms)| open_ms + needs_ms < *close_ms)
            .map(|(open_ms, _)| open_ms)
    }

    /// How much must remain before the close for an attempt to start.
    #[must_use]
    pub const fn min_remaining_ms(&self) -> u64 {
        self.min_remaining_ms
    }

    /// Milliseconds between the two moments in which the window was open. A range beyond ten years
    /// is cut there.
    #[must_use]
    pub fn open_ms_between(&self, from_ms: u64, to_ms: u64) -> u64 {
        if self.never_closes() {
            return to_ms.saturating_sub(from_ms);
        }
        let to_ms = to_ms.min(from_ms.saturating_add(COUNTED_MS_MAX));
        self.openings_from(from_ms, to_ms).map(|(open, close)| close.min(to_ms) - open).sum()
    }

    /// The openings that meet `[from_ms, to_ms)`, whole and ascending; adjoining ones are one. An edge that is
    /// not within two years of the range is `None`. A range beyond two years is cut there.
    #[must_use]
    pub fn openings(&self, from_ms: u64, to_ms: u64) -> Vec<(Option<u64>, Option<u64>)> {
        let to_ms = to_ms.min(from_ms.saturating_add(HORIZON_MS));
        let first_ms = from_ms.saturating_sub(HORIZON_MS);
        let last_ms = to_ms.saturating_add(HORIZON_MS);
        self.openings_from(first_ms, last_ms)
            .skip_while(|(_, close_ms)| *close_ms <= from_ms)
            .take_while(|(open_ms, _)| *open_ms < to_ms)
            .map(|(open_ms, close_ms)| {
                ((open_ms > first_ms).then_some(open_ms), (close_ms < last_ms).then_some(close_ms))
            })
            .collect()
    }

    /// The IANA name of the time zone.
    #[must_use]
    pub fn time_zone(&self) -> &str {
        self.zone.name()
    }

    /// The time zone.
    #[must_use]
    pub const fn zone(&self) -> &TimeZone {
        self.zone.zone()
    }

    /// The opening rules, as given.
    #[must_use]
    pub fn rules(&self) -> &[OpeningRule] {
        &self.rules
    }

    /// What the queue itself says of dates.
    #[must_use]
    pub const fn own_dates(&self) -> &Dates {
        &self.own
    }

    /// The calendar, if it has one.
    #[must_use]
    pub fn calendar(&self) -> Option<&Calendar> {
        self.calendar.as_deref()
    }

    /// The dates that do not go by their day of the week, of which a moment lies in `[from_ms, to_ms)`, ascending.
    pub fn special_dates(&self, from_ms: u64, to_ms: u64) -> impl Iterator<Item = &SpecialDate> {
        let meets = move |special: &&SpecialDate| {
            let (start_ms, end_ms) = edge::date_ms(self.zone.zone(), special.date);
            start_ms < to_ms && from_ms < end_ms
        };
        self.special.iter().filter(meets)
    }

    /// The changes of clocks in `[from_ms, to_ms)`, ascending.
    pub fn clock_changes(&self, from_ms: u64, to_ms: u64) -> impl Iterator<Item = ClockChange> {
        self.zone.clock_changes(from_ms, to_ms)
    }

    fn never_closes(&self) -> bool {
        let is_open = |span: &WindowSpan| span.is_open;
        self.week.is_full() && self.special.is_empty() && self.spans.iter().all(is_open)
    }
}
