//! The version of records that nodes write: the newest that every node reads, from each way in, and what raises it.

use serde_json::{Value, json};

use crate::operations::bulk::{ended, start};
use crate::support::wait::poll_until;
use crate::support::{Daemon, Downstream, QUEUE, RedisServer, Scene, eventually, queue_toml};

const SCHEMA: &str = "{tidegate}:schema";
const NODES: &str = "{tidegate}:nodes";
const CLOCK: &str = "{tidegate}:clock";
/// A node of a program that does not say which versions it reads.
const OLD_NODE: &str = "01OLDNODE000";
const OLD_INFO: &str = r#"{"id":"01OLDNODE000","host":"elder","pid":1,"version":"0.0.9","listen":"127.0.0.1:1","started_at_ms":1,"config_hash":"c"}"#;
const WRITES_2: &str =
    "new messages are written as version 2 until these nodes are upgraded or gone";
const WRITES_3: &str = "new messages are written as records of this version from now on";

/// Shows the old node, as its own beat would.
async fn show_old_node(redis: &RedisServer) {
    let now: Vec<u64> = redis.cli(&["TIME"]).await;
    redis.cli::<()>(&["HSET", "{tidegate}:node_info", OLD_NODE, OLD_INFO]).await;
    redis.cli::<()>(&["ZADD", NODES, &(now[0] * 1000).to_string(), OLD_NODE]).await;
}

async fn old_node_is_gone(redis: &RedisServer) {
    redis.cli::<()>(&["ZREM", NODES, OLD_NODE]).await;
}

/// A Redis with a namespace of version 2, in which an old node lives.
async fn of_version_2() -> RedisServer {
    let redis = RedisServer::start().await;
    redis.cli::<()>(&["SET", SCHEMA, "2"]).await;
    show_old_node(&redis).await;
    redis
}

async fn schema(redis: &RedisServer) -> Option<String> {
    redis.cli(&["GET", SCHEMA]).await
}

/// The records of a structure, without their ids.
async fn records(redis: &RedisServer, key: &str) -> Vec<Vec<u8>> {
    let mut connection = redis.connect().await.expect("redis-server answers");
    redis::cmd("HVALS").arg(key).query_async(&mut connection).await.expect("a hash")
}

/// The version of the record of a message that is sent now.
async fn version_of_new(daemon: &Daemon, redis: &RedisServer) -> u8 {
    let id = daemon.send(QUEUE, &json!({ "payload": 1, "delay": "1h" })).await;
    let (_, ulid) = id.split_once('_').expect("a queue and a ULID");
    let mut connection = redis.connect().await.expect("redis-server answers");
    let mut get = redis::cmd("HGET");
    get.arg(format!("{{tidegate:{QUEUE}.0}}:records")).arg(ulid);
    get.query_async::<Vec<u8>>(&mut connection).await.expect("a record")[0]
}

fn times_said(daemon: &Daemon, what: &str) -> usize {
    daemon.log().matches(what).count()
}

/// All but a few messages of a scenario: with a label, by each way that a message comes about.
async fn assert_all_ways(redis: RedisServer, version: u8) {
    let downstream = Downstream::start().await;
    let callback = format!("callback = {{ url = \"{}\" }}", downstream.url("/told"));
    let config = queue_toml("old", &downstream, "")
        + &queue_toml(QUEUE, &downstream, &callback)
        + "[topics.t]\nqueues = [\"jobs\"]\n[inbox]\nenabled = true\n"
        + "[schedules.tick]\nqueue = \"jobs\"\nevery = \"200ms\"\npayload = 1\n";
    let daemon = Daemon::start(&redis, config).await;
    let labels = json!({ "shop": "eu" });
    let message = json!({ "payload": 1, "labels": labels });
    daemon.post("/v1/queues/old/pause", &json!({})).await.expect(200);

    daemon.send("old", &message).await;
    daemon.send(QUEUE, &message).await;
    daemon.post("/v1/topics/t/messages", &message).await.expect(201);
    let added = ["XADD", "tidegate:inbox:jobs", "*", "payload", "1", "label.shop", "eu"];
    redis.cli::<()>(&added).await;
    let wish =
        json!({ "action": "move", "queue": "old", "state": "ready", "all": true, "to": QUEUE });
    let moved = ended(&daemon, &start(&daemon, &wish).await).await;
    assert_eq!(moved["done"], 1, "{moved}");

    // One by each of four ways, and of a tick at least.
    let (found, told) = poll_until("all are delivered, and told", async || {
        let found = records(&redis, "{tidegate:jobs.0}:records").await;
        let told = records(&redis, "{tidegate:jobs.0}:callbacks:records").await;
        (found.len() >= 5 && told.len() >= 5).then_some((found, told))
    })
    .await;
    for record in &found {
        // A tick's message has a label as well.
        let has_fields = record[1] & 4 != 0;
        assert_eq!((record[0], has_fields), (version, version == 3), "{record:?}");
    }
    assert!(told.iter().all(|record| record[0] == version), "{told:?}");
    let old = records(&redis, "{tidegate:old.0}:records").await;
    assert!(old.iter().all(|record| record[0] == version), "{old:?}");
    eventually("the callbacks arrive", async || {
        let calls = downstream.requests();
        calls.iter().filter(|call| call.path == "/told").count() >= 5
    })
    .await;
}

#[tokio::test]
async fn a_new_namespace_begins_with_the_newest_version() {
    assert_all_ways(RedisServer::start().await, 3).await;
}

#[tokio::test]
async fn beside_a_node_that_does_not_read_it_every_way_in_writes_the_version_before() {
    assert_all_ways(of_version_2().await, 2).await;
}

/// Messages of version 2 go over into another queue and have all that they had.
#[tokio::test]
async fn what_was_stored_before_is_delivered_and_moved_after() {
    let (redis, downstream) = tokio::join!(of_version_2(), Downstream::start());
    let config = queue_toml("old", &downstream, "") + &queue_toml(QUEUE, &downstream, "");
    let mut daemon = Daemon::start(&redis, &config).await;
    daemon.post("/v1/queues/old/pause", &json!({})).await.expect(200);
    let message = json!({ "payload": 1, "group": "g", "labels": { "shop": "eu" } });
    for _ in 0..3 {
        daemon.send("old", &message).await;
    }
    daemon.post(&format!("/v1/queues/{QUEUE}/pause"), &json!({})).await.expect(200);
    daemon.send(QUEUE, &message).await;
    assert!(records(&redis, "{tidegate:old.0}:records").await.iter().all(|raw| raw[0] == 2));
    old_node_is_gone(&redis).await;
    redis.cli::<()>(&["SET", SCHEMA, "3"]).await;
    daemon.restart().await;

    let wish =
        json!({ "action": "move", "queue": "old", "state": "ready", "all": true, "to": QUEUE });
    let moved = ended(&daemon, &start(&daemon, &wish).await).await;

    assert_eq!(moved["done"], 3, "{moved}");
    let mut versions: Vec<_> = records(&redis, "{tidegate:jobs.0}:records").await;
    versions.sort();
    let versions: Vec<_> = versions.iter().map(|raw| (raw[0], raw[1] & 4)).collect();
    assert_eq!(versions, [(2, 0), (3, 4), (3, 4), (3, 4)]);
    daemon.post(&format!("/v1/queues/{QUEUE}/resume"), &json!({})).await.expect(200);
    downstream.wait_for(4).await;
    let listed = daemon.get(&format!("/v1/queues/{QUEUE}/messages?state=delivered")).await;
    let listed: Value = listed.expect(200).json();
    assert!(listed["messages"].as_array().unwrap().iter().all(|m| m["labels"]["shop"] == "eu"));
}

#[tokio::test]
async fn the_version_is_raised_once_every_node_reads_it_and_not_while_one_does_not() {
    let (redis, downstream) = tokio::join!(of_version_2(), Downstream::start());
    let daemon = Daemon::start(&redis, queue_toml(QUEUE, &downstream, "")).await;
    let other = Daemon::start(&redis, queue_toml(QUEUE, &downstream, "")).await;
    eventually("the old node is named", async || times_said(&daemon, WRITES_2) == 1).await;
    assert!(daemon.log().contains("01OLDNODE000 on elder (tidegate 0.0.9)"), "{}", daemon.log());
    show_old_node(&redis).await;
    let nodes = daemon.get("/v1/nodes").await.expect(200).json();
    let reads = |node: &Value| (node["version"] == "0.0.9", node["record_version"].clone());
    let mut reads: Vec<_> = nodes["nodes"].as_array().unwrap().iter().map(reads).collect();
    reads.sort_by_key(|(is_old, _)| !is_old);
    assert_eq!(reads, [(true, json!(2)), (false, json!(3)), (false, json!(3))]);
    assert_eq!(
        (version_of_new(&daemon, &redis).await, schema(&redis).await),
        (2, Some("2".into()))
    );

    old_node_is_gone(&redis).await;

    eventually("the schema is raised", async || schema(&redis).await.as_deref() == Some("3")).await;
    // Whoever read 2 just before that may still start, and shows itself within ten seconds.
    assert_eq!(version_of_new(&daemon, &redis).await, 2);
    let raised: u64 = redis.cli(&["HGET", CLOCK, "raised_ms"]).await;
    redis.cli::<()>(&["HSET", CLOCK, "raised_ms", &(raised - 10_000).to_string()]).await;
    for node in [&daemon, &other] {
        eventually("it is logged", async || times_said(node, WRITES_3) == 1).await;
        assert_eq!(version_of_new(node, &redis).await, 3);
    }

    // A node that had stood still since long before.
    show_old_node(&redis).await;
    eventually("it is named again", async || times_said(&daemon, WRITES_2) == 2).await;
    assert_eq!(version_of_new(&daemon, &redis).await, 2);
    old_node_is_gone(&redis).await;
    eventually("it is gone", async || times_said(&daemon, WRITES_3) == 2).await;
    assert_eq!(version_of_new(&daemon, &redis).await, 3);
    assert_eq!(schema(&redis).await.as_deref(), Some("3"), "never lowered");
}

#[tokio::test]
async fn a_schema_that_is_deleted_or_older_again_is_as_the_nodes_know_it() {
    let scene = Scene::start("").await;
    let redis = &scene.redis;
    assert_eq!(schema(redis).await.as_deref(), Some("3"));
    for spoil in [&["DEL", SCHEMA][..], &["SET", SCHEMA, "2"], &["FLUSHALL"]] {
        redis.cli::<()>(spoil).await;
        eventually("it is raised again", async || schema(redis).await.as_deref() == Some("3"))
            .await;
        // As long as it was lower, an old program may have started: as after any other raise.
        redis.cli::<()>(&["HDEL", CLOCK, "raised_ms"]).await;
        eventually("it is written again", async || version_of_new(&scene.daemon, redis).await == 3)
            .await;
    }
}

/// Old nodes may live there, though nothing shows them at that moment.
#[tokio::test]
async fn a_schema_of_version_2_that_is_deleted_stays_one() {
    let (redis, downstream) = tokio::join!(of_version_2(), Downstream::start());
    let daemon = Daemon::start(&redis, queue_toml(QUEUE, &downstream, "")).await;
    eventually("the old node is named", async || times_said(&daemon, WRITES_2) == 1).await;

    redis.cli::<()>(&["DEL", SCHEMA]).await;

    eventually("it is there again", async || schema(&redis).await.is_some()).await;
    assert_eq!(schema(&redis).await.as_deref(), Some("2"));
    assert_eq!(version_of_new(&daemon, &redis).await, 2);
}

/// How often a node other than the old one has shown itself since the registry was made.
async fn beats(redis: &RedisServer) -> u64 {
    let infos: Vec<String> = redis.cli(&["HVALS", "{tidegate}:node_info"]).await;
    let infos = infos.iter().filter_map(|info| serde_json::from_str::<Value>(info).ok());
    infos.filter_map(|info| info["beats"].as_u64()).max().unwrap_or(0)
}

/// After FLUSHALL the first node that shows itself is alone in the registry for a moment.
#[tokio::test]
async fn after_everything_was_deleted_the_version_waits_for_nodes_that_still_run() {
    let (redis, downstream) = tokio::join!(of_version_2(), Downstream::start());
    let _daemon = Daemon::start(&redis, queue_toml(QUEUE, &downstream, "")).await;
    eventually("it has shown itself", async || beats(&redis).await > 0).await;
    assert_eq!(schema(&redis).await.as_deref(), Some("2"));

    redis.cli::<()>(&["FLUSHALL"]).await;
    eventually("it has shown itself again", async || beats(&redis).await > 0).await;
    assert_eq!(schema(&redis).await.as_deref(), Some("2"), "the old node still runs");
    show_old_node(&redis).await;
    let first = beats(&redis).await;
    eventually("it beats on", async || beats(&redis).await > first + 1).await;
    assert_eq!(schema(&redis).await.as_deref(), Some("2"));
}

#[tokio::test]
async fn a_version_that_is_not_a_number_stops_no_sending() {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let daemon = Daemon::start(&redis, queue_toml(QUEUE, &downstream, "")).await;
    let id = daemon.send(QUEUE, &json!({ "payload": 1, "delay": "2s" })).await;

    redis.cli::<()>(&["SET", SCHEMA, "3x"]).await;
    let first = beats(&redis).await;
    eventually("it beats on", async || beats(&redis).await > first + 1).await;

    assert_eq!(daemon.wait_final(&id).await["state"], "delivered");
    assert_eq!(times_said(&daemon, "Redis is away"), 0, "{}", daemon.log());
}
