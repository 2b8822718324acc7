//! What is said of backlogs, beside the second implementation and by hand.

use std::sync::Arc;

use super::slow::starts_ms;
use super::*;
use crate::config::testing::queue_of;
use crate::domain::gates::PauseEnd;
use crate::domain::keys::LimitValue;
use crate::domain::overrides::{Override, OverrideChange, later_stages, put_in_force};
use crate::domain::time::{parse_rfc3339, rfc3339};

const WINDOW: &str = "[queues.q.window]\ntime_zone = \"UTC\"\nmin_remaining = \"0s\"\nopen = [{ days = \"mon-sun\", from = \"01:00\", to = \"04:00\" }, { days = \"mon-sun\", from = \"13:00\", to = \"15:30\" }]\n";

fn ms(text: &str) -> u64 {
    parse_rfc3339(text).unwrap()
}

const NOON: &str = "2026-11-30T12:00:00.000Z";

struct Scene {
    policy: Arc<QueuePolicy>,
    later: Vec<PolicyStage>,
    snapshot: Snapshot,
    ready: Vec<ReadyLine>,
    due: Vec<DueMessages>,
    mean_call_ms: Option<f64>,
}

impl Scene {
    fn of(text: &str, messages: f64) -> Self {
        let ready = vec![ReadyLine { messages, share: 1.0, is_of_key: false }];
        let snapshot = Snapshot::default();
        Self {
            policy: queue_of(text),
            later: Vec::new(),
            snapshot,
            ready,
            due: Vec::new(),
            mean_call_ms: None,
        }
    }

    fn facts(&self) -> ForecastFacts<'_> {
        ForecastFacts {
            policy: &self.policy,
            later: &self.later,
            snapshot: &self.snapshot,
            ready: self.ready.clone(),
            due: self.due.clone(),
            mean_call_ms: self.mean_call_ms,
            mean_cost: 1.0,
            now_ms: ms(NOON),
        }
    }

    fn forecast(&self, hours: u32) -> Forecast {
        forecast(&self.facts(), hours)
    }

    fn empties(&self) -> String {
        self.forecast(48).empties_ms.map_or_else(|| "never".to_owned(), rfc3339)
    }

    fn gate(&self) -> String {
        self.forecast(1).binding_gate.map(|gate| gate.to_string()).unwrap_or_default()
    }

    fn leaves(&self, ahead: u64) -> String {
        let facts = self.facts();
        leaves_ms(&facts, 0, ahead, facts.now_ms).map_or_else(|| "nobody knows".to_owned(), rfc3339)
    }
}

#[test]
fn a_rate_drains_a_flood_at_its_pace() {
    let scene = Scene::of("rate = \"20/s\"\n", 200_000.0);
    let forecast = scene.forecast(24);
    assert_eq!(forecast.backlog, 200_000);
    assert_eq!(forecast.rate_now, Some(20.0));
    assert_eq!(scene.gate(), "limit:rate");
    // 200,000 ÷ 20 = 10,000 s.
    assert_eq!(scene.empties(), "2026-11-30T14:46:40.000Z");
    assert_eq!((forecast.next_close_ms, forecast.left_at_close), (None, None));
    let hours: Vec<_> = forecast.by_hour.iter().take(4).map(|it| (it.sent, it.left)).collect();
    assert_eq!(hours, [(72_000, 128_000), (72_000, 56_000), (56_000, 0), (0, 0)]);
    assert_eq!(forecast.by_hour.len(), 24);
    assert!(forecast.by_hour[3].gate.is_none(), "nothing waits");
    assert_eq!(scene.leaves(0), NOON);
    assert_eq!(scene.leaves(20), "2026-11-30T12:00:01.000Z");
    assert_eq!(scene.leaves(199_980), "2026-11-30T14:46:39.000Z");
}

#[test]
fn windows_quotas_pauses_and_throttles_are_waited_for() {
    let windows = Scene::of(&format!("rate = \"1/s\"\n{WINDOW}"), 10_000.0);
    assert_eq!(windows.gate(), "window");
    let forecast = windows.forecast(24);
    assert_eq!(forecast.rate_now, Some(0.0));
    // 13:00 to 15:30 lets 9,000 through, the rest leaves from 01:00 on.
    assert_eq!(forecast.next_close_ms, Some(ms("2026-11-30T15:30:00Z")));
    assert_eq!(forecast.left_at_close, Some(1000));
    assert_eq!(windows.empties(), "2026-12-01T01:16:40.000Z");

    let quota = Scene::of("limits = [{ quota = \"100/day\", name = \"day\" }]\n", 250.0);
    assert_eq!(quota.forecast(1).rate_now, None, "the quota leaves at once");
    assert_eq!(quota.empties(), "2026-12-02T00:00:00.000Z");
    assert_eq!(quota.leaves(99), NOON);
    assert_eq!(quota.leaves(100), "2026-12-01T00:00:00.000Z");
    let gates: Vec<_> = quota.forecast(2).by_hour.into_iter().map(|it| it.gate).collect();
    assert!(gates.iter().flatten().all(|gate| gate.to_string() == "limit:day"), "{gates:?}");

    let mut paused = Scene::of("", 5.0);
    assert_eq!(paused.empties(), NOON);
    paused.snapshot.pause = Some(PauseEnd::At(ms(NOON) + 60_000));
    assert_eq!(paused.empties(), "2026-11-30T12:01:00.000Z");
    paused.snapshot.throttled_until_ms = Some(ms(NOON) + 90_000);
    assert_eq!(paused.empties(), "2026-11-30T12:01:30.000Z");
    paused.snapshot.pause = Some(PauseEnd::Resume);
    assert_eq!((paused.empties().as_str(), paused.gate().as_str()), ("never", "pause"));
    assert_eq!(paused.leaves(0), "nobody knows");
}

#[test]
fn calls_in_flight_bound_the_pace_where_their_length_is_known() {
    let mut scene = Scene::of("concurrency = 4\nrate = \"1000/s\"\n", 600.0);
    scene.mean_call_ms = Some(200.0);
    assert_eq!((scene.forecast(1).rate_now, scene.gate().as_str()), (Some(20.0), "concurrency"));
    assert_eq!(scene.empties(), "2026-11-30T12:00:30.000Z");
    scene.policy = queue_of("concurrency = 4\nbatch = { max_items = 50 }\n");
    assert_eq!(scene.forecast(1).rate_now, Some(1000.0), "a call takes fifty");
}

#[test]
fn a_burst_leaves_at_once_and_the_rest_at_the_pace() {
    let scene = Scene::of("rate = \"10/s\"\nburst = 100\n", 200.0);
    // 99 beside the pace, and 101 at it.
    assert_eq!(scene.empties(), "2026-11-30T12:00:10.100Z");
    assert_eq!(scene.leaves(99), NOON);
    assert_eq!(scene.leaves(109), "2026-11-30T12:00:01.000Z");
}

#[test]
fn keys_share_and_a_key_that_its_limit_holds_stands_in_nobodys_way() {
    let text = "rate = \"10/s\"\nfairness = \"group\"\nlimits = [{ rate = \"1/s\", per = \"group\", name = \"per_group\" }]\n";
    let mut scene = Scene::of(text, 0.0);
    let line = |messages| ReadyLine { messages, share: 1.0, is_of_key: true };
    scene.ready = vec![line(100.0), line(10.0), line(10.0)];
    // Three keys, one a second each.
    assert_eq!((scene.forecast(1).rate_now, scene.gate().as_str()), (Some(3.0), "limit:per_group"));
    assert_eq!(scene.empties(), "2026-11-30T12:01:40.000Z");
    scene.policy = queue_of("rate = \"10/s\"\nfairness = \"group\"\n");
    // 3⅓ a second each until the small ones are done, then all ten for the large one.
    assert_eq!(scene.empties(), "2026-11-30T12:00:12.000Z");
    let facts = scene.facts();
    assert_eq!(leaves_ms(&facts, 1, 5, facts.now_ms), Some(ms(NOON) + 1500));
}

#[test]
fn what_becomes_due_later_counts_and_may_expire() {
    let mut scene = Scene::of("rate = \"1/s\"\n", 60.0);
    let due = |at: &str, messages, expires: Option<&str>| DueMessages {
        at_ms: ms(at),
        line: 0,
        messages,
        expires_ms: expires.map(ms),
    };
    scene.due = vec![
        due("2026-11-30T13:30:00Z", 600.0, None),
        due("2026-11-30T13:30:00Z", 100.0, Some("2026-11-30T13:40:30Z")),
        due("2026-12-03T13:30:00Z", 5.0, None),
    ];
    let forecast = scene.forecast(24);
    assert_eq!((forecast.backlog, forecast.expired), (760, 70), "beyond the time nothing counts");
    assert_eq!(forecast.empties_ms, Some(ms("2026-11-30T13:40:30Z")));
    let hours: Vec<_> = forecast.by_hour.iter().map(|it| (it.due, it.sent)).take(2).collect();
    assert_eq!(hours, [(0, 60), (700, 630)]);
}

#[test]
fn an_hour_that_has_begun_is_counted_from_now() {
    let mut scene = Scene::of("rate = \"1/s\"\n", 7200.0);
    let mut facts = scene.facts();
    facts.now_ms += 30 * 60_000;
    let forecast = forecast(&facts, 2);
    let hours: Vec<_> = forecast.by_hour.iter().map(|it| (rfc3339(it.at_ms), it.sent)).collect();
    assert_eq!(
        hours,
        [
            ("2026-11-30T12:30:00.000Z".to_owned(), 1800),
            ("2026-11-30T13:00:00.000Z".to_owned(), 3600),
            ("2026-11-30T14:00:00.000Z".to_owned(), 1800)
        ]
    );
    scene.ready.clear();
    assert_eq!((scene.empties().as_str(), scene.gate().as_str()), (NOON, ""));
}

fn override_of(change: OverrideChange, until: &str) -> Override {
    Override {
        id: "one".to_owned(),
        queue: "q".parse().unwrap(),
        change,
        above: false,
        from_ms: ms(NOON),
        until_ms: ms(until),
        ended_ms: None,
        reason: String::new(),
        by: String::new(),
    }
}

fn limit_override(name: &str, value: LimitValue, until: &str) -> Override {
    override_of(OverrideChange::Limit { name: name.parse().unwrap(), value }, until)
}

/// A queue with these overrides.
fn overridden(text: &str, messages: f64, overrides: &[Override]) -> Scene {
    let mut scene = Scene::of(text, messages);
    scene.policy = put_in_force(&scene.policy, overrides, ms(NOON));
    scene.later = later_stages(&scene.policy, ms(NOON));
    scene
}

#[test]
fn the_end_of_an_override_of_a_limit_is_foreseen() {
    let slow =
        limit_override("rate", LimitValue::Rate("1/s".parse().unwrap()), "2026-11-30T12:01:00Z");
    let scene = overridden("rate = \"20/s\"\n", 660.0, std::slice::from_ref(&slow));
    assert_eq!(scene.forecast(1).rate_now, Some(1.0));
    // 60 in the minute of the override, and 600 at 20 a second.
    assert_eq!(scene.empties(), "2026-11-30T12:01:30.000Z");
    assert_eq!(scene.leaves(160), "2026-11-30T12:01:05.000Z");

    // One after the other: the rate first, then the calls in flight.
    let calls = override_of(OverrideChange::Concurrency(1), "2026-11-30T12:02:00Z");
    let mut scene = overridden("rate = \"20/s\"\nconcurrency = 8\n", 960.0, &[slow, calls]);
    scene.mean_call_ms = Some(200.0);
    // 60, then 300 with a call in flight at a time, then the rest.
    assert_eq!(scene.empties(), "2026-11-30T12:02:30.000Z");

    // A queue without a rate of its own gets one for a time.
    let rate = LimitValue::Rate("1/s".parse().unwrap());
    let scene = overridden("", 100.0, &[limit_override("rate", rate, "2026-11-30T12:00:10Z")]);
    assert_eq!(scene.empties(), "2026-11-30T12:00:10.000Z");
}

#[test]
fn what_was_used_of_a_limit_stays_used_when_its_override_ends() {
    let few = LimitValue::Quota("10/day".parse().unwrap());
    let text = "limits = [{ quota = \"100/day\", name = \"day\" }]\n";
    let few = limit_override("day", few, "2026-11-30T13:00:00Z");
    let scene = overridden(text, 150.0, &[few]);
    assert_eq!(scene.leaves(9), NOON);
    assert_eq!(scene.leaves(10), "2026-11-30T13:00:00.000Z");
    assert_eq!(scene.leaves(99), "2026-11-30T13:00:00.000Z");
    assert_eq!(scene.leaves(100), "2026-12-01T00:00:00.000Z");

    let text = "fairness = \"group\"\nlimits = [{ rate = \"60/min\", per = \"group\", name = \"per_group\" }]\n";
    let slow = LimitValue::Rate("1/min".parse().unwrap());
    let mut scene =
        overridden(text, 0.0, &[limit_override("per_group", slow, "2026-11-30T12:10:00Z")]);
    scene.ready = vec![ReadyLine { messages: 70.0, share: 1.0, is_of_key: true }];
    assert_eq!(scene.gate(), "limit:per_group");
    assert_eq!(scene.empties(), "2026-11-30T12:11:00.000Z");
}

#[test]
fn of_two_limits_by_key_the_one_is_named_that_holds() {
    let text = "fairness = \"group\"\nlimits = [{ rate = \"10/s\", per = \"group\", name = \"fast\" }, { rate = \"1/s\", per = \"group\", name = \"slow\" }]\n";
    let mut scene = Scene::of(text, 0.0);
    scene.ready = vec![ReadyLine { messages: 70.0, share: 1.0, is_of_key: true }];
    assert_eq!(scene.gate(), "limit:slow");
    scene.policy = queue_of(
        "fairness = \"group\"\nlimits = [{ rate = \"1/s\", per = \"group\", name = \"slow\" }, { quota = \"10/day\", per = \"group\", name = \"day\" }]\n",
    );
    let hours: Vec<_> = scene.forecast(2).by_hour.into_iter().filter_map(|it| it.gate).collect();
    assert!(hours.iter().all(|gate| gate.to_string() == "limit:day"), "{hours:?}");
}

/// A day with two windows, a quota and two limits: what is said of each message at noon, beside what then happens to it.
#[test]
fn a_day_is_foretold_as_it_comes() {
    let text = format!(
        "rate = \"3/s\"\nburst = 20\nlimits = [{{ rate = \"100/min\", burst = 10, name = \"minute\" }}, {{ quota = \"14000/day\", name = \"day\" }}]\n{WINDOW}"
    );
    let mut scene = Scene::of(&text, 9000.0);
    let slices = 36;
    scene.due = (0..slices)
        .map(|n| DueMessages {
            at_ms: ms(NOON) + n * 600_000,
            line: 0,
            messages: 300.0,
            expires_ms: None,
        })
        .collect();
    let ready = std::iter::repeat_n(ms(NOON), 9000);
    let later = scene.due.iter().flat_map(|it| std::iter::repeat_n(it.at_ms, 300));
    let due: Vec<u64> = ready.chain(later).collect();
    let real = starts_ms(&scene.policy, &due);

    let facts = scene.facts();
    let mut off: Vec<f64> = Vec::new();
    for n in (0..due.len()).step_by(97) {
        let wait_ms = real[n] - whole(due[n]);
        if wait_ms < 10_000.0 {
            continue;
        }
        let expected_ms = leaves_ms(&facts, 0, n as u64, due[n]).expect("it leaves");
        off.push((whole(expected_ms) - real[n]).abs() / wait_ms);
    }
    off.sort_by(f64::total_cmp);
    let (median, p90) = (off[off.len() / 2], off[off.len() * 9 / 10]);
    assert!(off.len() > 100, "{} messages waited", off.len());
    assert!(median <= 0.05 && p90 <= 0.15, "median {median}, p90 {p90}");
    // A fluid has no grain; here it is exact to a hundredth, and that is held too.
    assert!(off.last().is_some_and(|worst| *worst <= 0.01), "{:?}", off.last());
}
