//! What `explain` says is what then happens: the gate that is said to open last does, when it is said to.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::keys::put_key;
use crate::support::wait::{poll_until, poll_until_within};
use crate::support::{
    Answer, Clocks, Daemon, Downstream, Gate, QUEUE, RedisServer, Scene, queue_toml,
};

/// Longer than any gate here holds.
const PATIENCE: Duration = Duration::from_secs(150);

async fn explain(daemon: &Daemon, id: &str) -> Value {
    daemon.get(&format!("/v1/messages/{id}/explain")).await.expect(200).json()
}

fn ms(moment: &Value) -> Option<u64> {
    let at: Timestamp = moment.as_str()?.parse().ok()?;
    u64::try_from(at.as_millisecond()).ok()
}

fn gate<'a>(explained: &'a Value, name: &str) -> &'a Value {
    let gates = explained["gates"].as_array().expect("a list");
    gates.iter().find(|it| it["gate"] == name).unwrap_or_else(|| panic!("{name}: {explained}"))
}

/// The gate that opens last of those that hold, and when.
fn last(explained: &Value) -> Option<(String, u64)> {
    let gates = explained["gates"].as_array()?.iter();
    let held = gates.filter(|it| it["passes"] == false);
    let opens = held.filter_map(|it| Some((it["gate"].as_str()?.to_owned(), ms(&it["opens_at"])?)));
    opens.max_by_key(|(_, at_ms)| *at_ms)
}

/// A way in which a message of a queue of its own is held.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Situation {
    Due,
    Pause,
    Window,
    Retry,
    Throttled,
    Rate,
    RateOfKey,
    DueAndPause,
    WindowAndDue,
}

const SITUATIONS: [Situation; 9] = [
    Situation::Due,
    Situation::Pause,
    Situation::Window,
    Situation::Retry,
    Situation::Throttled,
    Situation::Rate,
    Situation::RateOfKey,
    Situation::DueAndPause,
    Situation::WindowAndDue,
];

impl Situation {
    /// The gate that opens last.
    fn opens_last(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Pause | Self::DueAndPause => "pause",
            Self::Window | Self::WindowAndDue => "window",
            Self::Retry => "retry",
            Self::Throttled => "throttled",
            Self::Rate => "limit:rate",
            Self::RateOfKey => "limit:per_to",
        }
    }

    /// The lines of its queue; `per_minute`: the pace of its limit.
    fn lines(self, after_ms: u64, per_minute: u64) -> String {
        match self {
            Self::Rate => format!("rate = \"{per_minute}/min\""),
            Self::RateOfKey => {
                format!(
                    "limits = [{{ rate = \"{per_minute}/min\", per = \"labels.to\", name = \"per_to\" }}]"
                )
            }
            Self::Retry => format!("retry.initial = \"{after_ms}ms\"\nretry.jitter = 0"),
            _ => String::new(),
        }
    }

    /// What is done to the queue and sent there; returns the id of the message that is explained. `until_ms`: the end of all of it.
    async fn bring_about(self, daemon: &Daemon, queue: &str, after_ms: u64) -> String {
        let step = async |path: &str, body: Value, status: u16| {
            daemon.post(&format!("/v1/queues/{queue}/{path}"), &body).await.expect(status);
        };
        let span = format!("{after_ms}ms");
        let less = format!("{}ms", after_ms / 2);
        let message = json!({ "payload": queue, "labels": { "to": "k" } });
        let delayed = |delay: &str| json!({ "payload": queue, "delay": delay });
        match self {
            Self::Due => daemon.send(queue, &delayed(&span)).await,
            Self::Pause => {
                step("pause", json!({ "for": span }), 200).await;
                daemon.send(queue, &message).await
            }
            Self::Window => {
                step("overrides", json!({ "window": "closed", "for": span }), 201).await;
                daemon.send(queue, &delayed("1500ms")).await
            }
            Self::Retry | Self::Throttled => daemon.send(queue, &message).await,
            Self::Rate | Self::RateOfKey => {
                let first = json!({ "payload": "first", "labels": { "to": "k" } });
                // A permit that comes too late on a busy machine is lost, and then the first takes the next slot.
                let first = daemon.send(queue, &first).await;
                daemon.wait_final(&first).await;
                daemon.send(queue, &message).await
            }
            Self::DueAndPause => {
                step("pause", json!({ "for": span }), 200).await;
                daemon.send(queue, &delayed(&less)).await
            }
            Self::WindowAndDue => {
                step("overrides", json!({ "window": "closed", "for": span }), 201).await;
                daemon.send(queue, &delayed(&less)).await
            }
        }
    }
}

/// So many queues, each in a situation of its own whose gates open so long after it came about at the latest.
async fn the_gate_that_opens_last_opens_when_it_is_said_to(
    queues: usize,
    [least_ms, most_ms]: [u64; 2],
    per_minute: u64,
) {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let clocks = Clocks::read();
    let after_ms = |n: usize| least_ms + (n as u64 * 7919) % (most_ms - least_ms);
    let situation = |n: usize| SITUATIONS[n % SITUATIONS.len()];
    let all: Vec<_> = (0..queues).map(|n| (format!("q{n}"), situation(n), after_ms(n))).collect();
    let config: String = all
        .iter()
        .map(|(name, it, after_ms)| queue_toml(name, &downstream, &it.lines(*after_ms, per_minute)))
        .collect();
    let of_path: HashMap<_, _> =
        all.iter().map(|(name, it, after_ms)| (format!("/{name}"), (*it, *after_ms))).collect();
    let mut refused = HashSet::new();
    downstream.answer_with(move |request| match of_path.get(&request.path) {
        Some((Situation::Retry, _)) if request.attempt() == 1 => Answer::status(503),
        Some((Situation::Throttled, after_ms)) if refused.insert(request.path.clone()) => {
            Answer::status(429).header("Retry-After", &after_ms.div_ceil(1000).to_string())
        }
        _ => Answer::ok(),
    });
    let daemon = Daemon::start(&redis, config).await;

    let mut said = Vec::new();
    for (queue, it, after_ms) in &all {
        let id = it.bring_about(&daemon, queue, *after_ms).await;
        said.push((id, queue.clone(), *it));
    }
    let mut expected = Vec::new();
    for (id, queue, it) in said {
        // An override is in force within a second, and a first attempt takes its time.
        let what = format!("{queue} ({it:?}): the gate {} opens last", it.opens_last());
        let opens_ms = poll_until(&what, async || {
            let explained = explain(&daemon, &id).await;
            let (gate, opens_ms) = last(&explained)?;
            (gate == it.opens_last()).then_some(opens_ms)
        })
        .await;
        expected.push((id, queue, it, opens_ms));
    }
    for (id, queue, it, _) in &expected {
        poll_until_within(PATIENCE, &format!("{queue} ({it:?}) is delivered"), async || {
            (daemon.message(id).await["state"] == "delivered").then_some(())
        })
        .await;
    }
    let metrics = daemon.get("/metrics").await.expect(200).text().to_owned();
    for (id, queue, it, opens_ms) in expected {
        let requests = downstream.requests();
        let of_message = requests.iter().filter(|request| request.id() == id);
        let arrived_ms = of_message.map(|request| clocks.wall_ms(request.arrived)).max();
        let arrived_ms = arrived_ms.expect("it was delivered");
        let off_ms = arrived_ms.abs_diff(opens_ms);
        // A permit that came too late on a busy machine is lost, as it should be: the message goes with the next one.
        let lost = format!("tidegate_permits_unused_total{{queue=\"{queue}\"}} ");
        let lost = metrics.lines().find_map(|line| line.strip_prefix(lost.as_str()));
        if lost.is_some_and(|count| count != "0") && arrived_ms > opens_ms {
            continue;
        }
        assert!(
            off_ms <= 1000,
            "{queue} ({it:?}): {off_ms} ms between {opens_ms} and {arrived_ms}"
        );
    }
}

#[tokio::test]
async fn what_is_said_happens_in_each_situation() {
    the_gate_that_opens_last_opens_when_it_is_said_to(27, [8_000, 12_000], 6).await;
}

#[tokio::test]
#[ignore = "a thousand queues for a minute and a half"]
async fn what_is_said_happens_in_a_thousand_queues() {
    the_gate_that_opens_last_opens_when_it_is_said_to(1000, [75_000, 90_000], 1).await;
}

#[tokio::test]
async fn a_message_knows_how_many_stand_before_it() {
    let scene = Scene::start("priority_levels = 2").await;
    scene.queue_step("pause", &json!({ "reason": "line up" })).await;
    let mut ids = Vec::new();
    for chunk in 0..3 {
        let rows: Vec<_> = (0..400).map(|n| json!({ "payload": chunk * 400 + n })).collect();
        ids.extend(scene.send_all(&rows).await);
    }
    let urgent = scene.daemon.send(QUEUE, &json!({ "payload": 1, "priority": 9 })).await;
    let later = json!({ "payload": 1, "delay": "1h" });
    let delayed = [scene.daemon.send(QUEUE, &later).await, scene.daemon.send(QUEUE, &later).await];
    scene.wait_count("ready", 1201).await;
    let ahead = async |id: &str| explain(&scene.daemon, id).await["position"].clone();

    // The rows of a request are written by several calls, so they need not stand in their order.
    let mut places = Vec::new();
    for id in &ids {
        let position = ahead(id).await;
        assert_eq!((&position["of"], &position["at_least"]), (&json!("queue"), &json!(false)));
        places.push(position["ahead"].as_u64().expect("a number"));
    }
    places.sort_unstable();
    assert_eq!(places, (1..=1200).collect::<Vec<_>>(), "each place is taken once");
    assert_eq!(ahead(&urgent).await["ahead"], 0);
    assert_eq!(ahead(&delayed[0]).await["ahead"], 1201);
    assert_eq!(ahead(&delayed[1]).await["ahead"], 1202);

    scene.daemon.delete(&format!("/v1/messages/{urgent}")).await.expect(200);
    let first = scene.daemon.get("/v1/queues/jobs/messages?state=ready&limit=1").await.json();
    let first = first["messages"][0]["id"].as_str().expect("an id").to_owned();
    assert_eq!(ahead(&first).await["ahead"], 0, "what was cancelled stands before nobody");
}

#[tokio::test]
async fn a_message_knows_its_place_in_the_line_of_its_key_and_who_blocks() {
    let lines = "ordering = \"labels.order\"\nconcurrency = 2\ndownstream.timeout = \"60s\"";
    let scene = Scene::start(lines).await;
    let gate_of = Gate::new();
    scene.downstream.always(Answer::ok().held_by(&gate_of));
    let of = |key: &str| json!({ "payload": key, "labels": { "order": key } });
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(scene.daemon.send(QUEUE, &of("a")).await);
    }
    let other = scene.daemon.send(QUEUE, &of("b")).await;
    scene.downstream.wait_for(2).await;
    let third = scene.daemon.send(QUEUE, &of("c")).await;

    for (n, id) in ids.iter().enumerate().skip(1) {
        let explained = explain(&scene.daemon, id).await;
        let position = json!({ "ahead": n, "of": "key", "at_least": false });
        assert_eq!(explained["position"], position, "{explained}");
        let order = gate(&explained, "order");
        assert_eq!(order["passes"], false);
        assert_eq!(order["blocked_by"], json!([{ "id": ids[0] }]), "{explained}");
    }
    let explained = explain(&scene.daemon, &third).await;
    let calls = gate(&explained, "concurrency");
    assert_eq!((&calls["passes"], &calls["blocked_by_total"]), (&json!(false), &json!(2)));
    let mut blocked: Vec<_> = calls["blocked_by"].as_array().expect("a list").clone();
    blocked.sort_by_key(|it| it["id"] != ids[0]);
    assert_eq!(json!(blocked), json!([{ "id": ids[0] }, { "id": other }]));
    let setting = calls["setting"].as_str().expect("it is set");
    assert!(setting.contains(".toml:4"), "{setting}");
    assert_eq!(explain(&scene.daemon, &ids[0]).await["gates"], json!([]), "it is being sent");
    gate_of.release();
    for id in ids.iter().chain([&third]) {
        scene.daemon.wait_final(id).await;
    }
    let done = explain(&scene.daemon, &third).await;
    assert_eq!((&done["gates"], &done["position"]), (&json!([]), &Value::Null));
    assert!(done["sentence"].as_str().is_some_and(|it| it.starts_with("It waits for nothing")));
}

#[tokio::test]
async fn a_key_that_was_given_something_is_the_setting_that_decides() {
    let lines = "limits = [{ rate = \"1/min\", per = \"labels.to\", name = \"per_to\" }]\nfairness = \"labels.tenant\"";
    let scene = Scene::start(lines).await;
    let given = json!({ "limits": { "per_to": { "rate": "2/min" } } });
    put_key(&scene.daemon, "a", &given, 201).await;
    let of = |to: &str| json!({ "payload": to, "labels": { "to": to, "tenant": "t" } });
    for (to, setting) in [("a", "key a"), ("b", ".toml:3")] {
        let first = scene.daemon.send(QUEUE, &of(to)).await;
        scene.daemon.wait_final(&first).await;
        let second = scene.daemon.send(QUEUE, &of(to)).await;
        scene.wait_members(&second, &json!({ "held_by": ["limit:per_to"] })).await;
        let explained = explain(&scene.daemon, &second).await;
        let limit = gate(&explained, "limit:per_to");
        assert_eq!(limit["blocked_by"], json!([{ "key": to }]));
        assert!(limit["setting"].as_str().is_some_and(|it| it.contains(setting)), "{limit}");
        let after_ms = ms(&limit["opens_at"]).expect("it is known");
        assert_eq!(ms(&explained["earliest_at"]), Some(after_ms));
    }
}
