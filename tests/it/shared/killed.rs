//! Nodes that are killed, replies that are lost, a Redis that forgets: an account is never overspent.

use std::time::Duration;

use super::{Shared, shown};
use crate::support::wait::{poll_until, poll_until_within};
use crate::support::{Daemon, eventually};

// What a killed node had in flight holds its place until the lease ends.
const LINES: &str = "concurrency = 500\nlimits = [\"brand\"]";

#[tokio::test]
async fn an_account_is_never_overspent_however_often_nodes_are_killed() {
    const QUOTA: usize = 300;
    let account = format!("[limits.brand]\nquota = \"{QUOTA}/month\"");
    let scene = Shared::new(&["a", "b"], &account).await;
    let mut daemons: Vec<Daemon> = vec![scene.node(LINES).await, scene.node(LINES).await];
    scene.fill(&daemons[0], 250, 1).await;

    for round in 0..6 {
        tokio::time::sleep(Duration::from_millis(150)).await;
        let daemon = &mut daemons[round % 2];
        daemon.kill9().await;
        daemon.restart().await;
    }

    // What a lost node had reserved stays taken: of all that is left a hundredth at each kill, and one for each queue; and what it had
    // claimed and not sent.
    let lost_most = 6 * (QUOTA / 100 + 2 + 2 * 16);
    // The last units are reserved one at a time.
    poll_until_within(Duration::from_secs(60), "the account is used up", async || {
        (shown(&daemons[0], "a", "brand").await["left"] == 0).then_some(())
    })
    .await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let calls = scene.calls();
    assert!(calls <= QUOTA, "{calls} calls");
    assert!(calls + lost_most >= QUOTA, "{calls} calls");
}

/// Between any two of the steps in which an account is asked.
#[tokio::test]
async fn a_node_that_dies_between_two_steps_overspends_nothing() {
    for point in ["after-estimate", "after-reserve", "before-claim", "after-claim"] {
        let scene = Shared::new(&["a", "b"], "[limits.brand]\nquota = \"60/month\"").await;
        let config =
            scene.config("concurrency = 500\nlimits = [{ quota = \"50/month\" }, \"brand\"]");
        let daemon = Daemon::with(config).redis(&scene.redis);
        let armed = format!("{point}=8*off->return");
        let mut daemon = daemon.environment("FAILPOINTS", &armed).start().await;
        scene.pause_and_fill(&daemon, 50).await;
        daemon.wait_exit().await;
        daemon.start_again_with(&[("FAILPOINTS", String::new())]);
        daemon.wait_ready().await;
        // It may have died before all of them were resumed.
        scene.each_queue(&daemon, "resume").await;

        // What the lost node had in flight comes back only when its leases end; the account does not wait for that.
        eventually("the account is used", async || {
            let mut ready = 0;
            for (name, _) in &scene.queues {
                ready += daemon.counts(name).await["ready"].as_u64().expect("a count");
            }
            shown(&daemon, "a", "brand").await["left"] == 0 || ready == 0
        })
        .await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        let calls = scene.calls();
        assert!((50..=60).contains(&calls), "{point}: {calls} calls");
    }
}

#[tokio::test]
async fn after_a_rollback_each_node_raises_the_account_to_what_it_started() {
    let mut scene = Shared::new(&["a", "b"], "[limits.brand]\nquota = \"5/month\"").await;
    let daemon = scene.node(LINES).await;
    scene.fill(&daemon, 1, 1).await;
    scene.wait_delivered(&daemon, 2).await;

    // As a failover below `replicas` would leave it: Redis knows nothing of the calls.
    let account = "{tidegate:~limit.brand}";
    assert_eq!(
        scene.redis.cli::<u64>(&["HDEL", &format!("{account}:meta"), "limit:brand"]).await,
        1
    );
    scene.redis.cli::<u64>(&["DEL", &format!("{account}:claims")]).await;
    scene.redis.restart().await;

    eventually("the node tells what it started", async || {
        let limit = daemon.get("/v1/limits/brand").await;
        limit.status == 200 && limit.json()["used"] == 2
    })
    .await;
    poll_until("messages are taken again", async || {
        let path = "/v1/queues/a/messages";
        (daemon.post(path, &serde_json::json!({ "payload": 0 })).await.status == 201).then_some(())
    })
    .await;
    scene.fill(&daemon, 5, 1).await;
    scene.wait_delivered(&daemon, 5).await;
    assert_eq!(scene.calls(), 5);
}
