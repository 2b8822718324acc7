//! From the wall clock of a time zone to moments.
//!
//! Owns what an edge means when clocks change: it is the first moment at which the wall clock, seen
//! as one that never goes back, shows the edge's time or later. So a local time that does not exist
//! is the transition itself (jiff's `compatible` would be as late as the gap is long), and one that
//! repeats counts once, the first. Refuses to know rules and openings.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};

/// The moment of a local time, in milliseconds.
pub(in crate::domain) fn first_ms(zone: &TimeZone, local: DateTime) -> u64 {
    match zone.to_ambiguous_timestamp(local).offset() {
        AmbiguousOffset::Unambiguous { offset } => instant_ms(offset, local),
        AmbiguousOffset::Gap { before, after } => transition_ms(zone, local, before, after),
        AmbiguousOffset::Fold { before, .. } => instant_ms(before, local),
    }
}

/// From the first moment of a local date until after its last one, in milliseconds.
///
/// Nearly always the day from midnight to midnight. Where clocks were once set back over midnight
/// (by some minutes, in old Newfoundland), the first minutes of the next date lie in between and
/// are taken in.
pub(super) fn date_ms(zone: &TimeZone, date: Date) -> (u64, u64) {
    let start_ms = first_ms(zone, DateTime::from_parts(date, Time::midnight()));
    let Ok(tomorrow) = date.tomorrow() else { return (start_ms, u64::MAX) };
    let midnight = DateTime::from_parts(tomorrow, Time::midnight());
    let end_ms = match zone.to_ambiguous_timestamp(midnight).offset() {
        // Clocks go back from after midnight to before it: the date comes twice. If they go back
        // to midnight itself (Havana), what repeats is the next date, and this one is over.
        AmbiguousOffset::Fold { before, after } => {
            let second_ms = instant_ms(after, midnight);
            if transition_ms(zone, midnight, before, after) == second_ms {
                instant_ms(before, midnight)
            } else {
                second_ms
            }
        }
        AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Gap { .. } => {
            first_ms(zone, midnight)
        }
    };
    (start_ms, end_ms)
}

/// The moment at which the zone goes from one offset to the other around an ambiguous local time.
///
/// Read with the two offsets, that time gives two moments, one on either side of the transition;
/// between them the offset changes once, so halving the distance finds it.
fn transition_ms(zone: &TimeZone, local: DateTime, before: Offset, after: Offset) -> u64 {
    let (one_ms, other_ms) = (instant_ms(before, local), instant_ms(after, local));
    let (mut low_s, mut high_s) = (one_ms.min(other_ms) / 1000, one_ms.max(other_ms) / 1000);
    while high_s - low_s > 1 {
        let middle_s = low_s + (high_s - low_s) / 2;
        if zone.to_offset(crate::domain::time::timestamp(middle_s * 1000)) == after {
            high_s = middle_s;
        } else {
            low_s = middle_s;
        }
    }
    high_s * 1000
}

/// A local time read with an offset; before 1970 it is 0, past the calendar the latest moment.
pub(in crate::domain) fn instant_ms(offset: Offset, local: DateTime) -> u64 {
    let at = offset.to_timestamp(local).unwrap_or(Timestamp::MAX);
    u64::try_from(at.as_millisecond()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::rfc3339;
    use jiff::civil::{date, datetime};

    fn edge(zone: &str, local: DateTime) -> String {
        rfc3339(first_ms(&TimeZone::get(zone).unwrap(), local))
    }

    #[test]
    fn a_time_that_does_not_exist_is_the_transition() {
        for (hour, minute) in [(2, 0), (2, 30), (2, 59), (3, 0)] {
            let local = datetime(2026, 3, 29, hour, minute, 0, 0);
            assert_eq!(edge("Europe/Berlin", local), "2026-03-29T01:00:00.000Z", "{local}");
        }
        let half_hour = datetime(2026, 10, 4, 2, 15, 0, 0);
        assert_eq!(edge("Australia/Lord_Howe", half_hour), "2026-10-03T15:30:00.000Z");
        let no_such_day = datetime(2011, 12, 30, 12, 0, 0, 0);
        assert_eq!(edge("Pacific/Apia", no_such_day), "2011-12-30T10:00:00.000Z");
    }

    #[test]
    fn a_time_that_repeats_is_the_first() {
        let local = datetime(2026, 10, 25, 2, 30, 0, 0);
        assert_eq!(edge("Europe/Berlin", local), "2026-10-25T00:30:00.000Z");
    }

    #[test]
    fn a_date_is_all_its_moments() {
        for (zone, day, start, end) in [
            ("Europe/Berlin", date(2026, 10, 25), "2026-10-24T22:00", "2026-10-25T23:00"),
            // Set forward at midnight: the date starts at 01:00.
            ("Asia/Beirut", date(2026, 3, 29), "2026-03-28T22:00", "2026-03-29T21:00"),
            // Set back at midnight to 23:00: the date before is 25 hours long.
            ("Asia/Beirut", date(2026, 10, 24), "2026-10-23T21:00", "2026-10-24T22:00"),
            // Set back at 01:00 to 00:00: the date before ends at its first midnight.
            ("America/Havana", date(2026, 10, 31), "2026-10-31T04:00", "2026-11-01T04:00"),
            ("America/Havana", date(2026, 11, 1), "2026-11-01T04:00", "2026-11-02T05:00"),
            // Set back at 00:01 to 23:01: the date comes twice.
            ("America/St_Johns", date(2010, 11, 6), "2010-11-06T02:30", "2010-11-07T03:30"),
            // Skipped whole.
            ("Pacific/Apia", date(2011, 12, 30), "2011-12-30T10:00", "2011-12-30T10:00"),
        ] {
            let (start_ms, end_ms) = date_ms(&TimeZone::get(zone).unwrap(), day);
            let seen = (rfc3339(start_ms), rfc3339(end_ms));
            assert_eq!(
                seen,
                (format!("{start}:00.000Z"), format!("{end}:00.000Z")),
                "{zone} {day}"
            );
        }
    }
}
