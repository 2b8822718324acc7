//! The outcome table of a single message: what each answer of the downstream leads to.

use serde_json::{Value, json};
use tokio::time::Duration;

use crate::support::ports::free_port;
use crate::support::script::Answer as Scripted;
use crate::support::{Answer, Daemon, QUEUE, RedisServer, Scene, eventually};

const QUICK: &str = "retry = { initial = \"20ms\", jitter = 0.0, max_attempts = 3 }";

/// The message after the downstream gave this answer to every call.
async fn end_of(lines: &str, answer: Scripted) -> (Scene, Value) {
    let scene = Scene::start(lines).await;
    scene.downstream.always(answer);
    let id = scene.send("x").await;
    let message = scene.daemon.wait_final(&id).await;
    (scene, message)
}

#[tokio::test]
async fn any_2xx_delivers_at_the_first_attempt() {
    let scene = Scene::start("").await;
    for status in [200, 201, 204, 299] {
        scene.downstream.once(Answer::status(status));
        let id = scene.send(status).await;

        let message = scene.daemon.wait_final(&id).await;

        assert_eq!((&message["state"], &message["attempts"]), (&json!("delivered"), &json!(1)));
        assert_eq!(message["result"]["status_code"], status);
    }
}

#[tokio::test]
async fn passing_faults_are_tried_again() {
    let scene = Scene::start(QUICK).await;
    for status in [408, 425, 500, 502, 503, 504] {
        let before = scene.downstream.requests().len();
        scene.downstream.once(Answer::status(status));
        let id = scene.send(status).await;

        let message = scene.daemon.wait_final(&id).await;

        assert_eq!(message["state"], "delivered", "{status}");
        assert_eq!(message["attempts"], 2, "{status}");
        assert_eq!(scene.downstream.requests().len(), before + 2, "{status}");
    }
}

#[tokio::test]
async fn when_the_attempts_are_spent_a_message_is_dead_with_the_reason() {
    let (scene, message) = end_of(QUICK, Answer::status(500).body("the printer is on fire")).await;

    assert_eq!((&message["state"], &message["attempts"]), (&json!("dead"), &json!(3)));
    assert_eq!(message["last_attempt"]["status_code"], 500);
    let error = message["last_attempt"]["error"].as_str().unwrap();
    assert!(error.contains("the printer is on fire"), "{error}");
    let requests = scene.downstream.requests();
    let gap = |at: usize| requests[at].arrived - requests[at - 1].arrived;
    assert_eq!(requests.len(), 3);
    // 20 ms, then doubled; never early, and not much later.
    assert!(gap(1) >= Duration::from_millis(19) && gap(2) >= Duration::from_millis(39));
    let path = format!("/v1/messages/{}/attempts", message["id"].as_str().unwrap());
    let attempts = scene.daemon.get(&path).await.expect(200).json();
    assert_eq!(attempts["attempts"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_retry_schedule_gives_the_delays() {
    let lines = "retry = { schedule = [\"30ms\", \"300ms\"], jitter = 0.0, max_attempts = 3 }";
    let (scene, message) = end_of(lines, Answer::status(500)).await;

    assert_eq!(message["state"], "dead");
    let requests = scene.downstream.requests();
    let gap = |at: usize| requests[at].arrived - requests[at - 1].arrived;
    assert!((29..250).contains(&gap(1).as_millis()), "{:?}", gap(1));
    assert!(gap(2) >= Duration::from_millis(299), "{:?}", gap(2));
}

#[tokio::test]
async fn past_max_age_a_message_is_dead_though_attempts_are_left() {
    let lines =
        "retry = { initial = \"50ms\", factor = 1.0, max_age = \"200ms\", max_attempts = 999 }";
    let (_scene, message) = end_of(lines, Answer::status(503)).await;

    assert_eq!(message["state"], "dead");
    assert!(message["attempts"].as_u64().unwrap() < 10, "{message}");
}

#[tokio::test]
async fn a_message_may_bring_its_own_retry_policy() {
    let scene = Scene::start(QUICK).await;
    scene.downstream.always(Answer::status(500));

    let id =
        scene.daemon.send(QUEUE, &json!({ "payload": 1, "retry": { "max_attempts": 1 } })).await;

    let message = scene.daemon.wait_final(&id).await;
    assert_eq!((&message["state"], &message["attempts"]), (&json!("dead"), &json!(1)));
}

#[tokio::test]
async fn refusals_for_good_are_dead_at_once_and_the_next_goes_on() {
    let scene = Scene::start(QUICK).await;
    for status in [400, 409, 410, 413, 415, 422] {
        scene.downstream.once(Answer::status(status).body("no such order"));
        let id = scene.send(status).await;

        let message = scene.daemon.wait_final(&id).await;

        assert_eq!((&message["state"], &message["attempts"]), (&json!("dead"), &json!(1)));
        assert_eq!(message["last_attempt"]["status_code"], status);
    }
    let id = scene.send("fine").await;
    assert_eq!(scene.daemon.wait_final(&id).await["state"], "delivered");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let scene = Scene::start("").await;
    let elsewhere = scene.downstream.url("/elsewhere");
    scene.downstream.always(Answer::status(307).header("Location", &elsewhere));

    let id = scene.send(1).await;

    let message = scene.daemon.wait_final(&id).await;
    assert_eq!(message["state"], "dead");
    assert_eq!(message["last_attempt"]["status_code"], 307);
    assert_eq!(scene.downstream.requests().len(), 1);
}

#[tokio::test]
async fn a_downstream_that_is_not_there_is_tried_until_it_is() {
    let redis = RedisServer::start().await;
    let port = free_port();
    let lines = "retry = { initial = \"50ms\", factor = 1.0, max_attempts = 1000 }";
    let config = format!("[queues.jobs]\ndownstream.url = \"http://127.0.0.1:{port}/\"\n{lines}\n");
    let daemon = Daemon::start(&redis, config).await;

    let id = daemon.send(QUEUE, &json!({ "payload": 1 })).await;
    eventually("it was tried twice", async || {
        daemon.message(&id).await["attempts"].as_u64().unwrap() >= 2
    })
    .await;
    let message = daemon.message(&id).await;
    assert_eq!(message["last_attempt"]["outcome"], "retry", "{message}");
    assert!(message["last_attempt"]["error"].is_string(), "{message}");
    let downstream = crate::support::Downstream::start_at(port).await;

    assert_eq!(daemon.wait_final(&id).await["state"], "delivered");
    assert_eq!(downstream.requests().len(), 1);
}
