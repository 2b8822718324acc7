//! One line of opening hours: which days, from when, until when.
//!
//! Owns the notation (`mon-fri`, `sat-mon`, `mon,wed`; `01:00`, `24:00`), hours of a day, and the week that a
//! set of rules adds up to on the wall clock. Refuses to know time zones and dates.

use std::fmt;
use std::str::FromStr;

/// Seconds of a day and of a week on the wall clock.
pub(super) const DAY_S: u32 = 86_400;
pub(super) const WEEK_S: u32 = 7 * DAY_S;

const DAY_NAMES: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// A set of days of the week, never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Days(u8);

impl Days {
    /// Every day.
    pub const ALL: Self = Self(0b111_1111);

    /// The days of the set, Monday being 0.
    fn iter(self) -> impl Iterator<Item = u32> {
        (0..7).filter(move |day| self.0 & (1 << day) != 0)
    }
}

/// Why a text names no days.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" names no days; expected mon, tue, wed, thu, fri, sat, sun, ranges such as mon-fri or sat-mon, or a list such as mon,wed"
)]
pub struct BadDays(pub String);

impl FromStr for Days {
    type Err = BadDays;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || BadDays(text.to_owned());
        let day = |word: &str| {
            let word = word.trim().to_ascii_lowercase();
            DAY_NAMES.iter().position(|name| *name == word).ok_or_else(bad)
        };
        let mut set = 0u8;
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (day(first)?, day(last)?);
            let length = (last + 7 - first) % 7;
            for step in 0..=length {
                set |= 1 << ((first + step) % 7);
            }
        }
        Ok(Self(set))
    }
}

impl fmt::Display for Days {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::ALL {
            return f.write_str("mon-sun");
        }
        let names: Vec<_> = self.iter().map(|day| DAY_NAMES[day as usize]).collect();
        f.write_str(&names.join(","))
    }
}

/// A time on the wall clock, `00:00` to `24:00`, to the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeOfDay(u32);

impl TimeOfDay {
    /// Seconds since midnight on the wall clock, at most 86,400.
    #[must_use]
    pub const fn seconds(self) -> u32 {
        self.0
    }
}

/// Why a text is no time of day.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a valid time of day; expected HH:MM or HH:MM:SS, from 00:00 to 24:00")]
pub struct BadTimeOfDay(pub String);

impl FromStr for TimeOfDay {
    type Err = BadTimeOfDay;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || BadTimeOfDay(text.to_owned());
        let mut parts = [0u32; 3];
        let mut count = 0;
        for part in text.trim().split(':') {
            if count == 3 || part.len() != 2 || !part.bytes().all(|b| b.is_ascii_digit()) {
                return Err(bad());
            }
            parts[count] = part.parse().map_err(|_| bad())?;
            count += 1;
        }
        let [hours, minutes, seconds] = parts;
        let total_s = hours * 3600 + minutes * 60 + seconds;
        if count < 2 || minutes > 59 || seconds > 59 || total_s > DAY_S {
            return Err(bad());
        }
        Ok(Self(total_s))
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hours, minutes, seconds) = (self.0 / 3600, self.0 / 60 % 60, self.0 % 60);
        write!(f, "{hours:02}:{minutes:02}")?;
        if seconds == 0 { Ok(()) } else { write!(f, ":{seconds:02}") }
    }
}

/// Open from `from` until just before `to`.
///
/// With `from` after `to` they run past midnight and belong to the day they start on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hours {
    from: TimeOfDay,
    to: TimeOfDay,
}

/// Open on these days, in these hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpeningRule {
    days: Days,
    hours: Hours,
}

/// Why two times make no opening.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRule {
    /// Nothing lies between them.
    #[error("from and to are both {0}, which leaves no time; the whole day is 00:00 to 24:00")]
    Empty(TimeOfDay),
    /// Only `to` may be the end of the day.
    #[error("from may not be 24:00; expected 00:00 to 23:59:59 (the next day's 00:00)")]
    FromMidnight,
}

impl Hours {
    /// Hours that leave some time open.
    ///
    /// # Errors
    /// When `from` is `24:00`, or equals `to`.
    pub fn new(from: TimeOfDay, to: TimeOfDay) -> Result<Self, BadRule> {
        if from.0 == DAY_S {
            Err(BadRule::FromMidnight)
        } else if from == to {
            Err(BadRule::Empty(from))
        } else {
            Ok(Self { from, to })
        }
    }

    /// When they start.
    #[must_use]
    pub const fn from(&self) -> TimeOfDay {
        self.from
    }

    /// When they have ended.
    #[must_use]
    pub const fn to(&self) -> TimeOfDay {
        self.to
    }

    /// Start and end in seconds of the wall clock since the midnight at which their day began.
    const fn span_s(self) -> (u32, u32) {
        let past_midnight = if self.to.0 <= self.from.0 { DAY_S } else { 0 };
        (self.from.0, self.to.0 + past_midnight)
    }
}

impl OpeningRule {
    /// The whole week.
    pub(super) const ALWAYS: Self =
        Self { days: Days::ALL, hours: Hours { from: TimeOfDay(0), to: TimeOfDay(DAY_S) } };

    /// A rule.
    #[must_use]
    pub const fn new(days: Days, hours: Hours) -> Self {
        Self { days, hours }
    }

    /// The days on which it starts.
    #[must_use]
    pub const fn days(&self) -> Days {
        self.days
    }

    /// When it starts.
    #[must_use]
    pub const fn from(&self) -> TimeOfDay {
        self.hours.from
    }

    /// When it has ended.
    #[must_use]
    pub const fn to(&self) -> TimeOfDay {
        self.hours.to
    }
}

/// What hours of one day add up to: spans in seconds since its midnight, ascending, neither overlapping nor touching.
pub(super) fn spans_of_day(hours: &[Hours]) -> Vec<(u32, u32)> {
    joined(hours.iter().map(|hours| hours.span_s()).collect())
}

/// Spans in ascending order; those that overlap or touch are one.
fn joined(mut spans: Vec<(u32, u32)>) -> Vec<(u32, u32)> {
    spans.sort_unstable();
    spans.dedup_by(|next, held| {
        let joins = next.0 <= held.1;
        if joins {
            held.1 = held.1.max(next.1);
        }
        joins
    });
    spans
}

/// What a set of rules adds up to: open spans of the wall clock's week, in seconds since Monday
/// 00:00, ascending, neither overlapping nor touching, none across the end of the week.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Week(Vec<(u32, u32)>);

impl Week {
    pub(super) fn of(rules: &[OpeningRule]) -> Self {
        let mut spans = Vec::new();
        for rule in rules {
            let (from_s, to_s) = rule.hours.span_s();
            for day in rule.days.iter() {
                let (open_s, close_s) = (day * DAY_S + from_s, day * DAY_S + to_s);
                spans.push((open_s, close_s.min(WEEK_S)));
                if close_s > WEEK_S {
                    spans.push((0, close_s - WEEK_S));
                }
            }
        }
        Self(joined(spans))
    }

    pub(super) fn spans(&self) -> &[(u32, u32)] {
        &self.0
    }

    /// Open all week.
    pub(super) fn is_full(&self) -> bool {
        self.0 == [(0, WEEK_S)]
    }

    /// The longest opening on the wall clock, in seconds; `None`: it never closes.
    pub(super) fn longest_s(&self) -> Option<u32> {
        if self.is_full() {
            return None;
        }
        let within = self.0.iter().map(|(open_s, close_s)| close_s - open_s).max();
        let around = match (self.0.first(), self.0.last()) {
            (Some((0, close_s)), Some((open_s, WEEK_S))) => Some(WEEK_S - open_s + close_s),
            _ => None,
        };
        within.max(around).or(Some(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rule(days: &str, from: &str, to: &str) -> OpeningRule {
        let hours = Hours::new(from.parse().unwrap(), to.parse().unwrap()).unwrap();
        OpeningRule::new(days.parse().unwrap(), hours)
    }

    #[test]
    fn days_as_people_write_them() {
        for (text, set) in [
            ("mon", 0b1),
            ("mon-sun", 0b111_1111),
            ("sat-mon", 0b110_0001),
            ("mon, Wed", 0b101),
            ("mon-tue,fri", 0b1_0011),
            ("sun-sun", 0b100_0000),
        ] {
            assert_eq!(text.parse(), Ok(Days(set)), "{text}");
        }
        for bad in ["", "mo", "monday", "mon-", "-mon", "mon,,tue", "mon-tue-wed", "1-5", "mon;tue"]
        {
            assert!(bad.parse::<Days>().is_err(), "{bad}");
        }
    }

    #[test]
    fn times_as_people_write_them() {
        for (text, seconds) in
            [("00:00", 0), ("01:30", 5400), ("23:59:59", 86_399), ("24:00", 86_400)]
        {
            assert_eq!(text.parse(), Ok(TimeOfDay(seconds)), "{text}");
        }
        for bad in ["", "1:00", "24:01", "12", "12:60", "12:00:60", "12:00:00:00", "-1:00", "ab:cd"]
        {
            assert!(bad.parse::<TimeOfDay>().is_err(), "{bad}");
        }
    }

    #[test]
    fn hours_leave_some_time_open() {
        let at = |text: &str| text.parse::<TimeOfDay>().unwrap();
        assert_eq!(Hours::new(at("09:00"), at("09:00")), Err(BadRule::Empty(at("09:00"))));
        assert_eq!(Hours::new(at("24:00"), at("02:00")), Err(BadRule::FromMidnight));
        assert!(Hours::new(at("22:00"), at("00:00")).is_ok());
    }

    #[test]
    fn rules_that_overlap_or_touch_merge() {
        let week = Week::of(&[rule("mon", "22:00", "24:00"), rule("tue", "00:00", "02:00")]);
        assert_eq!(week.spans(), [(79_200, 93_600)]);
        let week = Week::of(&[rule("mon", "22:00", "02:00"), rule("mon-tue", "20:00", "23:00")]);
        assert_eq!(week.spans(), [(72_000, 93_600), (158_400, 169_200)]);
        assert!(
            Week::of(&[rule("mon-sun", "00:00", "12:00"), rule("mon-sun", "12:00", "24:00")])
                .is_full()
        );
        assert!(
            Week::of(&[rule("mon-sun", "12:00", "11:00"), rule("mon-sun", "11:00", "12:00")])
                .is_full()
        );
    }

    #[test]
    fn the_longest_opening_counts_over_the_end_of_the_week() {
        assert_eq!(Week::of(&[rule("sun", "22:00", "02:00")]).longest_s(), Some(4 * 3600));
        assert_eq!(Week::of(&[rule("mon-sun", "01:00", "04:00")]).longest_s(), Some(3 * 3600));
        assert_eq!(Week::of(&[rule("mon-sun", "00:00", "24:00")]).longest_s(), None);
    }

    proptest! {
        #[test]
        fn days_and_times_read_back(set in 1u8..128, seconds in 0..=DAY_S) {
            prop_assert_eq!(Days(set).to_string().parse(), Ok(Days(set)));
            prop_assert_eq!(TimeOfDay(seconds).to_string().parse(), Ok(TimeOfDay(seconds)));
        }

        #[test]
        fn no_text_panics(text: String) {
            drop(text.parse::<Days>());
            drop(text.parse::<TimeOfDay>());
        }
    }
}
