//! The same daemon on Valkey: the whole life of messages, the levels, and the managed server. The store's own scenarios run on Valkey one by one, see `store/ground.rs`.

use serde_json::{Value, json};

use crate::support::redis::{RedisOptions, RedisServer, valkey_program};
use crate::support::{Answer, Daemon, Downstream, QUEUE, eventually, queue_toml};

async fn daemon_on(redis: &RedisServer, downstream: &Downstream, level: &str) -> Daemon {
    let config = queue_toml(QUEUE, downstream, "retry.initial = \"50ms\"");
    Daemon::with(config).redis(redis).durability(level).start().await
}

async fn try_send(daemon: &Daemon, message: &Value) -> u16 {
    daemon.post(&format!("/v1/queues/{QUEUE}/messages"), message).await.status
}

#[tokio::test]
#[ignore = "needs Valkey: make test-all runs it"]
async fn the_whole_life_of_messages() {
    let redis = RedisOptions::valkey().start().await;
    assert!(!redis.info("valkey_version").await.is_empty());
    let downstream = Downstream::start().await;
    let daemon = daemon_on(&redis, &downstream, "disk").await;
    downstream.once(Answer::status(500));

    let retried = daemon.send(QUEUE, &json!({ "payload": 1 })).await;
    let later = json!({ "payload": 2, "delay": "300ms", "idempotency_key": "k" });
    let later_id = daemon.send(QUEUE, &later).await;
    assert_eq!(try_send(&daemon, &later).await, 200);
    let cancelled = daemon.send(QUEUE, &json!({ "payload": 3, "delay": "1h" })).await;
    daemon.delete(&format!("/v1/messages/{cancelled}")).await.expect(200);

    assert_eq!(daemon.wait_final(&retried).await["state"], "delivered");
    assert_eq!(daemon.wait_final(&later_id).await["state"], "delivered");
    assert_eq!(daemon.wait_final(&cancelled).await["state"], "cancelled");
    assert_eq!(downstream.requests().len(), 3);
    let counts = daemon.counts(QUEUE).await;
    assert_eq!((&counts["delivered"], &counts["cancelled"]), (&json!(2), &json!(1)));
}

#[tokio::test]
#[ignore = "needs Valkey: make test-all runs it"]
async fn what_was_accepted_at_disk_outlives_a_power_cut() {
    let mut redis = RedisOptions::valkey().with_faults().start().await;
    let downstream = Downstream::start().await;
    let daemon = daemon_on(&redis, &downstream, "disk").await;
    assert_eq!(daemon.get("/readyz").await.expect(200).json()["durability"], "disk");

    let messages: Vec<_> = (0..300).map(|n| json!({ "payload": n, "delay": "1h" })).collect();
    let path = format!("/v1/queues/{QUEUE}/messages/batch");
    let taken = daemon.post(&path, &json!(messages)).await.expect(200).json();
    let taken = taken["results"].as_array().unwrap().iter().filter(|r| r["id"].is_string()).count();
    redis.power_cut().await;
    redis.restart().await;

    assert_eq!(taken, 300);
    eventually("all of them are there", async || {
        let shown = daemon.get(&format!("/v1/queues/{QUEUE}")).await;
        shown.status == 200 && shown.json()["counts"]["scheduled"] == 300
    })
    .await;
    assert_eq!(daemon.get("/v1/rollbacks").await.expect(200).json()["rollbacks"], json!([]));
}

#[tokio::test]
#[ignore = "needs Valkey: make test-all runs it"]
async fn everysec_is_not_taken_for_disk_since_waitaof_does_not_wait() {
    let redis = RedisOptions::valkey().with_faults().set("appendfsync", "everysec").start().await;
    let downstream = Downstream::start().await;

    let config = queue_toml(QUEUE, &downstream, "");
    let mut refused = Daemon::with(config).redis(&redis).durability("disk").launch();

    assert_eq!(refused.wait_exit().await, 1, "{}", refused.log());
    assert!(refused.log().contains("needs appendonly yes and appendfsync always"));
    assert!(refused.log().contains("set redis.durability = \"everysec\""), "{}", refused.log());

    // The reason. Once this fails, Valkey has mended it: store/redis/survey.rs may trust that version.
    let mut connection = redis.connect().await.unwrap();
    for number in 0..3 {
        let flushed = redis.faults().flushes();
        let (confirmed, _): (u64, u64) = redis::pipe()
            .cmd("SET")
            .arg("key")
            .arg(number)
            .ignore()
            .cmd("WAITAOF")
            .arg(&[1, 0, 100])
            .query_async::<((u64, u64),)>(&mut connection)
            .await
            .unwrap()
            .0;
        if confirmed == 1 && redis.faults().flushes() == flushed {
            return;
        }
    }
    panic!("WAITAOF waited for each flush");
}

#[tokio::test]
#[ignore = "needs Valkey: make test-all runs it"]
async fn replicas_of_valkey_confirm() {
    let master = RedisOptions::valkey().on_tcp().start().await;
    let replica = RedisOptions::valkey().replica_of(&master).start().await;
    let downstream = Downstream::start().await;
    let daemon = daemon_on(&master, &downstream, "replicas").await;

    let id = daemon.send(QUEUE, &json!({ "payload": 1 })).await;

    assert_eq!(daemon.wait_final(&id).await["state"], "delivered");
    assert_eq!(daemon.get("/readyz").await.expect(200).json()["durability"], "replicas");
    drop(replica);
}

#[tokio::test]
#[ignore = "needs Valkey: make test-all runs it"]
async fn data_that_valkey_began_goes_on_with_valkey() {
    let folder = valkey_program().parent().expect("a program lies in a folder").to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths([folder].into_iter().chain(std::env::split_paths(&path)));
    let path = path.expect("PATH was one before").into_string().expect("PATH is text");
    let downstream = Downstream::start().await;
    let data = tempfile::tempdir().unwrap();
    std::fs::write(data.path().join("written-by"), "valkey-server").unwrap();
    let daemon = Daemon::with(queue_toml(QUEUE, &downstream, ""))
        .environment("PATH", &path)
        .environment("TIDEGATE__REDIS__DATA_DIR", data.path().to_str().unwrap());
    let mut daemon = daemon.start().await;

    let id = daemon.send(QUEUE, &json!({ "payload": 1 })).await;

    assert_eq!(daemon.wait_final(&id).await["state"], "delivered");
    let socket = format!("unix://{}", data.path().join("redis.sock").display());
    let mut connection =
        redis::Client::open(socket).unwrap().get_multiplexed_async_connection().await.unwrap();
    let info: String = redis::cmd("INFO").arg("server").query_async(&mut connection).await.unwrap();
    assert!(info.contains("valkey_version:"), "{info}");
    assert_eq!(daemon.sigterm().await, 0);
}
