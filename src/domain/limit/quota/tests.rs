//! Periods of zones with every kind of clock change, by hand and at random.

use super::*;
use crate::domain::time::{parse_rfc3339, rfc3339};
use proptest::prelude::*;

fn quota(period: &str, zone: &str) -> Quota {
    let quota: Quota = format!("5/{period}").parse().unwrap();
    quota.in_zone(zone.parse().unwrap())
}

#[track_caller]
fn check(period: &str, zone: &str, now: &str, expected: &str) {
    let now_ms = parse_rfc3339(&format!("{now}:00Z")).unwrap();
    let found = quota(period, zone).boundaries_ms(now_ms).map(rfc3339);
    let expected: Vec<_> = expected.split(' ').map(|at| format!("{at}:00.000Z")).collect();
    assert_eq!(found[..], expected, "{period} {zone} {now}");
}

#[test]
fn quotas_as_people_write_them() {
    for (text, units, shown) in [
        ("50000/day", 50_000, "50000/day"),
        ("1_000/h", 1000, "1000/hour"),
        (" 7 / d ", 7, "7/day"),
        ("1/week", 1, "1/week"),
        ("1000000000000/month", UNITS_MAX, "1000000000000/month"),
    ] {
        let quota: Quota = text.parse().unwrap();
        assert_eq!((quota.units(), quota.to_string().as_str()), (units, shown), "{text}");
        assert_eq!(quota.zone().name(), "UTC");
    }
    let refused = |text: &str| text.parse::<Quota>().unwrap_err();
    let bad = ["", "20", "0/day", "-1/day", "1.5/day", "/day", "20/", "20/year", "20/fortnight"];
    for bad in bad.into_iter().chain(["1000000000001/day", "99999999999999999999/day"]) {
        assert_eq!(refused(bad), BadQuota::Text(bad.to_owned()));
    }
    let why = refused("20/min").to_string();
    assert!(why.ends_with("write rate = \"20/min\" instead"), "{why}");
    assert_eq!(refused("20/s"), BadQuota::Pace("20/s".to_owned()));
}

#[test]
fn days_of_23_24_and_25_hours() {
    check("day", "UTC", "2026-11-29T14:37", "2026-11-29T00:00 2026-11-30T00:00 2026-12-01T00:00");
    let zone = "America/Los_Angeles";
    check("day", zone, "2026-03-08T20:00", "2026-03-08T08:00 2026-03-09T07:00 2026-03-10T07:00");
    check("day", zone, "2026-11-01T20:00", "2026-11-01T07:00 2026-11-02T08:00 2026-11-03T08:00");
    check("day", zone, "2026-11-01T06:59", "2026-10-31T07:00 2026-11-01T07:00 2026-11-02T08:00");
    check("day", zone, "2026-11-01T07:00", "2026-11-01T07:00 2026-11-02T08:00 2026-11-03T08:00");
    check(
        "day",
        "Asia/Kathmandu",
        "2026-06-01T00:00",
        "2026-05-31T18:15 2026-06-01T18:15 2026-06-02T18:15",
    );
}

#[test]
fn a_midnight_that_does_not_exist_is_the_moment_of_the_change() {
    check(
        "day",
        "Asia/Beirut",
        "2026-03-28T23:00",
        "2026-03-28T22:00 2026-03-29T21:00 2026-03-30T21:00",
    );
    check(
        "day",
        "Asia/Beirut",
        "2026-03-28T21:59",
        "2026-03-27T22:00 2026-03-28T22:00 2026-03-29T21:00",
    );
    // The 30th of December 2011 was skipped.
    check(
        "day",
        "Pacific/Apia",
        "2011-12-30T00:00",
        "2011-12-29T10:00 2011-12-30T10:00 2011-12-31T10:00",
    );
    check(
        "day",
        "Pacific/Apia",
        "2011-12-30T10:00",
        "2011-12-30T10:00 2011-12-31T10:00 2012-01-01T10:00",
    );
    check(
        "day",
        "Pacific/Apia",
        "2011-12-29T00:00",
        "2011-12-28T10:00 2011-12-29T10:00 2011-12-30T10:00",
    );
}

#[test]
fn a_midnight_that_repeats_is_the_first() {
    // Set back at midnight to 23:00, at 01:00 to 00:00, and at 00:01 to 23:01.
    check(
        "day",
        "Asia/Beirut",
        "2026-10-24T21:30",
        "2026-10-23T21:00 2026-10-24T22:00 2026-10-25T22:00",
    );
    check(
        "day",
        "America/Havana",
        "2026-11-01T05:30",
        "2026-11-01T04:00 2026-11-02T05:00 2026-11-03T05:00",
    );
    check(
        "day",
        "America/St_Johns",
        "2010-11-07T03:00",
        "2010-11-07T02:30 2010-11-08T03:30 2010-11-09T03:30",
    );
    check(
        "day",
        "America/St_Johns",
        "2010-11-07T02:29",
        "2010-11-06T02:30 2010-11-07T02:30 2010-11-08T03:30",
    );
}

#[test]
fn hours_follow_the_clocks_of_the_zone() {
    check("hour", "UTC", "2026-11-29T14:37", "2026-11-29T14:00 2026-11-29T15:00 2026-11-29T16:00");
    check(
        "hour",
        "Asia/Kolkata",
        "2026-11-29T14:37",
        "2026-11-29T14:30 2026-11-29T15:30 2026-11-29T16:30",
    );
    check(
        "hour",
        "Asia/Kathmandu",
        "2026-11-29T14:10",
        "2026-11-29T13:15 2026-11-29T14:15 2026-11-29T15:15",
    );
    // 02:00 to 03:00 does not exist; seven months later it comes twice.
    check(
        "hour",
        "Europe/Berlin",
        "2026-03-29T00:30",
        "2026-03-29T00:00 2026-03-29T01:00 2026-03-29T02:00",
    );
    check(
        "hour",
        "Europe/Berlin",
        "2026-10-25T00:30",
        "2026-10-25T00:00 2026-10-25T01:00 2026-10-25T02:00",
    );
    // Forward by half an hour at 02:00, and back by as much.
    let zone = "Australia/Lord_Howe";
    check("hour", zone, "2026-10-03T14:45", "2026-10-03T14:30 2026-10-03T15:30 2026-10-03T16:00");
    check("hour", zone, "2026-10-03T15:45", "2026-10-03T15:30 2026-10-03T16:00 2026-10-03T17:00");
    check("hour", zone, "2026-04-04T14:45", "2026-04-04T14:00 2026-04-04T15:00 2026-04-04T15:30");
    check("hour", zone, "2026-04-04T15:10", "2026-04-04T15:00 2026-04-04T15:30 2026-04-04T16:30");
}

#[test]
fn weeks_begin_on_monday_and_months_on_the_first() {
    check("week", "UTC", "2026-11-29T23:59", "2026-11-23T00:00 2026-11-30T00:00 2026-12-07T00:00");
    check("week", "UTC", "2026-11-30T00:00", "2026-11-30T00:00 2026-12-07T00:00 2026-12-14T00:00");
    check(
        "week",
        "Europe/Berlin",
        "2026-03-29T12:00",
        "2026-03-22T23:00 2026-03-29T22:00 2026-04-05T22:00",
    );
    check("month", "UTC", "2028-02-29T12:00", "2028-02-01T00:00 2028-03-01T00:00 2028-04-01T00:00");
    check(
        "month",
        "America/Los_Angeles",
        "2026-11-01T06:59",
        "2026-10-01T07:00 2026-11-01T07:00 2026-12-01T08:00",
    );
    check(
        "month",
        "Asia/Shanghai",
        "2026-12-31T16:00",
        "2026-12-31T16:00 2027-01-31T16:00 2027-02-28T16:00",
    );
}

#[test]
fn the_ends_of_time_are_no_trouble() {
    for zone in ["UTC", "Europe/Berlin", "America/Los_Angeles"] {
        for period in ["hour", "day", "week", "month"] {
            for now_ms in [0, MOMENT_MS_MAX, u64::MAX] {
                let [start, next, end] = quota(period, zone).boundaries_ms(now_ms);
                let now_ms = now_ms.min(MOMENT_MS_MAX);
                assert!(start <= now_ms && now_ms < next && next < end, "{zone} {period}");
            }
        }
    }
}

const ZONES: [&str; 14] = [
    "Africa/Cairo",
    "Africa/Casablanca",
    "Africa/Monrovia",
    "America/Havana",
    "America/St_Johns",
    "Antarctica/Troll",
    "Asia/Beirut",
    "Asia/Gaza",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Europe/Berlin",
    "Pacific/Apia",
    "Pacific/Kwajalein",
    "UTC",
];

proptest! {
    #[test]
    fn periods_follow_each_other_and_contain_now(
        // Until 2050, and often near a change of clocks.
        any_ms in 0u64..2_524_608_000_000,
        near_ms in prop::option::of(0u64..7_200_000),
        zone in prop::sample::select(ZONES.to_vec()),
        period in prop::sample::select(vec!["hour", "day", "week", "month"]),
    ) {
        let quota = quota(period, zone);
        let mut changes = quota.zone.zone().following(timestamp(any_ms));
        let now_ms = match (near_ms, changes.next()) {
            (Some(near_ms), Some(change)) => ms_of(change.timestamp()) + near_ms - 3_600_000,
            _ => any_ms,
        };
        let [start, next, end] = quota.boundaries_ms(now_ms);
        prop_assert!(start <= now_ms && now_ms < next && next < end);
        prop_assert_eq!(quota.boundaries_ms(start), [start, next, end]);
        prop_assert_eq!(quota.boundaries_ms(next - 1), [start, next, end]);
        prop_assert_eq!(&quota.boundaries_ms(next)[..2], &[next, end]);
        if start > 0 {
            prop_assert_eq!(&quota.boundaries_ms(start - 1)[1..], &[start, next]);
        }
        let longest_h = match period { "hour" => 1, "day" => 26, "week" => 7 * 24 + 2, _ => 31 * 24 + 2 };
        prop_assert!(next - start <= longest_h * HOUR_MS);
    }
}
