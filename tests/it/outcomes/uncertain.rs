//! When nobody can tell whether a call worked: resend (at least once) or park (at most once).

use serde_json::{Value, json};

use crate::support::{Answer, Scene};

const RESEND: &str =
    "downstream.timeout = \"300ms\"\nretry = { initial = \"20ms\", max_attempts = 3 }";

fn park(more: &str) -> String {
    format!("{RESEND}\non_uncertain = \"park\"\n{more}")
}

#[tokio::test]
async fn resend_tries_again_after_a_timeout_or_a_reset() {
    let scene = Scene::start(RESEND).await;
    scene.downstream.once(Answer::silence());
    scene.downstream.once(Answer::reset());

    let id = scene.send("x").await;

    let message = scene.daemon.wait_final(&id).await;
    assert_eq!((&message["state"], &message["attempts"]), (&json!("delivered"), &json!(3)));
    let metrics = scene.daemon.get("/metrics").await.expect(200);
    let counted = "tidegate_possible_duplicates_total{queue=\"jobs\"} 2";
    assert!(metrics.text().contains(counted), "{}", metrics.text());
}

#[tokio::test]
async fn an_answer_that_breaks_off_after_its_status_has_been_given() {
    let scene = Scene::start(RESEND).await;
    scene.downstream.once(Answer::raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"));

    let id = scene.send("x").await;

    let message = scene.daemon.wait_final(&id).await;
    assert_eq!((&message["state"], &message["attempts"]), (&json!("delivered"), &json!(1)));
}

/// What became of a message whose first call got this answer.
async fn parked(lines: &str, answer: Answer) -> (Scene, String, Value) {
    let scene = Scene::start(&park(lines)).await;
    scene.downstream.once(answer);
    let id = scene.send("x").await;
    let message = scene.wait_state(&id, "uncertain").await;
    (scene, id, message)
}

#[tokio::test]
async fn park_holds_what_timed_out_or_broke_off() {
    for answer in [
        Answer::silence(),
        Answer::reset(),
        Answer::raw("HTTP/1.1 2"),
        Answer::status(408),
        Answer::status(500),
        Answer::status(503),
    ] {
        let (scene, _id, message) = parked("", answer).await;

        assert_eq!(message["attempts"], 1);
        assert_eq!(message["last_attempt"]["outcome"], "unknown");
        assert!(message["last_attempt"]["error"].is_string(), "{message}");
        // Longer than any retry would have waited.
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        assert_eq!(scene.downstream.requests().len(), 1, "never again without a decision");
    }
}

#[tokio::test]
async fn park_still_retries_what_surely_did_nothing() {
    let scene =
        Scene::start(&park("retry.safe_statuses = [502]").replace(
            "retry = { initial = \"20ms\", max_attempts = 3 }",
            "retry.initial = \"20ms\"",
        ))
        .await;
    for status in [425, 502] {
        scene.downstream.once(Answer::status(status));

        let id = scene.send(status).await;

        let message = scene.daemon.wait_final(&id).await;
        assert_eq!((&message["state"], &message["attempts"]), (&json!("delivered"), &json!(2)));
    }
}

#[tokio::test]
async fn park_takes_a_503_with_retry_after_as_a_throttle() {
    let scene = Scene::start(&park("")).await;
    scene.downstream.once(Answer::status(503).header("Retry-After", "1"));

    let id = scene.send("x").await;

    let message = scene.daemon.wait_final(&id).await;
    assert_eq!((&message["state"], &message["throttles"]), (&json!("delivered"), &json!(1)));
}

#[tokio::test]
async fn an_operator_decides_what_became_of_it() {
    for (decision, state, calls) in
        [("delivered", "delivered", 1), ("dead", "dead", 1), ("resend", "delivered", 2)]
    {
        let (scene, id, _) = parked("", Answer::silence()).await;

        scene.step(&id, "resolve", &json!({ "as": decision, "reason": "looked it up" })).await;

        let message = scene.daemon.wait_final(&id).await;
        assert_eq!(message["state"], state, "{decision}");
        let requests = scene.downstream.requests();
        assert_eq!(requests.len(), calls, "{decision}");
        assert_eq!(requests.last().unwrap().attempt() as usize, calls, "{decision}");
    }
}

#[tokio::test]
async fn an_uncertain_message_can_be_cancelled_or_requeued() {
    let (scene, id, _) = parked("", Answer::reset()).await;
    scene.daemon.delete(&format!("/v1/messages/{id}")).await.expect(200);
    assert_eq!(scene.daemon.message(&id).await["state"], "cancelled");

    scene.step(&id, "requeue", &json!({})).await;

    assert_eq!(scene.daemon.wait_final(&id).await["state"], "delivered");
}
