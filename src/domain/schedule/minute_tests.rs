//! Cron held against a plain model that looks at every minute of some days.

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use proptest::prelude::*;

use super::Cadence;
use crate::domain::time::{parse_rfc3339, rfc3339, timestamp};

const MINUTE_MS: u64 = 60_000;

/// The numbers that a field names: lists, ranges and steps.
fn named(field: &str, least: i8, most: i8) -> Vec<i8> {
    let mut numbers = Vec::new();
    for part in field.split(',') {
        let (range, step) = part.split_once('/').unwrap_or((part, "1"));
        let (first, last) = match range.split_once('-') {
            Some((first, last)) => (first.parse().unwrap(), last.parse().unwrap()),
            None if range == "*" => (least, most),
            None => (range.parse().unwrap(), range.parse().unwrap()),
        };
        numbers.extend((first..=last).step_by(step.parse().unwrap()));
    }
    numbers
}

/// A pattern of five fields, as cron reads it.
struct Model {
    minutes: Vec<i8>,
    hours: Vec<i8>,
    days: Vec<i8>,
    months: Vec<i8>,
    weekdays: Vec<i8>,
    has_star: bool,
    zone: TimeZone,
}

impl Model {
    fn new(pattern: &str, zone: &str) -> Self {
        let fields: Vec<&str> = pattern.split(' ').collect();
        Self {
            minutes: named(fields[0], 0, 59),
            hours: named(fields[1], 0, 23),
            days: named(fields[2], 1, 31),
            months: named(fields[3], 1, 12),
            weekdays: named(fields[4], 0, 6),
            has_star: fields[2].starts_with('*') || fields[4].starts_with('*'),
            zone: TimeZone::get(zone).unwrap(),
        }
    }

    fn names(&self, local: DateTime) -> bool {
        let day = self.days.contains(&local.day());
        let weekday = self.weekdays.contains(&local.weekday().to_sunday_zero_offset());
        self.minutes.contains(&local.minute())
            && self.hours.contains(&local.hour())
            && self.months.contains(&local.month())
            && if self.has_star { day && weekday } else { day || weekday }
    }

    fn ticks_at(&self, at_ms: u64) -> bool {
        let local = self.zone.to_datetime(timestamp(at_ms));
        if self.hours.len() == 24 {
            // Real time: whatever the wall clock shows now.
            return self.names(local);
        }
        let before = self.zone.to_datetime(timestamp(at_ms - MINUTE_MS));
        // Local times that clocks skip now.
        let mut skipped = before.checked_add(jiff::ToSpan::minutes(1)).unwrap();
        while skipped < local {
            if self.names(skipped) {
                return true;
            }
            skipped = skipped.checked_add(jiff::ToSpan::minutes(1)).unwrap();
        }
        self.names(local) && !self.is_second_time(local, at_ms)
    }

    /// Whether the wall clock showed this time before.
    fn is_second_time(&self, local: DateTime, at_ms: u64) -> bool {
        match self.zone.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Fold { after, .. } => self.zone.to_offset(timestamp(at_ms)) == after,
            AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Gap { .. } => false,
        }
    }

    fn ticks(&self, from_ms: u64, until_ms: u64) -> Vec<String> {
        let minutes = (from_ms + MINUTE_MS..=until_ms).step_by(60_000);
        minutes.filter(|at_ms| self.ticks_at(*at_ms)).map(rfc3339).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_tick_is_where_the_model_has_it(
        minute in prop::sample::select(vec!["*", "*/20", "0", "30", "5-10", "0,45"]),
        hour in prop::sample::select(vec![
            "*", "*/1", "0-23", "*/2", "1-23/2", "2", "1-3", "2,14", "0-3,20-23", "*/7",
        ]),
        day in prop::sample::select(vec!["*", "*", "*/2", "1-31", "28-30", "25", "1,15"]),
        weekday in prop::sample::select(vec!["*", "*", "*/2", "0", "1", "1-5", "0,6"]),
        (zone, from) in prop::sample::select(vec![
            ("Europe/Berlin", "2027-03-26T12:00:00Z"),
            ("Europe/Berlin", "2026-10-23T12:00:00Z"),
            ("America/New_York", "2026-03-06T12:00:00Z"),
            ("America/Havana", "2026-10-30T12:00:00Z"),
            ("Asia/Beirut", "2026-03-27T12:00:00Z"),
            ("Asia/Beirut", "2026-10-23T00:00:00Z"),
            ("Australia/Lord_Howe", "2026-10-02T00:00:00Z"),
            ("Australia/Lord_Howe", "2026-04-03T00:00:00Z"),
            ("Pacific/Apia", "2011-12-28T12:00:00Z"),
            ("Asia/Shanghai", "2026-03-27T12:00:00Z"),
        ]),
    ) {
        let pattern = format!("{minute} {hour} {day} * {weekday}");
        let from_ms = parse_rfc3339(from).unwrap();
        let until_ms = from_ms + 4 * 86_400_000;
        let cadence = Cadence::cron(&pattern, zone).unwrap();
        let found: Vec<String> =
            cadence.after(from_ms).take_while(|at_ms| *at_ms <= until_ms).map(rfc3339).collect();
        prop_assert_eq!(found, Model::new(&pattern, zone).ticks(from_ms, until_ms), "{}", pattern);
    }
}
