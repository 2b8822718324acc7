//! The gates follow upon one another.

use super::*;
use crate::config::testing::queue_of;
use crate::domain::gates::{PauseEnd, QueueLoad, Snapshot, gates};
use crate::domain::keys::LimitValue;
use crate::domain::limit::{Cost, KeptLimit};
use crate::domain::overrides::{Override, OverrideChange, put_in_force};
use crate::domain::time::{parse_rfc3339, rfc3339};

const NOW: &str = "2026-11-30T12:00:00.000Z";
const WINDOW: &str = "[queues.q.window]\ntime_zone = \"Asia/Shanghai\"\nopen = [{ days = \"mon-sun\", from = \"01:00\", to = \"04:00\" }]\n";
const HOURS: &str = "[queues.q.recipient_hours]\nfallback_zone = \"Asia/Shanghai\"\nopen = [{ days = \"tue\", from = \"03:30\", to = \"21:00\" }]\n";
const QUOTA: &str = "limits = [{ quota = \"10/day\", name = \"day\" }]\n";

fn ms(text: &str) -> u64 {
    parse_rfc3339(text).unwrap()
}

fn used(units: u64) -> Snapshot {
    let [from_ms, to_ms] = ["2026-11-30T00:00:00Z", "2026-12-01T00:00:00Z"].map(ms);
    let standing = format!("{from_ms} {to_ms} {units}");
    let limits = vec![KeptLimit { standing, debt: String::new() }];
    Snapshot { load: Some(QueueLoad { limits, shards: Vec::new() }), ..Snapshot::default() }
}

fn earliest(text: &str, snapshot: &Snapshot, due: &str) -> String {
    let policy = queue_of(text);
    let gates = gates(&policy, snapshot, Some(ms(NOW)));
    let at_ms = gates.earliest_ms(&policy, &Details::default(), None, ms(due));
    at_ms.map_or_else(|| "nobody knows".to_owned(), rfc3339)
}

#[test]
fn each_gate_is_followed_to_the_next_one() {
    let open = Snapshot::default();
    let paused = |end| Snapshot { pause: Some(end), ..Snapshot::default() };
    let until = paused(PauseEnd::At(ms("2026-11-30T18:30:00Z")));
    // Shanghai is eight hours ahead: the window is open from 17:00 to 20:00.
    for (text, snapshot, due, expected) in [
        ("", &open, NOW, NOW),
        ("", &open, "2026-11-30T12:00:05.000Z", "2026-11-30T12:00:05.000Z"),
        ("", &open, "2026-11-30T11:00:00.000Z", NOW),
        ("", &paused(PauseEnd::Resume), NOW, "nobody knows"),
        (WINDOW, &open, NOW, "2026-11-30T17:00:00.000Z"),
        (WINDOW, &open, "2026-11-30T18:00:00.000Z", "2026-11-30T18:00:00.000Z"),
        (WINDOW, &open, "2026-11-30T20:00:00.000Z", "2026-12-01T17:00:00.000Z"),
        (WINDOW, &until, NOW, "2026-11-30T18:30:00.000Z"),
        (HOURS, &open, NOW, "2026-11-30T19:30:00.000Z"),
    ] {
        assert_eq!(earliest(text, snapshot, due), expected, "{text} {due}");
    }
    let both = format!("{WINDOW}{HOURS}");
    assert_eq!(earliest(&both, &open, NOW), "2026-11-30T19:30:00.000Z", "the hours decide");
    let late = "2026-12-01T12:30:00.000Z";
    assert_eq!(earliest(&both, &open, late), "2026-12-07T19:30:00.000Z", "a week later");
}

#[test]
fn a_quota_counts_at_its_own_cost_and_for_what_is_due_later_too() {
    assert_eq!(earliest(QUOTA, &used(9), NOW), NOW);
    assert_eq!(earliest(QUOTA, &used(10), NOW), "2026-12-01T00:00:00.000Z");
    let both = format!("{QUOTA}{WINDOW}");
    let due = "2026-11-30T17:30:00.000Z";
    assert_eq!(earliest(&both, &used(9), due), due);
    assert_eq!(earliest(&both, &used(10), due), "2026-12-01T17:00:00.000Z");
    let policy = queue_of(QUOTA);
    let gates = gates(&policy, &used(9), Some(ms(NOW)));
    let details = |units| Details { cost: Cost::new(units).unwrap(), ..Details::default() };
    let at_ms = |cost| gates.earliest_ms(&policy, &details(cost), None, 0);
    assert_eq!(at_ms(2), Some(ms("2026-12-01T00:00:00Z")));
    assert_eq!(at_ms(11), None, "it costs more than a whole day has");
}

#[test]
fn no_limit_holds_beyond_the_end_of_its_override() {
    let limit = |name: &str, value| OverrideChange::Limit { name: name.parse().unwrap(), value };
    let with = |change, until: &str| Override {
        id: "one".to_owned(),
        queue: "q".parse().unwrap(),
        change,
        above: false,
        from_ms: ms(NOW) - 1000,
        until_ms: ms(until),
        ended_ms: None,
        reason: String::new(),
        by: String::new(),
    };
    let at = |text: &str, over: Override, snapshot: &Snapshot| {
        let policy = put_in_force(&queue_of(text), &[over], ms(NOW));
        let gates = gates(&policy, snapshot, Some(ms(NOW)));
        gates.earliest_ms(&policy, &Details::default(), None, 0).map(rfc3339).unwrap_or_default()
    };
    // One an hour in place of twenty a second: the next slot would be in half an hour.
    let hourly = limit("rate", LimitValue::Rate("1/h".parse().unwrap()));
    let standing = format!("{}.0", (ms(NOW) + 1_800_000) * 1000);
    let limits = vec![KeptLimit { standing, debt: String::new() }];
    let taken =
        Snapshot { load: Some(QueueLoad { limits, shards: Vec::new() }), ..Snapshot::default() };
    let soon = "2026-11-30T12:01:00.000Z";
    assert_eq!(at("rate = \"20/s\"\n", with(hourly.clone(), soon), &taken), soon);
    let late = "2026-11-30T13:00:00.000Z";
    assert_eq!(at("rate = \"20/s\"\n", with(hourly, late), &taken), "2026-11-30T12:30:00.000Z");
    // What was used of a quota stays used.
    let five = limit("day", LimitValue::Quota("5/day".parse().unwrap()));
    assert_eq!(at(QUOTA, with(five.clone(), soon), &used(7)), soon);
    assert_eq!(at(QUOTA, with(five, soon), &used(10)), "2026-12-01T00:00:00.000Z");
}

#[test]
fn what_its_key_has_used_counts_and_what_stands_ahead_does_not() {
    let policy = queue_of("concurrency = 1\nbatch = { max_items = 10, max_wait = \"1m\" }\n");
    let gates = gates(&policy, &Snapshot::default(), Some(ms(NOW)));
    let per_to = |until_ms| KeyHold {
        limits: vec![("per_to".parse().unwrap(), until_ms)],
        ahead: None,
        has_turn: false,
    };
    let at_ms = |keys| gates.earliest_ms(&policy, &Details::default(), Some(&keys), 0);
    assert_eq!(at_ms(per_to(Some(ms(NOW) + 5))), Some(ms(NOW) + 5));
    assert_eq!(at_ms(per_to(None)), None);
}
