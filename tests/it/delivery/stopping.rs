//! SIGTERM: what is under way ends, nothing is sent twice, and what does not end in time comes back.

use rustix::process::Signal;
use serde_json::json;

use crate::support::{
    Answer, Daemon, Downstream, Gate, QUEUE, RedisServer, eventually, queue_toml,
};

async fn start(lines: &str, drain: &str) -> (Daemon, Downstream, RedisServer) {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let config =
        format!("{}[server]\ndrain_timeout = \"{drain}\"\n", queue_toml(QUEUE, &downstream, lines));
    let daemon = Daemon::start(&redis, config).await;
    (daemon, downstream, redis)
}

#[tokio::test]
async fn calls_in_flight_end_and_nothing_is_sent_twice() {
    let (mut daemon, downstream, _redis) = start("concurrency = 2", "20s").await;
    let gate = Gate::new();
    downstream.always(Answer::ok().held_by(&gate));
    let messages: Vec<_> = (0..10).map(|n| json!({ "payload": n })).collect();
    daemon.post(&format!("/v1/queues/{QUEUE}/messages/batch"), &json!(messages)).await.expect(200);
    downstream.wait_for(2).await;

    daemon.signal(Signal::TERM);
    eventually("it says so", async || daemon.log().contains("no new claims")).await;
    gate.release();
    assert_eq!(daemon.wait_exit().await, 0);

    assert_eq!(downstream.requests().len(), 2, "nothing was claimed any more");
    daemon.restart().await;
    eventually("all are delivered", async || daemon.counts(QUEUE).await["delivered"] == 10).await;
    assert_eq!(downstream.requests().len(), 10);
}

#[tokio::test]
async fn what_waits_for_its_slot_goes_back_unsent() {
    let (mut daemon, downstream, _redis) = start("rate = \"30/s\"", "20s").await;
    let messages: Vec<_> = (0..40).map(|n| json!({ "payload": n })).collect();
    daemon.post(&format!("/v1/queues/{QUEUE}/messages/batch"), &json!(messages)).await.expect(200);
    downstream.wait_for(10).await;

    assert_eq!(daemon.sigterm().await, 0);

    let sent = downstream.requests().len();
    assert!(sent < 40, "{sent}");
    daemon.restart().await;
    eventually("all are delivered", async || daemon.counts(QUEUE).await["delivered"] == 40).await;
    let requests = downstream.requests();
    assert_eq!(requests.len(), 40);
    assert!(requests.iter().all(|request| request.attempt() == 1));
}

#[tokio::test]
async fn what_outlasts_drain_timeout_comes_back_as_attempt_two() {
    let lines = "downstream.timeout = \"1s\"\nlease = \"6s\"";
    let (mut daemon, downstream, _redis) = start(lines, "100ms").await;
    downstream.once(Answer::silence());
    let id = daemon.send(QUEUE, &json!({ "payload": 1 })).await;
    downstream.wait_for(1).await;

    assert_eq!(daemon.sigterm().await, 0);
    assert!(daemon.log().contains("drain_timeout is over"));
    daemon.restart().await;

    let message = daemon.wait_final(&id).await;
    assert_eq!((&message["state"], &message["attempts"]), (&json!("delivered"), &json!(2)));
    assert_eq!(downstream.requests().last().unwrap().attempt(), 2);
}
