//! The window against a slow oracle, over every change of clocks in a dozen zones.

use jiff::ToSpan;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::oracle::{HOUR_MS, STEP_MS, oracle};
use super::*;
use crate::domain::time::{parse_rfc3339, timestamp};

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

const DAY_MS: u64 = 24 * HOUR_MS;

fn ms(text: &str) -> u64 {
    parse_rfc3339(text).unwrap()
}

fn rule(days: &str, from: &str, to: &str) -> OpeningRule {
    OpeningRule::new(days.parse().unwrap(), hours(from, to))
}

fn window(zone: &str, rules: &[OpeningRule], closed: &[&str]) -> Window {
    let closed = closed.iter().map(|date| date.parse().unwrap()).collect();
    Window::new(zone, rules.to_vec(), closed_on(closed), 0).unwrap()
}

fn closed_on(closed: Vec<Date>) -> Dates {
    Dates::new(closed, Vec::new()).unwrap()
}

fn hours(from: &str, to: &str) -> Hours {
    Hours::new(from.parse().unwrap(), to.parse().unwrap()).unwrap()
}

fn dated(date: &str, open: &[Hours]) -> DatedOpening {
    DatedOpening { date: date.parse().unwrap(), open: open.to_vec() }
}

fn open_until(text: &str) -> WindowState {
    WindowState::Open { closes_at_ms: Some(ms(text)) }
}

fn closed_until(text: &str) -> WindowState {
    WindowState::Closed { opens_at_ms: Some(ms(text)) }
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
    let of_dates = [hours("00:00", "00:45"), hours("02:15", "02:45"), hours("23:00", "02:30")];
    let mut checked = 0;
    for zone in ZONES {
        for at_ms in transitions(zone) {
            assert_eq!(at_ms % STEP_MS, 0, "{zone}: the oracle's step is too coarse");
            let local = TimeZone::get(zone).unwrap().to_datetime(timestamp(at_ms)).date();
            for (n, rules) in rule_sets.iter().enumerate() {
                // With and without the date of the change, or the one before, closed or with hours of its own.
                let yesterday = local.yesterday().unwrap();
                let entry = |date| DatedOpening { date, open: of_dates.to_vec() };
                let (closed, dated) = match (n + checked) % 5 {
                    0 => (vec![], vec![]),
                    1 => (vec![local], vec![]),
                    2 => (vec![yesterday], vec![]),
                    3 => (vec![], vec![entry(local)]),
                    _ => (vec![local], vec![entry(yesterday)]),
                };
                let dates = Dates::new(closed, dated).unwrap();
                let window = Window::new(zone, rules.clone(), dates, 0).unwrap();
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
fn a_date_with_hours_of_its_own_goes_by_them_alone() {
    let dates = Dates::new(
        vec!["2026-12-28".parse().unwrap()],
        vec![
            dated("2026-12-24", &[hours("08:00", "12:00"), hours("10:00", "13:00")]),
            dated("2026-12-27", &[hours("23:00", "02:00")]),
            dated("2026-12-31", &[hours("23:00", "02:00")]),
        ],
    );
    let nights = [rule("mon-sun", "22:00", "01:00")];
    let window = Window::new("UTC", nights.to_vec(), dates.unwrap(), 0).unwrap();
    let (from_ms, to_ms) = (ms("2026-12-23T12:00:00Z"), ms("2027-01-01T12:00:00Z"));
    let opening = |from: &str, to: &str| (ms(&format!("{from}Z")), ms(&format!("{to}Z")));
    let expected = [
        // The night before ends where the date begins.
        opening("2026-12-23T22:00:00", "2026-12-24T00:00:00"),
        opening("2026-12-24T08:00:00", "2026-12-24T13:00:00"),
        // What the day of the week leaves on the next date stays.
        opening("2026-12-25T00:00:00", "2026-12-25T01:00:00"),
        opening("2026-12-25T22:00:00", "2026-12-26T01:00:00"),
        opening("2026-12-26T22:00:00", "2026-12-27T00:00:00"),
        // Hours past midnight end where the next date is closed.
        opening("2026-12-27T23:00:00", "2026-12-28T00:00:00"),
        opening("2026-12-29T00:00:00", "2026-12-29T01:00:00"),
        opening("2026-12-29T22:00:00", "2026-12-30T01:00:00"),
        opening("2026-12-30T22:00:00", "2026-12-31T00:00:00"),
        opening("2026-12-31T23:00:00", "2027-01-01T02:00:00"),
    ];
    assert_eq!(openings_within(&window, from_ms, to_ms), expected);
    check(&window, from_ms, to_ms);
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
    let shut =
        Window::new("UTC", vec![rule("mon-sun", "01:00", "04:00")], closed_on(closed), 0).unwrap();
    assert_eq!(shut.state(ms("2026-01-01T00:00:00Z")), WindowState::Closed { opens_at_ms: None });
    assert_eq!(shut.state(ms("2027-01-01T00:00:00Z")), closed_until("2028-03-11T01:00:00Z"));
}

#[test]
fn what_could_never_open_is_refused() {
    let new = |zone: &str, rules: &[OpeningRule], min_remaining_ms| {
        Window::new(zone, rules.to_vec(), Dates::default(), min_remaining_ms)
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
    (days, any_hours())
        .prop_map(|(days, hours)| OpeningRule::new(days.join(",").parse().unwrap(), hours))
}

fn any_hours() -> impl Strategy<Value = Hours> {
    (0u64..96, 0u64..=96).prop_filter_map("leaves no time", |(from, to)| {
        let time = |step: u64| format!("{:02}:{:02}", step / 4, step % 4 * 15).parse().unwrap();
        Hours::new(time(from), time(to)).ok()
    })
}

/// The lists of one place, each date once.
#[derive(Default)]
struct Lists {
    closed: Vec<Date>,
    dated: Vec<DatedOpening>,
}

impl Lists {
    fn add(&mut self, entry: DatedOpening) {
        let known = self.dated.iter().map(|entry| entry.date).chain(self.closed.clone());
        if known.into_iter().any(|date| date == entry.date) {
        } else if entry.open.is_empty() {
            self.closed.push(entry.date);
        } else {
            self.dated.push(entry);
        }
    }

    fn dates(self) -> Dates {
        Dates::new(self.closed, self.dated).unwrap()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_window_agrees_with_the_oracle(
        zone in prop::sample::select(ZONES.to_vec()),
        rules in prop::collection::vec(any_rule(), 1..5),
        day in 0u64..3000,
        step in 0u64..96,
        entries in prop::collection::vec((-2i64..9, any::<bool>(), prop::collection::vec(any_hours(), 0..3)), 0..6),
    ) {
        let from_ms = ms("2024-02-01T00:00:00Z") + day * DAY_MS + step * STEP_MS;
        let today = TimeZone::get(zone).unwrap().to_datetime(timestamp(from_ms)).date();
        let (mut own, mut shared) = (Lists::default(), Lists::default());
        for (n, is_own, open) in entries {
            let date = today.checked_add(n.days()).unwrap();
            let lists = if is_own { &mut own } else { &mut shared };
            lists.add(DatedOpening { date, open });
        }
        let name = "shared".parse().unwrap();
        let calendar = Calendar { name, dates: shared.dates() };
        let window = Window::new(zone, rules, own.dates(), 0).unwrap();
        let window = window.with_calendar(Arc::new(calendar));
        check(&window, from_ms, from_ms + 8 * DAY_MS);
    }

    #[test]
    fn no_moment_panics(rule in any_rule(), now_ms: u64, zone in prop::sample::select(ZONES.to_vec())) {
        let window = Window::new(zone, vec![rule], Dates::default(), 0).unwrap();
        let _state = window.state(now_ms);
        let _open_ms = window.open_ms_between(now_ms, now_ms.saturating_add(DAY_MS));
    }
}
