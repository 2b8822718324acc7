//! A node killed between an event and its queues: another one completes it, each queue once.

use futures_util::future::join_all;
use http::Method;
use serde_json::{Value, json};

use crate::support::wait::poll_until;
use crate::support::{Cluster, Daemon, Downstream, RedisServer, queue_toml};

/// Killed by signal 9, as a shell says it.
const KILLED: i32 = 137;
const PATH: &str = "/v1/topics/order_paid/messages";
const QUEUES: [&str; 3] = ["stock", "points", "sms"];

fn config(downstream: &Downstream) -> String {
    let queues: String = QUEUES.map(|name| queue_toml(name, downstream, "")).concat();
    queues + &format!("[topics.order_paid]\nqueues = {QUEUES:?}\n")
}

async fn arrived_once(downstream: &Downstream, what: &str) {
    poll_until(&format!("every queue's message arrived: {what}"), async || {
        (downstream.requests().len() >= QUEUES.len()).then_some(())
    })
    .await;
}

/// Nothing is kept any more, and each queue got its message once.
async fn complete(daemon: &Daemon, downstream: &Downstream, what: &str) {
    poll_until(&format!("the event is done with: {what}"), async || {
        let topic = daemon.get("/v1/topics/order_paid").await.expect(200).json();
        (topic["pending"] == 0).then_some(())
    })
    .await;
    for queue in QUEUES {
        let path = format!("/{queue}");
        let count = downstream.requests().iter().filter(|request| request.path == path).count();
        assert_eq!(count, 1, "{what}: {queue}");
    }
}

/// Kills a node at `point` while it publishes; lets another one go on.
async fn killed_at(point: &str, is_told_again: bool) {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let config = config(&downstream);
    let armed = Daemon::with(&config).redis(&redis).environment("FAILPOINTS", point);
    let mut first = armed.start().await;
    // Not due while the first node lives: whatever arrives was sent by the second.
    let body = json!({ "payload": 1, "idempotency_key": "o-1", "delay": "2s" });
    let headers = [("Content-Type", "application/json")];
    drop(first.http().try_send(Method::POST, PATH, &headers, body.to_string()).await);
    assert_eq!(first.wait_exit().await, KILLED, "{point}\n{}", first.log());

    let second = Daemon::start(&redis, config).await;
    let told: Option<Value> = match is_told_again {
        true => Some(second.post(PATH, &body).await.json()),
        false => None,
    };
    arrived_once(&downstream, point).await;
    complete(&second, &downstream, point).await;
    if let Some(told) = told {
        let again = second.post(PATH, &body).await.expect(200).json();
        assert_eq!(again["messages"], told["messages"], "{point}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_was_kept_is_completed_by_another_node() {
    let after = ["after-publish", "before-durable", "handing-out(stock)", "handed-out(stock)"];
    let later = ["handed-out(points)", "handed-out(sms)", "before-conclude", "after-conclude"];
    let runs = after.into_iter().chain(later).map(async |point| {
        let armed = match point.split_once('(') {
            Some((name, about)) => format!("{name}=return({about}"),
            None => format!("{point}=return"),
        };
        killed_at(&armed, false).await;
    });
    join_all(runs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_that_asks_again_gets_the_same_event() {
    let runs = ["before-publish=return", "after-publish=return", "handed-out=return(points)"];
    join_all(runs.map(async |point| killed_at(point, true).await)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_cluster_by_a_node_that_does_not_know_the_topic() {
    let (cluster, downstream) = (Cluster::shared().await, Downstream::start().await);
    let namespace = format!("topics{}", downstream.url("").rsplit(':').next().unwrap());
    let start = |config: &str| {
        Daemon::with(config).cluster(cluster).environment("TIDEGATE__REDIS__NAMESPACE", &namespace)
    };
    let config = config(&downstream);
    let mut first =
        start(&config).environment("FAILPOINTS", "handed-out=return(points)").start().await;
    let headers = [("Content-Type", "application/json")];
    let body = json!({ "payload": 1, "delay": "2s" }).to_string();
    drop(first.http().try_send(Method::POST, PATH, &headers, body).await);
    assert_eq!(first.wait_exit().await, KILLED);

    let queues_alone = config.split("[topics").next().unwrap();
    let second = start(queues_alone).start().await;

    arrived_once(&downstream, "cluster").await;
    complete(&second, &downstream, "cluster").await;
}

#[tokio::test]
async fn a_queue_remembers_its_message_after_it_is_gone() {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    // Whoever publishes hangs before it can conclude; the completer takes it for dead.
    let points = "before-conclude=1*return(delay 60000)";
    let armed = Daemon::with(config(&downstream)).redis(&redis).environment("FAILPOINTS", points);
    let daemon = armed.start().await;
    let event = daemon.post(PATH, &json!({ "payload": 1 })).await.expect(201).json();
    for message in event["messages"].as_array().unwrap() {
        let (queue, id) = (message["queue"].as_str().unwrap(), message["id"].as_str().unwrap());
        assert_eq!(daemon.wait_final(id).await["state"], "delivered");
        let purged = daemon
            .post(&format!("/v1/queues/{queue}/purge"), &json!({ "state": "delivered" }))
            .await;
        assert_eq!(purged.expect(200).json()["purged"], 1);
    }
    let topic = daemon.get("/v1/topics/order_paid").await.expect(200).json();
    assert_eq!(topic["pending"], 1, "nobody has completed it yet");

    complete(&daemon, &downstream, "purged").await;

    for queue in QUEUES {
        let counts = daemon.counts(queue).await;
        let kept: u64 = counts.as_object().unwrap().values().filter_map(Value::as_u64).sum();
        assert_eq!(kept, 0, "{queue}: {counts}");
    }
}
