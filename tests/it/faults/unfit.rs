//! A Redis that is changed while it is in use, so that it may not hold messages any more: intake closes
//! with the reason and the remedy, sending goes on, and intake opens when it is changed back.

use serde_json::json;

use crate::support::{Daemon, QUEUE, RedisServer, Scene, eventually};

/// How often the daemon has logged this sentence.
fn said(daemon: &Daemon, sentence: &str) -> usize {
    let log = daemon.log();
    log.lines().filter(|line| line.contains(&format!("\"{sentence}\""))).count()
}

async fn is_shown(daemon: &Daemon, sample: &str) -> bool {
    daemon.get("/metrics").await.expect(200).text().lines().any(|line| line == sample)
}

/// Closes intake by `spoil` and opens it by `mend`, two commands for Redis. Everybody is given the reason,
/// which holds these words.
async fn closes_and_opens(
    scene: &Scene,
    spoil: &[&str],
    mend: &[&str],
    metric: &str,
    words: [&str; 2],
) {
    let Scene { daemon, redis, downstream } = scene;
    let waiting = daemon.send(QUEUE, &json!({ "payload": "waits", "delay": "1500ms" })).await;
    let messages = format!("/v1/queues/{QUEUE}/messages");

    redis.cli::<()>(spoil).await;

    eventually("intake is closed", async || {
        daemon.post(&messages, &json!({ "payload": "x", "delay": "1h" })).await.status == 503
    })
    .await;
    let refused = daemon.post(&messages, &json!({ "payload": "x" })).await.expect(503).json();
    assert_eq!(refused["code"], "store-unavailable");
    let rows = json!([{ "payload": "x" }]);
    let row = daemon.post(&format!("{messages}/batch"), &rows).await.expect(200).json();
    eventually("it is not ready", async || daemon.get("/readyz").await.status == 503).await;
    let ready = daemon.get("/readyz").await.expect(503).json();
    let doctor = daemon.cli(&["doctor", "--quick"]).await;
    assert_eq!(doctor.code, 1, "{}", doctor.stdout);
    for word in words {
        for told in [&refused["detail"], &row["results"][0]["problem"]["detail"], &ready["detail"]]
        {
            assert!(told.as_str().is_some_and(|told| told.contains(word)), "{word}: {told}");
        }
        assert!(doctor.stdout.contains(word), "{word}: {}", doctor.stdout);
    }
    assert!(is_shown(daemon, &format!("{metric} 0")).await);
    assert!(is_shown(daemon, "tidegate_store_up 1").await, "it is there");
    assert_eq!(daemon.wait_final(&waiting).await["state"], "delivered", "sending goes on");
    let before = downstream.requests().len();

    redis.cli::<()>(mend).await;

    eventually("intake is open", async || {
        daemon.post(&messages, &json!({ "payload": "after" })).await.status == 201
    })
    .await;
    downstream.wait_for(before + 1).await;
    eventually("it is ready", async || daemon.get("/readyz").await.status == 200).await;
    assert!(is_shown(daemon, &format!("{metric} 1")).await);
}

const FIT: &str = "tidegate_store_fit";
const CLOSED: &str = "this Redis is not fit to hold messages; intake is refused";
const OPEN: &str = "this Redis is fit to hold messages again; intake goes on";

#[tokio::test]
async fn one_that_begins_to_evict_takes_nothing_more_until_it_stops() {
    let scene = Scene::start("").await;
    let evict = ["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"];
    let mend = ["CONFIG", "SET", "maxmemory-policy", "noeviction"];
    closes_and_opens(
        &scene,
        &evict,
        &mend,
        FIT,
        ["allkeys-lru", "set maxmemory-policy noeviction"],
    )
    .await;
    assert_eq!((said(&scene.daemon, CLOSED), said(&scene.daemon, OPEN)), (1, 1));
}

#[tokio::test]
async fn one_whose_records_a_newer_node_writes_takes_nothing_of_this_one() {
    let scene = Scene::start("").await;
    let schema = "{tidegate}:schema";
    let before: String = scene.redis.cli(&["GET", schema]).await;
    let mend = ["SET", schema, &before];
    closes_and_opens(
        &scene,
        &["SET", schema, "9"],
        &mend,
        FIT,
        ["version 9", "run the newer tidegate"],
    )
    .await;
    assert_eq!((said(&scene.daemon, CLOSED), said(&scene.daemon, OPEN)), (1, 1));
}

#[tokio::test]
async fn one_that_keeps_no_file_any_more_takes_nothing_more_until_it_does() {
    let scene = Scene::start("").await;
    let spoil = ["CONFIG", "SET", "appendonly", "no"];
    let mend = ["CONFIG", "SET", "appendonly", "yes"];
    closes_and_opens(
        &scene,
        &spoil,
        &mend,
        "tidegate_durability_met",
        ["appendonly yes", "redis.durability = \"memory\""],
    )
    .await;
    let closed = said(&scene.daemon, "the durability level is not met; intake is refused");
    let open = said(&scene.daemon, "the durability level is met; intake goes on");
    assert_eq!((closed, open), (1, 1));
}

#[tokio::test]
async fn one_that_becomes_a_replica_is_left_alone_until_it_is_a_master_again() {
    let scene = Scene::start("").await;
    let master = crate::support::redis::RedisOptions::default().on_tcp().start().await;
    let port = master.port().to_string();
    scene.redis.cli::<()>(&["CONFIG", "SET", "replica-read-only", "no"]).await;

    // One that takes writes all the same: they would be lost.
    scene.redis.cli::<()>(&["REPLICAOF", "127.0.0.1", &port]).await;

    let (daemon, messages) = (&scene.daemon, format!("/v1/queues/{QUEUE}/messages"));
    eventually("intake is closed", async || {
        daemon.post(&messages, &json!({ "payload": "x", "delay": "1h" })).await.status == 503
    })
    .await;
    eventually("it is not ready", async || daemon.get("/readyz").await.status == 503).await;
    eventually("it is down", async || is_shown(daemon, "tidegate_store_up 0").await).await;
    let doctor = daemon.cli(&["doctor", "--quick"]).await;
    assert_eq!(doctor.code, 5, "{}", doctor.stdout);
    assert!(doctor.stdout.contains("this Redis is a replica"), "{}", doctor.stdout);
    assert!(doctor.stdout.contains("REPLICAOF NO ONE"), "{}", doctor.stdout);

    scene.redis.cli::<()>(&["REPLICAOF", "NO", "ONE"]).await;

    eventually("intake is open", async || {
        daemon.post(&messages, &json!({ "payload": "after" })).await.status == 201
    })
    .await;
    assert_eq!(
        said(daemon, "Redis is away; sending stops until it is back"),
        1,
        "{}",
        daemon.log()
    );
}

/// Not the server's own doing, but the same for who sends: nothing is taken as safe that is not.
#[tokio::test]
async fn a_start_on_one_that_evicts_writes_nothing_there() {
    let redis = RedisServer::start().await;
    redis.cli::<()>(&["CONFIG", "SET", "maxmemory-policy", "volatile-ttl"]).await;
    let config = "[queues.jobs.downstream]\ntype = \"null\"\n";
    let mut daemon = Daemon::with(config).redis(&redis).launch();
    assert_eq!(daemon.wait_exit().await, 1, "{}", daemon.log());
    assert_eq!(redis.cli::<u64>(&["DBSIZE"]).await, 0);
}
