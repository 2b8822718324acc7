//! What is half done is undone; what is done is not.

use serde_json::json;

use super::{Answer, Stage};
use crate::support::Gate;

const RELEASES: &str = "/v1/queues/release/messages";

#[tokio::test]
async fn what_succeeded_is_kept_what_failed_is_undone_and_what_was_left_alone_too() {
    let stage = Stage::set("compensate").await;

    // Order 42 succeeds and takes its compensation back; order 43 fails and is undone at once.
    stage.run().await;
    // The application dies in the middle of order 44.
    let record =
        json!({ "payload": { "order": 44 }, "delay": "300ms", "idempotency_key": "release-44" });
    let left_alone = stage.daemon.send("release", &record).await;

    assert_eq!(stage.daemon.wait_final(&left_alone).await["state"], "delivered");
    let requests = stage.downstream.requests();
    let undone: Vec<_> = requests.iter().map(|request| request.json()["order"].clone()).collect();
    assert_eq!(undone, [43, 44]);
}

#[tokio::test]
async fn cancelling_and_undoing_cannot_both_win() {
    let stage = Stage::set("compensate").await;
    let gate = Gate::new();
    stage.downstream.always(Answer::ok().held_by(&gate));
    let id = stage.daemon.send("release", &json!({ "payload": { "order": 45 } })).await;
    stage.downstream.wait_for(1).await;

    let path = format!("/v1/messages/{id}");
    let while_sent = stage.daemon.delete(&path).await;
    gate.release();
    stage.daemon.wait_final(&id).await;
    let afterwards = stage.daemon.delete(&path).await;

    assert_eq!((while_sent.status, afterwards.status), (409, 409));
    let early = stage.daemon.post(RELEASES, &json!({ "payload": 1, "delay": "1h" })).await;
    let early = early.expect(201).json()["id"].as_str().expect("an id").to_owned();
    stage.daemon.delete(&format!("/v1/messages/{early}")).await.expect(200);
    assert_eq!(stage.daemon.message(&early).await["state"], "cancelled");
    assert_eq!(stage.downstream.requests().len(), 1);
}
