//! When schedules tick, over changes of the clocks, and what is caught up.

use proptest::prelude::*;

use super::{CATCH_UP_MAX, Cadence, CatchUp, Due, ScheduleName, due};
use crate::domain::time::{parse_rfc3339, rfc3339};

fn cron(pattern: &str, zone: &str) -> Cadence {
    Cadence::cron(pattern, zone).unwrap_or_else(|error| panic!("{error}"))
}

fn at(text: &str) -> u64 {
    parse_rfc3339(text).unwrap()
}

/// The ticks after a moment, as `month-day hour:minute` of UTC.
fn ticks(cadence: &Cadence, after: &str, count: usize) -> Vec<String> {
    let short = |at_ms| rfc3339(at_ms)[5..16].replace('T', " ");
    cadence.after(at(after)).take(count).map(short).collect()
}

#[test]
fn a_daily_time_that_clocks_skip_is_the_moment_of_the_change() {
    for (zone, pattern, after, expected) in [
        // 02:30 does not exist on the 29th: 03:00, which is 01:00 UTC.
        (
            "Europe/Berlin",
            "30 2 * * *",
            "2026-03-28T00:00:00Z",
            ["03-28 01:30", "03-29 01:00", "03-30 00:30"],
        ),
        (
            "America/New_York",
            "0 2 * * *",
            "2026-03-07T00:00:00Z",
            ["03-07 07:00", "03-08 07:00", "03-09 06:00"],
        ),
        // Half an hour only.
        (
            "Australia/Lord_Howe",
            "15 2 * * *",
            "2026-10-02T12:00:00Z",
            ["10-02 15:45", "10-03 15:30", "10-04 15:15"],
        ),
        // At midnight.
        (
            "Asia/Beirut",
            "0 0 * * *",
            "2026-03-27T00:00:00Z",
            ["03-27 22:00", "03-28 22:00", "03-29 21:00"],
        ),
        // Southern: clocks go forward in October.
        (
            "Australia/Sydney",
            "30 2 * * *",
            "2026-10-02T00:00:00Z",
            ["10-02 16:30", "10-03 16:00", "10-04 15:30"],
        ),
        // No change at all.
        (
            "Asia/Shanghai",
            "30 0 * * *",
            "2026-03-28T00:00:00Z",
            ["03-28 16:30", "03-29 16:30", "03-30 16:30"],
        ),
    ] {
        assert_eq!(ticks(&cron(pattern, zone), after, 3), expected, "{zone} {pattern}");
    }
}

#[test]
fn a_whole_day_that_a_zone_skipped_ticks_once() {
    let noon = cron("0 12 * * *", "Pacific/Apia");
    assert_eq!(
        ticks(&noon, "2011-12-29T00:00:00Z", 3),
        ["12-29 22:00", "12-30 10:00", "12-30 22:00"]
    );
}

#[test]
fn a_daily_time_that_repeats_counts_once_the_first() {
    for (zone, pattern, after, expected) in [
        (
            "Europe/Berlin",
            "30 2 * * *",
            "2026-10-24T12:00:00Z",
            ["10-25 00:30", "10-26 01:30", "10-27 01:30"],
        ),
        (
            "America/New_York",
            "30 1 * * *",
            "2026-10-31T12:00:00Z",
            ["11-01 05:30", "11-02 06:30", "11-03 06:30"],
        ),
        (
            "Australia/Lord_Howe",
            "45 1 * * *",
            "2026-04-03T20:00:00Z",
            ["04-04 14:45", "04-05 15:15", "04-06 15:15"],
        ),
    ] {
        assert_eq!(ticks(&cron(pattern, zone), after, 3), expected, "{zone} {pattern}");
    }
}

#[test]
fn several_hours_of_a_day_keep_to_the_same_rules() {
    // croner by itself would leave 02:30 out in spring, and tick twice in autumn.
    let twice = cron("30 2,14 * * *", "Europe/Berlin");
    assert_eq!(
        ticks(&twice, "2026-03-28T20:00:00Z", 3),
        ["03-29 01:00", "03-29 12:30", "03-30 00:30"]
    );
    assert_eq!(
        ticks(&twice, "2026-10-24T20:00:00Z", 3),
        ["10-25 00:30", "10-25 13:30", "10-26 01:30"]
    );
    // Every skipped time is the same moment.
    let often = cron("*/20 2-3 * * *", "Europe/Berlin");
    assert_eq!(
        ticks(&often, "2026-03-28T12:00:00Z", 4),
        ["03-29 01:00", "03-29 01:20", "03-29 01:40", "03-30 00:00"]
    );
}

#[test]
fn patterns_of_every_hour_follow_real_time() {
    let quarters = cron("*/15 * * * *", "Europe/Berlin");
    for from in ["2026-03-28T23:00:00Z", "2026-10-24T22:00:00Z"] {
        let times: Vec<u64> = quarters.after(at(from)).take(40).collect();
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] == 15 * 60_000), "{from}");
    }
    let hourly = cron("@hourly", "Europe/Berlin");
    assert_eq!(
        ticks(&hourly, "2026-10-24T22:30:00Z", 4),
        ["10-24 23:00", "10-25 00:00", "10-25 01:00", "10-25 02:00"]
    );
    // From within the repeated hour, either pass.
    assert_eq!(ticks(&hourly, "2026-10-25T00:10:00Z", 2), ["10-25 01:00", "10-25 02:00"]);
    assert_eq!(ticks(&hourly, "2026-10-25T01:10:00Z", 2), ["10-25 02:00", "10-25 03:00"]);
    // Half an hour that repeats: 01:30 to 02:00.
    let halves = cron("*/30 * * * *", "Australia/Lord_Howe");
    let times: Vec<u64> = halves.after(at("2026-04-04T12:00:00Z")).take(12).collect();
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] == 30 * 60_000));
}

#[test]
fn patterns_of_every_hour_leave_out_what_clocks_skip() {
    for pattern in ["30 * 28 3 *", "30 */1 28 3 *", "30 0-23 28 3 *", "0 30 * 28 3 *"] {
        let ticks = ticks(&cron(pattern, "Europe/Berlin"), "2027-03-27T22:00:00Z", 4);
        assert_eq!(
            ticks,
            ["03-27 23:30", "03-28 00:30", "03-28 01:30", "03-28 02:30"],
            "{pattern}"
        );
    }
    // A whole day that was skipped, second by second, is left out at once.
    let seconds = cron("* * * 29,30 12 *", "Pacific/Apia");
    assert_eq!(ticks(&seconds, "2011-12-30T09:59:59Z", 1), ["12-28 10:00"]);
}

#[test]
fn a_day_that_begins_with_a_star_narrows_the_other() {
    // Odd days that are Mondays; Mondays that fall on an odd day.
    for pattern in ["0 0 */2 * 1", "0 0 0 */2 * 1", "0 0 1-31/2 * 1"] {
        let found = ticks(&cron(pattern, "UTC"), "2026-11-01T00:00:00Z", 3);
        let both = ["11-09 00:00", "11-23 00:00", "12-07 00:00"];
        assert_eq!(found == both, pattern.contains('*') && !pattern.contains("1-31"), "{pattern}");
    }
    // Even weekdays (Sunday is 0) that are the 13th.
    let found = ticks(&cron("0 0 13 * */2", "UTC"), "2026-09-01T00:00:00Z", 2);
    assert_eq!(found, ["09-13 00:00", "10-13 00:00"]);
}

#[test]
fn what_cron_writes_is_understood() {
    for (pattern, after, expected) in [
        ("0 9 * * MON-FRI", "2026-11-20T10:00:00Z", "11-23 09:00"),
        // Every 13th and every Friday, as cron has it.
        ("0 0 13 * FRI", "2026-11-10T00:00:00Z", "11-13 00:00"),
        ("0 0 13 * FRI", "2026-11-13T00:00:00Z", "11-20 00:00"),
        ("0 0 L * *", "2026-02-10T00:00:00Z", "02-28 00:00"),
        ("0 0 15W * *", "2026-11-01T00:00:00Z", "11-16 00:00"),
        ("0 0 * * FRI#3", "2026-11-01T00:00:00Z", "11-20 00:00"),
        ("@daily", "2026-11-01T00:00:00Z", "11-02 00:00"),
        ("  30  0 * * * ", "2026-11-01T00:00:00Z", "11-01 00:30"),
        ("0 0 29 2 *", "2026-11-01T00:00:00Z", "02-29 00:00"),
    ] {
        assert_eq!(ticks(&cron(pattern, "UTC"), after, 1), [expected], "{pattern}");
    }
    let seconds = cron("*/10 * * * * *", "UTC");
    assert_eq!(seconds.next_after(at("2026-11-01T00:00:05Z")), Some(at("2026-11-01T00:00:10Z")));
}

#[test]
fn what_is_no_cadence_is_refused_with_what_is_expected() {
    for (pattern, part) in [
        ("", "is not a valid cron pattern"),
        ("* * * *", "expected five fields"),
        ("61 * * * *", "\"61 * * * *\" is not a valid cron pattern"),
        ("0 0 * * * * 2027", "is not a valid cron pattern"),
        ("every day", "it has 2 fields; expected five fields"),
        ("0 25 * * *", "the field for the hour, \"25\", is not valid (it takes 0 to 23)"),
        ("0 0 * foo *", "the field for the month, \"foo\""),
        ("70 0 0 * * *", "the field for the second, \"70\""),
        ("@nightly", "@nightly is not known"),
        ("0 0 30 2 *", "\"0 0 30 2 *\" never comes"),
        (&"*".repeat(300), "far too long"),
    ] {
        let error = Cadence::cron(pattern, "UTC").unwrap_err().to_string();
        assert!(error.contains(part), "{pattern}: {error}");
    }
    let error = Cadence::cron("@daily", "Asia/Peking").unwrap_err().to_string();
    assert!(error.contains("\"Asia/Peking\" is not a valid time zone"), "{error}");
    for (every, part) in [
        ("15", "is not a valid duration"),
        ("10ms", "found 10ms, expected 100ms to 366d"),
        ("400d", "to 366d"),
    ] {
        let error = Cadence::every(every).unwrap_err().to_string();
        assert!(error.contains(part), "{every}: {error}");
    }
    assert!("Nightly".parse::<ScheduleName>().unwrap_err().to_string().contains("schedule name"));
}

#[test]
fn every_counts_from_the_epoch() {
    let quarter = Cadence::every("15m").unwrap();
    assert_eq!(ticks(&quarter, "2026-11-20T12:07:00Z", 2), ["11-20 12:15", "11-20 12:30"]);
    assert_eq!(quarter.next_after(at("2026-11-20T12:15:00Z")), Some(at("2026-11-20T12:30:00Z")));
    assert_eq!(quarter.to_string(), "every 15m");
    assert_eq!(quarter, Cadence::every("900s").unwrap());
    assert_ne!(cron("0 0 * * *", "UTC"), cron("0 0 * * *", "Asia/Shanghai"));
}

/// A tick an hour, with the oldest unfired one at `next`.
fn of(catch_up: CatchUp, next: &str, now: &str) -> (Option<String>, String, u64) {
    let hourly = Cadence::every("1h").unwrap();
    let Due { fire_ms, next_ms, missed } = due(&hourly, catch_up, at(next), at(now));
    let short = |at_ms| rfc3339(at_ms)[11..16].to_owned();
    (fire_ms.map(short), next_ms.map(short).unwrap_or_default(), missed)
}

#[test]
fn missed_ticks_are_caught_up_as_the_schedule_says() {
    let (next, on_time, late) =
        ("2026-11-20T12:00:00Z", "2026-11-20T12:00:30Z", "2026-11-20T15:30:00Z");
    let some = |text: &str| Some(text.to_owned());
    for catch_up in [CatchUp::None, CatchUp::One, CatchUp::All] {
        assert_eq!(of(catch_up, next, on_time), (some("12:00"), "13:00".to_owned(), 0));
        assert_eq!(of(catch_up, next, "2026-11-20T11:59:59Z"), (None, "12:00".to_owned(), 0));
    }
    assert_eq!(of(CatchUp::None, next, late), (None, "16:00".to_owned(), 4));
    assert_eq!(of(CatchUp::One, next, late), (some("15:00"), "16:00".to_owned(), 3));
    assert_eq!(of(CatchUp::All, next, late), (some("12:00"), "13:00".to_owned(), 0));
    // The newest of several is on time.
    let just = "2026-11-20T15:00:10Z";
    assert_eq!(of(CatchUp::None, next, just), (some("15:00"), "16:00".to_owned(), 3));
}

#[test]
fn a_long_rest_is_looked_back_upon_in_bounds() {
    let second = Cadence::every("1s").unwrap();
    let (next, now) = (at("2020-01-01T00:00:00Z"), at("2026-11-20T12:00:00Z"));
    let all = due(&second, CatchUp::All, next, now);
    let behind = (now - all.fire_ms.unwrap()) / 1000;
    assert!((CATCH_UP_MAX as u64 / 2..=CATCH_UP_MAX as u64).contains(&behind), "{behind}");
    assert_eq!(all.next_ms, all.fire_ms.map(|fire_ms| fire_ms + 1000));
    let one = due(&second, CatchUp::One, next, now);
    assert_eq!((one.fire_ms, one.next_ms), (Some(now), Some(now + 1000)));
    // More than a year ago is over.
    let yearly = cron("0 0 1 1 *", "UTC");
    let old = due(&yearly, CatchUp::One, at("2015-01-01T00:00:00Z"), at("2015-12-31T00:00:00Z"));
    assert_eq!(old.fire_ms, Some(at("2015-01-01T00:00:00Z")));
    let leap = cron("0 0 29 2 *", "UTC");
    let over = due(&leap, CatchUp::One, at("2020-02-29T00:00:00Z"), at("2022-01-01T00:00:00Z"));
    assert_eq!((over.fire_ms, over.next_ms), (None, Some(at("2024-02-29T00:00:00Z"))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However one walks, the ticks are the same ones, ascending, and none is left out.
    #[test]
    fn ticks_ascend_and_do_not_depend_on_where_one_looks_from(
        minute in 0u8..60, step in 1u8..30, hours in prop::sample::select(vec!["*", "2", "1-3", "2,14", "*/2"]),
        zone in prop::sample::select(vec!["Europe/Berlin", "Australia/Lord_Howe", "America/Havana", "Asia/Beirut", "UTC"]),
        day in 0u64..730, offset_ms in 0u64..86_400_000,
    ) {
        let cadence = cron(&format!("{minute}-59/{step} {hours} * * *"), zone);
        let from = at("2026-01-01T00:00:00Z") + day * 86_400_000;
        let walked: Vec<u64> = cadence.after(from).take(100).collect();
        prop_assert!(walked.windows(2).all(|pair| pair[0] < pair[1]));
        let middle = from + offset_ms;
        if let Some(expected) = walked.iter().find(|at_ms| **at_ms > middle) {
            prop_assert_eq!(cadence.next_after(middle), Some(*expected));
        }
    }

    #[test]
    fn no_text_panics(text: String) {
        drop(Cadence::cron(&text, "Europe/Berlin"));
        drop(Cadence::cron("@daily", &text));
        drop(Cadence::every(&text));
    }

    /// Walking from tick to tick, `all` fires each once, whatever the moments of looking.
    #[test]
    fn all_fires_each_once(steps in prop::collection::vec(1u64..200_000, 1..40)) {
        let cadence = Cadence::every("1m").unwrap();
        let start = at("2026-11-20T12:00:00Z");
        let (mut now, mut next, mut fired) = (start, Some(start + 60_000), Vec::new());
        for step in steps {
            now += step;
            while let Some(next_ms) = next.filter(|next_ms| *next_ms <= now) {
                let due = due(&cadence, CatchUp::All, next_ms, now);
                fired.extend(due.fire_ms);
                next = due.next_ms;
            }
        }
        let expected: Vec<u64> = (1..=(now - start) / 60_000).map(|n| start + n * 60_000).collect();
        prop_assert_eq!(fired, expected);
    }
}
