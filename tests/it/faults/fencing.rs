//! A node that slept through its lease and wakes with a success: one result, whatever the message has
//! become meanwhile. (Waking with a failure, and what happens without a token: `planted`.)

use serde_json::{Value, json};

use crate::rig::checker::check;
use crate::support::{Answer, Gate, Nodes, NodesOptions, QUEUE, RedisServer, eventually};

/// Two nodes; the first to send has its answer, and sleeps before it can keep it.
async fn asleep_with_a_success() -> (Nodes, usize, String) {
    let failpoints = vec![(0, "after-send=1*return(stop)")];
    let options = NodesOptions { failpoints, ..Default::default() };
    let mut nodes = Nodes::start(RedisServer::start().await, options).await;
    nodes.stop(1).await;
    nodes.downstream.once(Answer::ok().body("late"));
    let id = nodes.send(0, 1).await[0].clone().expect("it is accepted");
    let sleeper = nodes.wait_stopped().await;
    nodes.start_again(1).await;
    (nodes, sleeper, id)
}

async fn late_results(nodes: &Nodes, node: usize, verdict: &str) -> bool {
    let metrics = nodes.daemon(node).get("/metrics").await.expect(200);
    let counted =
        format!("tidegate_late_results_total{{queue=\"{QUEUE}\",verdict=\"{verdict}\"}} 1");
    metrics.text().contains(&counted)
}

fn is_the_late_one(message: &Value) -> bool {
    message["state"] == "delivered" && message["result"]["body"] == "late"
}

#[tokio::test]
async fn a_late_success_settles_a_message_that_waits_again() {
    let (mut nodes, sleeper, id) = asleep_with_a_success().await;
    let other = 1 - sleeper;
    nodes.queue_step(other, "pause").await;
    eventually("it waits again", async || {
        nodes.daemon(other).message(&id).await["state"] == "ready"
    })
    .await;

    nodes.wake(sleeper);

    let message = nodes.daemon(other).wait_final(&id).await;
    assert!(is_the_late_one(&message), "{message}");
    eventually("it is counted", async || late_results(&nodes, sleeper, "late").await).await;
    // The entry that it left in the ready list is skipped.
    nodes.queue_step(other, "resume").await;
    nodes.send(other, 1).await;
    nodes.drained(other).await;
    assert_eq!(nodes.downstream.requests().len(), 2);
    check(&nodes.history(other).await).expect_good();
}

#[tokio::test]
async fn a_late_success_is_the_one_result_while_another_node_sends() {
    let (mut nodes, sleeper, id) = asleep_with_a_success().await;
    let other = 1 - sleeper;
    let gate = Gate::new();
    nodes.downstream.once(Answer::ok().body("second").held_by(&gate));
    nodes.downstream.wait_for(2).await;

    nodes.wake(sleeper);

    eventually("it is counted", async || late_results(&nodes, sleeper, "late").await).await;
    let message = nodes.daemon(other).message(&id).await;
    assert!(is_the_late_one(&message), "{message}");
    gate.release();
    eventually("so is the other", async || late_results(&nodes, other, "stale").await).await;
    assert_eq!(nodes.daemon(other).message(&id).await, message);
    nodes.drained(other).await;
    let report = check(&nodes.history(other).await);
    report.expect_good();
    assert_eq!(report.duplicated, [id]);
    assert_eq!(message["attempts"], json!(2));
}
