//! Limits of what is kept, as the daemon holds them: over restarts, reloads and nodes, and told to who asks.

use serde_json::{Value, json};

use crate::support::http::Reply;
use crate::support::{Answer, Daemon, QUEUE, Scene, eventually, queue_toml};

/// Sends so many that the downstream refuses, one after the other, until all are dead.
async fn bury(scene: &Scene, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for number in 0..count {
        let id = scene.send(number).await;
        assert_eq!(scene.daemon.wait_final(&id).await["state"], "dead");
        ids.push(id);
    }
    ids
}

async fn is_gone(daemon: &Daemon, id: &str) -> bool {
    let Reply { status, .. } = daemon.get(&format!("/v1/messages/{id}")).await;
    status == 404
}

async fn queue(daemon: &Daemon) -> Value {
    daemon.get(&format!("/v1/queues/{QUEUE}")).await.expect(200).json()
}

async fn wait_dead(daemon: &Daemon, count: usize) {
    eventually("so many dead are kept", async || daemon.counts(QUEUE).await["dead"] == count).await;
}

#[tokio::test]
async fn limits_hold_over_nodes_reloads_and_restarts_and_losses_are_told_once() {
    let mut scene = Scene::start("concurrency = 1").await;
    scene.downstream.always(Answer::status(400));
    let first = bury(&scene, 6).await;
    let limited =
        "concurrency = 1\nretention = { dead_max_messages = 4, dead_max_bytes = \"1MiB\" }";
    let second = scene.another_daemon(limited).await;

    // The one that knows of the limit is enough; the other learns of it by a reload.
    wait_dead(&second, 4).await;
    assert!(is_gone(&scene.daemon, &first[1]).await);
    assert_eq!(scene.daemon.message(&first[2]).await["state"], "dead");
    scene.daemon.sighup(&queue_toml(QUEUE, &scene.downstream, limited));
    let shown = async |daemon: &Daemon| queue(daemon).await["policy"]["retention"].clone();
    eventually("it is reloaded", async || shown(&scene.daemon).await["dead_max_messages"] == 4)
        .await;
    assert_eq!(shown(&scene.daemon).await["dead_max_bytes"], "1MiB");
    drop(second);
    let later = bury(&scene, 3).await;
    wait_dead(&scene.daemon, 4).await;
    eventually("they are weighed", async || {
        queue(&scene.daemon).await["kept_bytes"]["dead"].as_u64().is_some_and(|bytes| bytes > 400)
    })
    .await;
    scene.daemon.restart().await;
    let last = bury(&scene, 3).await;

    wait_dead(&scene.daemon, 4).await;

    for id in first.iter().chain(&later[..2]) {
        assert!(is_gone(&scene.daemon, id).await, "{id}");
    }
    for id in later[2..].iter().chain(&last) {
        assert_eq!(scene.daemon.message(id).await["state"], "dead");
    }
    let metrics = scene.daemon.get("/metrics").await.expect(200);
    let labels = format!("{{queue=\"{QUEUE}\",state=\"dead\"");
    for line in [
        format!("tidegate_pruned_total{labels},reason=\"messages\"}} 3"),
        format!("tidegate_kept_bytes{labels}}} "),
    ] {
        assert!(metrics.text().contains(&line), "{line} in {}", metrics.text());
    }
    let warned =
        || scene.daemon.log().matches("dead letters were deleted before their time").count();
    eventually("it is told", async || warned() > 0).await;
    assert!(warned() <= 2, "once in a while, by each start: {}", scene.daemon.log());
    let listed = scene.daemon.cli(&["queue", QUEUE, "--output", "json"]).await;
    let listed: Value = serde_json::from_str(&listed.stdout).expect("JSON");
    assert_eq!(listed["policy"]["retention"]["dead_max_messages"], json!(4));
}
