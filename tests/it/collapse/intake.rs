//! A newer message takes the place of one that waits: what it brings, what stays, and by which way in it comes.

use serde_json::{Value, json};

use super::{
    KEY, assert_nothing_left, assert_sound, collapsed, fresh, id_of, keys_known, level, numbers,
    post, superseded_total, whole, with,
};
use crate::support::{Daemon, Downstream, QUEUE, RedisServer, Scene, eventually, queue_toml};

#[tokio::test]
async fn a_newer_message_takes_the_place_of_the_one_that_waits() {
    let scene =
        Scene::start("callback = { url = \"http://127.0.0.1:9/told\", on = [\"dead\"] }").await;
    scene.queue_step("pause", &json!({})).await;
    let old = with(
        1,
        &json!({ "headers": { "X-Old": "1" }, "labels": { "was": "old" }, "priority": 3, "ttl": "1h", "cost": 2 }),
    );
    let id = fresh(&scene, &old).await;
    let before = scene.daemon.message(&id).await;
    assert_eq!((&before["collapse_key"], &before["superseded"]), (&json!(KEY), &json!(0)));

    let new = json!({
        "payload": "now a text", "content_type": "text/plain", "headers": { "X-New": "2" }, "labels": { "is": "new" },
        "group": "g", "priority": 7, "cost": 5, "retry": { "max_attempts": 2 }, "callback": { "on": ["delivered"] },
        "collapse_key": KEY, "delay": "2h",
    });
    let view = collapsed(&scene, &new).await;

    assert_eq!(id_of(&view), id);
    let now = whole(&scene.daemon, &id).await;
    for name in ["created_at", "due_at", "state"] {
        assert_eq!(now[name], before[name], "{name} stays");
    }
    for (name, value) in [
        ("superseded", json!(1)),
        ("payload", json!("now a text")),
        ("content_type", json!("text/plain")),
        ("headers", json!({ "x-new": "2" })),
        ("labels", json!({ "is": "new" })),
        ("group", json!("g")),
        ("priority", json!(7)),
        ("cost", json!(5)),
        ("retry", json!({ "max_attempts": 2 })),
        ("callback", json!({ "on": ["delivered"] })),
        ("expires_at", Value::Null),
    ] {
        assert_eq!(now[name], value, "{name}");
    }
    collapsed(&scene, &level(3)).await;
    assert_eq!(scene.daemon.message(&id).await["superseded"], 2);
    assert_eq!(superseded_total(&scene.daemon).await, 2);
    assert_eq!(scene.daemon.counts(QUEUE).await["ready"], 1);

    scene.queue_step("resume", &json!({})).await;
    assert_eq!(scene.daemon.wait_final(&id).await["state"], "delivered");
    assert_eq!(numbers(&scene), [3]);
    assert_nothing_left(&scene).await;
    // It is a new one from here on.
    let next = fresh(&scene, &level(4)).await;
    assert_ne!(next, id);
    scene.wait_state(&next, "delivered").await;
}

#[tokio::test]
async fn other_keys_and_messages_without_one_are_left_alone() {
    let scene = Scene::start("").await;
    scene.queue_step("pause", &json!({})).await;
    for number in 0..3 {
        fresh(&scene, &json!({ "payload": { "n": number }, "collapse_key": format!("k{number}") }))
            .await;
        fresh(&scene, &json!({ "payload": { "n": number } })).await;
    }
    assert_eq!((keys_known(&scene.redis).await, superseded_total(&scene.daemon).await), (3, 0));
    let path = format!("/v1/queues/{QUEUE}/messages?state=ready");
    let listed = scene.daemon.get(&path).await.expect(200).json();
    let with_key = listed["messages"].as_array().unwrap().iter();
    assert_eq!(with_key.filter(|message| message.get("collapse_key").is_some()).count(), 3);
    assert_sound(&scene.daemon).await;
    scene.queue_step("resume", &json!({})).await;
    scene.wait_count("delivered", 6).await;
    assert_nothing_left(&scene).await;
}

#[tokio::test]
async fn a_scheduled_message_keeps_its_due_time_and_takes_the_expiry_of_the_newer() {
    let scene = Scene::start("").await;
    let id = fresh(&scene, &with(1, &json!({ "delay": "1h", "ttl": "2h" }))).await;
    let before = scene.daemon.message(&id).await;

    collapsed(&scene, &with(2, &json!({ "delay": "5m", "priority": 9, "ttl": "90m" }))).await;

    let now = scene.daemon.message(&id).await;
    assert_eq!((&now["due_at"], &now["state"]), (&before["due_at"], &json!("scheduled")));
    assert!(now["expires_at"].as_str() < before["expires_at"].as_str(), "{now}");
    collapsed(&scene, &level(3)).await;
    assert_eq!(scene.daemon.message(&id).await["expires_at"], Value::Null);
    assert_sound(&scene.daemon).await;
    scene.step(&id, "run", &json!({})).await;
    scene.wait_state(&id, "delivered").await;
    assert_eq!(numbers(&scene), [3]);
    assert_nothing_left(&scene).await;
}

#[tokio::test]
async fn rows_of_one_batch_collapse_in_their_order() {
    let scene = Scene::start("").await;
    scene.queue_step("pause", &json!({})).await;
    let rows = json!([
        level(1), { "payload": { "n": 10 } }, level(2), { "payload": 1, "collapse_key": "" }, level(3),
        { "payload": { "n": 11 }, "collapse_key": "other" },
    ]);
    let reply = scene
        .daemon
        .post(&format!("/v1/queues/{QUEUE}/messages/batch"), &rows)
        .await
        .expect(200)
        .json();

    assert_eq!((&reply["accepted"], &reply["rejected"]), (&json!(5), &json!(1)), "{reply}");
    let results = &reply["results"];
    let said = |at: usize| (results[at]["id"].clone(), results[at]["collapsed"].clone());
    let first = results[0]["id"].clone();
    assert_eq!((said(0).1, said(1).1, said(5).1), (Value::Null, Value::Null, Value::Null));
    assert_eq!((said(2), said(4)), ((first.clone(), json!(true)), (first.clone(), json!(true))));
    assert_eq!(results[3]["problem"]["errors"][0]["pointer"], "/collapse_key");
    scene.queue_step("resume", &json!({})).await;
    scene.wait_count("delivered", 3).await;
    let mut seen = numbers(&scene);
    seen.sort_unstable();
    assert_eq!(seen, [3, 10, 11]);
    assert_nothing_left(&scene).await;
}

#[tokio::test]
async fn a_repeat_of_an_idempotency_key_never_brings_an_old_payload_back() {
    let scene = Scene::start("").await;
    scene.queue_step("pause", &json!({})).await;
    let keyed = |number: usize, key: &str| with(number, &json!({ "idempotency_key": key }));
    let id = fresh(&scene, &keyed(1, "a")).await;
    collapsed(&scene, &keyed(2, "b")).await;

    for (number, key) in [(1, "a"), (2, "b"), (1, "a")] {
        let view = post(&scene.daemon, &keyed(number, key)).await.expect(200).json();
        assert_eq!((id_of(&view), &view["duplicate"]), (id.clone(), &json!(true)), "{key}");
        assert_eq!(whole(&scene.daemon, &id).await["payload"]["n"], 2);
    }
    // Within one batch too, and another body under the same key is refused.
    let rows = json!([keyed(1, "a"), keyed(3, "c"), keyed(3, "c"), keyed(4, "a")]);
    let reply = scene
        .daemon
        .post(&format!("/v1/queues/{QUEUE}/messages/batch"), &rows)
        .await
        .expect(200)
        .json();
    let results = &reply["results"];
    assert_eq!((&results[0]["duplicate"], &results[1]["collapsed"]), (&json!(true), &json!(true)));
    assert_eq!((&results[2]["id"], &results[2]["duplicate"]), (&json!(id), &json!(true)));
    assert_eq!(results[3]["problem"]["code"], "idempotency-mismatch");
    scene.queue_step("resume", &json!({})).await;
    scene.wait_state(&id, "delivered").await;
    for key in ["a", "b"] {
        let number = if key == "a" { 1 } else { 2 };
        let view = post(&scene.daemon, &keyed(number, key)).await.expect(200).json();
        assert_eq!((id_of(&view), &view["state"]), (id.clone(), &json!("delivered")));
    }
    assert_eq!(numbers(&scene), [3]);
    assert_nothing_left(&scene).await;
}

#[tokio::test]
async fn a_key_that_is_not_valid_and_a_queue_with_several_shards_are_refused() {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let toml = queue_toml(QUEUE, &downstream, "") + &queue_toml("wide", &downstream, "shards = 2");
    let daemon = Daemon::start(&redis, toml).await;
    for (queue, key) in [
        (QUEUE, json!("")),
        (QUEUE, json!("x".repeat(300))),
        (QUEUE, json!("a\nb")),
        (QUEUE, json!(7)),
        ("wide", json!("a")),
    ] {
        let body = json!({ "payload": 1, "collapse_key": key });
        let refused =
            daemon.post(&format!("/v1/queues/{queue}/messages"), &body).await.expect(400).json();
        assert_eq!(refused["errors"][0]["pointer"], "/collapse_key", "{refused}");
    }
}

#[tokio::test]
async fn every_way_in_collapses() {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let mut toml = queue_toml(QUEUE, &downstream, "") + "[inbox]\nenabled = true\n";
    toml += "[topics.stock]\nqueues = [\"jobs\"]\n";
    toml += "[schedules.often]\nqueue = \"jobs\"\nevery = \"300ms\"\npayload = { n = 9 }\ncollapse_key = \"tick\"\n";
    let daemon = Daemon::start(&redis, toml).await;
    let scene = Scene { daemon, downstream, redis };
    scene.queue_step("pause", &json!({})).await;
    let id = fresh(&scene, &level(1)).await;
    let shows = async |number: u64| {
        eventually("the newest payload is there", async || {
            whole(&scene.daemon, &id).await["payload"]["n"] == number
        })
        .await;
    };

    let mut connection = scene.redis.connect().await.expect("redis-server accepts connections");
    let mut add = redis::cmd("XADD");
    add.arg("tidegate:inbox:jobs")
        .arg("*")
        .arg("payload")
        .arg("{\"n\":2}")
        .arg("collapse_key")
        .arg(KEY);
    add.query_async::<String>(&mut connection).await.expect("the stream takes it");
    shows(2).await;
    scene.daemon.post("/v1/topics/stock/messages", &level(3)).await.expect(201);
    shows(3).await;
    collapsed(&scene, &level(4)).await;
    shows(4).await;
    // Ticks of a schedule: one message, however many of them came.
    eventually("some ticks have come", async || {
        let schedule = scene.daemon.get("/v1/schedules/often").await.expect(200).json();
        schedule["fired"].as_u64() >= Some(3)
    })
    .await;
    assert_eq!(scene.daemon.counts(QUEUE).await["ready"], 2);
    assert_eq!(keys_known(&scene.redis).await, 2);
    assert_sound(&scene.daemon).await;
}
