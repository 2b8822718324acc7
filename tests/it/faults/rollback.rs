//! Redis comes back without what it had confirmed: the daemon finds out, counts, and names the ids.

use std::collections::BTreeSet;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::redis::RedisOptions;
use crate::support::wait::poll_until;
use crate::support::{
    Answer, Cluster, Daemon, Downstream, Gate, QUEUE, RedisServer, SentinelSet, eventually,
    queue_toml,
};

/// What the daemon says it lost, and what it will send again.
async fn reported(daemon: &Daemon) -> (BTreeSet<String>, BTreeSet<String>) {
    let document = daemon.get("/v1/rollbacks").await.expect(200).json();
    let mut sets = (BTreeSet::new(), BTreeSet::new());
    for rollback in document["rollbacks"].as_array().unwrap() {
        assert_eq!(rollback["queue"], QUEUE);
        let ids =
            |name: &str| -> Vec<String> { serde_json::from_value(rollback[name].clone()).unwrap() };
        sets.0.extend(ids("lost"));
        sets.1.extend(ids("sent_again"));
    }
    sets
}

async fn wait_reported(daemon: &Daemon) -> (BTreeSet<String>, BTreeSet<String>) {
    poll_until("a rollback is reported", async || {
        let reported = reported(daemon).await;
        (reported != Default::default()).then_some(reported)
    })
    .await
}

async fn counted(daemon: &Daemon, metric: &str) -> u64 {
    let text = daemon.get("/metrics").await.expect(200).text().to_owned();
    let start = format!("{metric}{{queue=\"{QUEUE}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&start)).unwrap().parse().unwrap()
}

/// Those of these messages that are not there any more.
async fn gone(daemon: &Daemon, ids: &[String]) -> BTreeSet<String> {
    let mut gone = BTreeSet::new();
    for id in ids {
        if daemon.get(&format!("/v1/messages/{id}")).await.status == 404 {
            gone.insert(id.clone());
        }
    }
    gone
}

fn keyed(number: usize) -> Value {
    json!({ "payload": number, "delay": "1h", "idempotency_key": format!("k{number}") })
}

async fn send_keyed(daemon: &Daemon, numbers: std::ops::Range<usize>) -> Vec<String> {
    let mut ids = Vec::new();
    for number in numbers {
        ids.push(daemon.send(QUEUE, &keyed(number)).await);
    }
    ids
}

async fn is_up(daemon: &Daemon) -> bool {
    daemon.get("/readyz").await.status == 200
}

#[tokio::test]
async fn everysec_with_a_slow_disk_loses_what_the_daemon_says_it_lost() {
    let options = RedisOptions::default().with_faults().set("appendfsync", "everysec");
    let mut redis = options.start().await;
    let downstream = Downstream::start().await;
    let config = queue_toml(QUEUE, &downstream, "shards = 3");
    let daemon = Daemon::with(config).redis(&redis).durability("everysec").start().await;
    let mut ids = send_keyed(&daemon, 0..30).await;
    let flushes = redis.faults().flushes();
    eventually("the first are on disk", async || redis.faults().flushes() >= flushes + 2).await;

    redis.faults().slow_fsync(60_000);
    eventually("a flush hangs", async || redis.faults().is_flushing()).await;
    ids.extend(send_keyed(&daemon, 30..90).await);
    redis.power_cut().await;
    redis.faults().slow_fsync(0);
    redis.restart().await;

    eventually("it is back", async || is_up(&daemon).await).await;
    let (lost, again) = wait_reported(&daemon).await;
    eventually("all of it", async || counted(&daemon, "tidegate_rollbacks_total").await == 3).await;
    let (lost, again) = if lost.len() < 60 { reported(&daemon).await } else { (lost, again) };
    let gone = gone(&daemon, &ids).await;
    assert!(gone.len() >= 50, "{}", gone.len());
    assert_eq!(lost, gone);
    assert!(again.is_empty(), "{again:?}");
    assert_eq!(counted(&daemon, "tidegate_rollback_lost_total").await, gone.len() as u64);
    assert!(daemon.log().contains("rollback: Redis is without"), "{}", daemon.log());
    let doctor = daemon.cli(&["doctor"]).await;
    assert!(doctor.stdout.contains("accepted are lost"), "{}", doctor.stdout);

    // Producers that send again under their keys have each message once.
    for (number, id) in ids.iter().enumerate() {
        let path = format!("/v1/queues/{QUEUE}/messages");
        let reply = daemon.post(&path, &keyed(number)).await;
        let expected = if gone.contains(id) { 201 } else { 200 };
        assert_eq!(reply.status, expected, "{number}");
    }
    assert_eq!(daemon.counts(QUEUE).await["scheduled"], 90);
}

const RESTARTED: &str = "Redis restarted; no acknowledged message is missing";

#[tokio::test]
async fn a_restart_at_disk_loses_nothing_and_says_nothing() {
    let mut redis = RedisServer::start().await;
    let downstream = Downstream::start().await;
    let config = queue_toml(QUEUE, &downstream, "retention.delivered = \"1ms\"");
    let daemon = Daemon::start(&redis, config).await;
    let ids = send_keyed(&daemon, 0..20).await;
    for number in 0..5 {
        daemon.send(QUEUE, &json!({ "payload": number })).await;
    }
    downstream.wait_for(5).await;
    // Nothing is kept of them: they are gone, and not lost.
    eventually("all are settled", async || daemon.counts(QUEUE).await["leased"] == 0).await;

    redis.restart().await;

    eventually("it was looked at", async || daemon.log().contains(RESTARTED)).await;
    eventually("it is back", async || is_up(&daemon).await).await;
    assert_eq!(reported(&daemon).await, Default::default());
    assert!(gone(&daemon, &ids).await.is_empty());
    assert_eq!(counted(&daemon, "tidegate_rollbacks_total").await, 0);
    assert_eq!(daemon.log().matches(RESTARTED).count(), 1);
}

#[tokio::test]
async fn after_a_failover_to_a_replica_that_was_behind_the_daemon_names_what_is_touched() {
    let mut set = SentinelSet::start().await;
    let downstream = Downstream::start().await;
    let config = queue_toml(QUEUE, &downstream, "lease = \"7s\"\ndownstream.timeout = \"2s\"");
    let daemon = Daemon::with(config).sentinel(&set).durability("disk").start().await;
    let gate = Gate::new();
    downstream.once(Answer::ok().held_by(&gate));
    let sent = daemon.send(QUEUE, &json!({ "payload": "once" })).await;
    let kept = send_keyed(&daemon, 0..10).await;
    downstream.wait_for(1).await;
    eventually("the replicas have it all", async || {
        let offset = set.servers()[0].info("master_repl_offset").await;
        let at = set.servers()[1].info("slave_repl_offset").await;
        at == offset && set.servers()[2].info("slave_repl_offset").await == at
    })
    .await;

    for replica in &set.servers()[1..] {
        replica.signal(Signal::STOP);
    }
    // Or what the master writes would lie in their sockets when they thaw.
    set.servers()[0].cli::<u64>(&["CLIENT", "KILL", "TYPE", "replica"]).await;
    gate.release();
    assert_eq!(daemon.wait_final(&sent).await["state"], "delivered");
    let touched = send_keyed(&daemon, 10..30).await;
    let old = set.kill_master().await;
    for replica in &set.servers()[1..] {
        replica.signal(Signal::CONT);
    }
    set.wait_new_master(old).await;

    let (lost, again) = wait_reported(&daemon).await;
    assert_eq!(lost, touched.iter().cloned().collect());
    assert_eq!(lost, gone(&daemon, &touched).await);
    assert!(gone(&daemon, &kept).await.is_empty());
    assert_eq!(again, [sent.clone()].into());
    assert_eq!(downstream.wait_for(2).await.len(), 2, "it is sent again");
    assert_eq!(daemon.wait_final(&sent).await["state"], "delivered");
    assert_eq!(counted(&daemon, "tidegate_rollbacks_total").await, 1);
    assert_eq!(counted(&daemon, "tidegate_rollback_sent_again_total").await, 1);
}

#[tokio::test]
async fn in_a_cluster_the_shards_of_the_master_that_was_lost_are_held_against_its_successor() {
    let mut cluster = Cluster::with_replicas().await;
    let downstream = Downstream::start().await;
    let config = queue_toml(QUEUE, &downstream, "shards = 6");
    let daemon = Daemon::with(config).cluster(&cluster).durability("disk");
    let daemon = daemon.environment("TIDEGATE__REDIS__NAMESPACE", "own").start().await;
    let kept = send_keyed(&daemon, 0..30).await;
    let slot = cluster.slot(&format!("{{own:{QUEUE}.0}}")).await;
    let master = cluster.owner(slot, 0).await;
    eventually("the replica has it all", async || {
        let offset = cluster.nodes()[master].info("master_repl_offset").await;
        cluster.nodes()[master + 3].info("slave_repl_offset").await == offset
    })
    .await;

    cluster.nodes()[master + 3].signal(Signal::STOP);
    cluster.nodes()[master].cli::<u64>(&["CLIENT", "KILL", "TYPE", "replica"]).await;
    let sent = send_keyed(&daemon, 30..90).await;
    cluster.node_mut(master).kill9().await;
    cluster.nodes()[master + 3].signal(Signal::CONT);
    cluster.wait_master(master + 3).await;

    eventually("the daemon is back", async || is_up(&daemon).await).await;
    let gone = poll_until("all is told", async || {
        let gone = gone(&daemon, &sent).await;
        let (lost, _) = reported(&daemon).await;
        (!lost.is_empty() && lost == gone).then_some(gone)
    })
    .await;
    assert!(gone.len() >= 5 && gone.len() < 60, "one master of three: {}", gone.len());
    assert!(self::gone(&daemon, &kept).await.is_empty());
    assert_eq!(counted(&daemon, "tidegate_rollback_lost_total").await, gone.len() as u64);
}

#[tokio::test]
async fn a_limit_that_redis_forgot_starts_over_without_a_burst() {
    let mut redis = RedisServer::start().await;
    let downstream = Downstream::start().await;
    let config = queue_toml(QUEUE, &downstream, "rate = \"4/s\"\nburst = 4");
    let mut daemon = Daemon::start(&redis, config).await;
    let numbers: Vec<_> = (0..8).map(|n| json!({ "payload": n })).collect();
    daemon.post(&format!("/v1/queues/{QUEUE}/messages/batch"), &json!(numbers)).await.expect(200);
    downstream.wait_for(4).await;
    eventually("four are settled", async || daemon.counts(QUEUE).await["delivered"] == 4).await;

    // As a failover below `replicas` would leave it: the calls are remembered by nobody.
    let meta = format!("{{tidegate:{QUEUE}.0}}:meta");
    // Its node is a new one too, or its own pace would hide a burst.
    daemon.kill9().await;
    redis.cli::<u64>(&["HDEL", &meta, "tat_us"]).await;
    redis.restart().await;
    daemon.restart().await;

    let requests = downstream.wait_for(8).await;
    let mut times: Vec<_> = requests.iter().map(|request| request.arrived).collect();
    times.sort();
    for pair in times[4..].windows(2) {
        let gap = pair[1] - pair[0];
        assert!(gap > Duration::from_millis(200), "{gap:?}");
    }
}
