//! The bytes of a backlog, and how many messages of one value of a key it has: counted through every step of a message.

use serde_json::{Value, json};

use crate::support::{Answer, Daemon, QUEUE, Scene, eventually, queue_toml};

const COUNTED: &str =
    "backlog = { max_bytes = \"1MiB\", per = \"labels.tenant\", max_messages_per_key = 3 }";
const QUICK: &str =
    "retry = { initial = \"1h\", max_attempts = 9, jitter = 0.0, safe_statuses = [500] }";

fn of(tenant: &str, payload: impl Into<Value>) -> Value {
    json!({ "payload": payload.into(), "labels": { "tenant": tenant } })
}

async fn status_of(scene: &Scene, message: &Value) -> u16 {
    scene.daemon.post(super::MESSAGES, message).await.status
}

/// What stands in Redis of the counts: messages, bytes, and keys with their sums.
async fn counts(scene: &Scene, queue: &str) -> (u64, i64, Vec<u64>) {
    let key = |name: &str| format!("{{tidegate:{queue}.0}}:{name}");
    let messages: u64 = scene.redis.cli(&["HLEN", &key("backlog")]).await;
    let bytes: Option<i64> = scene.redis.cli(&["HGET", &key("meta"), "backlog_bytes"]).await;
    let mut of_keys: Vec<u64> = scene.redis.cli(&["HVALS", &key("backlog:keys")]).await;
    of_keys.sort_unstable();
    (messages, bytes.unwrap_or(0), of_keys)
}

async fn assert_nothing_is_left(scene: &Scene) {
    eventually("nothing is counted", async || counts(scene, QUEUE).await == (0, 0, vec![])).await;
}

#[tokio::test]
async fn one_tenant_is_refused_and_the_others_are_not() {
    let scene = Scene::start(COUNTED).await;
    scene.queue_step("pause", &json!({ "reason": "hold" })).await;
    for number in 0..3 {
        assert_eq!(status_of(&scene, &of("a", number)).await, 201);
        assert_eq!(status_of(&scene, &json!({ "payload": number })).await, 201, "the empty value");
    }
    let refused = scene.daemon.post(super::MESSAGES, &of("a", 3)).await.expect(429).json();
    assert_eq!(
        refused["detail"],
        "the queue \"jobs\" has as many messages with labels.tenant = \"a\" as it may have (max_messages_per_key = 3); the message was not stored: try again in 60 s, or raise the queue's backlog"
    );
    let findings = scene.daemon.get("/v1/doctor").await.expect(200).text().to_owned();
    assert!(findings.contains("with labels.tenant = \\\"a\\\" as it may have"), "{findings}");
    let none = scene.daemon.post(super::MESSAGES, &json!({ "payload": 3 })).await.expect(429);
    assert!(none.text().contains("messages with no value of labels.tenant"), "{}", none.text());
    assert_eq!(status_of(&scene, &of("b", 1)).await, 201);
    assert_eq!(counts(&scene, QUEUE).await.2, [1, 3, 3]);
    scene.queue_step("resume", &json!({})).await;
    scene.wait_count("delivered", 7).await;
    assert_nothing_is_left(&scene).await;
}

#[tokio::test]
async fn who_is_refused_is_asked_to_wait_for_the_rate_of_its_own_key() {
    let per_key = "backlog = { per = \"labels.tenant\", max_messages_per_key = 1 }\n";
    let limits = "rate = \"100/s\"\nlimits = [{ rate = \"3/min\", per = \"labels.tenant\" }]";
    let scene = Scene::start(&format!("{per_key}{limits}")).await;
    let put =
        async |limit: &str| scene.daemon.cli(&["key", QUEUE, "vip", "put", "--limit", limit]).await;
    assert_eq!(put("per_tenant=12/min").await.code, 0);
    let after_s = async |tenant: &str| {
        let refused = scene.daemon.post(super::MESSAGES, &of(tenant, 2)).await;
        refused.expect(429).header("retry-after").to_owned()
    };
    for tenant in ["a", "vip"] {
        let mut later = of(tenant, 1);
        later["delay"] = json!("1h");
        assert_eq!(status_of(&scene, &later).await, 201);
    }
    assert_eq!(after_s("a").await, "20", "three a minute leave of it, not a hundred a second");
    assert_eq!(after_s("vip").await, "5", "it was given more");
    let rows = json!([of("a", 3), of("vip", 3)]);
    let path = format!("{}/batch", super::MESSAGES);
    let rows = scene.daemon.post(&path, &rows).await.expect(200).json();
    let told = |at: usize| rows["results"][at]["problem"]["retry_after_s"].clone();
    assert_eq!([told(0), told(1)], [json!(20), json!(5)]);

    let shown = scene.daemon.cli(&["queue", QUEUE]).await.stdout;
    assert!(shown.contains("up to 1 message of each value of labels.tenant"), "{shown}");
    assert!(shown.contains("1 key with settings of their own"), "{shown}");
    let queue = scene.daemon.get(&format!("/v1/queues/{QUEUE}")).await.expect(200).json();
    assert_eq!((&queue["backlog"]["messages"], &queue["keys"]), (&json!(2), &json!(1)));
}

#[tokio::test]
async fn every_step_of_a_message_counts_it_once() {
    let lines = format!("{COUNTED}\n{QUICK}\non_uncertain = \"park\"\ndownstream.timeout = \"1s\"");
    let scene = Scene::start(&lines).await;
    scene.queue_step("pause", &json!({ "reason": "hold" })).await;
    let expect = async |messages: u64, of_keys: &[u64]| {
        eventually("the counts are right", async || {
            let found = counts(&scene, QUEUE).await;
            found.0 == messages && found.2 == of_keys && (found.1 > 0) == (messages > 0)
        })
        .await;
    };

    // Cancelled and requeued; edited; due later and run; in a schedule's stead, moved away and back.
    let id = scene.daemon.send(QUEUE, &of("a", 1)).await;
    let path = format!("/v1/messages/{id}");
    scene.daemon.delete(&path).await.expect(200);
    expect(0, &[]).await;
    scene.step(&id, "requeue", &json!({})).await;
    expect(1, &[1]).await;
    scene.daemon.patch(&path, &json!({ "delay": "1h" })).await.expect(200);
    let (_, bytes, _) = counts(&scene, QUEUE).await;
    scene.daemon.patch(&path, &json!({ "payload": "x".repeat(1000) })).await.expect(200);
    let (_, larger, _) = counts(&scene, QUEUE).await;
    assert!(larger - bytes > 900, "{bytes} and {larger}");
    scene.step(&id, "run", &json!({})).await;
    expect(1, &[1]).await;

    // A failed attempt waits again; an uncertain message does not count, and does when it is sent again.
    scene.downstream.always(Answer::status(500));
    scene.queue_step("resume", &json!({})).await;
    scene.wait_members(&id, &json!({ "attempts": 1, "state": "scheduled" })).await;
    expect(1, &[1]).await;
    scene.downstream.always(Answer::silence());
    scene.step(&id, "run", &json!({})).await;
    scene.wait_state(&id, "uncertain").await;
    expect(0, &[]).await;
    scene.queue_step("pause", &json!({ "reason": "hold" })).await;
    scene.step(&id, "resolve", &json!({ "as": "resend" })).await;
    expect(1, &[1]).await;

    // Purged, and expired.
    scene.daemon.send(QUEUE, &json!({ "payload": 2, "ttl": "300ms" })).await;
    expect(2, &[1, 1]).await;
    scene.wait_count("expired", 1).await;
    expect(1, &[1]).await;
    scene.daemon.cli(&["purge", QUEUE, "--state", "ready", "--yes"]).await;
    assert_nothing_is_left(&scene).await;
}

#[tokio::test]
async fn bytes_are_those_of_the_records_and_an_empty_queue_takes_one_of_any_size() {
    let scene = Scene::start("backlog = { max_bytes = \"2KiB\" }").await;
    scene.queue_step("pause", &json!({ "reason": "hold" })).await;
    assert_eq!(status_of(&scene, &json!({ "payload": "x".repeat(5000) })).await, 201);
    let refused = scene.daemon.post(super::MESSAGES, &json!({ "payload": 1 })).await;
    let detail = refused.expect(429).json()["detail"].clone();
    assert!(detail.as_str().expect("a detail").contains("(max_bytes = \"2KiB\")"), "{detail}");
    let queue = scene.daemon.get(&format!("/v1/queues/{QUEUE}")).await.expect(200).json();
    assert!(queue["backlog"]["bytes"].as_u64() > Some(5000), "{}", queue["backlog"]);
    scene.queue_step("resume", &json!({})).await;
    scene.wait_count("delivered", 1).await;
    assert_nothing_is_left(&scene).await;
    scene.queue_step("pause", &json!({ "reason": "hold" })).await;
    for _ in 0..2 {
        assert_eq!(status_of(&scene, &json!({ "payload": "x".repeat(900) })).await, 201);
    }
    assert_eq!(status_of(&scene, &json!({ "payload": "x".repeat(900) })).await, 429);
}

#[tokio::test]
async fn what_was_there_before_the_reload_is_counted_too() {
    let scene = Scene::start("").await;
    scene.queue_step("pause", &json!({ "reason": "hold" })).await;
    let sent: Vec<_> = (0..300).map(|number| of(&format!("t{}", number % 100), number)).collect();
    scene.send_all(&sent).await;

    let reload = |daemon: &Daemon, lines: &str| {
        daemon.sighup(&queue_toml(QUEUE, &scene.downstream, lines));
    };
    reload(&scene.daemon, COUNTED);

    eventually("all are counted", async || counts(&scene, QUEUE).await.0 == 300).await;
    assert_eq!(counts(&scene, QUEUE).await.2, vec![3; 100]);
    assert_eq!(status_of(&scene, &of("t1", 1)).await, 429);
    // Another key: counted anew.
    reload(&scene.daemon, &COUNTED.replace("labels.tenant", "group").replace("= 3", "= 300"));
    eventually("all have no group", async || counts(&scene, QUEUE).await.2 == [300]).await;
    assert_eq!(status_of(&scene, &of("t1", 1)).await, 429);
    // None: forgotten.
    reload(&scene.daemon, "");
    eventually("nothing is kept", async || counts(&scene, QUEUE).await.0 == 0).await;
    assert_eq!(status_of(&scene, &of("t1", 1)).await, 201);
    scene.queue_step("resume", &json!({})).await;
    scene.wait_count("delivered", 301).await;
}

#[tokio::test]
async fn in_a_queue_with_keys_and_several_shards_it_holds_for_each_value() {
    let lines = "shards = 4\nfairness = \"labels.tenant\"\nbacklog = { per = \"labels.tenant\", max_messages_per_key = 2 }";
    let scene = Scene::start(lines).await;
    scene.queue_step("pause", &json!({ "reason": "hold" })).await;
    for number in 0..20 {
        let tenant = format!("t{}", number % 10);
        assert_eq!(status_of(&scene, &of(&tenant, number)).await, 201);
    }
    for number in 0..10 {
        assert_eq!(status_of(&scene, &of(&format!("t{number}"), number)).await, 429);
    }
    scene.queue_step("resume", &json!({})).await;
    scene.wait_count("delivered", 20).await;
    assert_eq!(status_of(&scene, &of("t1", 1)).await, 201);
}

#[tokio::test]
async fn what_is_counted_wrongly_is_found_and_counted_again() {
    let scene = Scene::start(COUNTED).await;
    scene.queue_step("pause", &json!({ "reason": "hold" })).await;
    let mut ids = Vec::new();
    for number in 0..6 {
        ids.push(scene.daemon.send(QUEUE, &of(&format!("t{}", number % 2), number)).await);
    }
    let key = |name: &str| format!("{{tidegate:jobs.0}}:{name}");
    let right = counts(&scene, QUEUE).await;
    let begun = key("backlog:at");
    eventually("what was there before is counted", async || {
        scene.redis.cli::<u64>(&["EXISTS", &begun]).await == 0
    })
    .await;
    let ulid = |at: usize| ids[at].split_once('_').expect("queue and ulid").1.to_owned();
    let faults = async |repairs: bool| {
        let path = format!("/v1/queues/{QUEUE}/audit");
        let reply = match repairs {
            false => scene.daemon.get(&path).await,
            true => scene.daemon.post(&path, &json!({})).await,
        };
        let reply = reply.expect(200);
        let last = reply.text().lines().last().expect("a summary").to_owned();
        serde_json::from_str::<Value>(&last).expect("a summary is JSON")["faults"].clone()
    };
    assert_eq!(faults(false).await, json!({}));

    // One is not counted, one as something else, one that does not exist is, and a sum is wrong.
    let _: u64 = scene.redis.cli(&["HDEL", &key("backlog"), &ulid(0)]).await;
    let _: u64 = scene.redis.cli(&["HSET", &key("backlog"), &ulid(1), "abcdefgh1234"]).await;
    let absent = ulid(2).replace(|c: char| c.is_ascii_alphabetic(), "7");
    let _: u64 = scene.redis.cli(&["HSET", &key("backlog"), &absent, "abcdefgh1234"]).await;
    let _: u64 = scene.redis.cli(&["HSET", &key("backlog:keys"), "abcdefgh", "9"]).await;

    assert_eq!(faults(false).await["backlog"], json!({ "found": 4, "repaired": 0 }), "and the sum");
    faults(true).await;
    eventually("all are counted again", async || counts(&scene, QUEUE).await == right).await;
    assert_eq!(faults(false).await, json!({}));
    scene.queue_step("resume", &json!({})).await;
    scene.wait_count("delivered", 6).await;
    assert_nothing_is_left(&scene).await;
}
