//! The inbox: producers that speak only Redis add to streams, and each entry becomes one message.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::redis::RedisOptions;
use crate::support::wait::{poll_until, poll_until_within};
use crate::support::{Cluster, Daemon, Downstream, QUEUE, RedisServer, eventually, queue_toml};

const STREAM: &str = "tidegate:inbox:jobs";
const REJECTED: &str = "tidegate:inbox:rejected";
const ENABLED: &str = "[inbox]\nenabled = true\n";

fn config(downstream: &Downstream) -> String {
    queue_toml(QUEUE, downstream, "") + ENABLED
}

async fn add(redis: &RedisServer, stream: &str, fields: &[&str]) -> String {
    redis.cli(&[&["XADD", stream, "*"], fields].concat()).await
}

async fn length(redis: &RedisServer, stream: &str) -> u64 {
    redis.cli(&["XLEN", stream]).await
}

/// The message that an entry became, found by the entry's id.
async fn message_of(daemon: &Daemon, entry: &str) -> Value {
    let path = format!("/v1/queues/{QUEUE}/messages?idempotency_key={entry}");
    poll_until("the entry became a message", async || {
        daemon.get(&path).await.expect(200).json()["messages"].get(0).cloned()
    })
    .await
}

#[tokio::test]
async fn what_a_producer_adds_is_sent_as_if_it_came_by_http() {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let daemon = Daemon::start(&redis, config(&downstream)).await;
    let fields = [
        ("payload", "{\"to\": \"+4915112345678\"}"),
        ("delay", "300ms"),
        ("group", "customer-7"),
        ("priority", "5"),
        ("header.X-Tenant", "eu"),
        ("label.shop", "berlin"),
    ];

    let fields: Vec<&str> = fields.iter().flat_map(|(name, value)| [*name, *value]).collect();
    let entry = add(&redis, STREAM, &fields).await;

    let message = message_of(&daemon, &entry).await;
    assert_eq!((&message["group"], &message["priority"]), (&json!("customer-7"), &json!(5)));
    assert_eq!(message["labels"], json!({ "shop": "berlin" }));
    let id = message["id"].as_str().unwrap();
    assert_eq!(daemon.wait_final(id).await["state"], "delivered");
    let request = &downstream.requests()[0];
    assert_eq!(request.json(), json!({ "to": "+4915112345678" }));
    assert_eq!((request.header("x-tenant"), request.id()), (Some("eu"), id));
    eventually("the entry has left", async || length(&redis, STREAM).await == 0).await;

    // A key of its own makes one message of two entries.
    for _ in 0..2 {
        add(&redis, STREAM, &["payload", "hello", "key", "order-1"]).await;
    }
    let message = message_of(&daemon, "order-1").await;
    daemon.wait_final(message["id"].as_str().unwrap()).await;
    eventually("both have left", async || length(&redis, STREAM).await == 0).await;
    let requests = downstream.requests();
    assert_eq!((requests.len(), requests[1].body.as_slice()), (2, b"hello".as_slice()));
    let metrics = daemon.get("/metrics").await;
    assert!(metrics.text().contains("tidegate_inbox_entries_total{queue=\"jobs\"} 3"));
    assert!(metrics.text().contains("tidegate_inbox_backlog{queue=\"jobs\"} 0"));
}

#[tokio::test]
async fn what_cannot_be_taken_is_kept_with_the_reason() {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let daemon = Daemon::start(&redis, config(&downstream)).await;

    let entry = add(&redis, STREAM, &["paylod", "1", "priority", "10"]).await;
    add(&redis, STREAM, &["payload", "1", "key", "k"]).await;
    add(&redis, STREAM, &["payload", "2", "key", "k"]).await;

    eventually("two are rejected", async || length(&redis, REJECTED).await == 2).await;
    eventually("all have left", async || length(&redis, STREAM).await == 0).await;
    type Entries = Vec<(String, Vec<String>)>;
    let rejected: Entries = redis.cli(&["XRANGE", REJECTED, "-", "+"]).await;
    let (first, second) = (&rejected[0].1, &rejected[1].1);
    assert_eq!(first[..5], ["queue", QUEUE, "entry", &entry, "reason"]);
    for part in ["payload: missing", "paylod: unknown", "priority: found \"10\""] {
        assert!(first[5].contains(part), "{part}: {first:?}");
    }
    assert_eq!(first[6..], ["paylod", "1", "priority", "10"]);
    assert!(second[5].contains("its key was given to a different message, jobs_"), "{second:?}");
    downstream.wait_for(1).await;
    let doctor = daemon.cli(&["doctor", "--quick"]).await;
    assert!(doctor.stdout.contains("2 entries were rejected"), "{}", doctor.stdout);
    assert!(doctor.stdout.contains("XRANGE"), "{}", doctor.stdout);
}

#[tokio::test]
async fn a_stream_of_no_queue_is_left_alone_and_told_of() {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    add(&redis, "tidegate:inbox:jbos", &["payload", "1"]).await;

    let daemon = Daemon::start(&redis, config(&downstream)).await;

    let metrics = daemon.get("/metrics").await;
    assert!(metrics.text().contains("tidegate_inbox_stray_streams 1"), "{}", metrics.text());
    let doctor = daemon.cli(&["doctor", "--quick"]).await;
    assert!(doctor.stdout.contains("1 stream whose queue is not configured"), "{}", doctor.stdout);
    assert_eq!(length(&redis, "tidegate:inbox:jbos").await, 1);
}

#[tokio::test]
async fn nothing_is_read_until_it_is_enabled() {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let disabled = queue_toml(QUEUE, &downstream, "");
    let daemon = Daemon::start(&redis, disabled.clone()).await;
    let entry = add(&redis, STREAM, &["payload", "1"]).await;
    // Longer than the longest pause of a reader.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(length(&redis, STREAM).await, 1);
    assert!(!daemon.get("/metrics").await.text().contains("tidegate_inbox_backlog{"));

    daemon.sighup(&(disabled + ENABLED));

    let id = message_of(&daemon, &entry).await["id"].as_str().unwrap().to_owned();
    assert_eq!(daemon.wait_final(&id).await["state"], "delivered");
}

#[tokio::test]
async fn while_the_store_is_full_entries_wait_in_their_stream() {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let daemon = Daemon::start(&redis, config(&downstream)).await;
    // Room for what is added between the mark, where intake stops, and the limit, where Redis does.
    redis.cli::<u64>(&["SETRANGE", "ballast", "67108864", "x"]).await;
    let info: String = redis.cli(&["INFO", "memory"]).await;
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory:")).expect("it is told");
    let limit = (used.trim().parse::<u64>().unwrap() * 100 / 93).to_string();
    redis.cli::<()>(&["CONFIG", "SET", "maxmemory", &limit]).await;
    let path = format!("/v1/queues/{QUEUE}/messages");
    eventually("intake is shut", async || {
        daemon.post(&path, &json!({ "payload": 0 })).await.status == 503
    })
    .await;
    let entry = add(&redis, STREAM, &["payload", "1"]).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(length(&redis, STREAM).await, 1);
    redis.cli::<()>(&["CONFIG", "SET", "maxmemory", "0"]).await;

    let id = message_of(&daemon, &entry).await["id"].as_str().unwrap().to_owned();
    assert_eq!(daemon.wait_final(&id).await["state"], "delivered");
}

const PRODUCERS: usize = 3;
const ENTRIES: usize = 200;

/// Adds entries one after the other, whatever becomes of the daemons; returns their ids.
async fn produce(redis: &RedisServer, producer: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for number in 0..ENTRIES {
        let payload = format!("{{\"producer\": {producer}, \"number\": {number}}}");
        ids.push(add(redis, STREAM, &["payload", &payload]).await);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_daemons_take_each_entry_in_exactly_once() {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let (first, second) = (
        Daemon::start(&redis, config(&downstream)).await,
        Daemon::start(&redis, config(&downstream)).await,
    );
    // Nothing is sent meanwhile: what stands there in the end was taken in.
    first.post(&format!("/v1/queues/{QUEUE}/pause"), &json!({})).await.expect(200);

    let producing = futures_util::future::join_all((0..PRODUCERS).map(|n| produce(&redis, n)));
    let killing = async {
        let mut daemons = [first, second];
        for round in 0..6 {
            tokio::time::sleep(Duration::from_millis(150)).await;
            daemons[round % 2].restart().await;
        }
        daemons
    };
    let (added, [daemon, _second]) = tokio::join!(producing, killing);

    poll_until_within(Duration::from_secs(40), "every entry has left its stream", async || {
        (length(&redis, STREAM).await == 0).then_some(())
    })
    .await;
    let added: BTreeSet<String> = added.into_iter().flatten().collect();
    assert_eq!(daemon.counts(QUEUE).await["ready"], added.len());
    daemon.post(&format!("/v1/queues/{QUEUE}/resume"), &json!({})).await.expect(200);
    eventually("all are delivered", async || {
        daemon.counts(QUEUE).await["delivered"] == added.len()
    })
    .await;
    let bodies: BTreeSet<Vec<u8>> =
        downstream.requests().into_iter().map(|request| request.body).collect();
    assert_eq!(bodies.len(), added.len(), "each its own");
    assert_eq!(length(&redis, REJECTED).await, 0);
}

#[tokio::test]
async fn on_a_cluster_each_stream_lies_where_it_lies() {
    let (cluster, downstream) = (Cluster::shared().await, Downstream::start().await);
    let namespace = format!("inbox{}", downstream.url("").rsplit(':').next().unwrap());
    let queues = ["stock", "points", "sms"];
    let tables = queues.map(|name| queue_toml(name, &downstream, "shards = 2")).concat();
    let daemon = Daemon::with(tables + ENABLED)
        .cluster(cluster)
        .environment("TIDEGATE__REDIS__NAMESPACE", &namespace)
        .start()
        .await;

    for queue in queues {
        let stream = format!("{namespace}:inbox:{queue}");
        let owner = cluster.owner(cluster.slot(&stream).await, 0).await;
        add(&cluster.nodes()[owner], &stream, &["payload", "1"]).await;
        add(&cluster.nodes()[owner], &stream, &["nothing", "1"]).await;
    }

    for queue in queues {
        eventually("it is delivered", async || daemon.counts(queue).await["delivered"] == 1).await;
    }
    let rejected = format!("{namespace}:inbox:rejected");
    let owner = cluster.owner(cluster.slot(&rejected).await, 0).await;
    eventually("three are rejected", async || {
        length(&cluster.nodes()[owner], &rejected).await == 3
    })
    .await;
}

#[tokio::test]
#[ignore = "needs Valkey: make test-all runs it"]
async fn on_valkey_too() {
    let redis = RedisOptions::valkey().start().await;
    let downstream = Downstream::start().await;
    let daemon = Daemon::start(&redis, config(&downstream)).await;
    let entry = add(&redis, STREAM, &["payload", "1"]).await;
    let id = message_of(&daemon, &entry).await["id"].as_str().unwrap().to_owned();
    assert_eq!(daemon.wait_final(&id).await["state"], "delivered");
    eventually("the entry has left", async || length(&redis, STREAM).await == 0).await;
}
