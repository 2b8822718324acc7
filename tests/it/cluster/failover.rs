//! Another server takes over: sending goes on within five seconds of its first write, and what was
//! accepted at `replicas` is there.

use std::time::Duration;

use redis::Value;
use rustix::process::Signal;
use serde_json::json;
use tokio::time::Instant;

use crate::support::redis::RedisServer;
use crate::support::wait::poll_until_within;
use crate::support::{Cluster, Daemon, Flow, QUEUE, SentinelSet, eventually, within};

/// Messages that fall due during the outage wait for its end.
const LASTS: Duration = Duration::from_secs(4);

async fn on_sentinels() -> (SentinelSet, Flow, Daemon) {
    let set = SentinelSet::start().await;
    let mut flow = Flow::start().await;
    let daemon = Daemon::with(flow.config("")).sentinel(&set).durability("replicas").start().await;
    flow.seed(&daemon, LASTS).await;
    (set, flow, daemon)
}

async fn on_cluster() -> (Cluster, Flow, Daemon) {
    let cluster = Cluster::with_replicas().await;
    let mut flow = Flow::start().await;
    let daemon = Daemon::with(flow.config("shards = 6")).cluster(&cluster).durability("replicas");
    let daemon = daemon.environment("TIDEGATE__REDIS__NAMESPACE", "own").start().await;
    flow.seed(&daemon, LASTS).await;
    (cluster, flow, daemon)
}

/// Nothing was accepted and is missing; intake goes on by itself.
async fn all_is_well(flow: &Flow, daemon: &Daemon) {
    flow.arrives(daemon).await;
    let rollbacks = daemon.get("/v1/rollbacks").await.expect(200).json();
    for rollback in rollbacks["rollbacks"].as_array().unwrap() {
        assert_eq!(rollback["lost"], json!([]));
    }
}

async fn intake_goes_on(daemon: &Daemon) {
    let message = json!({ "payload": "after", "delay": "1h", "idempotency_key": "after" });
    eventually("intake goes on", async || {
        let path = format!("/v1/queues/{QUEUE}/messages");
        [200, 201].contains(&daemon.post(&path, &message).await.status)
    })
    .await;
}

// Each takes seconds and does little: side by side.

#[tokio::test]
#[ignore = "takes 14 seconds or more: make test-all runs it"]
async fn by_sentinel() {
    tokio::join!(
        a_master_that_is_killed(),
        a_master_that_is_replaced_by_plan(),
        a_master_that_hangs_and_comes_back_believing_it_is_one(),
        a_master_that_comes_back_before_anybody_left_it(),
    );
}

#[tokio::test]
#[ignore = "takes 14 seconds or more: make test-all runs it"]
async fn in_a_cluster() {
    tokio::join!(
        a_master_of_a_cluster_that_is_killed(),
        a_master_of_a_cluster_that_is_replaced_by_plan(),
    );
}

async fn a_master_that_is_killed() {
    let (mut set, flow, daemon) = on_sentinels().await;

    let old = set.kill_master().await;
    set.wait_new_master(old).await;

    flow.resumes(Instant::now()).await;
    intake_goes_on(&daemon).await;
    all_is_well(&flow, &daemon).await;
    let ready = daemon.get("/readyz").await.expect(200).json();
    assert_eq!(ready["durability"], "replicas", "the replica that is left is enough");
}

async fn a_master_that_is_replaced_by_plan() {
    let (set, flow, daemon) = on_sentinels().await;

    set.failover().await;

    flow.resumes(Instant::now()).await;
    intake_goes_on(&daemon).await;
    all_is_well(&flow, &daemon).await;
}

/// How many scripts the server has run.
async fn scripts(server: &RedisServer) -> u64 {
    let stats: String = server.cli(&["INFO", "commandstats"]).await;
    let calls = |command: &str| {
        let start = format!("cmdstat_{command}:calls=");
        let line = stats.lines().find_map(|line| line.strip_prefix(&start)?.split(',').next());
        line.map_or(0, |count| count.parse::<u64>().unwrap())
    };
    calls("evalsha") + calls("eval")
}

/// The old master goes on as one until the sentinels have made it a replica; nobody must follow it.
async fn believes_it_is_the_master(set: &SentinelSet, old: usize) {
    let server = &set.servers()[old];
    within("it answers", server.cli::<Value>(&["PING"])).await;
    // What lay in its sockets is done first, up to what stands behind a WAIT there. The sentinels take
    // eight seconds or more.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(server.info("role").await, "master");
    let before = scripts(server).await;
    poll_until_within(Duration::from_secs(40), "it is a replica", async || {
        // Its clients are cut off then.
        let info = server.try_cli::<String>(&["INFO", "replication"]).await.ok()?;
        info.contains("role:slave").then_some(())
    })
    .await;
    assert_eq!(scripts(server).await, before, "nobody runs a script there any more");
}

async fn a_master_that_hangs_and_comes_back_believing_it_is_one() {
    let (set, flow, daemon) = on_sentinels().await;

    let old = set.stop_master().await;
    set.wait_new_master(old).await;
    flow.resumes(Instant::now()).await;
    set.servers()[old].signal(Signal::CONT);

    believes_it_is_the_master(&set, old).await;
    intake_goes_on(&daemon).await;
    all_is_well(&flow, &daemon).await;
}

async fn a_master_that_comes_back_before_anybody_left_it() {
    let (set, flow, daemon) = on_sentinels().await;

    let old = set.stop_master().await;
    set.wait_new_master(old).await;
    set.servers()[old].signal(Signal::CONT);

    believes_it_is_the_master(&set, old).await;
    intake_goes_on(&daemon).await;
    all_is_well(&flow, &daemon).await;
}

async fn a_master_of_a_cluster_that_is_killed() {
    let (mut cluster, flow, daemon) = on_cluster().await;
    let slot = cluster.slot(&format!("{{own:{QUEUE}.0}}")).await;
    let master = cluster.owner(slot, 0).await;

    cluster.node_mut(master).kill9().await;
    cluster.wait_master(master + 3).await;

    flow.resumes(Instant::now()).await;
    // Its successor has no replica until it is back.
    cluster.node_mut(master).restart().await;
    intake_goes_on(&daemon).await;
    all_is_well(&flow, &daemon).await;
}

async fn a_master_of_a_cluster_that_is_replaced_by_plan() {
    let (cluster, flow, daemon) = on_cluster().await;
    let slot = cluster.slot(&format!("{{own:{QUEUE}.0}}")).await;
    let master = cluster.owner(slot, 0).await;

    cluster.failover_to(master + 3).await;

    flow.resumes(Instant::now()).await;
    intake_goes_on(&daemon).await;
    all_is_well(&flow, &daemon).await;
}
