//! Answers that put the downstream in doubt shut the queue's gate: throttles, refused credentials,
//! refusals in a row. What waits at a shut gate costs no attempt.

use std::time::{Duration, UNIX_EPOCH};

use serde_json::json;

use super::failing::logged;
use crate::support::{Answer, Clocks, Scene, payloads};

/// One call at a time, so that "the next one" means something.
const ONE_BY_ONE: &str = "concurrency = 1";

#[tokio::test]
async fn five_refusals_in_a_row_shut_the_gate_and_the_sixth_waits() {
    let scene = Scene::start(ONE_BY_ONE).await;
    scene.downstream.always(Answer::status(404));

    let ids = scene.line_up(7).await;
    scene.queue_step("resume", &json!({})).await;
    scene.wait_count("dead", 5).await;

    assert_eq!(scene.daemon.counts("jobs").await["ready"], 2);
    let sixth = scene.daemon.message(&ids[5]).await;
    assert_eq!((&sixth["state"], &sixth["attempts"]), (&json!("ready"), &json!(0)));
    // The gate is shut for seconds; nothing else comes within one of them.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(scene.downstream.requests().len(), 5);
    assert_eq!(logged(&scene.daemon, "the gate is shut"), 1);
    scene.downstream.always(Answer::ok());
    scene.queue_step("resume", &json!({})).await;
    for id in &ids[5..] {
        assert_eq!(scene.daemon.wait_final(id).await["state"], "delivered");
    }
}

#[tokio::test]
async fn a_success_between_refusals_starts_the_count_over() {
    let scene = Scene::start(ONE_BY_ONE).await;
    scene
        .downstream
        .answer_with(|request| Answer::status(if request.index % 5 == 4 { 200 } else { 403 }));

    scene.send_numbers(15).await;

    scene.wait_count("delivered", 3).await;
    scene.wait_count("dead", 12).await;
}

#[tokio::test]
async fn refused_credentials_shut_the_gate_at_once_and_cost_nothing() {
    for status in [401, 407] {
        let scene = Scene::start(ONE_BY_ONE).await;
        scene.downstream.once(Answer::status(status));

        let ids = scene.line_up(2).await;
        scene.queue_step("resume", &json!({})).await;
        scene.downstream.wait_for(1).await;
        let first = scene.wait_state(&ids[0], "ready").await;

        assert_eq!((&first["attempts"], &first["throttles"]), (&json!(0), &json!(0)));
        assert_eq!(first["last_attempt"]["status_code"], status);
        assert_eq!(scene.downstream.requests().len(), 1, "the second waits too");
        assert_eq!(logged(&scene.daemon, "refuses our credentials"), 1);
        let queue = scene.daemon.get("/v1/queues/jobs").await.expect(200).json();
        let sending = &queue["sending"];
        assert_eq!(sending["state"], "shut");
        let reason = sending["reason"].as_str().expect("a sentence");
        assert!(reason.contains(&format!("status {status}")), "{reason}");
        assert!(reason.contains("at once after `tidegate resume jobs`"), "{reason}");
        assert!(sending["since"].is_string() && sending["until"].is_string(), "{sending}");
        let table = scene.daemon.cli(&["queues"]).await.stdout;
        assert!(table.contains("shut, opens in") && table.contains(&status.to_string()), "{table}");
        let doctor = scene.daemon.cli(&["doctor"]).await.stdout;
        assert!(doctor.contains(&format!("status {status}")), "{doctor}");
        assert!(doctor.contains("`tidegate resume jobs` opens the gate"), "{doctor}");
        scene.queue_step("resume", &json!({})).await;
        for id in &ids {
            let message = scene.daemon.wait_final(id).await;
            assert_eq!((&message["state"], &message["attempts"]), (&json!("delivered"), &json!(1)));
        }
        assert_eq!(payloads(&scene.downstream.requests()), [0, 0, 1], "the head stayed the head");
    }
}

#[tokio::test]
async fn a_throttle_shuts_the_gate_for_everyone_as_long_as_it_says() {
    for status in [429, 503] {
        let scene = Scene::start(ONE_BY_ONE).await;
        let other = scene.another_daemon(ONE_BY_ONE).await;
        scene.downstream.once(Answer::status(status).header("Retry-After", "1"));

        let ids = scene.line_up(3).await;
        scene.queue_step("resume", &json!({})).await;

        let last = other.wait_final(&ids[2]).await;
        assert_eq!(last["state"], "delivered");
        let requests = scene.downstream.requests();
        assert_eq!(payloads(&requests), [0, 0, 1, 2], "order is kept");
        let pause = requests[1].arrived - requests[0].arrived;
        assert!((1000..1500).contains(&pause.as_millis()), "{status}: {pause:?}");
        assert_eq!((requests[0].attempt(), requests[1].attempt()), (1, 1));
        let first = scene.daemon.message(&ids[0]).await;
        assert_eq!((&first["attempts"], &first["throttles"]), (&json!(1), &json!(1)));
    }
}

#[tokio::test]
async fn a_gate_that_shuts_is_logged_once_and_so_is_its_opening() {
    let scene = Scene::start(ONE_BY_ONE).await;
    for _ in 0..2 {
        scene.downstream.once(Answer::status(429).header("Retry-After", "1"));
    }
    let id = scene.send("x").await;
    assert_eq!(scene.daemon.wait_final(&id).await["throttles"], 2);
    // Again within a minute: it is known.
    scene.downstream.once(Answer::status(429).header("Retry-After", "1"));
    let id = scene.send("y").await;
    assert_eq!(scene.daemon.wait_final(&id).await["throttles"], 1);
    assert_eq!(logged(&scene.daemon, "the gate is shut"), 1);
    assert_eq!(logged(&scene.daemon, "the gate is open"), 1);
}

#[tokio::test]
async fn retry_after_may_be_a_date() {
    let scene = Scene::start(ONE_BY_ONE).await;
    let at = UNIX_EPOCH + Duration::from_secs(Clocks::read().second_after(1500));
    scene.downstream.once(Answer::status(429).header("Retry-After", &httpdate::fmt_http_date(at)));

    let id = scene.send("x").await;

    assert_eq!(scene.daemon.wait_final(&id).await["throttles"], 1);
    let requests = scene.downstream.requests();
    let pause = requests[1].arrived - requests[0].arrived;
    assert!((1300..3000).contains(&pause.as_millis()), "{pause:?}");
}

#[tokio::test]
async fn retry_after_is_capped_by_throttle_max() {
    let scene = Scene::start("retry.throttle_max = \"200ms\"").await;
    scene.downstream.once(Answer::status(429).header("Retry-After", "3600"));

    let id = scene.send("x").await;

    assert_eq!(scene.daemon.wait_final(&id).await["state"], "delivered");
    let requests = scene.downstream.requests();
    assert!(requests[1].arrived - requests[0].arrived >= Duration::from_millis(199));
}

#[tokio::test]
async fn a_429_that_names_no_time_pauses_a_second_then_two() {
    let scene = Scene::start(ONE_BY_ONE).await;
    scene.downstream.once(Answer::status(429));
    // Zero names no time either: calling again at once would be hammering.
    scene.downstream.once(Answer::status(429).header("Retry-After", "0"));

    let id = scene.send("x").await;

    let message = scene.daemon.wait_final(&id).await;
    assert_eq!((&message["attempts"], &message["throttles"]), (&json!(1), &json!(2)));
    let requests = scene.downstream.requests();
    let gap = |at: usize| (requests[at].arrived - requests[at - 1].arrived).as_millis();
    assert!((1000..1500).contains(&gap(1)) && (2000..2500).contains(&gap(2)), "{requests:?}");
}

#[tokio::test]
async fn throttles_end_at_max_age() {
    let scene = Scene::start("retry = { throttle_max = \"100ms\", max_age = \"300ms\" }").await;
    scene.downstream.always(Answer::status(429).header("Retry-After", "1"));

    let id = scene.send("x").await;

    let message = scene.daemon.wait_final(&id).await;
    assert_eq!(message["state"], "dead");
    assert!(message["throttles"].as_u64().unwrap() >= 2, "{message}");
}
