//! What went through a queue, by minute: what the nodes have seen together, and the room that it takes.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::wait::poll_until;
use crate::support::{Answer, Cluster, Daemon, Downstream, QUEUE, Scene, queue_toml};

const LINES: &str = "retry.max_attempts = 1\nconcurrency = 32";
/// The most that the minutes of a queue may take, in bytes.
const BYTES_MAX: u64 = 64 * 1024;

/// Every third message is refused.
fn refuses_a_third(downstream: &Downstream) {
    downstream.answer_with(|request| {
        let number = request.json().as_u64().unwrap_or(0);
        if number % 3 == 0 { Answer::status(422) } else { Answer::status(200) }
    });
}

/// The messages with these payloads in one request.
async fn send(daemon: &Daemon, numbers: std::ops::Range<u64>) {
    let messages: Vec<Value> = numbers.map(|n| json!({ "payload": n })).collect();
    daemon.post(&format!("/v1/queues/{QUEUE}/messages/batch"), &json!(messages)).await.expect(200);
}

/// The sum of each list of the history.
async fn sums(daemon: &Daemon) -> [u64; 4] {
    let history = daemon.get(&format!("/v1/queues/{QUEUE}/history")).await.expect(200).json();
    let sum = |name: &str| {
        let minutes = history[name].as_array().expect("a list");
        assert_eq!(minutes.len(), 1440, "{name}");
        minutes.iter().map(|count| count.as_u64().expect("a number")).sum()
    };
    ["taken", "delivered", "late", "failed"].map(sum)
}

#[tokio::test]
async fn the_history_adds_up_what_every_node_has_seen_and_takes_little_room() {
    let mut scene = Scene::start(LINES).await;
    refuses_a_third(&scene.downstream);
    let mut other = scene.another_daemon(LINES).await;
    send(&scene.daemon, 0..40).await;
    send(&other, 40..60).await;
    scene.wait_count("delivered", 40).await;
    scene.wait_count("dead", 20).await;
    // A node that ends writes what it has seen of the minute.
    assert_eq!(other.sigterm().await, 0);
    assert_eq!(scene.daemon.sigterm().await, 0);
    scene.daemon.restart().await;
    let [taken, delivered, _, failed] = sums(&scene.daemon).await;
    assert_eq!((taken, delivered, failed), (60, 40, 20));

    let keys: Vec<String> = scene.redis.cli(&["KEYS", "*:minutes:*"]).await;
    let mut bytes = 0;
    for key in &keys {
        bytes += scene.redis.cli::<u64>(&["MEMORY", "USAGE", key]).await;
        let left_s: i64 = scene.redis.cli(&["TTL", key]).await;
        assert!((86_400..=172_800).contains(&left_s), "{key} goes by itself: {left_s}");
    }
    // Both days that are ever there at a time, whatever today is.
    assert!((1..=2).contains(&keys.len()), "{keys:?}");
    assert!(bytes / keys.len() as u64 * 2 <= BYTES_MAX, "{bytes} bytes: {keys:?}");
}

#[tokio::test]
async fn the_history_goes_on_after_a_reload_and_an_override() {
    let mut scene = Scene::start(LINES).await;
    refuses_a_third(&scene.downstream);
    send(&scene.daemon, 0..15).await;
    scene.wait_count("delivered", 10).await;
    scene.daemon.signal(Signal::HUP);
    eventually("it is reloaded", async || scene.daemon.log().contains("configuration reloaded"))
        .await;
    let path = format!("/v1/queues/{QUEUE}/overrides");
    let less = json!({ "concurrency": 2, "for": "1h", "reason": "less" });
    scene.daemon.post(&path, &less).await.expect(201);
    send(&scene.daemon, 15..45).await;
    scene.wait_count("delivered", 30).await;
    scene.wait_count("dead", 15).await;
    assert_eq!(scene.daemon.sigterm().await, 0);
    scene.daemon.restart().await;
    let [taken, delivered, _, failed] = sums(&scene.daemon).await;
    assert_eq!((taken, delivered, failed), (45, 30, 15));
}

#[tokio::test]
async fn a_queue_through_which_nothing_goes_has_no_history() {
    let mut scene = Scene::start(LINES).await;
    assert_eq!(scene.daemon.sigterm().await, 0);
    let keys: Vec<String> = scene.redis.cli(&["KEYS", "*:minutes:*"]).await;
    assert!(keys.is_empty(), "{keys:?}");
}

#[tokio::test]
async fn the_history_is_kept_on_a_cluster_too() {
    let (cluster, downstream) = tokio::join!(Cluster::shared(), Downstream::start());
    refuses_a_third(&downstream);
    let config = queue_toml(QUEUE, &downstream, &format!("{LINES}\nshards = 3"));
    let mut daemon = Daemon::with(config).cluster(cluster).start().await;
    send(&daemon, 0..30).await;
    poll_until("all are final", async || {
        let counts = daemon.counts(QUEUE).await;
        (counts["delivered"] == 20 && counts["dead"] == 10).then_some(())
    })
    .await;
    assert_eq!(daemon.sigterm().await, 0);
    daemon.restart().await;
    let [taken, delivered, _, failed] = sums(&daemon).await;
    assert_eq!((taken, delivered, failed), (30, 20, 10));
}
