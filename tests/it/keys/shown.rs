//! What is shown of keys beside single messages: metrics, findings, and which structure is in force.

use serde_json::{Value, json};

use super::calls::{message, with};
use crate::limits::stacked::limit;
use crate::support::redis::RedisOptions;
use crate::support::wait::poll_until;
use crate::support::{
    Answer, Daemon, Downstream, Gate, Listener, QUEUE, Scene, eventually, queue_toml,
};

async fn findings(daemon: &Daemon) -> Vec<Value> {
    let answer = daemon.get("/v1/doctor").await.expect(200).json();
    answer["findings"].as_array().expect("a list").clone()
}

fn found<'a>(findings: &'a [Value], code: &str) -> Option<&'a Value> {
    findings.iter().find(|finding| finding["code"] == code)
}

/// The value of a metric of the queue.
async fn metric(daemon: &Daemon, name: &str, labels: &str) -> Option<f64> {
    let metrics = daemon.get("/metrics").await.expect(200);
    let start = format!("{name}{{queue=\"{QUEUE}\"{labels}}} ");
    let text = metrics.text();
    let line = text.lines().find_map(|line| line.strip_prefix(&start))?;
    Some(line.parse().expect("a number"))
}

async fn gate_open(daemon: &Daemon, gate: &str) -> f64 {
    let labels = format!(",gate=\"{gate}\"");
    metric(daemon, "tidegate_gate_open", &labels).await.expect("it is shown")
}

#[tokio::test]
async fn what_waits_for_its_key_is_not_stuck() {
    let lines = "ordering = \"labels.order\"\nretry = { initial = \"1h\", jitter = 0.0 }";
    let redis = RedisOptions::default().with_faults().start().await;
    let downstream = Downstream::start().await;
    let daemon = Daemon::start(&redis, queue_toml(QUEUE, &downstream, lines)).await;
    let scene = Scene { daemon, downstream, redis };
    assert_eq!(gate_open(&scene.daemon, "order").await, 1.0);
    scene.downstream.once(Answer::status(500));
    let first = scene.daemon.send(QUEUE, &message(0, &[("order", "k")])).await;
    scene.wait_members(&first, &json!({ "state": "scheduled", "attempts": 1 })).await;
    let second = scene.daemon.send(QUEUE, &message(1, &[("order", "k")])).await;

    let held = json!({ "state": "ready", "held_by": ["order"], "blocked_by": [{ "id": first }] });
    scene.wait_members(&second, &held).await;

    let shown = scene.daemon.cli(&["get", &second]).await.stdout;
    assert!(
        shown.contains("Both have labels.order = k. The one ahead: Waiting for attempt 2"),
        "{shown}"
    );
    assert!(shown.contains("the queue has no stall"), "{shown}");
    scene.redis.faults().step_clock(120_000);
    let queue = scene.daemon.get(&format!("/v1/queues/{QUEUE}")).await.expect(200).json();
    let reason = queue["sending"]["reason"].as_str().expect("a sentence");
    assert!(reason.starts_with("Each ready message waits for another one of its key"), "{reason}");
    assert!(queue["oldest_ready_age_ms"].as_u64() > Some(119_000), "{queue}");
    assert_eq!(queue["structure"], json!({ "number": 1, "is_own": true, "switching": null }));
    eventually("the gauges have been read again", async || {
        gate_open(&scene.daemon, "order").await == 0.0
    })
    .await;
    assert_eq!(metric(&scene.daemon, "tidegate_oldest_free_age_seconds", "").await, Some(0.0));
    assert_eq!(found(&findings(&scene.daemon).await, "queue-stuck"), None);
}

#[tokio::test]
async fn a_gate_that_limits_by_key_shut_is_open_again_when_one_of_them_is() {
    let scene = Scene::start("limits = [{ concurrency = 1, per = \"labels.to\" }]").await;
    let gate = Gate::new();
    scene.downstream.always(Answer::ok().held_by(&gate));
    for number in 0..3 {
        scene.daemon.send(QUEUE, &message(number, &[("to", "x")])).await;
    }
    eventually("its limit shows the gauge", async || {
        gate_open(&scene.daemon, "limit").await == 0.0
    })
    .await;
    let shown = limit(&scene.daemon, "per_to_concurrency").await;
    let none = [&shown["used"], &shown["left"], &shown["resets_at"], &shown["next_at"]];
    assert_eq!((none, &shown["held_keys"]), ([&Value::Null; 4], &json!(1)), "{shown}");
    assert_eq!(
        metric(&scene.daemon, "tidegate_limit_used", ",limit=\"per_to_concurrency\"").await,
        None
    );

    gate.release();

    scene.wait_count("delivered", 3).await;
    eventually("it is open again", async || gate_open(&scene.daemon, "limit").await == 1.0).await;
    eventually("it holds nobody", async || {
        limit(&scene.daemon, "per_to_concurrency").await["held_keys"] == 0
    })
    .await;
}

#[tokio::test]
async fn a_quota_by_key_that_is_lowered_below_a_cost_is_found() {
    let lines =
        |units: u32| format!("limits = [{{ quota = \"{units}/month\", per = \"labels.to\" }}]");
    let scene = Scene::start(&lines(5)).await;
    scene.queue_step("pause", &json!({})).await;
    let costly = with(message(0, &[("to", "x")]), "cost", 4);
    let id = scene.daemon.send(QUEUE, &costly).await;
    assert_eq!(found(&findings(&scene.daemon).await, "quota-too-small"), None);

    scene.daemon.sighup(&queue_toml(QUEUE, &scene.downstream, &lines(3)));
    eventually("the quota is lower", async || {
        limit(&scene.daemon, "per_to_month").await["value"] == "3/month"
    })
    .await;
    scene.queue_step("resume", &json!({})).await;

    let finding = poll_until("the quota is found", async || {
        found(&findings(&scene.daemon).await, "quota-too-small").cloned()
    })
    .await;
    let detail = finding["detail"].as_str().expect("a sentence");
    assert!(detail.contains(&id) && detail.contains("\"per_to_month\""), "{finding}");
    scene.wait_members(&id, &json!({ "held_by": ["limit:per_to_month"], "state": "ready" })).await;
    assert!(scene.downstream.requests().is_empty());
}

#[tokio::test]
async fn every_change_is_told_once_whoever_brings_a_message_into_its_lane() {
    let lines = "ordering = \"labels.order\"\nretry = { initial = \"300ms\", jitter = 0.0 }";
    let scene = Scene::start(lines).await;
    let mut listener = Listener::start(&scene.daemon, "").await;
    scene.downstream.once(Answer::status(500));
    let mut ids = Vec::new();
    for number in 0..2 {
        ids.push(scene.daemon.send(QUEUE, &message(number, &[("order", "k")])).await);
    }
    let later = with(message(2, &[("order", "k")]), "delay", "100ms");
    ids.push(scene.daemon.send(QUEUE, &later).await);
    scene.wait_count("delivered", 3).await;

    let told = listener.take(6 + 3 + 4).await;

    let states = |id: &String| {
        let of = told.iter().filter(|event| event.data["id"] == **id);
        of.map(|event| event.data["state"].as_str().expect("a word").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(states(&ids[0]), ["ready", "leased", "scheduled", "ready", "leased", "delivered"]);
    assert_eq!(states(&ids[1]), ["ready", "leased", "delivered"]);
    assert_eq!(states(&ids[2]), ["scheduled", "ready", "leased", "delivered"]);
}

#[tokio::test]
async fn a_node_that_follows_another_one_says_so_until_it_does_not() {
    let ordered = "ordering = \"labels.order\"";
    let scene = Scene::start("").await;
    let alone = scene.daemon.get(&format!("/v1/queues/{QUEUE}")).await.expect(200).json();
    assert_eq!(alone["structure"], Value::Null);
    let other = scene.another_daemon(ordered).await;
    scene.daemon.send(QUEUE, &message(0, &[("order", "k")])).await;
    scene.wait_count("delivered", 1).await;

    let followers = async || {
        let nodes = other.get("/v1/nodes").await.expect(200).json();
        let nodes = nodes["nodes"].as_array().expect("a list").clone();
        let follows = nodes.iter().filter(|node| node["follows"] == json!([QUEUE]));
        follows
            .map(|node| node["listen"].as_str().expect("an address").to_owned())
            .collect::<Vec<_>>()
    };
    let own = scene.daemon.url().trim_start_matches("http://").to_owned();
    poll_until("the first node follows the second", async || {
        (followers().await == [own.clone()]).then_some(())
    })
    .await;
    let structure = async |daemon: &Daemon| {
        daemon.get(&format!("/v1/queues/{QUEUE}")).await.expect(200).json()["structure"].clone()
    };
    assert_eq!(structure(&scene.daemon).await["is_own"], false);
    assert_eq!(structure(&other).await["is_own"], true);
    let findings = findings(&scene.daemon).await;
    let finding = found(&findings, "structure-followed").expect("it is found");
    assert_eq!(finding["queue"], QUEUE, "{finding}");
    let shown = scene.daemon.cli(&["queue", QUEUE]).await.stdout;
    assert!(shown.contains("that of another node, whose configuration differs"), "{shown}");
    let nodes = scene.daemon.cli(&["nodes"]).await.stdout;
    assert!(nodes.contains("FOLLOWS"), "{nodes}");

    scene.daemon.sighup(&queue_toml(QUEUE, &scene.downstream, ordered));

    poll_until("both have the same configuration", async || {
        followers().await.is_empty().then_some(())
    })
    .await;
    assert_eq!(structure(&scene.daemon).await["is_own"], true);
    // Said once when it began, and once when it ended.
    let log = scene.daemon.log();
    for words in ["another node has proposed a structure", "is in force again"] {
        assert_eq!(log.matches(words).count(), 1, "{words}: {log}");
    }
}
