//! A backlog that is full: who is refused and how, who is not, and when there is room again.

use serde_json::json;

use super::{MESSAGES, WaysIn};
use crate::support::{Answer, Gate, QUEUE, Scene, eventually, queue_toml};

#[tokio::test]
async fn what_is_scheduled_ready_and_leased_counts() {
    let scene = Scene::start("backlog = { max_messages = 3 }\nconcurrency = 1").await;
    let gate = Gate::new();
    scene.downstream.always(Answer::ok().held_by(&gate));
    scene.send("leased").await;
    scene.wait_count("leased", 1).await;
    scene.send("ready").await;
    let later = json!({ "payload": "scheduled", "delay": "1h" });
    let id = scene.daemon.send(QUEUE, &later).await;

    let refused = scene.daemon.post(MESSAGES, &json!({ "payload": 4 })).await;
    assert_eq!(refused.header("retry-after"), "60", "nothing is known to leave");
    let problem = refused.expect(429).json();
    assert_eq!((&problem["code"], &problem["retry_after_s"]), (&json!("backlog-full"), &json!(60)));
    assert_eq!(
        problem["detail"],
        "the backlog of the queue \"jobs\" is full (max_messages = 3); the message was not stored: try again in 60 s, or raise the queue's backlog"
    );
    let findings = scene.daemon.get("/v1/doctor").await.expect(200).json();
    assert!(findings.to_string().contains("backlog-full"), "{findings}");
    let metrics = scene.daemon.get("/metrics").await;
    assert!(metrics.text().contains("tidegate_backlog_refused_total{queue=\"jobs\"} 1"));

    scene.daemon.delete(&format!("/v1/messages/{id}")).await.expect(200);
    scene.send("in its place").await;
    scene.daemon.post(MESSAGES, &json!({ "payload": 5 })).await.expect(429);
    gate.release();
    scene.wait_count("delivered", 3).await;
    scene.send("there is room").await;
    let said = "the backlog is full, and messages are refused";
    assert_eq!(scene.daemon.log().matches(said).count(), 1, "said once");
}

/// `Retry-After` of a refusal, after a second in which what was read before may have been good enough.
async fn after_s(scene: &Scene, is_right: impl Fn(u64) -> bool) {
    eventually("it says when there is room", async || {
        let refused = scene.daemon.post(MESSAGES, &json!({ "payload": 0 })).await.expect(429);
        is_right(refused.header("retry-after").parse().expect("seconds"))
    })
    .await;
}

#[tokio::test]
async fn who_is_refused_is_told_when_the_gates_open() {
    let quota = "limits = [{ quota = \"1/month\" }]";
    let scene = Scene::start(&format!("backlog = {{ max_messages = 1 }}\n{quota}")).await;
    scene.queue_step("pause", &json!({ "for": "40s" })).await;
    scene.send(1).await;
    after_s(&scene, |s| (20..=40).contains(&s)).await;
    scene.queue_step("pause", &json!({})).await;
    after_s(&scene, |s| s == 60).await;
    scene.queue_step("resume", &json!({})).await;
    scene.wait_count("delivered", 1).await;
    scene.send(2).await;
    // The month may end within the hour.
    after_s(&scene, |s| s > 60).await;
}

#[tokio::test]
async fn each_row_is_judged_for_itself_and_a_repeat_is_a_repeat() {
    let ways =
        WaysIn::start("rate = \"1/min\"\nbacklog = { max_messages = 2 }", "payload = 1").await;
    let keyed = |key: &str| json!({ "payload": 1, "idempotency_key": key });
    let rows = ways.send_rows(&[keyed("a"), keyed("b"), keyed("c"), keyed("a"), keyed("c")]).await;

    let said = |at: usize| (rows[at]["id"].clone(), rows[at]["problem"]["code"].clone());
    assert_eq!(
        (&said(0).1, &said(1).1, &said(2).1),
        (&json!(null), &json!(null), &json!("backlog-full"))
    );
    assert_eq!(said(3), (said(0).0, json!(null)), "a repeat of one that was taken in");
    assert_eq!(said(4).1, "backlog-full", "the key of one that was refused belongs to nobody");
    assert_eq!(rows[2]["problem"]["retry_after_s"], 60, "one a minute leaves");
    assert_eq!(ways.send(&keyed("a")).await.expect(200).json()["duplicate"], true);
    ways.send(&keyed("d")).await.expect(429);
    let sent = ways.daemon.cli(&["send", QUEUE, "-d", "1"]).await;
    assert_eq!(sent.code, 4, "{sent:?}");
    assert!(sent.stderr.contains("the backlog of the queue \"jobs\" is full"), "{sent:?}");
    assert!(sent.stderr.contains("`tidegate queue jobs` shows what waits"), "{sent:?}");
    let shown = ways.daemon.cli(&["queue", QUEUE]).await.stdout;
    assert!(shown.contains("2 of 2"), "{shown}");
    assert_eq!(ways.waiting(QUEUE).await.len(), 2);
}

#[tokio::test]
async fn schedules_operators_and_moves_get_in_and_streams_and_topics_wait() {
    let ways = WaysIn::start("backlog = { max_messages = 1 }", "payload = \"run\"").await;
    let first = ways.send(&json!({ "payload": 1 })).await.expect(201).json();
    let id = first["id"].as_str().expect("an id");

    ways.run_schedule().await.expect(201);
    ways.daemon.post("/v1/queues/other/messages", &json!({ "payload": "moved" })).await.expect(201);
    let moving =
        json!({ "action": "move", "queue": "other", "state": "ready", "all": true, "to": QUEUE });
    ways.daemon.post("/v1/operations", &moving).await.expect(202);
    eventually("both are there", async || ways.waiting(QUEUE).await.len() == 3).await;
    ways.daemon.delete(&format!("/v1/messages/{id}")).await.expect(200);
    ways.daemon.post(&format!("/v1/messages/{id}/requeue"), &json!({})).await.expect(200);
    assert_eq!(ways.waiting(QUEUE).await.len(), 3);

    ways.add_entry(&["payload", "entry"]).await;
    let event = ways.publish(&json!({ "payload": "event" })).await.expect(201).json();
    assert_eq!(event["messages"][0]["pending"], true);
    ways.daemon.post("/v1/queues/jobs/resume", &json!({})).await.expect(200);

    // Each of the last two comes in once there is room, and leaves.
    let payloads = ["1", "\"run\"", "\"moved\"", "\"event\"", "entry"];
    let requests = ways.downstream.wait_for(5).await;
    let mut bodies: Vec<_> = requests
        .iter()
        .map(|request| String::from_utf8_lossy(&request.body).into_owned())
        .collect();
    let mut expected = payloads.map(str::to_owned);
    bodies.sort_unstable();
    expected.sort_unstable();
    assert_eq!(bodies, expected);
}

#[tokio::test]
async fn a_reload_keeps_what_was_refused_unless_it_changes_the_backlog() {
    let lines = |more: &str| format!("backlog = {{ max_messages = 1 }}\nconcurrency = 1\n{more}");
    let scene = Scene::start(&lines("")).await;
    let gate = Gate::new();
    scene.downstream.always(Answer::ok().held_by(&gate));
    scene.send("on its way").await;
    scene.wait_count("leased", 1).await;
    let refuse = async || {
        scene.daemon.post(MESSAGES, &json!({ "payload": 2 })).await.expect(429);
    };
    let reload = async |lines: &str| {
        let said = || scene.daemon.log().matches("configuration reloaded").count();
        let before = said();
        scene.daemon.sighup(&queue_toml(QUEUE, &scene.downstream, lines));
        eventually("it has reloaded", async || said() > before).await;
    };
    let found = async || scene.daemon.get("/v1/doctor").await.expect(200).json().to_string();
    refuse().await;
    for (count, more) in [(2, ""), (3, "retention = { delivered = \"2h\" }")] {
        reload(&lines(more)).await;
        refuse().await;
        let found = found().await;
        assert!(found.contains(&format!("this node has refused {count} messages")), "{found}");
    }
    let said = "the backlog is full, and messages are refused";
    assert_eq!(scene.daemon.log().matches(said).count(), 1, "said once");
    reload(&lines("").replace("max_messages = 1", "max_messages = 9")).await;
    assert!(!found().await.contains("backlog-full"), "what was asked for is done");
    gate.release();
}
