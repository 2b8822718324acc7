//! What Redis holds is taken away under a running daemon: an alarm and a report of what is missing, and
//! everything that is sent afterwards goes its way.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::wait::poll_until;
use crate::support::{
    Cluster, Daemon, Downstream, QUEUE, RedisServer, Scene, eventually, queue_toml,
};

const SAID: &str = "the data in Redis was deleted or replaced while Redis ran";

/// The ids that the daemon says are lost, over all of its reports.
async fn lost(daemon: &Daemon) -> BTreeSet<String> {
    let document = daemon.get("/v1/rollbacks").await.expect(200).json();
    let mut all = BTreeSet::new();
    for rollback in document["rollbacks"].as_array().expect("a list") {
        assert_eq!((&rollback["queue"], &rollback["cause"]), (&json!(QUEUE), &json!("erased")));
        let ids: Vec<String> = serde_json::from_value(rollback["lost"].clone()).expect("ids");
        all.extend(ids);
    }
    all
}

async fn wait_lost(daemon: &Daemon, count: usize) -> BTreeSet<String> {
    poll_until("what is missing is reported", async || {
        let lost = lost(daemon).await;
        (lost.len() >= count).then_some(lost)
    })
    .await
}

fn times_said(daemon: &Daemon) -> usize {
    daemon.log().matches(SAID).count()
}

fn later(count: usize) -> Vec<Value> {
    (0..count).map(|n| json!({ "payload": n, "delay": "1h" })).collect()
}

/// The daemon has beaten twice since: what it remembers of its mark is young.
async fn beaten(redis: &RedisServer) {
    let beats = async || redis.cli::<Vec<String>>(&["HVALS", "{tidegate}:node_info"]).await;
    let before = beats().await;
    eventually("it beats", async || beats().await != before).await;
}

async fn is_alarm_shown(daemon: &Daemon) {
    let doctor = daemon.cli(&["doctor", "--quick"]).await;
    assert_eq!(doctor.code, 1, "{}", doctor.stdout);
    assert!(doctor.stdout.contains(SAID), "{}", doctor.stdout);
    let metrics = daemon.get("/metrics").await.expect(200).text().to_owned();
    assert!(metrics.contains("tidegate_store_erased_total 1\n"), "{metrics}");
}

#[tokio::test]
async fn flushall_is_an_alarm_names_the_ids_and_stops_nothing() {
    let scene = Scene::start("shards = 2").await;
    let delivered = scene.send("before").await;
    scene.daemon.wait_final(&delivered).await;
    let waiting: BTreeSet<String> = scene.send_all(&later(100)).await.into_iter().collect();
    beaten(&scene.redis).await;

    scene.redis.cli::<()>(&["FLUSHALL"]).await;

    let lost = wait_lost(&scene.daemon, 100).await;
    assert!(!lost.contains(&delivered), "its downstream has it; nobody need send it again");
    assert_eq!(lost, waiting);
    is_alarm_shown(&scene.daemon).await;
    assert_eq!(times_said(&scene.daemon), 1, "{}", scene.daemon.log());
    let sent: Vec<_> = (0..20).map(|n| json!({ "payload": n })).collect();
    for id in scene.send_all(&sent).await {
        assert_eq!(scene.daemon.wait_final(&id).await["state"], "delivered");
    }
    // What the namespace knows of its queues stands there again.
    let known: Vec<String> = scene.redis.cli(&["HKEYS", "{tidegate}:queues"]).await;
    assert_eq!(known, [QUEUE]);
    beaten(&scene.redis).await;
    assert_eq!(times_said(&scene.daemon), 1, "once each time");
}

#[tokio::test]
async fn another_database_in_its_place_is_noticed_too() {
    let scene = Scene::start("").await;
    let waiting: BTreeSet<String> = scene.send_all(&later(30)).await.into_iter().collect();
    beaten(&scene.redis).await;

    scene.redis.cli::<()>(&["SWAPDB", "0", "1"]).await;

    assert_eq!(wait_lost(&scene.daemon, 30).await, waiting);
    is_alarm_shown(&scene.daemon).await;
}

#[tokio::test]
async fn older_data_in_its_place_is_noticed_too() {
    let scene = Scene::start("").await;
    let kept = scene.send_all(&later(10)).await;
    beaten(&scene.redis).await;
    // A copy of everything, as a backup has it.
    let keys: Vec<String> = scene.redis.cli(&["KEYS", "*"]).await;
    let mut connection = scene.redis.connect().await.expect("redis-server answers");
    for key in &keys {
        let mut copy = redis::cmd("COPY");
        copy.arg(key).arg(key).arg("DB").arg(1);
        copy.query_async::<i64>(&mut connection).await.expect("a copy");
    }
    let lost: BTreeSet<String> = scene.send_all(&later(20)).await.into_iter().collect();
    beaten(&scene.redis).await;
    beaten(&scene.redis).await;

    scene.redis.cli::<()>(&["SWAPDB", "0", "1"]).await;

    assert_eq!(wait_lost(&scene.daemon, 20).await, lost);
    is_alarm_shown(&scene.daemon).await;
    assert_eq!(scene.daemon.message(&kept[0]).await["state"], "scheduled");
}

#[tokio::test]
async fn a_marker_that_somebody_deletes_is_an_alarm_and_nothing_is_said_to_be_lost() {
    let scene = Scene::start("retention.delivered = \"1ms\"").await;
    let delivered = scene.send("gone in its time").await;
    scene.downstream.wait_for(1).await;
    eventually("it is gone", async || {
        scene.daemon.get(&format!("/v1/messages/{delivered}")).await.status == 404
    })
    .await;
    let kept = scene.send_all(&later(10)).await;
    beaten(&scene.redis).await;

    scene.redis.cli::<()>(&["DEL", "{tidegate}:schema", "{tidegate}:node_info"]).await;

    eventually("it is said", async || times_said(&scene.daemon) == 1).await;
    is_alarm_shown(&scene.daemon).await;
    beaten(&scene.redis).await;
    assert!(lost(&scene.daemon).await.is_empty());
    assert_eq!(scene.daemon.message(&kept[9]).await["state"], "scheduled");
}

#[tokio::test]
async fn in_a_cluster_one_master_that_is_emptied_is_noticed() {
    let cluster = Cluster::start().await;
    let downstream = Downstream::start().await;
    let config = queue_toml(QUEUE, &downstream, "shards = 6");
    let daemon = Daemon::with(config).cluster(&cluster);
    let daemon = daemon.environment("TIDEGATE__REDIS__NAMESPACE", "own").start().await;
    let mut ids = Vec::new();
    for message in later(60) {
        ids.push(daemon.send(QUEUE, &message).await);
    }
    let slot = cluster.slot(&format!("{{own:{QUEUE}.0}}")).await;
    let master = cluster.owner(slot, 0).await;

    cluster.nodes()[master].cli::<()>(&["FLUSHALL"]).await;

    let mut gone = BTreeSet::new();
    for id in &ids {
        if daemon.get(&format!("/v1/messages/{id}")).await.status == 404 {
            gone.insert(id.clone());
        }
    }
    assert!(!gone.is_empty() && gone.len() < ids.len(), "{}", gone.len());
    assert_eq!(wait_lost(&daemon, gone.len()).await, gone);
}
