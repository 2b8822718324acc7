//! `redis.settle = "replicas"`: a slot comes free when the replicas have the outcome of its call, so that a failover repeats at
//! most what was in flight.

use std::collections::BTreeMap;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use crate::support::redis::RedisOptions;
use crate::support::{
    Answer, Daemon, Downstream, Gate, QUEUE, SentinelSet, eventually, queue_toml,
};

/// In flight at once.
const SLOTS: usize = 2;
const SENT: usize = 12;

fn config(downstream: &Downstream) -> String {
    let lines = format!("concurrency = {SLOTS}\nlease = \"6s\"\ndownstream.timeout = \"1s\"");
    queue_toml(QUEUE, downstream, &lines)
}

async fn send_all(daemon: &Daemon) {
    for number in 0..SENT {
        daemon.send(QUEUE, &json!({ "payload": number })).await;
    }
}

/// How often each message was sent.
fn times_sent(downstream: &Downstream) -> BTreeMap<String, usize> {
    let mut times = BTreeMap::new();
    for request in downstream.requests() {
        *times.entry(request.id().to_owned()).or_default() += 1;
    }
    times
}

async fn delivered(daemon: &Daemon, count: usize) {
    eventually("they are delivered", async || {
        daemon.counts(QUEUE).await["delivered"].as_u64().is_some_and(|found| found >= count as u64)
    })
    .await;
}

/// A master and a replica that is stopped once two calls are in flight, whose answers come then. Returns how many requests
/// there were before the replica went on.
async fn requests_without_the_replica(settle: &str) -> usize {
    let master = RedisOptions::default().on_tcp().start().await;
    let replica = RedisOptions::default().replica_of(&master).start().await;
    master.wait_replicas(1).await;
    let downstream = Downstream::start().await;
    let daemon = Daemon::with(config(&downstream))
        .redis(&master)
        .durability("replicas")
        .environment("TIDEGATE__REDIS__SETTLE", settle)
        .start()
        .await;
    let gate = Gate::new();
    downstream.always(Answer::ok().held_by(&gate));
    send_all(&daemon).await;
    downstream.wait_for(SLOTS).await;

    replica.signal(Signal::STOP);
    gate.release();
    delivered(&daemon, SLOTS).await;
    // What does not happen takes a while to be seen.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let before = downstream.requests().len();

    replica.signal(Signal::CONT);
    delivered(&daemon, SENT).await;
    assert!(times_sent(&downstream).values().all(|times| *times == 1));
    before
}

#[tokio::test]
async fn nothing_is_sent_while_the_replica_does_not_have_the_outcomes() {
    assert_eq!(requests_without_the_replica("replicas").await, SLOTS);
}

/// The same without it: so the scenario above shows what the setting does.
#[tokio::test]
async fn without_the_setting_more_is_sent() {
    assert_eq!(requests_without_the_replica("level").await, SENT);
}

#[tokio::test]
async fn a_failover_with_a_lost_node_repeats_at_most_what_was_in_flight() {
    let mut set = SentinelSet::start().await;
    let downstream = Downstream::start().await;
    let mut daemon = Daemon::with(config(&downstream))
        .environment("TIDEGATE__REDIS__SETTLE", "replicas")
        .sentinel(&set)
        .durability("replicas")
        .start()
        .await;
    let gate = Gate::new();
    downstream.always(Answer::ok().held_by(&gate));
    send_all(&daemon).await;
    downstream.wait_for(SLOTS).await;

    let master = set.master().await;
    let replicas: Vec<usize> = (0..set.servers().len()).filter(|it| *it != master).collect();
    for replica in &replicas {
        set.servers()[*replica].signal(Signal::STOP);
    }
    gate.release();
    delivered(&daemon, SLOTS).await;
    daemon.kill9().await;
    set.kill_master().await;
    for replica in &replicas {
        set.servers()[*replica].signal(Signal::CONT);
    }
    set.wait_new_master(master).await;
    // A node starts where as many replicas are in step as the sentinels see.
    set.restart_as_replica(master).await;
    set.wait_in_step(master).await;
    daemon.restart().await;

    delivered(&daemon, SENT).await;
    let times = times_sent(&downstream);
    let repeated = times.values().filter(|times| **times > 1).count();
    assert_eq!(times.len(), SENT);
    assert!(times.values().all(|times| *times <= 2), "{times:?}");
    assert!(repeated <= SLOTS, "{repeated} were sent again, and {SLOTS} were in flight");
}
