//! The proof can fail: a bug is planted in the daemons, and the checker finds it in the bucket where it
//! belongs. The same scenario without the bug breaks nothing.

use std::time::Duration;

use serde_json::json;

use crate::rig::checker::{Report, Rule, check};
use crate::rig::history::FaultKind;
use crate::support::redis::RedisOptions;
use crate::support::wait::{eventually, poll_until};
use crate::support::{Answer, Gate, Nodes, NodesOptions, QUEUE, RedisServer};

/// Two nodes, each with this armed.
async fn two(redis: RedisServer, timeout_ms: u64, armed: [&'static str; 2]) -> Nodes {
    let failpoints = armed.into_iter().enumerate().collect();
    let lease_ms = timeout_ms + 5000;
    Nodes::start(redis, NodesOptions { timeout_ms, lease_ms, failpoints, ..Default::default() })
        .await
}

/// A node sleeps through its lease and wakes while the other one sends what it was sending.
async fn a_sleeper_wakes(plant: &'static str) -> Report {
    let mut nodes = two(RedisServer::start().await, 2000, [plant; 2]).await;
    let gate = Gate::new();
    nodes.downstream.once(Answer::silence());
    nodes.downstream.once(Answer::ok().held_by(&gate));
    nodes.send(0, 1).await;
    let sleeper = Nodes::caller(&nodes.downstream.wait_for(1).await[0]);
    nodes.pause(sleeper);
    nodes.downstream.wait_for(2).await;
    nodes.wake(sleeper);
    eventually("the sleeper has told its outcome", async || {
        let metrics = nodes.daemon(sleeper).get("/metrics").await.expect(200);
        let told =
            |what: &str| metrics.text().contains(&format!("{{queue=\"{QUEUE}\",{what}\"}} 1"));
        told("verdict=\"stale") || told("event=\"retry")
    })
    .await;
    gate.release();
    nodes.drained(1 - sleeper).await;
    check(&nodes.history(1 - sleeper).await)
}

#[tokio::test]
async fn finishing_without_the_token_repeats_what_was_taken() {
    let (sound, spoilt) =
        tokio::join!(a_sleeper_wakes(""), a_sleeper_wakes("finish-unfenced=return"));
    sound.expect_good();
    assert_eq!(spoilt.broken(), [Rule::NotRepeated], "{spoilt}");
    assert_eq!(spoilt.duplicated.len(), 1, "{spoilt}");
}

/// The audit waits for longer than any test takes: it would find and mend what a planted bug has lost.
const WITHOUT_AUDIT: &str = "before-books=return(delay 600000)";

/// A node dies when Redis has answered its claim.
async fn a_claimer_dies(armed: &'static str) -> Report {
    let mut nodes = two(RedisServer::start().await, 500, [armed, ""]).await;
    nodes.queue_step(0, "pause").await;
    nodes.send(0, 20).await;
    nodes.stop(1).await;
    nodes.queue_step(0, "resume").await;
    nodes.wait_killed(0).await;
    nodes.start_again_armed(1, WITHOUT_AUDIT).await;
    nodes.drained(1).await;
    check(&nodes.history(1).await)
}

#[tokio::test]
async fn claiming_in_two_calls_loses_what_is_between_them() {
    let (sound, spoilt) = tokio::join!(
        a_claimer_dies("claimed=return"),
        a_claimer_dies("claim-in-two-calls=return;claimed=return")
    );
    sound.expect_good();
    assert_eq!(spoilt.broken(), [Rule::NotLost], "{spoilt}");
    assert!(!spoilt.lost.is_empty(), "{spoilt}");
}

/// The power goes while the disk takes its time over a flush.
async fn the_power_goes(appendfsync: &str, plant: &'static str) -> Report {
    let redis = RedisOptions::default().set("appendfsync", appendfsync).with_faults().start().await;
    let mut nodes = two(redis, 500, [plant; 2]).await;
    nodes.queue_step(0, "pause").await;
    nodes.send(0, 5).await;
    let flushes = nodes.redis.faults().flushes();
    eventually("all of it is flushed", async || nodes.redis.faults().flushes() > flushes + 1).await;

    nodes.redis.faults().slow_fsync(60_000);
    nodes.send(0, 5).await;
    nodes.fault(FaultKind::RedisKill, None);
    nodes.redis.power_cut().await;
    nodes.redis.faults().slow_fsync(0);
    nodes.redis.restart().await;
    nodes.over();
    poll_until("the queue goes on", async || {
        let path = format!("/v1/queues/{QUEUE}/resume");
        (nodes.daemon(1).post(&path, &json!({})).await.status == 200).then_some(())
    })
    .await;
    nodes.drained(1).await;
    check(&nodes.history(1).await)
}

#[tokio::test]
async fn everysec_presented_as_disk_loses_what_was_accepted() {
    let (sound, spoilt) = tokio::join!(
        the_power_goes("always", ""),
        the_power_goes("everysec", "everysec-as-disk=return")
    );
    sound.expect_good();
    assert_eq!(spoilt.broken(), [Rule::NotLost], "{spoilt}");
    assert_eq!(spoilt.lost.len(), 5, "{spoilt}");
}

/// Outcomes are kept late, and no renewal of a lease comes before them.
const LATE: &str = "before-ack=1*return(delay 10000);before-renew=return(delay 30000)";
const LATE_WITHOUT_GRACE: &str = "reap-without-grace=return;\
    before-ack=1*return(delay 10000);before-renew=return(delay 30000)";

/// Redis is away for longer than a lease while outcomes wait for it; the nodes live.
async fn redis_is_away(how: FaultKind, armed: &'static str) -> Report {
    let failpoints = (0..3).map(|node| (node, armed)).collect();
    let options = NodesOptions { count: 3, failpoints, ..Default::default() };
    let mut nodes = Nodes::start(RedisServer::start().await, options).await;
    nodes.send(0, 16).await;
    let callers: Vec<_> = nodes.downstream.wait_for(16).await.iter().map(Nodes::caller).collect();
    let calls = |node: &usize| callers.iter().filter(|caller| *caller == node).count();
    let (idler, survivor) = if calls(&1) < calls(&2) { (1, 2) } else { (2, 1) };
    nodes.acquainted().await;
    // Its death makes the others look for what it held.
    nodes.kill(idler).await;
    nodes.fault(how, None);
    match how {
        FaultKind::WireCut => nodes.redis.cut_off().await,
        _ => nodes.redis.kill9().await,
    }
    tokio::time::sleep(Duration::from_secs(6)).await;
    match how {
        FaultKind::WireCut => nodes.redis.reach_again(),
        _ => nodes.redis.restart().await,
    }
    nodes.over();
    nodes.drained(survivor).await;
    check(&nodes.history(survivor).await)
}

#[tokio::test]
async fn reaping_without_grace_repeats_what_living_nodes_hold() {
    let (sound, spoilt) = tokio::join!(
        redis_is_away(FaultKind::RedisKill, LATE),
        redis_is_away(FaultKind::RedisKill, LATE_WITHOUT_GRACE)
    );
    sound.expect_good();
    assert_eq!(spoilt.broken(), [Rule::NotRepeated], "{spoilt}");
    assert!(spoilt.duplicated.len() > spoilt.sending_at_kills, "{spoilt}");
}

/// Nodes that live could not renew either while nobody reached Redis, though it never restarted.
#[tokio::test]
async fn an_outage_without_a_restart_has_its_grace_too() {
    redis_is_away(FaultKind::WireCut, LATE).await.expect_good();
}
