//! What costs nothing: queues where nothing happens, and callers who wait.
//!
//! Judged by what Redis counts of its commands, never by a stopwatch.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;

use crate::support::wait::poll_until;
use crate::support::{Daemon, QUEUE, RedisServer, Scene, eventually};

/// Script calls so far.
async fn scripts_run(redis: &RedisServer) -> u64 {
    let text: String = redis.cli(&["INFO", "commandstats"]).await;
    let calls = |line: &str| {
        let rest = line.strip_prefix("cmdstat_evalsha:calls=")?;
        rest.split(',').next()?.parse().ok()
    };
    text.lines().find_map(calls).unwrap_or(0)
}

/// Script calls within this time, once those that were under way are over.
async fn scripts_in(redis: &RedisServer, time: Duration) -> u64 {
    let mut before = scripts_run(redis).await;
    eventually("what was under way is over", async || {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let now = scripts_run(redis).await;
        let is_calm = now - before <= 3;
        before = now;
        is_calm
    })
    .await;
    tokio::time::sleep(time).await;
    scripts_run(redis).await - before
}

#[tokio::test]
async fn idle_queues_run_no_scripts() {
    const QUEUES: u64 = 300;
    let redis = RedisServer::start().await;
    let queue = |number| format!("[queues.q{number}]\ndownstream = {{ type = \"null\" }}\n");
    let config: String = (0..QUEUES).map(queue).collect();
    let daemon = Daemon::start(&redis, config).await;
    // One has been used, and holds what was delivered.
    let id = daemon.send("q7", &json!({ "payload": 1 })).await;
    daemon.wait_final(&id).await;

    let scripts = scripts_in(&redis, Duration::from_secs(6)).await;

    // The auditor looks at one shard a second; a poll of each queue would be several hundred.
    assert!(scripts <= 20, "{scripts} script calls for {QUEUES} idle queues in 6 s");
}

#[tokio::test]
async fn what_was_made_due_unheard_is_found_on_the_rounds() {
    let scene = Scene::start("").await;
    let id = scene.daemon.send(QUEUE, &json!({ "payload": 1, "delay": "1h" })).await;
    let due = format!("{{tidegate:{QUEUE}.0}}:due");
    let entry = poll_until("it waits", async || {
        let entries: Vec<String> = scene.redis.cli(&["ZRANGE", &due, "0", "0"]).await;
        entries.into_iter().next()
    })
    .await;

    // The audit would put it back where its record says: as if another node looked here.
    let mark = format!("{{tidegate}}:audit:tidegate:{QUEUE}.0");
    let _marked: String = scene.redis.cli(&["SET", &mark, "a node", "EX", "60"]).await;

    // Nobody is told.
    let moved: u64 = scene.redis.cli(&["ZADD", &due, "CH", "1", &entry]).await;

    assert_eq!(moved, 1);
    assert_eq!(scene.downstream.wait_for(1).await[0].id(), id);
}

#[tokio::test]
async fn waiters_do_not_poll() {
    const WAITERS: usize = 1000;
    let scene = Scene::start("concurrency = 100").await;
    scene.queue_step("pause", &json!({})).await;
    let ids = scene.send_numbers(WAITERS).await;
    let before = scripts_run(&scene.redis).await;
    let waits = ids.iter().map(async |id| {
        let message = scene.daemon.get(&format!("/v1/messages/{id}?wait=60s")).await;
        message.expect(200).json()["state"].clone()
    });
    let while_they_wait = async {
        eventually("all wait", async || scripts_run(&scene.redis).await - before >= WAITERS as u64)
            .await;
        let polls = scripts_in(&scene.redis, Duration::from_secs(4)).await;
        scene.queue_step("resume", &json!({})).await;
        polls
    };

    let (states, polls) = tokio::join!(join_all(waits), while_they_wait);

    assert!(polls <= 20, "{polls} script calls in 4 s while {WAITERS} wait");
    assert!(states.iter().all(|state| state == "delivered"), "{states:?}");
}
