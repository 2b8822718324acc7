//! The hours in which a downstream may be called.
//!
//! A pure function of now: opening rules in a time zone, less closed dates. Owns when a window
//! opens and closes; what an edge means when clocks change is in `edge`, the notation in `rule`.
//! Refuses to read a clock, to remember anything, and to know who is let through.

pub(super) mod edge;
mod rule;
#[cfg(test)]
mod tests;

use jiff::ToSpan;
use jiff::civil::{Date, DateTime, Time};

use self::rule::{DAY_S, Week};
use super::time::timestamp;
use super::units::format_duration;
use super::zone::{BadTimeZone, NamedZone};

pub use self::rule::{BadDays, BadRule, BadTimeOfDay, Days, OpeningRule, TimeOfDay};

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
    /// Ascending, without repetition.
    closed_dates: Vec<Date>,
    min_remaining_ms: u64,
    /// Spans of time about which the rules say nothing, ascending and apart from one another.
    spans: Vec<WindowSpan>,
}

/// A span of time in which a window is open or closed whatever its rules say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowSpan {
    /// The first moment, ms.
    pub from_ms: u64,
    /// The first moment behind it, ms.
    pub to_ms: u64,
    /// Whether the window is open in it.
    pub is_open: bool,
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
        mut closed_dates: Vec<Date>,
        min_remaining_ms: u64,
    ) -> Result<Self, BadWindow> {
        let zone: NamedZone = time_zone.parse()?;
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
        closed_dates.sort_unstable();
        closed_dates.dedup();
        Ok(Self { zone, rules, week, closed_dates, min_remaining_ms, spans: Vec::new() })
    }

    /// A window that never closes by itself.
    #[must_use]
    pub fn always() -> Self {
        let rules = vec![OpeningRule::ALWAYS];
        let (zone, week) = (NamedZone::default(), Week::of(&rules));
        Self { zone, rules, week, closed_dates: Vec::new(), min_remaining_ms: 0, spans: Vec::new() }
    }

    /// The same window, for which these spans decide instead of its rules; where they overlap, the one that begins later.
    #[must_use]
    pub fn with_spans(mut self, mut spans: Vec<WindowSpan>) -> Self {
        spans.sort_by_key(|span| span.from_ms);
        for at in 1..spans.len() {
            spans[at - 1].to_ms = spans[at - 1].to_ms.min(spans[at].from_ms);
        }
        spans.retain(|span| span.from_ms < span.to_ms);
        self.spans = spans;
        self
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

    /// The opening rules, as given.
    #[must_use]
    pub fn rules(&self) -> &[OpeningRule] {
        &self.rules
    }

    /// The closed dates, ascending.
    #[must_use]
    pub fn closed_dates(&self) -> &[Date] {
        &self.closed_dates
    }

    fn never_closes(&self) -> bool {
        let is_open = |span: &WindowSpan| span.is_open;
        self.week.is_full() && self.closed_dates.is_empty() && self.spans.iter().all(is_open)
    }

    /// The merged openings that meet `[from_ms, until_ms)`, lazily; the first is cut at `from_ms`,
    /// the last may end later than `until_ms`.
    fn openings_from(&self, from_ms: u64, until_ms: u64) -> impl Iterator<Item = (u64, u64)> {
        let mut pieces = self.with_open_spans(from_ms, until_ms).peekable();
        std::iter::from_fn(move || {
            let (open_ms, mut close_ms) = pieces.next()?;
            while let Some((_, next_ms)) = pieces.next_if(|(next_ms, _)| *next_ms <= close_ms) {
                close_ms = close_ms.max(next_ms);
            }
            Some((open_ms, close_ms))
        })
    }

    /// The open pieces, those of spans that are open among them, in ascending order.
    fn with_open_spans(&self, from_ms: u64, until_ms: u64) -> impl Iterator<Item = (u64, u64)> {
        let open = self.spans.iter().filter(|span| span.is_open);
        let mut spans = open
            .map(move |span| (span.from_ms.max(from_ms), span.to_ms))
            .filter(move |(open_ms, close_ms)| open_ms < close_ms && *open_ms < until_ms)
            .peekable();
        let mut pieces = self
            .pieces(from_ms, until_ms)
            .flat_map(|(open_ms, close_ms)| self.without_spans(open_ms, close_ms))
            .peekable();
        std::iter::from_fn(move || match (spans.peek(), pieces.peek()) {
            (Some(span), Some(piece)) if piece < span => pieces.next(),
            (Some(_), _) => spans.next(),
            (None, _) => pieces.next(),
        })
    }

    /// What the spans leave of `[open_ms, close_ms)` to the rules.
    fn without_spans(&self, mut open_ms: u64, close_ms: u64) -> Vec<(u64, u64)> {
        let mut left = Vec::with_capacity(1);
        let at = self.spans.partition_point(|span| span.to_ms <= open_ms);
        for span in self.spans[at..].iter().take_while(|span| span.from_ms < close_ms) {
            if open_ms < span.from_ms {
                left.push((open_ms, span.from_ms));
            }
            open_ms = open_ms.max(span.to_ms);
        }
        if open_ms < close_ms {
            left.push((open_ms, close_ms));
        }
        left
    }

    /// Open pieces in ascending order, before those that touch are joined: the week's spans, week
    /// by week, less the closed dates.
    fn pieces(&self, from_ms: u64, until_ms: u64) -> impl Iterator<Item = (u64, u64)> {
        // Open all week means one span to cut closed dates from, however far away they are.
        let endless = self.week.is_full().then_some((from_ms, until_ms));
        let weeks = (!self.week.is_full()).then(|| self.week_spans(from_ms));
        endless
            .into_iter()
            .chain(weeks.into_iter().flatten())
            .take_while(move |(open_ms, _)| *open_ms < until_ms)
            .map(move |(open_ms, close_ms)| (open_ms.max(from_ms), close_ms))
            .filter(|(open_ms, close_ms)| open_ms < close_ms)
            .flat_map(|(open_ms, close_ms)| self.without_closed_dates(open_ms, close_ms))
            .take_while(move |(open_ms, _)| *open_ms < until_ms)
    }

    /// The week's spans as moments, from the local week of `from_ms` to the end of the calendar.
    fn week_spans(&self, from_ms: u64) -> impl Iterator<Item = (u64, u64)> {
        let today = self.local_date(from_ms);
        let since_monday = i64::from(today.weekday().to_monday_zero_offset());
        let monday = today.checked_sub(since_monday.days()).unwrap_or(today);
        std::iter::successors(Some(monday), |monday| monday.checked_add(1.week()).ok()).flat_map(
            move |monday| {
                self.week.spans().iter().filter_map(move |(open_s, close_s)| {
                    let open = local_in_week(monday, *open_s)?;
                    let close = local_in_week(monday, *close_s)?;
                    Some((
                        edge::first_ms(self.zone.zone(), open),
                        edge::first_ms(self.zone.zone(), close),
                    ))
                })
            },
        )
    }

    /// What the closed dates leave of `[open_ms, close_ms)`.
    fn without_closed_dates(&self, open_ms: u64, close_ms: u64) -> Vec<(u64, u64)> {
        let mut left = Vec::with_capacity(1);
        let mut open_ms = open_ms;
        // One date earlier than seems needed: clocks set back over midnight bring a date back.
        let today = self.local_date(open_ms);
        let first = today.yesterday().unwrap_or(today);
        let at = self.closed_dates.partition_point(|date| *date < first);
        for date in &self.closed_dates[at..] {
            let (start_ms, end_ms) = edge::date_ms(self.zone.zone(), *date);
            if start_ms >= close_ms {
                break;
            }
            if start_ms > open_ms {
                left.push((open_ms, start_ms));
            }
            open_ms = open_ms.max(end_ms);
        }
        if open_ms < close_ms {
            left.push((open_ms, close_ms));
        }
        left
    }

    fn local_date(&self, at_ms: u64) -> Date {
        self.zone.zone().to_datetime(timestamp(at_ms)).date()
    }
}

/// The local time so many seconds of wall clock after Monday 00:00.
fn local_in_week(monday: Date, seconds: u32) -> Option<DateTime> {
    let date = monday.checked_add(i64::from(seconds / DAY_S).days()).ok()?;
    let second_of_day = i64::from(seconds % DAY_S);
    DateTime::from_parts(date, Time::midnight()).checked_add(second_of_day.seconds()).ok()
}
