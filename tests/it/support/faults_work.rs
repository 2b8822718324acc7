//! The faults themselves: a server whose disk never fills proves nothing about full disks.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::support::redis::RedisOptions;
use crate::support::wait::{DEADLINE, poll_until};
use crate::support::{Daemon, RedisServer, eventually};

const HOUR_S: i64 = 3600;

async fn server(appendfsync: &str) -> RedisServer {
    RedisOptions::default().set("appendfsync", appendfsync).with_faults().start().await
}

async fn time_s(redis: &RedisServer) -> i64 {
    redis.cli::<(i64, i64)>(&["TIME"]).await.0
}

/// One SET; `Err` with what the server said.
async fn set(redis: &RedisServer, key: &str) -> Result<(), String> {
    let mut connection = redis.connect().await.map_err(|error| error.to_string())?;
    let set = redis::cmd("SET").arg(key).arg(1).to_owned();
    set.exec_async(&mut connection).await.map_err(|error| error.to_string())
}

#[tokio::test]
async fn the_clock_steps_there_and_back() {
    let redis = server("no").await;
    let before = time_s(&redis).await;

    redis.faults().step_clock(HOUR_S * 1000);
    let ahead = time_s(&redis).await - before;
    redis.faults().step_clock(-2 * HOUR_S * 1000);
    let behind = time_s(&redis).await - before;

    let elapsed_max = 60;
    assert!((HOUR_S..HOUR_S + elapsed_max).contains(&ahead), "{ahead}");
    assert!((-HOUR_S..-HOUR_S + elapsed_max).contains(&behind), "{behind}");
}

#[tokio::test]
async fn a_full_disk_refuses_writes_until_there_is_room() {
    let redis = server("everysec").await;
    set(&redis, "before").await.unwrap();

    redis.faults().fill_disk(true);
    // The first write is taken in and fails on its way to the file; then Redis refuses.
    let refused =
        poll_until("Redis refuses writes", async || set(&redis, "during").await.err()).await;
    assert!(refused.contains("MISCONF"), "{refused}");
    assert!(redis.faults().writes_refused() > 0);
    assert_eq!(redis.cli::<String>(&["GET", "before"]).await, "1", "reading goes on");

    redis.faults().fill_disk(false);
    eventually("Redis takes writes again", async || set(&redis, "after").await.is_ok()).await;
}

#[tokio::test]
async fn a_full_disk_ends_a_server_that_flushes_every_write() {
    let mut redis = server("always").await;
    set(&redis, "before").await.unwrap();
    redis.faults().fill_disk(true);

    assert!(set(&redis, "during").await.is_err());
    assert_ne!(redis.wait_exit().await, 0);

    redis.faults().fill_disk(false);
    redis.restart().await;
    assert_eq!(redis.cli::<i64>(&["EXISTS", "before", "during"]).await, 1);
}

#[tokio::test]
async fn a_flush_takes_as_long_as_told() {
    let redis = server("always").await;
    set(&redis, "warm").await.unwrap();
    let started = Instant::now();

    redis.faults().slow_fsync(300);
    set(&redis, "slow").await.unwrap();

    let elapsed = started.elapsed();
    assert!((Duration::from_millis(300)..DEADLINE).contains(&elapsed), "{elapsed:?}");
    redis.faults().slow_fsync(0);
}

#[tokio::test]
async fn a_power_cut_leaves_what_was_flushed() {
    let mut redis = server("everysec").await;
    set(&redis, "flushed").await.unwrap();
    let flushes = redis.faults().flushes();
    eventually("what is there is flushed", async || redis.faults().flushes() > flushes).await;
    redis.faults().slow_fsync(60_000);
    set(&redis, "on_its_way").await.unwrap();
    eventually("a flush hangs", async || redis.faults().is_flushing()).await;
    set(&redis, "in_the_cache").await.unwrap();

    redis.power_cut().await;
    redis.faults().slow_fsync(0);
    redis.restart().await;

    assert_eq!(redis.cli::<Vec<String>>(&["KEYS", "*"]).await, ["flushed"]);
}

#[tokio::test]
async fn a_power_cut_shows_that_a_flush_lied() {
    let mut redis = server("always").await;
    set(&redis, "flushed").await.unwrap();
    redis.faults().lying_fsync(true);
    set(&redis, "lost").await.unwrap();

    redis.power_cut().await;
    redis.faults().lying_fsync(false);
    redis.restart().await;

    assert_eq!(redis.cli::<Vec<String>>(&["KEYS", "*"]).await, ["flushed"]);
}

#[tokio::test]
async fn a_power_cut_after_a_rewrite_leaves_the_rewritten() {
    let mut redis = server("always").await;
    set(&redis, "first").await.unwrap();
    redis.cli::<()>(&["BGREWRITEAOF"]).await;
    eventually("the file is rewritten", async || {
        let info: String = redis.cli(&["INFO", "persistence"]).await;
        info.contains("aof_rewrite_in_progress:0") && info.contains("aof_rewrites:1")
    })
    .await;
    set(&redis, "second").await.unwrap();

    redis.power_cut().await;
    redis.restart().await;

    assert_eq!(redis.cli::<i64>(&["EXISTS", "first", "second"]).await, 2);
}

#[tokio::test]
async fn a_managed_redis_has_them_too() {
    let queue = "[queues.jobs.downstream]\ntype = \"null\"\n";
    let mut daemon = Daemon::with(queue).with_faults().start().await;

    daemon.faults().fill_disk(true);
    eventually("a write was refused", async || daemon.faults().writes_refused() > 0).await;
    daemon.faults().fill_disk(false);

    daemon.wait_ready().await;
    daemon.send("jobs", &json!({ "payload": 1, "delay": "1h" })).await;
}
