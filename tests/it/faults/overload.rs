//! Too little room: intake is refused in time, what is there drains, and intake goes on by itself.

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use crate::support::http::Reply;
use crate::support::redis::RedisOptions;
use crate::support::wait::poll_until;
use crate::support::{
    Answer, Daemon, Downstream, Gate, QUEUE, RedisServer, Scene, eventually, queue_toml,
};

const MESSAGES: usize = 40;

/// A message of 64 KiB: what it takes is its body.
fn large(number: usize) -> Value {
    json!({ "payload": format!("{number}:{}", "x".repeat(64 << 10)) })
}

async fn try_send(daemon: &Daemon) -> Reply {
    daemon.post(&format!("/v1/queues/{QUEUE}/messages"), &json!({ "payload": "one more" })).await
}

/// Waits until intake is refused for want of room; returns the reason. A daemon that was just started
/// says that it is not there yet.
async fn refused(daemon: &Daemon) -> String {
    let reply = poll_until("intake is refused", async || {
        let reply = try_send(daemon).await;
        if reply.status == 201 || reply.json()["code"] == "store-unavailable" {
            return None;
        }
        Some(reply)
    });
    let reply = reply.await;
    assert_eq!((reply.status, &reply.json()["code"]), (503, &json!("store-full")));
    assert_eq!(reply.header("retry-after"), "5");
    reply.json()["detail"].as_str().unwrap_or_default().to_owned()
}

/// Above its table, with the reason; JSON stays the API's own answer.
async fn queues_say(daemon: &Daemon, why: &str) {
    let shown = daemon.cli(&["queues"]).await;
    let lines: Vec<&str> = shown.stdout.lines().collect();
    assert_eq!(shown.code, 0, "{}", shown.stderr);
    assert!(
        lines[0].starts_with("new messages are refused: ") && lines[0].contains(why),
        "{lines:?}"
    );
    assert!(lines[1].starts_with("  next: "), "{lines:?}");
    assert!(lines[3].starts_with("QUEUE "), "{lines:?}");
    let json = daemon.cli(&["queues", "--output", "json"]).await.stdout;
    let json: Value = serde_json::from_str(&json).expect("the API's own answer");
    assert_eq!(json["queues"][0]["name"], QUEUE);
}

async fn is_accepted(daemon: &Daemon) -> bool {
    try_send(daemon).await.status == 201
}

async fn info(redis: &RedisServer, field: &str) -> u64 {
    let info: String = redis.cli(&["INFO"]).await;
    let found = info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    found.and_then(|value| value.trim().parse().ok()).expect("INFO says it")
}

/// Waits until everything is delivered: what was seeded, and what came in before the refusal.
async fn drained(scene: &Scene) {
    eventually("all is delivered", async || {
        let counts = scene.daemon.counts(QUEUE).await;
        let waits = ["ready", "scheduled", "leased"].iter().any(|state| counts[state] != 0);
        !waits && counts["delivered"].as_u64() >= Some(MESSAGES as u64)
    })
    .await;
}

async fn limit_memory(redis: &RedisServer, bytes: u64) {
    redis.cli::<()>(&["CONFIG", "SET", "maxmemory", &bytes.to_string()]).await;
}

async fn doctor_says(daemon: &Daemon, words: &str) {
    let doctor = daemon.cli(&["doctor"]).await;
    assert!(doctor.stdout.contains(words), "{}{}", doctor.stdout, doctor.stderr);
}

#[tokio::test]
async fn before_redis_is_full_intake_stops_and_it_goes_on_when_messages_have_left() {
    let scene = Scene::start("").await;
    scene.queue_step("pause", &json!({})).await;
    for number in 0..MESSAGES {
        scene.daemon.send(QUEUE, &large(number)).await;
    }

    limit_memory(&scene.redis, info(&scene.redis, "used_memory").await * 100 / 93).await;

    let why = refused(&scene.daemon).await;
    assert!(why.contains("maxmemory"), "{why}");
    scene.redis.cli::<()>(&["SET", "not", "full"]).await;
    let ready = scene.daemon.get("/readyz").await;
    assert_eq!((ready.status, &ready.json()["code"]), (503, &json!("store-full")));
    let metrics = scene.daemon.get("/metrics").await.expect(200);
    assert!(metrics.text().contains("tidegate_store_full{resource=\"memory\"} 1"));
    doctor_says(&scene.daemon, "of its maxmemory").await;
    queues_say(&scene.daemon, "of its maxmemory").await;

    scene.queue_step("resume", &json!({})).await;

    drained(&scene).await;
    eventually("intake goes on", async || is_accepted(&scene.daemon).await).await;
}

#[tokio::test]
async fn at_maxmemory_everything_that_is_there_drains() {
    let scene = Scene::start("retry = { initial = \"500ms\", jitter = 0.0 }").await;
    scene.queue_step("pause", &json!({})).await;
    scene.downstream.once(Answer::status(500));
    for number in 0..MESSAGES / 2 {
        scene.daemon.send(QUEUE, &json!({ "payload": number })).await;
        scene.daemon.send(QUEUE, &json!({ "payload": number, "delay": "1s" })).await;
    }

    // Over its limit at once, whatever the marks say.
    limit_memory(&scene.redis, info(&scene.redis, "used_memory").await / 2).await;
    let mut raw = scene.redis.connect().await.unwrap();
    let set = redis::cmd("SET").arg("a").arg("b").query_async::<()>(&mut raw).await;
    assert_eq!(set.unwrap_err().code(), Some("OOM"));
    refused(&scene.daemon).await;
    scene.queue_step("resume", &json!({})).await;

    drained(&scene).await;
    let retries = scene.downstream.requests().iter().filter(|r| r.attempt() == 2).count();
    assert_eq!(retries, 1);
    let nodes = scene.daemon.get("/v1/nodes").await.expect(200).json();
    assert_eq!(nodes["nodes"].as_array().map(Vec::len), Some(1), "it shows that it lives");
    assert!(!scene.daemon.log().contains("Redis is away"), "{}", scene.daemon.log());

    limit_memory(&scene.redis, 0).await;
    eventually("intake goes on", async || is_accepted(&scene.daemon).await).await;
}

#[tokio::test]
async fn while_redis_cannot_write_its_file_nothing_spins_and_then_all_goes_on() {
    let options = RedisOptions::default().set("appendfsync", "everysec").with_faults();
    let (redis, downstream) = tokio::join!(options.start(), Downstream::start());
    let config = queue_toml(QUEUE, &downstream, "");
    let config = format!("[redis]\ndurability = \"everysec\"\n{config}");
    let daemon = Daemon::start(&redis, config).await;
    let gate = Gate::new();
    downstream.once(Answer::ok().held_by(&gate));
    let being_sent = daemon.send(QUEUE, &json!({ "payload": "being sent" })).await;
    let later = daemon.send(QUEUE, &json!({ "payload": "later", "delay": "1s" })).await;
    downstream.wait_for(1).await;

    redis.faults().fill_disk(true);
    let why = poll_until("Redis refuses writes", async || {
        let reply = try_send(&daemon).await;
        (reply.json()["code"] == "store-full").then(|| reply.text().to_owned())
    })
    .await;
    assert!(why.contains("append-only file"), "{why}");
    gate.release();
    doctor_says(&daemon, "new messages are refused").await;
    let before = info(&redis, "total_commands_processed").await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let commands = info(&redis, "total_commands_processed").await - before;
    assert!(commands < 200, "{commands} commands in two seconds");

    redis.faults().fill_disk(false);

    for id in [&being_sent, &later] {
        assert_eq!(daemon.wait_final(id).await["state"], "delivered");
    }
    assert_eq!(downstream.requests().iter().filter(|r| r.id() == being_sent).count(), 1);
    eventually("intake goes on", async || is_accepted(&daemon).await).await;
}

#[tokio::test]
async fn a_managed_redis_that_its_full_disk_ends_is_started_again_without_haste() {
    let downstream = Downstream::start().await;
    let daemon = Daemon::with(queue_toml(QUEUE, &downstream, "")).with_faults().start().await;
    let kept = daemon.send(QUEUE, &json!({ "payload": 1, "delay": "1s" })).await;

    daemon.faults().fill_disk(true);
    let ends = || daemon.log().matches("the managed Redis ended").count();
    eventually("it ended more than once", async || ends() >= 3).await;
    let before = ends();
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert!(ends() - before <= 5, "{} starts in three seconds", ends() - before);
    assert_eq!(try_send(&daemon).await.status, 503);
    daemon.faults().fill_disk(false);

    assert_eq!(daemon.wait_final(&kept).await["state"], "delivered");
    eventually("intake goes on", async || is_accepted(&daemon).await).await;
}

#[tokio::test]
async fn below_the_reserve_of_the_disk_intake_stops_and_messages_leave() {
    let downstream = Downstream::start().await;
    let mut daemon = Daemon::with(queue_toml(QUEUE, &downstream, "")).start().await;
    daemon.post(&format!("/v1/queues/{QUEUE}/pause"), &json!({})).await.expect(200);
    let kept = daemon.send(QUEUE, &json!({ "payload": 1 })).await;
    let reserve = |size: &str| [("TIDEGATE__REDIS__DISK_RESERVE", size.to_owned())];
    daemon.sigterm().await;

    daemon.start_again_with(&reserve("1000000GiB"));

    poll_until("it answers", async || {
        daemon.http().try_send(Method::GET, "/livez", &[], Bytes::new()).await.ok()
    })
    .await;
    let why = refused(&daemon).await;
    assert!(why.contains("redis.disk_reserve"), "{why}");
    queues_say(&daemon, "redis.disk_reserve").await;
    let queue = daemon.cli(&["queue", QUEUE]).await.stdout;
    assert!(
        queue.starts_with("new messages are refused: ") && queue.contains("sending"),
        "{queue}"
    );
    let health = daemon.cli(&["health"]).await.stderr;
    assert!(health.contains("next: ") && health.contains("tidegate doctor --quick"), "{health}");
    let log = daemon.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("too little space")).collect();
    assert_eq!(lines.len(), 1, "once: {lines:?}");
    assert!(lines[0].contains("free space on the disk"), "it has its remedy: {}", lines[0]);
    assert!(!lines[0].contains("server"), "a managed Redis has no address: {}", lines[0]);
    daemon.post(&format!("/v1/queues/{QUEUE}/resume"), &json!({})).await.expect(200);
    assert_eq!(daemon.wait_final(&kept).await["state"], "delivered");

    daemon.sigterm().await;
    daemon.start_again_with(&reserve("0B"));
    daemon.wait_ready().await;
    eventually("intake goes on", async || is_accepted(&daemon).await).await;
}
