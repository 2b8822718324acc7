//! The window against a slow oracle, over every change of clocks in a dozen zones.
//!
//! The oracle walks in steps of wall-clock granularity and asks the rules by the highest local time
//! seen so far: a clock that never goes back, which is the whole of the gap and fold rule.

use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;
use crate::domain::time::parse_rfc3339;

const ZONES: [&str; 16] = [
    "Africa/Cairo",
    "Africa/Casablanca",
    "America/Havana",
    "America/New_York",
    "America/Nuuk",
    "America/Santiago",
    "America/St_Johns",
    "Antarctica/Troll",
    "Asia/Beirut",
    "Asia/Gaza",
    "Asia/Kathmandu",
    "Atlantic/Azores",
    "Australia/Lord_Howe",
    "Europe/Berlin",
    "Pacific/Chatham",
    "UTC",
];

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

/// All rules and changes of clocks in these tests lie on multiples of this.
const STEP_MS: u64 = 15 * MINUTE_MS;

fn ms(text: &str) -> u64 {
    parse_rfc3339(text).unwrap()
}

fn rule(days: &str, from: &str, to: &str) -> OpeningRule {
    OpeningRule::new(days.parse().unwrap(), from.parse().unwrap(), to.parse().unwrap()).unwrap()
}

fn window(zone: &str, rules: &[OpeningRule], closed: &[&str]) -> Window {
    let closed = closed.iter().map(|date| date.parse().unwrap()).collect();
    Window::new(zone, rules.to_vec(), closed, 0).unwrap()
}

fn open_until(text: &str) -> WindowState {
    WindowState::Open { closes_at_ms: Some(ms(text)) }
}

fn closed_until(text: &str) -> WindowState {
    WindowState::Closed { opens_at_ms: Some(ms(text)) }
}

/// Whether the rules hold at a wall-clock time, by asking each of them.
fn rules_hold(rules: &[OpeningRule], local: DateTime) -> bool {
    let second =
        u32::try_from(i64::from(local.hour()) * 3600 + i64::from(local.minute()) * 60).unwrap();
    let on = |rule: &OpeningRule, date: Date| {
        let name = format!("{:?}", date.weekday()).to_lowercase();
        rule.days()
            .to_string()
            .replace("mon-sun", "mon,tue,wed,thu,fri,sat,sun")
            .contains(&name[..3])
    };
    rules.iter().any(|rule| {
        let (from, to) = (rule.from().seconds(), rule.to().seconds());
        if from < to {
            on(rule, local.date()) && from <= second && second < to
        } else {
            (on(rule, local.date()) && from <= second)
                || (on(rule, local.date().yesterday().unwrap()) && second < to)
        }
    })
}

/// Open intervals in `[from_ms, to_ms)` by walking there; starts a day and a half earlier, so that
/// the clock that never goes back has seen what came before.
fn oracle(window: &Window, from_ms: u64, to_ms: u64) -> Vec<(u64, u64)> {
    let zone = TimeZone::get(window.time_zone()).unwrap();
    let mut highest = DateTime::MIN;
    let mut found: Vec<(u64, u64)> = Vec::new();
    for at_ms in (from_ms - 36 * HOUR_MS..to_ms).step_by(usize::try_from(STEP_MS).unwrap()) {
        let local = zone.to_datetime(timestamp(at_ms));
        highest = highest.max(local);
        if at_ms < from_ms
            || window.closed_dates().contains(&local.date())
            || !rules_hold(window.rules(), highest)
        {
            continue;
        }
        match found.last_mut() {
            Some((_, close_ms)) if *close_ms == at_ms => *close_ms += STEP_MS,
            _ => found.push((at_ms, at_ms + STEP_MS)),
        }
    }
    found
}

/// The openings, cut to what is looked at.
fn openings_within(window: &Window, from_ms: u64, to_ms: u64) -> Vec<(u64, u64)> {
    let cut = |(open, close): (Option<u64>, Option<u64>)| {
        (open.unwrap_or(0).max(from_ms), close.unwrap_or(u64::MAX).min(to_ms))
    };
    window.openings(from_ms, to_ms).into_iter().map(cut).collect()
}

#[test]
fn openings_are_whole_at_both_ends_of_the_range() {
    let day = window("UTC", &[rule("mon-sun", "08:00", "18:00")], &["2026-12-01"]);
    let (from_ms, to_ms) = (ms("2026-11-29T10:00:00Z"), ms("2026-12-02T09:00:00Z"));
    let whole = |date: &str| {
        (Some(ms(&format!("{date}T08:00:00Z"))), Some(ms(&format!("{date}T18:00:00Z"))))
    };
    assert_eq!(
        day.openings(from_ms, to_ms),
        [whole("2026-11-29"), whole("2026-11-30"), whole("2026-12-02")]
    );
    let rules = [rule("mon-sun", "00:00", "24:00")];
    let but_christmas = window("UTC", &rules, &["2026-12-25"]);
    let (eve_ms, after_ms) = (ms("2026-12-25T00:00:00Z"), ms("2026-12-26T00:00:00Z"));
    assert_eq!(but_christmas.openings(from_ms, to_ms), [(None, Some(eve_ms))]);
    assert_eq!(but_christmas.openings(eve_ms, after_ms + 1), [(Some(after_ms), None)]);
}

/// Holds every face of a window against its openings in `[from_ms, to_ms)`.
fn check(window: &Window, from_ms: u64, to_ms: u64) {
    let openings = openings_within(window, from_ms, to_ms);
    assert_eq!(openings, oracle(window, from_ms, to_ms), "{window:?} from {}", timestamp(from_ms));
    let open_ms: u64 = openings.iter().map(|(open, close)| close - open).sum();
    assert_eq!(window.open_ms_between(from_ms, to_ms), open_ms);
    let edges = openings.iter().flat_map(|(open, close)| [*open, *close]).chain([from_ms]);
    for at_ms in edges.flat_map(|edge_ms| [edge_ms, edge_ms.saturating_sub(1), edge_ms + 1]) {
        if at_ms < from_ms || at_ms >= to_ms {
            continue;
        }
        let here = openings.iter().find(|(_, close)| *close > at_ms);
        // The last edge seen here may be the end of what was looked at.
        match (window.state(at_ms), here) {
            (WindowState::Open { closes_at_ms }, Some((open, close))) => {
                assert!(*open <= at_ms);
                assert!(closes_at_ms == Some(*close) || *close == to_ms);
            }
            (WindowState::Closed { opens_at_ms }, Some((open, _))) => {
                assert_eq!(opens_at_ms, Some(*open));
            }
            (WindowState::Closed { opens_at_ms }, None) => {
                assert!(opens_at_ms.is_none_or(|opens_at_ms| opens_at_ms >= to_ms));
            }
            (state, None) => panic!("{state:?} at {}", timestamp(at_ms)),
        }
    }
}

/// Every change of clocks from 2024 to 2032.
fn transitions(zone: &str) -> Vec<u64> {
    let zone = TimeZone::get(zone).unwrap();
    let (start, end) =
        (timestamp(ms("2024-01-01T00:00:00Z")), timestamp(ms("2033-01-01T00:00:00Z")));
    let found = zone.following(start).take_while(|change| change.timestamp() < end);
    found.map(|change| u64::try_from(change.timestamp().as_millisecond()).unwrap()).collect()
}

#[test]
fn every_transition_of_a_dozen_zones_agrees_with_the_oracle() {
    let rule_sets = [
        vec![rule("mon-sun", "01:00", "04:00")],
        vec![rule("mon-sun", "22:00", "02:30")],
        vec![rule("mon-sun", "02:15", "02:45"), rule("mon-sun", "23:15", "00:15")],
        vec![rule("mon-sun", "00:00", "01:00"), rule("mon-sun", "02:00", "24:00")],
        vec![rule("sun", "00:00", "24:00"), rule("thu-sat", "12:00", "03:00")],
        vec![rule("mon-sun", "00:00", "24:00")],
    ];
    let mut checked = 0;
    for zone in ZONES {
        for at_ms in transitions(zone) {
            assert_eq!(at_ms % STEP_MS, 0, "{zone}: the oracle's step is too coarse");
            let local = TimeZone::get(zone).unwrap().to_datetime(timestamp(at_ms)).date();
            for (n, rules) in rule_sets.iter().enumerate() {
                // With and without the date of the change, or the one before, closed.
                let closed = match (n + checked) % 3 {
                    0 => vec![],
                    1 => vec![local],
                    _ => vec![local.yesterday().unwrap()],
                };
                let window = Window::new(zone, rules.clone(), closed, 0).unwrap();
                check(&window, at_ms - 2 * DAY_MS, at_ms + 2 * DAY_MS);
            }
            checked += 1;
        }
    }
    assert!(checked > 200, "only {checked} transitions: is the time zone database there?");
}

#[test]
fn opens_and_closes_by_the_wall_clock() {
    let erp = window("Asia/Shanghai", &[rule("mon-sun", "01:00", "04:00")], &["2026-12-25"]);
    assert_eq!(erp.state(ms("2026-11-20T16:59:59.999Z")), closed_until("2026-11-20T17:00:00Z"));
    assert_eq!(erp.state(ms("2026-11-20T17:00:00Z")), open_until("2026-11-20T20:00:00Z"));
    assert_eq!(erp.state(ms("2026-11-20T19:59:59.999Z")), open_until("2026-11-20T20:00:00Z"));
    assert_eq!(erp.state(ms("2026-11-20T20:00:00Z")), closed_until("2026-11-21T17:00:00Z"));
    assert_eq!(erp.state(ms("2026-12-24T18:00:00Z")), closed_until("2026-12-25T17:00:00Z"));
}

#[test]
fn a_closed_date_takes_the_tail_of_the_night_before_and_leaves_its_own() {
    let nights = window("UTC", &[rule("mon-sun", "22:00", "02:00")], &["2026-12-25"]);
    let (from_ms, to_ms) = (ms("2026-12-24T12:00:00Z"), ms("2026-12-26T12:00:00Z"));
    assert_eq!(
        openings_within(&nights, from_ms, to_ms),
        [
            (ms("2026-12-24T22:00:00Z"), ms("2026-12-25T00:00:00Z")),
            (ms("2026-12-26T00:00:00Z"), ms("2026-12-26T02:00:00Z")),
        ]
    );
}

#[test]
fn touching_rules_close_once() {
    let rules = [rule("mon-sun", "22:00", "24:00"), rule("mon-sun", "00:00", "02:00")];
    let nights = window("Europe/Berlin", &rules, &[]);
    assert_eq!(nights.state(ms("2026-11-22T22:30:00Z")), open_until("2026-11-23T01:00:00Z"));
}

#[test]
fn a_window_that_never_closes_says_so() {
    let rules = [rule("mon-sun", "12:00", "24:00"), rule("mon-sun", "00:00", "12:00")];
    let always = window("Europe/Berlin", &rules, &[]);
    let never = WindowState::Open { closes_at_ms: None };
    assert_eq!(always.state(0), never);
    assert_eq!(always.state(u64::MAX), never);
    assert_eq!(always.open_ms_between(5, u64::MAX), u64::MAX - 5);
    let (from_ms, to_ms) = (ms("2026-01-01T00:00:00Z"), ms("2026-01-15T00:00:00Z"));
    assert_eq!(always.openings(from_ms, to_ms), [(None, None)]);
}

#[test]
fn a_far_closed_date_is_seen_and_a_farther_one_is_not() {
    let always = [rule("mon-sun", "00:00", "24:00")];
    let once = window("UTC", &always, &["2027-12-25"]);
    assert_eq!(once.state(ms("2026-01-01T00:00:00Z")), open_until("2027-12-25T00:00:00Z"));
    assert_eq!(once.state(ms("2027-12-25T12:00:00Z")), closed_until("2027-12-26T00:00:00Z"));
    assert_eq!(once.state(ms("2025-01-01T00:00:00Z")), WindowState::Open { closes_at_ms: None });
}

#[test]
fn an_opening_beyond_two_years_is_not_looked_for() {
    let first: Date = "2026-01-01".parse().unwrap();
    let closed = (0..800i64).map(|day| first.checked_add(day.days()).unwrap()).collect();
    let shut = Window::new("UTC", vec![rule("mon-sun", "01:00", "04:00")], closed, 0).unwrap();
    assert_eq!(shut.state(ms("2026-01-01T00:00:00Z")), WindowState::Closed { opens_at_ms: None });
    assert_eq!(shut.state(ms("2027-01-01T00:00:00Z")), closed_until("2028-03-11T01:00:00Z"));
}

#[test]
fn what_could_never_open_is_refused() {
    let new = |zone: &str, rules: &[OpeningRule], min_remaining_ms| {
        Window::new(zone, rules.to_vec(), Vec::new(), min_remaining_ms)
    };
    let hour = [rule("mon", "01:00", "02:00")];
    assert!(matches!(new("Mars/Olympus", &hour, 0), Err(BadWindow::UnknownTimeZone(_))));
    assert_eq!(new("UTC", &[], 0), Err(BadWindow::NoOpening));
    assert!(matches!(new("UTC", &hour, HOUR_MS), Err(BadWindow::TooShort { .. })));
    assert!(new("UTC", &hour, HOUR_MS - 1).is_ok());
    assert!(new("UTC", &[rule("mon-sun", "00:00", "24:00")], u64::MAX).is_ok());
}

#[test]
fn long_ranges_are_bounded() {
    let erp = window("Europe/Berlin", &[rule("mon-sun", "01:00", "04:00")], &[]);
    let ten_years_ms = erp.open_ms_between(0, u64::MAX);
    assert!((3650 * 3 * HOUR_MS..3665 * 3 * HOUR_MS).contains(&ten_years_ms), "{ten_years_ms}");
    assert!(erp.openings(0, u64::MAX).len() < 740);
    assert_eq!(erp.open_ms_between(9, 3), 0);
    assert!(matches!(erp.state(u64::MAX), WindowState::Closed { .. } | WindowState::Open { .. }));
}

/// Rules on multiples of the oracle's step.
fn any_rule() -> impl Strategy<Value = OpeningRule> {
    let days =
        prop::sample::subsequence(vec!["mon", "tue", "wed", "thu", "fri", "sat", "sun"], 1..=7);
    (days, 0u64..96, 0u64..=96).prop_filter_map("leaves no time", |(days, from, to)| {
        let time = |step: u64| format!("{:02}:{:02}", step / 4, step % 4 * 15).parse().unwrap();
        OpeningRule::new(days.join(",").parse().unwrap(), time(from), time(to)).ok()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_window_agrees_with_the_oracle(
        zone in prop::sample::select(ZONES.to_vec()),
        rules in prop::collection::vec(any_rule(), 1..5),
        day in 0u64..3000,
        step in 0u64..96,
        closed in prop::collection::vec(-2i64..9, 0..4),
    ) {
        let from_ms = ms("2024-02-01T00:00:00Z") + day * DAY_MS + step * STEP_MS;
        let today = TimeZone::get(zone).unwrap().to_datetime(timestamp(from_ms)).date();
        let closed = closed.iter().map(|n| today.checked_add(n.days()).unwrap()).collect();
        let window = Window::new(zone, rules, closed, 0).unwrap();
        check(&window, from_ms, from_ms + 8 * DAY_MS);
    }

    #[test]
    fn no_moment_panics(rule in any_rule(), now_ms: u64, zone in prop::sample::select(ZONES.to_vec())) {
        let window = Window::new(zone, vec![rule], Vec::new(), 0).unwrap();
        let _state = window.state(now_ms);
        let _open_ms = window.open_ms_between(now_ms, now_ms.saturating_add(DAY_MS));
    }
}
