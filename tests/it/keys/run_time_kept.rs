//! What keys were given at run time lasts: through reloads, restarts, a Redis that dies and one that takes over, in every shard.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::calls::{calls, message, of, units};
use super::{assert_sound, others, put_key};
use crate::support::redis::RedisOptions;
use crate::support::{
    Daemon, Downstream, QUEUE, RedisServer, Scene, SentinelSet, eventually, queue_toml,
};

const LINES: &str = "limits = [{ quota = \"1/month\", per = \"labels.to\" }]";

fn to(number: usize, recipient: &str) -> Value {
    message(number, &[("to", recipient)])
}

fn quota(units: u64) -> Value {
    json!({ "limits": { "per_to_month": { "quota": format!("{units}/month") } } })
}

async fn weight_of(daemon: &Daemon, key: &str) -> Value {
    daemon.get(&format!("/v1/queues/{QUEUE}/keys?key={key}")).await.expect(200).json()["limits"]
        .clone()
}

/// Four messages to a key that was given three units: three leave.
async fn assert_in_force(daemon: &Daemon, downstream: &Downstream, key: &str) {
    for number in 0..4 {
        daemon.send(QUEUE, &to(number, key)).await;
    }
    eventually("three of them left", async || {
        units(&of(&calls(&downstream.requests()), "to", key)) == 3
    })
    .await;
    eventually("the fourth is held", async || daemon.counts(QUEUE).await["ready"] == 1).await;
}

#[tokio::test]
async fn they_last_through_a_reload_a_restart_and_a_killed_redis() {
    let (redis, downstream) =
        tokio::join!(RedisOptions::default().set("appendonly", "yes").start(), Downstream::start());
    let mut redis: RedisServer = redis;
    let options = Daemon::with(queue_toml(QUEUE, &downstream, LINES)).redis(&redis);
    let mut daemon = options.durability("disk").start().await;
    put_key(&daemon, "a", &quota(3), 201).await;
    // The last thing that was confirmed.
    put_key(&daemon, "b", &quota(7), 201).await;

    redis.kill9().await;
    redis.restart().await;
    daemon.wait_ready().await;
    daemon.restart().await;
    let wider = format!("concurrency = 3\n{LINES}");
    daemon.sighup(&queue_toml(QUEUE, &downstream, &wider));

    eventually("they are there", async || weight_of(&daemon, "b").await == quota(7)["limits"])
        .await;
    assert_in_force(&daemon, &downstream, "a").await;
    assert_sound(&daemon).await;
}

#[tokio::test]
async fn they_last_through_a_failover_at_replicas() {
    let mut set = SentinelSet::start().await;
    let downstream = Downstream::start().await;
    let options = Daemon::with(queue_toml(QUEUE, &downstream, LINES)).sentinel(&set);
    let daemon = options.durability("replicas").start().await;
    put_key(&daemon, "a", &quota(3), 201).await;

    let old = set.kill_master().await;
    set.wait_new_master(old).await;

    eventually("intake goes on", async || {
        let path = format!("/v1/queues/{QUEUE}/keys?key=a");
        daemon.get(&path).await.status == 200
    })
    .await;
    assert_eq!(weight_of(&daemon, "a").await, quota(3)["limits"]);
    eventually("a put is durable again", async || {
        super::try_put_key(&daemon, "b", &quota(2)).await.status < 300
    })
    .await;
    assert_in_force(&daemon, &downstream, "a").await;
}

/// What a store that lost its newest writes still has is shown and in force; what it lost is not, and can be put again.
#[tokio::test]
async fn a_store_that_was_rolled_back_has_what_it_still_knows() {
    let redis = RedisOptions::default().set("appendonly", "no").start().await;
    let downstream = Downstream::start().await;
    let mut redis: RedisServer = redis;
    let options = Daemon::with(queue_toml(QUEUE, &downstream, LINES)).redis(&redis);
    let mut daemon = options.durability("memory").start().await;
    put_key(&daemon, "a", &quota(3), 201).await;
    redis.cli::<String>(&["SAVE"]).await;
    put_key(&daemon, "b", &quota(3), 201).await;

    redis.kill9().await;
    redis.restart().await;
    daemon.wait_ready().await;

    assert_in_force(&daemon, &downstream, "a").await;
    let path = format!("/v1/queues/{QUEUE}/keys");
    daemon.get(&format!("{path}?key=b")).await.expect(404);
    put_key(&daemon, "b", &quota(3), 201).await;
    assert_eq!(
        daemon.get(&path).await.expect(200).json()["keys"].as_array().map(Vec::len),
        Some(2)
    );
}

#[tokio::test]
async fn in_several_shards_each_key_has_what_it_was_given() {
    let lines = format!("shards = 4\nrate = \"500/s\"\n{LINES}");
    let scene = Scene::start(&lines).await;
    let _others = others(&scene, &lines, 2).await;
    let keys: Vec<String> = (0..12).map(|number| format!("k{number}")).collect();
    for (number, key) in keys.iter().enumerate().skip(1) {
        put_key(&scene.daemon, key, &quota(number as u64), 201).await;
    }

    let each = keys.iter().flat_map(|key| (0..15).map(|number| to(number, key)));
    scene.send_all(&each.collect::<Vec<_>>()).await;

    scene.wait_count("delivered", 1 + (1..12).sum::<usize>()).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let seen = calls(&scene.downstream.requests());
    let used: BTreeMap<_, _> =
        keys.iter().map(|key| (key.clone(), units(&of(&seen, "to", key)))).collect();
    let expected = keys.iter().enumerate().map(|(at, key)| (key.clone(), at.max(1) as u64));
    assert_eq!(used, expected.collect());
    assert_sound(&scene.daemon).await;
}

#[tokio::test]
async fn they_move_with_an_empty_queue_to_another_number_of_shards() {
    let lines = |shards: u16| format!("shards = {shards}\n{LINES}");
    let scene = Scene::start(&lines(1)).await;
    let keys: Vec<String> = (0..12).map(|number| format!("k{number}")).collect();
    for key in &keys {
        put_key(&scene.daemon, key, &quota(3), 201).await;
    }
    let all = async |daemon: &Daemon| {
        let listed = daemon.get(&format!("/v1/queues/{QUEUE}/keys")).await.expect(200).json();
        listed["keys"].as_array().expect("a list").len()
    };
    let mut daemon = scene.daemon;

    for shards in [4, 2, 1, 3] {
        daemon.sigterm().await;
        daemon =
            Daemon::start(&scene.redis, queue_toml(QUEUE, &scene.downstream, &lines(shards))).await;
        assert_eq!(all(&daemon).await, keys.len(), "{shards} shards");
        // One that is deleted does not come back.
        let path = format!("/v1/queues/{QUEUE}/keys?key=k{shards}");
        daemon.delete(&path).await.expect(200);
        put_key(&daemon, &format!("k{shards}"), &quota(3), 201).await;
    }
    daemon.delete(&format!("/v1/queues/{QUEUE}/keys?key=k0")).await.expect(200);
    daemon.sigterm().await;
    let daemon = Daemon::start(&scene.redis, queue_toml(QUEUE, &scene.downstream, &lines(4))).await;
    assert_eq!(all(&daemon).await, keys.len() - 1);
    assert_in_force(&daemon, &scene.downstream, "k5").await;
}
