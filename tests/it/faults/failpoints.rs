//! A daemon killed at any instruction boundary of a message's life: nothing is lost, and only what it
//! was sending is sent again.

use futures_util::future::join_all;
use serde_json::json;

use crate::support::{Daemon, Downstream, QUEUE, RedisServer, queue_toml, within};

/// Killed by signal 9, as a shell says it.
const KILLED: i32 = 137;
const LINES: &str = "downstream.timeout = \"500ms\"\nlease = \"5500ms\"\nretry.initial = \"20ms\"";

/// Kills a node at `point`, lets another one go on, and returns how often the message arrived.
async fn arrivals_after_a_kill_at(point: &str) -> usize {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let config = queue_toml(QUEUE, &downstream, LINES);
    let armed = Daemon::with(&config).redis(&redis).environment("FAILPOINTS", point);
    let mut first = armed.start().await;
    // Its producer may get no answer, and asks again with the same key.
    let message = json!({ "payload": "x", "delay": "1ms", "idempotency_key": "k" });
    let path = format!("/v1/queues/{QUEUE}/messages");
    let body = message.to_string();
    let json = [("Content-Type", "application/json")];
    drop(first.http().try_send(http::Method::POST, &path, &json, body).await);
    assert_eq!(first.wait_exit().await, KILLED, "{point}\n{}", first.log());

    let second = Daemon::start(&redis, config).await;
    let reply = second.post(&path, &message).await.json();
    let id = reply["id"].as_str().expect("it is accepted, or known").to_owned();

    assert_eq!(second.wait_final(&id).await["state"], "delivered", "{point}");
    assert_eq!(second.counts(QUEUE).await["delivered"], 1, "{point}: one message, one result");
    let requests = downstream.requests();
    assert!(requests.iter().all(|request| request.id() == id), "{point}");
    requests.len()
}

#[tokio::test]
async fn a_node_killed_before_it_sent_sends_nothing_twice() {
    let points = ["before-schedule", "after-schedule", "before-durable", "before-answer"];
    let later = ["promoted", "claimed", "starting", "before-send", "settled", "after-ack"];
    let runs = points.into_iter().chain(later).map(async |point| {
        let arrived = arrivals_after_a_kill_at(&format!("{point}=return")).await;
        assert_eq!(arrived, 1, "{point}");
    });
    join_all(runs).await;
}

#[tokio::test]
async fn a_node_killed_before_the_outcome_is_kept_sends_once_more() {
    let runs = ["after-send", "before-ack"].map(async |point| {
        let arrived = arrivals_after_a_kill_at(&format!("{point}=return")).await;
        assert_eq!(arrived, 2, "{point}");
    });
    join_all(runs).await;
}

#[tokio::test]
async fn a_point_strikes_at_its_turn_and_where_it_is_meant() {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let points = "before-send=return(poison);after-send=1*off->return(delay 300)";
    let config = queue_toml(QUEUE, &downstream, LINES);
    let mut daemon =
        Daemon::with(config).redis(&redis).environment("FAILPOINTS", points).start().await;

    let first = daemon.send(QUEUE, &json!({ "payload": "wholesome" })).await;
    daemon.wait_final(&first).await;
    let began = tokio::time::Instant::now();
    let second = daemon.send(QUEUE, &json!({ "payload": "wholesome too" })).await;
    daemon.wait_final(&second).await;
    assert!(began.elapsed().as_millis() >= 300, "{:?}", began.elapsed());
    daemon.send(QUEUE, &json!({ "payload": "poison" })).await;

    assert_eq!(within("the end of the daemon", daemon.wait_exit()).await, KILLED);
    assert_eq!(downstream.requests().len(), 2);
}
