//! At load, messages share calls: how many script calls each one takes, from the door to its end.
//!
//! Owns the small version of what `cargo bench` counts with a hundred thousand.

use serde_json::json;

use crate::support::redis::RedisOptions;
use crate::support::{Daemon, QUEUE, RedisServer, eventually};

const MESSAGES: u32 = 10_000;
const CALLS_A_MESSAGE_MAX: f64 = 0.06;
const RSS_KIB_MAX: u64 = 128 * 1024;

/// Script calls so far.
async fn script_calls(redis: &RedisServer) -> u32 {
    times_called(redis, "cmdstat_eval").await
}

async fn times_called(redis: &RedisServer, command: &str) -> u32 {
    let stats: String = redis.cli(&["INFO", "commandstats"]).await;
    let lines = stats.lines().filter(|line| line.starts_with(command));
    let calls = lines.filter_map(|line| line.split_once("calls=")?.1.split(',').next());
    calls.map(|calls| calls.parse::<u32>().expect("a number")).sum()
}

#[tokio::test]
async fn messages_due_at_one_instant_share_their_calls() {
    let redis = RedisOptions::default().set("appendfsync", "everysec").start().await;
    let config = format!("[queues.{QUEUE}]\nconcurrency = 1000\ndownstream.type = \"null\"\n");
    let daemon = Daemon::with(config).redis(&redis);
    let daemon = daemon.environment("TIDEGATE__REDIS__DURABILITY", "everysec").start().await;
    let messages = vec![json!({ "payload": "x".repeat(98), "delay": "3s" }); 5000];
    let before = script_calls(&redis).await;

    for _ in 0..MESSAGES / 5000 {
        let path = format!("/v1/queues/{QUEUE}/messages/batch");
        let reply = daemon.post(&path, &json!(messages)).await.expect(200).json();
        assert_eq!(reply["rejected"], 0);
    }
    let delivered = format!("{{tidegate:{QUEUE}.0}}:delivered");
    // Asked past the daemon, or the question would be a script call as well.
    eventually("all are delivered", async || {
        redis.cli::<u32>(&["ZCARD", &delivered]).await == MESSAGES
    })
    .await;

    let calls = script_calls(&redis).await - before;
    let each = f64::from(calls) / f64::from(MESSAGES);
    println!("{calls} script calls, {each:.3} a message; {} KiB", daemon.rss_kib());
    assert!(each <= CALLS_A_MESSAGE_MAX, "{each:.3} script calls a message");
    assert!(daemon.rss_kib() <= RSS_KIB_MAX, "{} KiB", daemon.rss_kib());
}

#[tokio::test]
async fn a_message_alone_takes_no_more_calls_than_it_has_steps() {
    const ALONE: u32 = 100;
    let redis = RedisOptions::default().set("appendfsync", "everysec").start().await;
    let config = format!("[queues.{QUEUE}]\ndownstream.type = \"null\"\n");
    let daemon = Daemon::with(config).redis(&redis);
    let daemon = daemon.environment("TIDEGATE__REDIS__DURABILITY", "everysec").start().await;
    let later = |number| json!({ "payload": number, "delay": format!("{}ms", 1500 + 30 * number) });
    let messages: Vec<_> = (0..ALONE).map(later).collect();
    let path = format!("/v1/queues/{QUEUE}/messages/batch");
    daemon.post(&path, &json!(messages)).await.expect(200);
    let before = script_calls(&redis).await;

    let delivered = format!("{{tidegate:{QUEUE}.0}}:delivered");
    eventually("all are delivered", async || {
        redis.cli::<u32>(&["ZCARD", &delivered]).await == ALONE
    })
    .await;

    let calls = script_calls(&redis).await - before;
    // Promote, claim and ack; and one more claim, because promote tells every node, this one too. That a
    // call has ended is no reason to claim where nothing is left.
    let most = ALONE * 4 + ALONE / 4;
    assert!(calls <= most, "{calls} script calls for {ALONE} messages, more than {most}");
}

#[tokio::test]
async fn where_much_falls_due_a_promotion_takes_what_comes_within_two_milliseconds() {
    const A_SECOND: u32 = 1000;
    let redis = RedisOptions::default().set("appendfsync", "everysec").start().await;
    let config = format!("[queues.{QUEUE}]\nconcurrency = 100\ndownstream.type = \"null\"\n");
    let daemon = Daemon::with(config).redis(&redis);
    let daemon = daemon.environment("TIDEGATE__REDIS__DURABILITY", "everysec").start().await;
    let later = |number| json!({ "payload": number, "delay": format!("{}ms", 2000 + number) });
    let messages: Vec<_> = (0..A_SECOND).map(later).collect();
    let path = format!("/v1/queues/{QUEUE}/messages/batch");
    daemon.post(&path, &json!(messages)).await.expect(200);

    let delivered = format!("{{tidegate:{QUEUE}.0}}:delivered");
    eventually("all are delivered", async || {
        redis.cli::<u32>(&["ZCARD", &delivered]).await == A_SECOND
    })
    .await;

    // Each promotion takes what it moves out of the due set at once; a slow machine makes fewer.
    let promotions = times_called(&redis, "cmdstat_zremrangebyrank:").await;
    let most = A_SECOND / 2 + A_SECOND / 20;
    assert!((1..=most).contains(&promotions), "{promotions} promotions, more than {most}");
}

#[tokio::test]
async fn where_tables_have_just_doubled_acks_are_small() {
    const ACK_MAX: u32 = 100;
    let redis = RedisOptions::default().set("appendfsync", "everysec").start().await;
    let states = format!("{{tidegate:{QUEUE}.0}}:states");
    let plant = "for n = 1, 131072 do redis.call('HSET', KEYS[1], n, 's') end";
    redis.cli::<()>(&["EVAL", plant, "1", &states]).await;
    let config = format!("[queues.{QUEUE}]\nconcurrency = 1000\ndownstream.type = \"null\"\n");
    let daemon = Daemon::with(config).redis(&redis);
    let daemon = daemon.environment("TIDEGATE__REDIS__DURABILITY", "everysec").start().await;
    let messages = vec![json!({ "payload": "x", "delay": "2s" }); 5000];
    let path = format!("/v1/queues/{QUEUE}/messages/batch");
    daemon.post(&path, &json!(messages)).await.expect(200);

    let delivered = format!("{{tidegate:{QUEUE}.0}}:delivered");
    eventually("all are delivered", async || {
        redis.cli::<u32>(&["ZCARD", &delivered]).await == 5000
    })
    .await;

    // Each ack takes the leases of its messages back at once.
    let acks = times_called(&redis, "cmdstat_zrem:").await;
    assert!(acks >= 5000 / ACK_MAX, "{acks} acks of 5000 messages");
}
