//! Keys that are not busy any more leave nothing behind.

use std::time::Duration;

use serde_json::{Value, json};

use super::assert_sound;
use super::calls::message;
use super::lanes::sizes;
use crate::limits::stacked::limit;
use crate::support::wait::poll_until_within;
use crate::support::{QUEUE, Scene};

/// A period of the limits below, and what a look now and then may come later.
const SOON: Duration = Duration::from_secs(12);

const EVERYTHING: &str = "concurrency = 64\nordering = \"labels.order\"\nfairness = \"labels.tenant\"\nlimits = [{ rate = \"2/s\", per = \"labels.to\" }, { concurrency = 2, per = \"labels.customer\" }, { rate = \"3/s\", burst = 2, per = \"labels.tenant\" }]";

/// Each with keys that no other message has.
fn strangers(count: usize) -> Vec<Value> {
    let one = |number: usize| {
        let key = format!("v{number}");
        let names = ["order", "tenant", "to", "customer"];
        message(number, &names.map(|name| (name, key.as_str())))
    };
    (0..count).map(one).collect()
}

async fn nothing_is_left(scene: &Scene, patience: Duration) {
    let mut last = sizes(&scene.redis).await;
    let found = tokio::time::timeout(patience, async {
        while !last.is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
            last = sizes(&scene.redis).await;
        }
    });
    assert!(found.await.is_ok(), "left behind {patience:?} later: {:?}", sizes(&scene.redis).await);
}

async fn idle_keys_leave_nothing(count: usize, patience: Duration) {
    let scene = Scene::start(EVERYTHING).await;
    scene.queue_step("pause", &json!({})).await;
    for rows in strangers(count).chunks(10_000) {
        scene.send_all(rows).await;
    }
    let busy = sizes(&scene.redis).await;
    assert!(busy["heads"] >= count as u64, "{busy:?}");

    scene.queue_step("resume", &json!({})).await;
    poll_until_within(patience, "all are delivered", async || {
        (scene.daemon.counts(QUEUE).await["delivered"] == count).then_some(())
    })
    .await;

    nothing_is_left(&scene, SOON).await;
    for name in ["per_to", "per_customer_concurrency", "per_tenant"] {
        assert_eq!(limit(&scene.daemon, name).await["held_keys"], 0);
    }
    assert_sound(&scene.daemon).await;
}

#[tokio::test]
async fn a_thousand_idle_keys_leave_nothing_behind() {
    idle_keys_leave_nothing(1000, Duration::from_secs(20)).await;
}

#[tokio::test]
#[ignore = "takes 14 seconds or more: make test-all runs it"]
async fn fifty_thousand_idle_keys_leave_nothing_behind() {
    idle_keys_leave_nothing(50_000, Duration::from_secs(300)).await;
}

#[tokio::test]
async fn held_messages_that_are_purged_leave_nothing_behind() {
    let scene = Scene::start(EVERYTHING).await;
    // Each key has one that goes and some that its limits and its order hold.
    let keys = strangers(50);
    for _ in 0..8 {
        scene.send_all(&keys).await;
    }
    let held = sizes(&scene.redis).await;
    assert!(held["heads"] >= 50 && held["rest"] >= 50, "{held:?}");
    let purge = json!({ "state": "ready" });
    poll_until_within(SOON, "all is purged", async || {
        let path = format!("/v1/queues/{QUEUE}/purge");
        scene.daemon.post(&path, &purge).await.expect(200);
        let counts = scene.daemon.counts(QUEUE).await;
        (counts["ready"] == 0 && counts["leased"] == 0).then_some(())
    })
    .await;

    nothing_is_left(&scene, SOON).await;
    assert_sound(&scene.daemon).await;
}

#[tokio::test]
async fn a_queue_without_keys_has_no_lanes() {
    let scene = Scene::start("rate = \"500/s\"\nlimits = [{ quota = \"1000/month\" }]").await;
    scene.queue_step("pause", &json!({})).await;
    scene.send_all(&strangers(100)).await;

    assert_eq!(sizes(&scene.redis).await, [].into());
    scene.queue_step("resume", &json!({})).await;
    scene.wait_count("delivered", 100).await;
    assert_eq!(sizes(&scene.redis).await, [].into());
}
