//! The openings of a window as moments, from its week and its dates.
//!
//! Owns the walk along the calendar. Refuses to know what an opening is asked for.

use jiff::ToSpan;
use jiff::civil::{Date, DateTime, Time};

use super::rule::DAY_S;
use super::{Window, edge};
use crate::domain::time::timestamp;

impl Window {
    /// The merged openings that meet `[from_ms, until_ms)`, lazily; the first is cut at `from_ms`,
    /// the last may end later than `until_ms`.
    pub(super) fn openings_from(
        &self,
        from_ms: u64,
        until_ms: u64,
    ) -> impl Iterator<Item = (u64, u64)> {
        let mut pieces = self.with_open_spans(from_ms, until_ms).peekable();
        std::iter::from_fn(move || {
            let (open_ms, mut close_ms) = pieces.next()?;
            while let Some((_, next_ms)) = pieces.next_if(|(next_ms, _)| *next_ms <= close_ms) {
                close_ms = close_ms.max(next_ms);
            }
            Some((open_ms, close_ms))
        })
    }

    /// Open pieces in ascending order, before those that touch are joined: those of ordinary dates, and those of
    /// dates with hours of their own.
    pub(super) fn pieces(&self, from_ms: u64, until_ms: u64) -> impl Iterator<Item = (u64, u64)> {
        let mut ordinary = self.ordinary_pieces(from_ms, until_ms).peekable();
        let mut dated = self.dated_pieces(from_ms, until_ms).peekable();
        std::iter::from_fn(move || match (ordinary.peek(), dated.peek()) {
            (Some((one_ms, _)), Some((other_ms, _))) if other_ms < one_ms => dated.next(),
            (None, Some(_)) => dated.next(),
            _ => ordinary.next(),
        })
    }

    /// The week's spans, week by week, less the special dates.
    fn ordinary_pieces(&self, from_ms: u64, until_ms: u64) -> impl Iterator<Item = (u64, u64)> {
        // Open all week means one span to cut dates from, however far away they are.
        let endless = self.week.is_full().then_some((from_ms, until_ms));
        let weeks = (!self.week.is_full()).then(|| self.week_spans(from_ms));
        endless
            .into_iter()
            .chain(weeks.into_iter().flatten())
            .take_while(move |(open_ms, _)| *open_ms < until_ms)
            .map(move |(open_ms, close_ms)| (open_ms.max(from_ms), close_ms))
            .filter(|(open_ms, close_ms)| open_ms < close_ms)
            .flat_map(|(open_ms, close_ms)| self.without_special_dates(open_ms, close_ms, None))
            .take_while(move |(open_ms, _)| *open_ms < until_ms)
    }

    /// The hours of dates that have their own. What runs past midnight ends where the next date is special too.
    fn dated_pieces(&self, from_ms: u64, until_ms: u64) -> impl Iterator<Item = (u64, u64)> {
        let today = self.local_date(from_ms);
        // Two dates earlier: hours run past one midnight, and clocks set back over midnight bring a date back.
        let first = today.checked_sub(2.days()).unwrap_or(today);
        let at = self.special.partition_point(|special| special.date < first);
        let spans = self.special[at..].iter().flat_map(|special| {
            special.spans.iter().map(move |(open_s, close_s)| (special.date, *open_s, *close_s))
        });
        spans
            .filter_map(|(date, open_s, close_s)| {
                let moment = |second| Some(edge::first_ms(self.zone.zone(), local(date, second)?));
                Some((date, moment(open_s)?, moment(close_s)?))
            })
            .take_while(move |(_, open_ms, _)| *open_ms < until_ms)
            .flat_map(|(date, open_ms, close_ms)| {
                self.without_special_dates(open_ms, close_ms, Some(date))
            })
            .map(move |(open_ms, close_ms)| (open_ms.max(from_ms), close_ms))
            .filter(|(open_ms, close_ms)| open_ms < close_ms)
    }

    /// The week's spans as moments, from the local week of `from_ms` to the end of the calendar.
    fn week_spans(&self, from_ms: u64) -> impl Iterator<Item = (u64, u64)> {
        let today = self.local_date(from_ms);
        let since_monday = i64::from(today.weekday().to_monday_zero_offset());
        let monday = today.checked_sub(since_monday.days()).unwrap_or(today);
        std::iter::successors(Some(monday), |monday| monday.checked_add(1.week()).ok()).flat_map(
            move |monday| {
                self.week.spans().iter().filter_map(move |(open_s, close_s)| {
                    let (open, close) = (local(monday, *open_s)?, local(monday, *close_s)?);
                    Some((
                        edge::first_ms(self.zone.zone(), open),
                        edge::first_ms(self.zone.zone(), close),
                    ))
                })
            },
        )
    }

    /// What the special dates, but for one, leave of `[open_ms, close_ms)`.
    fn without_special_dates(
        &self,
        open_ms: u64,
        close_ms: u64,
        but: Option<Date>,
    ) -> Vec<(u64, u64)> {
        let mut left = Vec::with_capacity(1);
        let mut open_ms = open_ms;
        // One date earlier than seems needed: clocks set back over midnight bring a date back.
        let today = self.local_date(open_ms);
        let first = today.yesterday().unwrap_or(today);
        let at = self.special.partition_point(|special| special.date < first);
        for special in self.special[at..].iter().filter(|special| Some(special.date) != but) {
            let (start_ms, end_ms) = edge::date_ms(self.zone.zone(), special.date);
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

/// The local time so many seconds of wall clock after the midnight at which a date begins.
fn local(date: Date, seconds: u32) -> Option<DateTime> {
    let date = date.checked_add(i64::from(seconds / DAY_S).days()).ok()?;
    let second_of_day = i64::from(seconds % DAY_S);
    DateTime::from_parts(date, Time::midnight()).checked_add(second_of_day.seconds()).ok()
}
