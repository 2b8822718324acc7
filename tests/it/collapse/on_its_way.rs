//! The older message has begun: it is being sent, waits for another attempt, or nobody knows whether it arrived.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    Pair, QUICK_RETRY, assert_nothing_left, assert_sound, collapsed, fresh, id_of, level, numbers,
    superseded_total, with,
};
use crate::support::{Answer, Gate, QUEUE, Scene, eventually};

#[tokio::test]
async fn a_newer_message_waits_while_the_older_is_sent_and_a_third_replaces_it() {
    let scene = Scene::start("").await;
    let Pair { first, second, gate } = Pair::begin(&scene, Answer::ok()).await;
    let held = scene.daemon.message(&second).await;
    assert_eq!(
        (&held["state"], &held["held_by"]),
        (&json!("scheduled"), &json!(["collapse"])),
        "{held}"
    );
    assert_eq!(held["next_attempt_at"], Value::Null);
    assert_eq!(held["blocked_by"], json!([{ "id": first }]));
    let path = format!("/v1/queues/{QUEUE}/messages?state=scheduled");
    let listed = scene.daemon.get(&path).await.expect(200).json()["messages"][0].clone();
    assert_eq!((&listed["id"], &listed["blocked_by"]), (&held["id"], &held["blocked_by"]));
    let told = scene.daemon.cli(&["get", &second]).await.stdout;
    let sentence = format!("Waiting for {first}, the older message of its collapse key");
    assert!(told.contains(&sentence), "{told}");
    assert_eq!(id_of(&collapsed(&scene, &level(3)).await), second);
    assert_eq!(
        id_of(&collapsed(&scene, &with(4, &json!({ "priority": 9, "ttl": "1h" }))).await),
        second
    );
    assert_sound(&scene.daemon).await;
    assert_eq!(numbers(&scene), [1], "it waits");

    gate.release();

    assert_eq!(scene.daemon.wait_final(&second).await["state"], "delivered");
    assert_eq!(
        (numbers(&scene), scene.daemon.message(&first).await["state"].clone()),
        (vec![1, 4], json!("delivered"))
    );
    let sent = scene.daemon.message(&second).await;
    assert_eq!((&sent["superseded"], &sent["blocked_by"]), (&json!(2), &json!([])));
    assert_nothing_left(&scene).await;
}

#[tokio::test]
async fn what_waits_for_the_older_keeps_its_own_due_time() {
    let scene = Scene::start("").await;
    let gate = Gate::new();
    scene.downstream.once(Answer::ok().held_by(&gate));
    fresh(&scene, &level(1)).await;
    scene.downstream.wait_for(1).await;
    let second = fresh(&scene, &with(2, &json!({ "delay": "1h" }))).await;
    assert_eq!(scene.daemon.message(&second).await["held_by"], json!(["due", "collapse"]));
    // Run now: it waits for the older one nevertheless.
    scene.step(&second, "run", &json!({})).await;
    assert_eq!(scene.daemon.message(&second).await["held_by"], json!(["collapse"]));
    scene
        .daemon
        .patch(&format!("/v1/messages/{second}"), &json!({ "delay": "1h" }))
        .await
        .expect(200);
    assert_sound(&scene.daemon).await;
    gate.release();
    scene.wait_members(&second, &json!({ "held_by": ["due"], "state": "scheduled" })).await;
    scene.step(&second, "run", &json!({})).await;
    scene.wait_state(&second, "delivered").await;
    assert_nothing_left(&scene).await;
}

#[tokio::test]
async fn an_older_one_that_waits_for_another_attempt_is_cancelled_and_gives_its_due_time() {
    let scene = Scene::start("retry = { initial = \"1h\", jitter = 0.0 }").await;
    scene.downstream.once(Answer::status(500));
    let first = fresh(&scene, &level(1)).await;
    let waits = scene.wait_members(&first, &json!({ "state": "scheduled", "attempts": 1 })).await;

    let second = fresh(&scene, &level(2)).await;

    let older = scene.daemon.message(&first).await;
    assert_eq!(
        (&older["state"], &older["reason"]),
        (&json!("cancelled"), &json!("superseded")),
        "{older}"
    );
    assert_eq!(older["last_attempt"]["status_code"], 500, "its outcome is kept");
    let newer = scene.daemon.message(&second).await;
    assert_eq!(
        (&newer["due_at"], &newer["state"]),
        (&waits["due_at"], &json!("scheduled")),
        "no way round a backoff"
    );
    // A third one takes the place of the second: no attempt at that has begun.
    assert_eq!(id_of(&collapsed(&scene, &level(3)).await), second);
    assert_eq!(scene.daemon.message(&second).await["due_at"], waits["due_at"]);
    assert_eq!(superseded_total(&scene.daemon).await, 2);
    assert_sound(&scene.daemon).await;
    scene.step(&second, "run", &json!({})).await;
    scene.wait_state(&second, "delivered").await;
    assert_eq!(numbers(&scene), [1, 3]);
    assert_nothing_left(&scene).await;
}

#[tokio::test]
async fn an_attempt_that_fails_makes_way_for_the_newer() {
    let scene = Scene::start(QUICK_RETRY).await;
    let Pair { first, second, gate } = Pair::begin(&scene, Answer::status(500)).await;

    gate.release();

    let older = scene.daemon.wait_final(&first).await;
    assert_eq!((&older["state"], &older["reason"]), (&json!("cancelled"), &json!("superseded")));
    scene.wait_state(&second, "delivered").await;
    let requests = scene.downstream.requests();
    assert_eq!(numbers(&scene), [1, 2]);
    assert!(
        requests[1].arrived - requests[0].answered.unwrap() >= Duration::from_millis(250),
        "it got the due time of the retry"
    );
    assert_eq!(superseded_total(&scene.daemon).await, 1);
    assert_nothing_left(&scene).await;
}

#[tokio::test]
async fn a_throttled_one_makes_way_for_the_newer_once_the_gate_is_open() {
    let scene = Scene::start("").await;
    let Pair { first, second, gate } =
        Pair::begin(&scene, Answer::status(429).header("Retry-After", "1")).await;
    gate.release();
    assert_eq!(scene.daemon.wait_final(&first).await["reason"], "superseded");
    scene.wait_state(&second, "delivered").await;
    let requests = scene.downstream.requests();
    assert!(requests[1].arrived - requests[0].arrived >= Duration::from_millis(950));
    assert_nothing_left(&scene).await;
}

#[tokio::test]
async fn a_refused_one_is_dead_and_the_newer_goes_at_once() {
    let scene = Scene::start("").await;
    let Pair { first, second, gate } = Pair::begin(&scene, Answer::status(422)).await;
    gate.release();
    assert_eq!(scene.daemon.wait_final(&first).await["state"], "dead");
    scene.wait_state(&second, "delivered").await;
    assert_nothing_left(&scene).await;
}

#[tokio::test]
async fn an_uncertain_one_holds_the_newer_until_it_is_decided() {
    for (decision, state) in [("delivered", "delivered"), ("dead", "dead"), ("resend", "cancelled")]
    {
        let scene = Scene::start("on_uncertain = \"park\"\ndownstream.timeout = \"300ms\"").await;
        scene.downstream.once(Answer::silence());
        let first = fresh(&scene, &level(1)).await;
        scene.wait_state(&first, "uncertain").await;
        let second = fresh(&scene, &level(2)).await;
        let held = scene.daemon.message(&second).await;
        let expected = (json!(["collapse"]), json!([{ "id": first }]));
        assert_eq!((&held["held_by"], &held["blocked_by"]), (&expected.0, &expected.1));
        assert_eq!(id_of(&collapsed(&scene, &level(3)).await), second);
        assert_sound(&scene.daemon).await;

        scene.step(&first, "resolve", &json!({ "as": decision })).await;

        scene.wait_state(&second, "delivered").await;
        let older = scene.daemon.message(&first).await;
        assert_eq!(older["state"], state, "{decision}");
        assert_eq!(numbers(&scene), [1, 3], "{decision}: nothing old after the newer");
        assert_nothing_left(&scene).await;
    }
}

#[tokio::test]
async fn an_accepted_one_is_decided() {
    let scene = Scene::start("").await;
    scene.downstream.once(Answer::status(202).header("Tidegate-Receipt", "pending"));
    let first = fresh(&scene, &level(1)).await;
    scene.wait_state(&first, "accepted").await;
    let second = fresh(&scene, &level(2)).await;
    scene.wait_state(&second, "delivered").await;
    assert_eq!(scene.daemon.message(&first).await["state"], "accepted");
    assert_nothing_left(&scene).await;
}

#[tokio::test]
async fn a_node_that_is_killed_loses_no_message_that_waits_for_what_it_sent() {
    let mut scene = Scene::start(QUICK_RETRY).await;
    let Pair { first, second, gate } = Pair::begin(&scene, Answer::ok()).await;
    scene.daemon.kill9().await;
    gate.release();
    scene.daemon.restart().await;
    collapsed(&scene, &level(3)).await;
    assert_eq!(scene.daemon.wait_final(&second).await["state"], "delivered");
    let older = scene.daemon.wait_final(&first).await;
    assert_eq!(
        (&older["state"], &older["reason"]),
        (&json!("cancelled"), &json!("superseded")),
        "its node was lost"
    );
    assert_eq!(numbers(&scene), [1, 3]);
    assert_nothing_left(&scene).await;
}

#[tokio::test]
async fn batches_and_queues_with_keys_know_them_too() {
    let keys = "ordering = \"group\"\nfairness = \"labels.tenant\"\nlimits = [{ concurrency = 2, per = \"labels.to\" }]\npriority_levels = 3";
    for lines in ["batch = { max_items = 2, max_wait = \"0s\" }", keys] {
        let scene = Scene::start(lines).await;
        let gate = Gate::new();
        scene.downstream.once(Answer::ok().held_by(&gate));
        let fields = |to: &str| json!({ "group": "g", "labels": { "tenant": "a", "to": to } });
        let first = fresh(&scene, &with(1, &fields("x"))).await;
        scene.downstream.wait_for(1).await;
        let second = fresh(&scene, &with(2, &fields("x"))).await;
        collapsed(&scene, &with(3, &json!({ "labels": { "to": "y" }, "priority": 9 }))).await;
        assert_sound(&scene.daemon).await;
        gate.release();
        assert_eq!(scene.daemon.wait_final(&first).await["state"], "delivered");
        scene.wait_state(&second, "delivered").await;
        // Waiting ones move into the lane of their new keys.
        scene.queue_step("pause", &json!({})).await;
        let third = fresh(&scene, &with(4, &fields("x"))).await;
        collapsed(
            &scene,
            &with(
                5,
                &json!({ "group": "h", "labels": { "tenant": "b", "to": "z" }, "priority": 5 }),
            ),
        )
        .await;
        assert_sound(&scene.daemon).await;
        scene.queue_step("resume", &json!({})).await;
        scene.wait_state(&third, "delivered").await;
        assert_nothing_left(&scene).await;
    }
}

#[tokio::test]
async fn workers_that_pull_give_back_and_settle_with_keys() {
    let scene = Scene::start("").await;
    drop(scene);
    let redis = crate::support::RedisServer::start().await;
    let daemon = crate::support::Daemon::start(
        &redis,
        "[queues.jobs]\ndownstream.type = \"pull\"\nretry = { initial = \"50ms\", jitter = 0.0 }\n",
    )
    .await;
    let downstream = crate::support::Downstream::start().await;
    let scene = Scene { daemon, downstream, redis };
    let claim = async || {
        let body = json!({ "max": 1, "wait": "5s" });
        let reply = scene.daemon.post("/v1/queues/jobs/claim", &body).await.expect(200).json();
        reply["messages"][0].clone()
    };
    let settle = async |message: &Value, how: &str| {
        let row = json!([{ "id": message["id"], "token": message["token"], "as": how }]);
        scene.daemon.post("/v1/queues/jobs/settle", &row).await.expect(200);
    };
    let first = fresh(&scene, &level(1)).await;
    let claimed = claim().await;
    assert_eq!(claimed["id"], first);
    // Given back before it began: the newer one takes its place all the same.
    let second = fresh(&scene, &level(2)).await;
    settle(&claimed, "release").await;
    assert_eq!(scene.daemon.wait_final(&first).await["reason"], "superseded");
    let claimed = claim().await;
    assert_eq!((&claimed["id"], &claimed["payload"]["n"]), (&json!(second), &json!(2)));
    let third = fresh(&scene, &level(3)).await;
    settle(&claimed, "retry").await;
    assert_eq!(scene.daemon.wait_final(&second).await["reason"], "superseded");
    let claimed = claim().await;
    assert_eq!(claimed["id"], third);
    settle(&claimed, "delivered").await;
    scene.wait_state(&third, "delivered").await;
    eventually("all is counted", async || superseded_total(&scene.daemon).await == 2).await;
    assert_nothing_left(&scene).await;
}
