//! What is said of messages in queues of many kinds.

mod settings;

use std::collections::BTreeMap;
use std::sync::Arc;

use ulid::Ulid;

use super::*;
use crate::config::testing::queue_of;
use crate::domain::gates::{PauseEnd, QueueLoad, Snapshot, gates};
use crate::domain::limit::KeptLimit;
use crate::domain::message::Attempt;
use crate::domain::time::parse_rfc3339;

const NOW: &str = "2026-11-30T12:00:00Z";
const WINDOW: &str = "[queues.q.window]\ntime_zone = \"Asia/Shanghai\"\nopen = [{ days = \"mon-sun\", from = \"01:00\", to = \"04:00\" }]\n";

fn ms(text: &str) -> u64 {
    parse_rfc3339(text).unwrap()
}

fn id(number: u128) -> MessageId {
    MessageId { queue: "q".parse().unwrap(), ulid: Ulid::from_parts(ms(NOW), number) }
}

fn message(state: State) -> Message {
    let (created_at_ms, due_at_ms) = (ms(NOW) - 5000, ms(NOW) - 5000);
    Message { id: id(1), created_at_ms, due_at_ms, ..crate::domain::gates::tests::message(state) }
}

fn line(ahead: u64) -> Line {
    Line {
        position: LinePosition { ahead, of: LineOf::Queue, at_least: false },
        turn: None,
        on_their_way: (2..5).map(id).collect(),
        lane: None,
    }
}

/// A queue, a message and what is counted, to be changed by each test.
struct Scene {
    policy: Arc<QueuePolicy>,
    snapshot: Snapshot,
    message: Message,
    keys: Option<KeyHold>,
    line: Option<Line>,
    given: BTreeMap<LimitName, (String, LimitValue)>,
    expected_ms: Option<u64>,
    is_retired: bool,
}

impl Scene {
    fn of(text: &str, state: State) -> Self {
        Self {
            policy: queue_of(text),
            snapshot: Snapshot::default(),
            message: message(state),
            keys: None,
            line: Some(line(0)),
            given: BTreeMap::new(),
            expected_ms: None,
            is_retired: false,
        }
    }

    fn used(mut self, standing: &str) -> Self {
        let limits = vec![KeptLimit { standing: standing.to_owned(), debt: String::new() }];
        self.snapshot.load = Some(QueueLoad { limits, shards: Vec::new() });
        self
    }

    fn explained(&self) -> Explanation {
        let gates = gates(&self.policy, &self.snapshot, Some(ms(NOW)));
        explain(&ExplainFacts {
            message: &self.message,
            policy: &self.policy,
            is_retired: self.is_retired,
            gates: &gates,
            keys: self.keys.as_ref(),
            line: self.line.clone(),
            paused: Some(("ann".to_owned(), "deploy.".to_owned())),
            shut: Some(("throttle".to_owned(), "status 429".to_owned())),
            calls_in_flight: 16,
            given: self.given.clone(),
            expected_ms: self.expected_ms,
            calls_are_timed: true,
            times: Times { now_ms: ms(NOW), zone: None },
        })
    }

    fn sentence(&self) -> String {
        self.explained().sentence
    }
}

fn gate<'a>(explained: &'a Explanation, name: &str) -> &'a GateAnswer {
    let found = explained.gates.iter().find(|it| it.gate.to_string() == name);
    found.unwrap_or_else(|| panic!("{name} is not asked: {:?}", names(explained)))
}

fn names(explained: &Explanation) -> Vec<String> {
    explained.gates.iter().map(|it| it.gate.to_string()).collect()
}

#[test]
fn every_gate_that_can_hold_in_the_queue_is_asked_in_the_documented_order() {
    let plain = Scene::of("", State::Ready).explained();
    assert_eq!(names(&plain), ["due", "retry", "pause", "concurrency"]);
    assert!(plain.gates.iter().all(|it| it.passes && it.opens_at_ms.is_none()));
    assert!(plain.gates.iter().all(|it| !it.detail.is_empty()), "{:?}", plain.gates);
    let all = "rate = \"20/s\"\nlimits = [{ quota = \"10/day\", name = \"day\" }, { rate = \"1/s\", per = \"labels.to\", name = \"per_to\" }]\n\
        ordering = \"group\"\nfairness = { by = \"group\" }\non_uncertain = \"park\"\n";
    let all = format!(
        "[queues.q]\n{all}[queues.q.downstream]\nurl = \"http://127.0.0.1:9/\"\n{WINDOW}[queues.q.recipient_hours]\nfallback_zone = \"UTC\"\nopen = [{{ days = \"mon-sun\", from = \"08:00\", to = \"21:00\" }}]\n[queues.q.batch]\nmax_items = 3\n"
    );
    let mut scene = Scene::of(&all, State::Ready);
    scene.message.details.collapse_key = Some("k".to_owned());
    assert_eq!(
        names(&scene.explained()),
        [
            "due",
            "retry",
            "pause",
            "window",
            "hours",
            "throttled",
            "limit:rate",
            "limit:day",
            "limit:per_to",
            "concurrency",
            "order",
            "collapse",
            "fairness",
            "batch"
        ]
    );
}

#[test]
fn what_opens_last_is_named_first_and_with_its_setting() {
    let mut scene = Scene::of(WINDOW, State::Ready);
    scene.snapshot.pause = Some(PauseEnd::At(ms(NOW) + 60_000));
    let explained = scene.explained();
    assert_eq!(
        explained.sentence,
        "The window is closed and opens at 2026-11-30 17:00:00 UTC (in 5h). Held as well by: pause."
    );
    let window = gate(&explained, "window");
    assert_eq!(window.opens_at_ms, Some(ms("2026-11-30T17:00:00Z")));
    let setting = window.setting.clone().unwrap();
    assert!(setting.ends_with("tidegate.toml:4"), "{setting}");
    assert_eq!(window.blocked_by, [GateBlocker::Setting(setting)]);
    let pause = gate(&explained, "pause");
    assert_eq!(pause.setting.as_deref(), Some("api"));
    assert_eq!(
        pause.detail,
        "The queue was paused by ann (deploy) until 2026-11-30 12:01:00 UTC (in 1m); `tidegate resume q` ends the pause."
    );
    assert_eq!(explained.earliest_ms, Some(ms("2026-11-30T17:00:00Z")));

    scene.snapshot.pause = Some(PauseEnd::Resume);
    let explained = scene.explained();
    assert_eq!(
        explained.sentence,
        "The queue was paused by ann (deploy) until somebody resumes it; `tidegate resume q` ends the pause. Held as well by: window."
    );
    assert_eq!((explained.earliest_ms, explained.expected_ms), (None, None));
}

#[test]
fn what_is_due_while_the_window_is_closed_says_so() {
    let mut scene = Scene::of(WINDOW, State::Scheduled);
    scene.message.due_at_ms = ms("2026-11-30T20:30:00Z");
    scene.snapshot = Snapshot::default();
    // The window is open now.
    let explained = {
        let gates = gates(&scene.policy, &scene.snapshot, Some(ms("2026-11-30T18:00:00Z")));
        explain(&ExplainFacts {
            message: &scene.message,
            policy: &scene.policy,
            is_retired: false,
            gates: &gates,
            keys: None,
            line: Some(line(3)),
            paused: None,
            shut: None,
            calls_in_flight: 0,
            given: BTreeMap::new(),
            expected_ms: None,
            calls_are_timed: true,
            times: Times { now_ms: ms("2026-11-30T18:00:00Z"), zone: None },
        })
    };
    assert_eq!(
        explained.sentence,
        "It is due at 2026-11-30 20:30:00 UTC (in 2h 30m). 3 messages stand before it. By then the window, or the hours of its \
         recipient, are closed: it can leave at 2026-12-01 17:00:00 UTC (in 23h) at the earliest."
    );
    assert!(gate(&explained, "window").passes);
    assert_eq!(explained.earliest_ms, Some(ms("2026-12-01T17:00:00Z")));
}

#[test]
fn what_its_host_put_off_says_why() {
    let mut scene = Scene::of("", State::Scheduled);
    scene.message.due_at_ms = ms("2026-11-30T12:01:00Z");
    scene.message.reason = Some("https://a.example:443 takes no messages: it is busy.".to_owned());
    assert_eq!(
        scene.explained().sentence,
        "It is due at 2026-11-30 12:01:00 UTC (in 1m). It was put off: https://a.example:443 takes no messages: it is busy."
    );
}

#[test]
fn whoever_has_others_before_it_waits_for_those_and_the_pace() {
    let mut scene = Scene::of("rate = \"20/s\"\n", State::Ready)
        .used(&format!("{}.00", ms(NOW) * 1000 + 50_000));
    scene.line = Some(line(12_345));
    scene.expected_ms = Some(ms(NOW) + 617_250);
    let explained = scene.explained();
    assert_eq!(
        explained.sentence,
        "12345 messages stand before it. The limit \"rate\" lets 20/s start: the next one may start at 2026-11-30 12:00:00 UTC \
         (in 50ms). It is expected to leave at 2026-11-30 12:10:17 UTC (in 10m 17s)."
    );
    let rate = gate(&explained, "limit:rate");
    assert!(rate.setting.as_ref().unwrap().ends_with("tidegate.toml:3"), "{:?}", rate.setting);
    assert_eq!(explained.earliest_ms, Some(ms(NOW) + 50));
    assert_eq!(explained.position.unwrap().ahead, 12_345);
    scene.line = Some(line(0));
    assert!(scene.sentence().starts_with("It is next in line. The limit \"rate\""));
    let alone = Scene::of("", State::Ready);
    assert_eq!(alone.sentence(), "It is next in line, and nothing holds it.");
    let one = Scene { line: Some(line(1)), ..Scene::of("", State::Ready) };
    assert_eq!(one.sentence(), "1 message stands before it. Nothing else holds it.");
}

#[test]
fn a_used_quota_speaks_for_what_is_not_due_yet_too() {
    let [from_ms, to_ms] = ["2026-11-30T00:00:00Z", "2026-12-01T00:00:00Z"].map(ms);
    let text = "limits = [{ quota = \"10/day\", name = \"day\" }]\n";
    let mut scene = Scene::of(text, State::Scheduled).used(&format!("{from_ms} {to_ms} 10"));
    scene.message.due_at_ms = ms(NOW) + 1000;
    let explained = scene.explained();
    assert_eq!(
        explained.sentence,
        "The limit \"day\" lets 10/day start: all of it is used, and the next period begins at 2026-12-01 00:00:00 UTC (in 12h). \
         Held as well by: due."
    );
    assert_eq!(explained.earliest_ms, Some(to_ms));
    scene.message.details.cost = crate::domain::limit::Cost::new(11).unwrap();
    let explained = scene.explained();
    assert_eq!(gate(&explained, "limit:day").opens_at_ms, None);
    assert!(explained.sentence.contains("the message costs 11"), "{}", explained.sentence);
}

#[test]
fn what_was_tried_waits_for_its_next_attempt() {
    let mut scene = Scene::of("", State::Scheduled);
    scene.message.attempts = 2;
    scene.message.due_at_ms = ms(NOW) + 90_000;
    scene.message.last_attempt = Some(Attempt {
        attempt: 2,
        started_at_ms: 0,
        ended_at_ms: 0,
        outcome: "retry".to_owned(),
        status_code: Some(503),
        error: None,
        response: None,
        wait: crate::domain::waited::AttemptWait::default(),
    });
    let explained = scene.explained();
    assert_eq!(
        explained.sentence,
        "Attempt 3 is due at 2026-11-30 12:01:30 UTC (in 1m 30s); the last one failed: status 503."
    );
    assert!(gate(&explained, "due").passes);
    assert_eq!(gate(&explained, "retry").setting.as_deref(), Some("default"));
}

#[test]
fn what_does_not_wait_has_no_gates() {
    for (state, said) in [
        (State::Leased, "It is being sent: attempt 1."),
        (State::Accepted, "The downstream has accepted it, and its receipt is awaited."),
        (State::Delivered, "It waits for nothing: it was delivered 5s ago."),
        (State::Dead, "It waits for nothing: it was given up 5s ago: too bad."),
        (State::Expired, "It waits for nothing: its time ran out 5s ago before it was sent."),
        (State::Cancelled, "It waits for nothing: it was cancelled 5s ago."),
    ] {
        let mut scene = Scene::of("", state);
        scene.message.final_at_ms = state.is_final().then(|| ms(NOW) - 5000);
        scene.message.reason = (state == State::Dead).then(|| "too bad.".to_owned());
        let explained = scene.explained();
        assert_eq!(explained.sentence, said);
        assert_eq!((explained.gates.len(), explained.position), (0, None), "{state}");
    }
}

#[test]
fn whoever_waits_for_a_decision_is_held_by_probe_and_has_no_place() {
    let explained = Scene::of("", State::Uncertain).explained();
    assert_eq!(
        explained.sentence,
        "Nobody knows whether the last attempt arrived: somebody has to decide."
    );
    assert!(!gate(&explained, "probe").passes);
    assert_eq!((explained.position, explained.earliest_ms), (None, None));
}

#[test]
fn a_queue_that_is_not_configured_sends_nothing() {
    let mut scene = Scene::of("", State::Ready);
    scene.is_retired = true;
    let explained = scene.explained();
    assert!(explained.sentence.starts_with("The queue is not in the configuration any more"));
    assert_eq!(explained.earliest_ms, None);
}

#[test]
fn a_message_in_a_queue_of_workers_waits_for_one() {
    let mut scene = Scene::of("[queues.q.downstream]\ntype = \"pull\"\n", State::Ready);
    let explained = scene.explained();
    assert_eq!(explained.sentence, "It leaves as soon as a worker claims it; none has yet.");
    scene.snapshot.pause = Some(PauseEnd::Resume);
    assert!(gate(&scene.explained(), "workers").passes, "the pause holds it");
}
