//! A producer's 201 means what `redis.durability` says, and is not given where that cannot be had.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::http::Reply;
use crate::support::redis::RedisOptions;
use crate::support::{Cluster, Daemon, Downstream, QUEUE, RedisServer, eventually, queue_toml};

const NULL: &str = "[queues.jobs.downstream]\ntype = \"null\"\n";

/// A master and its replicas, in step.
async fn replicated(count: usize) -> (RedisServer, Vec<RedisServer>) {
    let master = RedisOptions::default().on_tcp().start().await;
    let mut replicas = Vec::new();
    for _ in 0..count {
        replicas.push(RedisOptions::default().replica_of(&master).start().await);
    }
    master.wait_replicas(count).await;
    (master, replicas)
}

fn on(redis: &RedisServer, level: &str) -> crate::support::daemon::DaemonOptions {
    Daemon::with(NULL).redis(redis).durability(level)
}

async fn try_send(daemon: &Daemon, queue: &str, message: &Value) -> Reply {
    daemon.post(&format!("/v1/queues/{queue}/messages"), message).await
}

async fn is_taken(daemon: &Daemon, queue: &str) -> bool {
    try_send(daemon, queue, &json!({ "payload": 1, "delay": "1h" })).await.status == 201
}

async fn shown_durability(daemon: &Daemon, queue: &str) -> Value {
    daemon.get(&format!("/v1/queues/{queue}")).await.expect(200).json()["durability"].clone()
}

async fn metric(daemon: &Daemon, line: &str) -> bool {
    daemon.get("/metrics").await.expect(200).text().lines().any(|shown| shown == line)
}

/// How often the server has run this command.
async fn calls(redis: &RedisServer, command: &str) -> u64 {
    let stats: String = redis.cli(&["INFO", "commandstats"]).await;
    let start = format!("cmdstat_{command}:calls=");
    let line = stats.lines().find_map(|line| line.strip_prefix(&start));
    line.map_or(0, |rest| rest.split(',').next().unwrap().parse().unwrap())
}

#[tokio::test]
async fn a_frozen_replica_shuts_intake_until_it_thaws() {
    let (master, replicas) = replicated(2).await;
    let downstream = Downstream::start().await;
    let config = queue_toml(QUEUE, &downstream, "");
    let daemon = Daemon::with(config).redis(&master).durability("replicas").start().await;
    let ready = daemon.get("/readyz").await.expect(200).json();
    assert_eq!(ready["durability"], "replicas");
    let before = daemon.send(QUEUE, &json!({ "payload": "before", "delay": "500ms" })).await;
    let keyed = json!({ "payload": "during", "idempotency_key": "k" });

    replicas[1].signal(Signal::STOP);

    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(2500) {
        // The message was written; nobody may be told so, by whatever connection it is asked.
        let refused = try_send(&daemon, QUEUE, &keyed).await.expect(503);
        assert_eq!(refused.json()["code"], "store-unavailable", "{refused:?}");
        assert!(refused.json()["detail"].as_str().unwrap().contains("same"), "{refused:?}");
        assert!(!refused.header("retry-after").is_empty());
    }
    daemon.get("/readyz").await.expect(503);
    assert_eq!(shown_durability(&daemon, QUEUE).await, "disk");
    assert!(metric(&daemon, "tidegate_durability_achieved{level=\"replicas\"} 0").await);
    assert!(metric(&daemon, "tidegate_durability_achieved{level=\"disk\"} 1").await);
    assert_eq!(daemon.wait_final(&before).await["state"], "delivered", "draining goes on");

    replicas[1].signal(Signal::CONT);

    eventually("intake resumes", async || is_taken(&daemon, QUEUE).await).await;
    let id = try_send(&daemon, QUEUE, &keyed).await.expect(200).json()["id"].clone();
    assert_eq!(daemon.wait_final(id.as_str().unwrap()).await["state"], "delivered");
    assert_eq!(downstream.requests().len(), 2, "once each");
    assert_eq!(shown_durability(&daemon, QUEUE).await, "replicas");
    eventually("it is ready", async || daemon.get("/readyz").await.status == 200).await;
}

/// A failover could forget who is on its way, and then a message would overtake it.
#[tokio::test]
async fn what_keeps_order_is_sent_once_its_claim_is_on_the_replicas() {
    let (master, replicas) = replicated(1).await;
    let (ordered, free) = tokio::join!(Downstream::start(), Downstream::start());
    let config =
        [queue_toml(QUEUE, &ordered, "ordering = \"labels.order\""), queue_toml("free", &free, "")];
    let daemon = Daemon::with(config.concat()).redis(&master).durability("replicas").start().await;
    let later = json!({ "payload": 1, "labels": { "order": "k" }, "delay": "700ms" });
    let [first, second] = [daemon.send(QUEUE, &later).await, daemon.send("free", &later).await];

    replicas[0].signal(Signal::STOP);

    assert_eq!(daemon.wait_final(&second).await["state"], "delivered", "it keeps no order");
    eventually("it is claimed", async || daemon.counts(QUEUE).await["leased"] == 1).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(ordered.requests().len(), 0, "the replica does not know that it is on its way");

    replicas[0].signal(Signal::CONT);

    assert_eq!(daemon.wait_final(&first).await["state"], "delivered");
    assert_eq!(ordered.requests().len(), 1);
}

#[tokio::test]
async fn one_wait_serves_many_messages() {
    let (master, _replicas) = replicated(1).await;
    let daemon = on(&master, "replicas").start().await;
    let messages: Vec<_> = (0..600).map(|n| json!({ "payload": n, "delay": "1h" })).collect();
    let waits = calls(&master, "wait").await;

    let path = format!("/v1/queues/{QUEUE}/messages/batch");
    let results = daemon.post(&path, &json!(messages)).await.expect(200).json();

    let taken = results["results"].as_array().unwrap().iter().filter(|r| r["id"].is_string());
    assert_eq!(taken.count(), 600);
    let waits = calls(&master, "wait").await - waits;
    assert!((1..=10).contains(&waits), "{waits} waits for 600 messages");
}

#[tokio::test]
#[ignore = "takes 14 seconds or more: make test-all runs it"]
async fn a_replica_that_is_gone_for_good_is_not_waited_for_unless_that_is_configured() {
    let (master, mut replicas) = replicated(2).await;
    let any = on(&master, "replicas").start().await;
    let strict = on(&master, "replicas").environment("TIDEGATE__REDIS__REPLICAS", "2");
    let strict = strict.environment("TIDEGATE__REDIS__NAMESPACE", "strict").start().await;

    replicas[0].kill9().await;

    eventually("the rest is enough", async || is_taken(&any, QUEUE).await).await;
    assert_eq!(shown_durability(&any, QUEUE).await, "replicas");
    eventually("it is not for two", async || shown_durability(&strict, QUEUE).await == "disk")
        .await;
    let refused = try_send(&strict, QUEUE, &json!({ "payload": 1 })).await.expect(503);
    assert!(refused.text().contains("2 or more replicas"), "{}", refused.text());
    replicas[0].restart().await;
    eventually("both are back", async || is_taken(&strict, QUEUE).await).await;

    drop(replicas);
    eventually("none is left", async || shown_durability(&any, QUEUE).await == "disk").await;
    try_send(&any, QUEUE, &json!({ "payload": 1 })).await.expect(503);
}

#[tokio::test]
async fn a_replica_that_still_copies_is_waited_for_at_the_start_and_none_is_refused() {
    let alone = RedisOptions::default().on_tcp().start().await;
    let mut refused = on(&alone, "replicas").launch();
    assert_eq!(refused.wait_exit().await, 1, "{}", refused.log());
    let log = refused.log();
    assert!(log.contains("needs 1 or more replicas in step, 0 are"), "{log}");
    assert!(log.contains("set redis.durability = \"disk\""), "{log}");

    // It copies a second longer than it takes the daemon to start.
    let slow = RedisOptions::default().set("repl-diskless-sync-delay", "2").on_tcp().start().await;
    let replica = RedisOptions::default().replica_of(&slow).start().await;
    eventually("it is connected", async || slow.info("connected_slaves").await == "1").await;
    assert!(!slow.info("slave0").await.contains("state=online"));
    let daemon = on(&slow, "replicas").start().await;

    assert!(slow.info("slave0").await.contains("state=online"));
    assert!(is_taken(&daemon, QUEUE).await);
    drop(replica);
}

#[tokio::test]
async fn a_redis_that_is_made_less_safe_shuts_intake() {
    let redis = RedisServer::start().await;
    let daemon = on(&redis, "disk").start().await;
    assert!(is_taken(&daemon, QUEUE).await);

    redis.cli::<()>(&["CONFIG", "SET", "appendfsync", "everysec"]).await;

    eventually("it is seen", async || shown_durability(&daemon, QUEUE).await == "everysec").await;
    let refused = try_send(&daemon, QUEUE, &json!({ "payload": 1 })).await.expect(503);
    assert!(refused.text().contains("appendfsync always"), "{}", refused.text());
    redis.cli::<()>(&["CONFIG", "SET", "appendfsync", "always"]).await;
    eventually("intake resumes", async || is_taken(&daemon, QUEUE).await).await;
}

/// A queue for each master: its only shard lies there.
async fn queue_of_each_master(cluster: &Cluster, namespace: &str) -> Vec<String> {
    let mut queues = vec![String::new(); 3];
    for number in 0.. {
        let name = format!("q{number}");
        let slot = cluster.slot(&format!("{{{namespace}:{name}.0}}")).await;
        queues[cluster.owner(slot, 0).await] = name;
        if queues.iter().all(|name| !name.is_empty()) {
            break;
        }
    }
    queues
}

#[tokio::test]
#[ignore = "takes 14 seconds or more: make test-all runs it"]
async fn in_a_cluster_only_the_shards_of_the_master_that_lacks_its_replica_are_shut() {
    let cluster = Cluster::with_replicas().await;
    let queues = queue_of_each_master(&cluster, "own").await;
    let config: String = queues
        .iter()
        .map(|name| format!("[queues.{name}.downstream]\ntype = \"null\"\n"))
        .collect();
    let daemon = Daemon::with(config).cluster(&cluster).durability("replicas");
    let daemon = daemon.environment("TIDEGATE__REDIS__NAMESPACE", "own").start().await;
    for queue in &queues {
        assert!(is_taken(&daemon, queue).await, "{queue}");
    }

    cluster.nodes()[3].signal(Signal::STOP);

    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(3) {
        assert!(!is_taken(&daemon, &queues[0]).await);
        assert!(is_taken(&daemon, &queues[1]).await && is_taken(&daemon, &queues[2]).await);
    }
    assert_eq!(shown_durability(&daemon, &queues[0]).await, "disk");
    assert_eq!(shown_durability(&daemon, &queues[1]).await, "replicas");
    cluster.nodes()[3].signal(Signal::CONT);
    eventually("it thaws", async || is_taken(&daemon, &queues[0]).await).await;
}
