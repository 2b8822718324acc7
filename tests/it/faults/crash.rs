//! `kill -9` of the daemon and of its Redis in the middle of ten thousand messages: none lost,
//! duplicates at most what was in flight.

use std::collections::HashMap;
use std::time::Duration;

use rustix::process::{Signal, kill_process};
use serde_json::json;

use crate::support::wait::poll_until_within;
use crate::support::{Daemon, Downstream};

const MESSAGES: usize = 10_000;
const CONCURRENCY: usize = 64;

fn config(downstream: &Downstream) -> String {
    format!(
        r#"
        [queues.flood]
        concurrency = {CONCURRENCY}
        lease = "7s"
        [queues.flood.retry]
        initial = "200ms"
        [queues.flood.downstream]
        url = "{}"
        timeout = "1s"
        "#,
        downstream.url("/take")
    )
}

async fn send_all(daemon: &Daemon) -> Vec<String> {
    let mut ids = Vec::with_capacity(MESSAGES);
    for part in 0..MESSAGES / 1000 {
        let rows: Vec<_> =
            (0..1000).map(|n| json!({ "payload": { "row": part * 1000 + n } })).collect();
        let reply = daemon.post("/v1/queues/flood/messages/batch", &json!(rows)).await.expect(200);
        let results = reply.json();
        for result in results["results"].as_array().unwrap() {
            ids.push(result["id"].as_str().expect("every row is taken").to_owned());
        }
    }
    ids
}

/// How often each accepted id arrived.
fn arrivals(downstream: &Downstream) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for request in downstream.requests() {
        *counts.entry(request.id().to_owned()).or_default() += 1;
    }
    counts
}

async fn drained(daemon: &Daemon) {
    poll_until_within(Duration::from_secs(90), "everything is final", async || {
        let counts = daemon.counts("flood").await;
        (counts["delivered"].as_u64() == Some(MESSAGES as u64)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_daemons_lose_nothing_and_repeat_only_what_was_in_flight() {
    let downstream = Downstream::start().await;
    let mut daemon = Daemon::with(config(&downstream)).start().await;
    let ids = send_all(&daemon).await;
    let kills = 2;

    for kill in 1..=kills {
        downstream.wait_for(MESSAGES / 4 * kill).await;
        // The managed Redis goes with it: the kernel ends it with its daemon.
        daemon.restart().await;
    }
    drained(&daemon).await;

    let arrived = arrivals(&downstream);
    let lost: Vec<_> = ids.iter().filter(|id| !arrived.contains_key(*id)).collect();
    assert!(lost.is_empty(), "{} lost, for example {:?}", lost.len(), lost.first());
    assert_eq!(arrived.len(), ids.len(), "nothing arrives that was not accepted");
    let repeats: usize = arrived.values().map(|count| count - 1).sum();
    assert!(repeats <= kills * CONCURRENCY, "{repeats} repeats after {kills} kills");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_redis_comes_back_and_loses_nothing() {
    let downstream = Downstream::start().await;
    let daemon = Daemon::with(config(&downstream)).start().await;
    let ids = send_all(&daemon).await;

    downstream.wait_for(MESSAGES / 4).await;
    let redis = daemon.managed_redis().expect("a managed redis runs");
    kill_process(redis, Signal::KILL).unwrap();
    drained(&daemon).await;

    let arrived = arrivals(&downstream);
    assert!(ids.iter().all(|id| arrived.contains_key(id)), "nothing is lost");
    let repeats: usize = arrived.values().map(|count| count - 1).sum();
    assert!(repeats <= CONCURRENCY, "{repeats} repeats");
}
