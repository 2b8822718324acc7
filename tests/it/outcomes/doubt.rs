//! After an attempt of unknown outcome a conflict is unknown too: the downstream may be at work on the
//! message because of us. And what a queue says of single statuses.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Answer, Daemon, Downstream, QUEUE, RedisServer, Scene};

const QUICK: &str = "downstream.timeout = \"300ms\"\nretry = { initial = \"20ms\", jitter = 0.0, max_attempts = 8 }";

fn conflict() -> Answer {
    Answer::status(409).body("a request with this key is being worked on")
}

#[tokio::test]
async fn a_message_that_was_booked_in_silence_is_not_buried_by_a_conflict() {
    for status in [409, 423, 425] {
        let scene = Scene::start(QUICK).await;
        scene.downstream.once(Answer::silence());
        scene.downstream.once(Answer::status(status));
        scene.downstream.once(Answer::status(201));

        let id = scene.send("x").await;

        let message = scene.daemon.wait_final(&id).await;
        assert_eq!((&message["state"], &message["attempts"]), (&json!("delivered"), &json!(3)));
        let past =
            scene.daemon.get(&format!("/v1/messages/{id}/attempts")).await.expect(200).json();
        let outcomes: Vec<_> =
            past["attempts"].as_array().unwrap().iter().map(|a| a["outcome"].clone()).collect();
        assert_eq!(outcomes[..2], [json!("unknown"), json!("unknown")], "{status}: {past}");
    }
}

#[tokio::test]
async fn the_doubt_lasts_over_throttles_failures_and_refused_connections() {
    let scene = Scene::start(QUICK).await;
    scene.downstream.once(Answer::reset());
    scene.downstream.once(Answer::status(429).header("Retry-After", "1"));
    scene.downstream.once(Answer::status(500));
    scene.downstream.once(conflict());
    scene.downstream.once(Answer::status(503));

    let id = scene.send("x").await;

    assert_eq!(scene.daemon.wait_final(&id).await["state"], "delivered");
    assert_eq!(scene.downstream.requests().len(), 6);
}

#[tokio::test]
async fn without_an_unknown_attempt_a_conflict_is_a_refusal() {
    let scene = Scene::start(QUICK).await;
    scene.downstream.once(conflict());
    scene.downstream.once(Answer::status(500));
    scene.downstream.once(conflict());

    for (message, attempts) in [("first", 1), ("after a failure", 2)] {
        let id = scene.send(message).await;
        let message = scene.daemon.wait_final(&id).await;
        assert_eq!((&message["state"], &message["attempts"]), (&json!("dead"), &json!(attempts)));
    }
}

#[tokio::test]
async fn the_next_attempt_waits_as_long_as_the_conflict_says() {
    let scene = Scene::start(QUICK).await;
    scene.downstream.once(Answer::silence());
    scene.downstream.once(conflict().header("Retry-After", "1"));

    let id = scene.send("x").await;

    assert_eq!(scene.daemon.wait_final(&id).await["state"], "delivered");
    let requests = scene.downstream.requests();
    let waited = requests[2].arrived - requests[1].answered.unwrap();
    assert!(waited >= Duration::from_millis(990), "{waited:?}");
}

#[tokio::test]
async fn a_batch_in_doubt_is_neither_split_nor_buried() {
    let lines = format!("{QUICK}\nbatch = {{ max_items = 3, max_wait = \"60s\" }}");
    let scene = Scene::start(&lines).await;
    scene.downstream.once(Answer::silence());
    scene.downstream.once(conflict());

    scene.send_numbers(3).await;

    scene.wait_count("delivered", 3).await;
    let requests = scene.downstream.requests();
    assert_eq!(requests.len(), 3);
    assert!(requests.iter().all(|request| request.items().len() == 3));
    assert!(requests.iter().all(|request| request.id() == requests[0].id()), "one key");
}

#[tokio::test]
async fn where_the_queue_parks_a_conflict_after_a_resend_is_uncertain_again() {
    let scene = Scene::start(&format!("{QUICK}\non_uncertain = \"park\"")).await;
    scene.downstream.once(Answer::silence());
    scene.downstream.once(conflict());
    let id = scene.send("x").await;
    scene.wait_state(&id, "uncertain").await;

    scene.step(&id, "resolve", &json!({ "as": "resend" })).await;

    scene.wait_members(&id, &json!({ "state": "uncertain", "attempts": 2 })).await;
    scene.step(&id, "resolve", &json!({ "as": "resend" })).await;
    assert_eq!(scene.daemon.wait_final(&id).await["state"], "delivered");
}

#[tokio::test]
async fn a_downstream_that_forgot_it_and_then_reports_a_conflict_is_asked_again() {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let config = format!(
        "[queues.{QUEUE}]\ndownstream.url = \"{}\"\n{QUICK}\non_uncertain = \"probe\"\nprobe = {{ url = \"{}\", after = \"50ms\" }}\n",
        downstream.url("/send"),
        downstream.url("/asked/{id}"),
    );
    // Absent at first, since it is still busy; at the second question it is booked.
    let mut sends = 0;
    downstream.answer_with(move |request| {
        if request.method == "GET" {
            return Answer::status(if sends > 1 { 200 } else { 404 });
        }
        sends += 1;
        if sends == 1 { Answer::silence() } else { conflict().header("Retry-After", "1") }
    });
    let daemon = Daemon::start(&redis, config).await;

    let id = daemon.send(QUEUE, &json!({ "payload": 1 })).await;

    let message = daemon.wait_final(&id).await;
    assert_eq!((&message["state"], &message["attempts"]), (&json!("delivered"), &json!(2)));
    let requests = downstream.requests();
    let calls: Vec<_> = requests.iter().map(|request| request.method.as_str()).collect();
    assert_eq!(calls, ["POST", "GET", "POST", "GET"]);
    let waited = requests[3].arrived - requests[2].answered.unwrap();
    assert!(waited >= Duration::from_millis(990), "{waited:?}");
}

#[tokio::test]
async fn what_a_lost_node_may_have_sent_is_in_doubt() {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let config = format!(
        "[queues.{QUEUE}]\ndownstream.url = \"{}\"\n{QUICK}\nlease = \"5300ms\"\n",
        downstream.url("/send")
    );
    downstream.once(Answer::silence());
    downstream.once(conflict());
    let mut lost = Daemon::start(&redis, config.clone()).await;
    let id = lost.send(QUEUE, &json!({ "payload": 1 })).await;
    downstream.wait_for(1).await;
    lost.kill9().await;

    let other = Daemon::start(&redis, config).await;

    assert_eq!(other.wait_final(&id).await["state"], "delivered");
    assert_eq!(downstream.requests().len(), 3);
}

#[tokio::test]
async fn a_queue_names_the_statuses_that_it_reads_otherwise() {
    let lines = format!(
        "{}\n",
        QUICK
            .replace("max_attempts = 8", "retry_statuses = [404, 503], dead_statuses = [409, 500]")
    );
    let scene = Scene::start(&lines).await;
    let become_of = async |answers: &[Answer]| {
        for answer in answers {
            scene.downstream.once(answer.clone());
        }
        let id = scene.send("x").await;
        let message = scene.daemon.wait_final(&id).await;
        (message["state"].clone(), message["attempts"].clone())
    };

    let delivered_at = |attempts: u32| (json!("delivered"), json!(attempts));
    let dead_at = |attempts: u32| (json!("dead"), json!(attempts));
    assert_eq!(become_of(&[Answer::status(404), Answer::status(404)]).await, delivered_at(3));
    let asks = Answer::status(503).header("Retry-After", "1");
    assert_eq!(become_of(&[asks]).await, delivered_at(2), "an attempt, where it were a throttle");
    assert_eq!(become_of(&[Answer::status(500)]).await, dead_at(1));
    assert_eq!(become_of(&[Answer::silence(), conflict()]).await, dead_at(2), "named, so certain");
    let policy: Value = scene.daemon.get(&format!("/v1/queues/{QUEUE}")).await.expect(200).json();
    let retry = &policy["policy"]["retry"];
    assert_eq!(
        (&retry["retry_statuses"], &retry["dead_statuses"]),
        (&json!([404, 503]), &json!([409, 500]))
    );
    assert_eq!((&retry["max_attempts"], &retry["throttle_max"]), (&json!(null), &json!("1d")));
}

#[tokio::test]
async fn a_gate_obeys_more_than_the_longest_delay_and_attempts_have_no_end_of_their_own() {
    let lines = "retry = { initial = \"1ms\", max = \"2ms\", jitter = 0.0 }";
    let scene = Scene::start(lines).await;
    scene.downstream.once(Answer::status(429).header("Retry-After", "1"));
    for _ in 0..15 {
        scene.downstream.once(Answer::status(500));
    }

    let id = scene.send("x").await;

    let message = scene.daemon.wait_final(&id).await;
    assert_eq!((&message["state"], &message["attempts"]), (&json!("delivered"), &json!(16)));
    let requests = scene.downstream.requests();
    let waited = requests[1].arrived - requests[0].answered.unwrap();
    assert!(waited >= Duration::from_millis(990), "{waited:?}");
}
