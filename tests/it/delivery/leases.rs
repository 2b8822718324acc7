//! Leases: what a lost node held comes back, what a living one holds stays, and whoever comes late
//! changes nothing.

use rustix::process::Signal;
use serde_json::json;

use crate::support::{Answer, Daemon, Downstream, Gate, QUEUE, RedisServer, Scene, eventually};

/// The shortest lease there is for this timeout.
const SHORT: &str = "downstream.timeout = \"500ms\"\nlease = \"5500ms\"";

/// Two daemons on one Redis that share a queue, told apart by the path they call.
struct Pair {
    first: Daemon,
    second: Daemon,
    downstream: Downstream,
    _redis: RedisServer,
}

impl Pair {
    async fn start(lines: &str) -> Self {
        let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
        let config = |path: &str| {
            format!("[queues.{QUEUE}]\ndownstream.url = \"{}\"\n{lines}\n", downstream.url(path))
        };
        let (first, second) = tokio::join!(
            Daemon::start(&redis, config("/first")),
            Daemon::start(&redis, config("/second"))
        );
        Self { first, second, downstream, _redis: redis }
    }

    /// The daemon that made the first call, and the other one.
    fn caller_and_other(&mut self) -> (&mut Daemon, &mut Daemon) {
        if self.downstream.requests()[0].path == "/first" {
            (&mut self.first, &mut self.second)
        } else {
            (&mut self.second, &mut self.first)
        }
    }
}

#[tokio::test]
async fn what_a_killed_node_was_sending_is_sent_by_another_as_attempt_two() {
    let mut pair = Pair::start(SHORT).await;
    pair.downstream.once(Answer::silence());
    let id = pair.first.send(QUEUE, &json!({ "payload": 1 })).await;
    pair.downstream.wait_for(1).await;

    let (caller, other) = pair.caller_and_other();
    caller.kill9().await;

    let message = other.wait_final(&id).await;
    assert_eq!((&message["state"], &message["attempts"]), (&json!("delivered"), &json!(2)));
    let metrics = other.get("/metrics").await.expect(200);
    assert!(metrics.text().contains("tidegate_possible_duplicates_total{queue=\"jobs\"} 1"));
    let requests = pair.downstream.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!((requests[1].id(), requests[1].attempt()), (id.as_str(), 2));
}

#[tokio::test]
async fn what_a_killed_node_was_sending_is_uncertain_where_the_queue_parks() {
    let mut pair = Pair::start(&format!("{SHORT}\non_uncertain = \"park\"")).await;
    pair.downstream.once(Answer::silence());
    let id = pair.first.send(QUEUE, &json!({ "payload": 1 })).await;
    pair.downstream.wait_for(1).await;

    let (caller, other) = pair.caller_and_other();
    caller.kill9().await;

    eventually("it is uncertain", async || other.message(&id).await["state"] == "uncertain").await;
    assert_eq!(pair.downstream.requests().len(), 1);
}

#[tokio::test]
async fn a_node_that_stood_still_past_its_lease_changes_nothing() {
    let mut pair = Pair::start(SHORT).await;
    let gate = Gate::new();
    pair.downstream.once(Answer::ok().body("late").held_by(&gate));
    pair.downstream.always(Answer::ok().body("in time"));
    let id = pair.first.send(QUEUE, &json!({ "payload": 1 })).await;
    pair.downstream.wait_for(1).await;

    let (caller, other) = pair.caller_and_other();
    caller.signal(Signal::STOP);
    let delivered = other.wait_final(&id).await;
    gate.release();
    caller.signal(Signal::CONT);
    eventually("the late outcome was counted", async || {
        let metrics = caller.get("/metrics").await.expect(200);
        let stale = "tidegate_late_results_total{queue=\"jobs\",verdict=\"stale\"} 1";
        metrics.text().contains(stale)
    })
    .await;

    assert_eq!(
        (&delivered["state"], &delivered["result"]["body"]),
        (&json!("delivered"), &json!("in time"))
    );
    assert_eq!(other.message(&id).await, delivered);
    assert_eq!(pair.downstream.requests().len(), 2);
}

#[tokio::test]
async fn an_exchange_longer_than_its_lease_is_renewed() {
    let lines = "downstream.timeout = \"2s\"\nlease = \"7s\"\nbatch = { max_items = 4 }";
    let scene = Scene::start(lines).await;
    let mut gates: Vec<_> = (0..7).map(|_| Gate::new()).collect();
    for gate in &gates {
        scene.downstream.once(Answer::status(422).held_by(gate));
    }

    scene.send_numbers(4).await;
    // Seven calls, one after the other, each well within its timeout.
    for (call, gate) in gates.drain(..).enumerate() {
        scene.downstream.wait_for(call + 1).await;
        tokio::time::sleep(std::time::Duration::from_millis(1200)).await;
        gate.release();
    }

    scene.wait_count("dead", 4).await;
    assert_eq!(scene.downstream.requests().len(), 7);
}
