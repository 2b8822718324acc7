//! What a final message says it waited for is what held it, and its parts add up to its life.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::support::wait::{poll_until, poll_until_within};
use crate::support::{Answer, Daemon, Gate, QUEUE, Scene};

/// Longer than any gate here holds.
const PATIENCE: Duration = Duration::from_secs(150);

fn ms(moment: &Value) -> u64 {
    let at: Timestamp = moment.as_str().expect("a moment").parse().expect("a moment");
    u64::try_from(at.as_millisecond()).expect("it is past 1970")
}

/// The parts of a final message's wait, which have to add up to its life.
fn waited(message: &Value) -> Vec<(String, u64)> {
    let parts = message["waited"].as_object().unwrap_or_else(|| panic!("it waited: {message}"));
    let parts: Vec<_> =
        parts.iter().map(|(what, ms)| (what.clone(), ms.as_u64().unwrap())).collect();
    let sum_ms: u64 = parts.iter().map(|(_, ms)| ms).sum();
    assert_eq!(sum_ms, ms(&message["final_at"]) - ms(&message["created_at"]), "{message}");
    assert!(parts.iter().all(|(_, ms)| *ms > 0), "{message}");
    parts
}

fn part(message: &Value, what: &str) -> u64 {
    waited(message).into_iter().find(|(known, _)| known == what).map_or(0, |(_, ms)| ms)
}

/// A part is at least so long, and longer by no more than what a busy machine takes.
#[track_caller]
fn assert_part(message: &Value, what: &str, least_ms: u64) {
    let found_ms = part(message, what);
    let most_ms = least_ms + 5000;
    assert!((least_ms..most_ms).contains(&found_ms), "{what} from {least_ms} ms: {message}");
}

async fn final_of(daemon: &Daemon, id: &str) -> Value {
    poll_until_within(PATIENCE, "it is final", async || {
        let message = daemon.message(id).await;
        message["final_at"].is_string().then_some(message)
    })
    .await
}

#[tokio::test]
async fn a_message_that_leaves_at_once_has_none() {
    let scene = Scene::start("").await;
    let id = scene.send(1).await;
    let message = scene.daemon.wait_final(&id).await;
    assert!(message.as_object().unwrap().contains_key("waited") && message["waited"].is_null());
}

#[tokio::test]
async fn the_time_in_which_it_was_dead_counts_as_retry() {
    let scene = Scene::start("").await;
    scene.downstream.once(Answer::status(422));
    let id = scene.send(1).await;
    assert_eq!(scene.daemon.wait_final(&id).await["state"], "dead");
    tokio::time::sleep(Duration::from_millis(1500)).await;
    scene.step(&id, "requeue", &json!({})).await;
    let message = scene.daemon.wait_final(&id).await;
    assert_part(&message, "retry", 1500);
    // How late the attempt began that ended it the first time is not known any more.
    assert!(part(&message, "due") < 1000, "{message}");
}

#[tokio::test]
async fn due_pause_and_turn_are_told_apart() {
    let scene = Scene::start("").await;
    let path = format!("/v1/queues/{QUEUE}");
    let id = scene.daemon.send(QUEUE, &json!({ "payload": 1, "delay": "1s" })).await;
    scene
        .daemon
        .post(&format!("{path}/pause"), &json!({ "for": "1h", "reason": "test" }))
        .await
        .expect(200);
    poll_until("it has been due for a second", async || {
        let message = scene.daemon.message(&id).await;
        let now_ms = u64::try_from(Timestamp::now().as_millisecond()).unwrap();
        (now_ms > ms(&message["due_at"]) + 1000).then_some(())
    })
    .await;
    scene.daemon.post(&format!("{path}/resume"), &json!({})).await.expect(200);
    let message = final_of(&scene.daemon, &id).await;
    let asked_ms = ms(&message["due_at"]) - ms(&message["created_at"]);
    assert_eq!(part(&message, "due"), asked_ms);
    assert_part(&message, "pause", 1000);
    // A list says the same.
    let list =
        scene.daemon.get(&format!("{path}/messages?state=delivered")).await.expect(200).json();
    assert_eq!(list["messages"][0]["waited"], message["waited"]);
}

#[tokio::test]
async fn retries_and_what_was_sent_before_count() {
    let scene = Scene::start("retry = { initial = \"2s\", jitter = 0.0 }").await;
    scene.downstream.once(Answer::status(500));
    let id = scene.send(1).await;
    let message = final_of(&scene.daemon, &id).await;
    assert_eq!(message["attempts"], 2);
    assert_part(&message, "retry", 1990);
    let attempts =
        scene.daemon.get(&format!("/v1/messages/{id}/attempts")).await.expect(200).json();
    let sent_ms: u64 = attempts["attempts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| ms(&it["ended_at"]) - ms(&it["started_at"]))
        .sum();
    assert!(part(&message, "sending") >= sent_ms, "{message}: {attempts}");
}

#[tokio::test]
async fn a_gate_that_the_downstream_shut_counts_until_it_opens() {
    let scene = Scene::start("concurrency = 1").await;
    scene.downstream.once(Answer::status(429).header("retry-after", "2"));
    scene.send(0).await;
    scene.downstream.wait_for(1).await;
    let id = scene.send(1).await;
    let message = final_of(&scene.daemon, &id).await;
    assert_part(&message, "throttled", 1000);
}

#[tokio::test]
async fn a_long_call_is_sending_and_who_stands_behind_it_waits_for_its_turn() {
    let scene = Scene::start("concurrency = 1").await;
    let gate = Gate::new();
    scene.downstream.once(Answer::ok().held_by(&gate));
    let first = scene.send(1).await;
    scene.downstream.wait_for(1).await;
    let second = scene.send(2).await;
    poll_until("both are old", async || {
        let message = scene.daemon.message(&second).await;
        let now_ms = u64::try_from(Timestamp::now().as_millisecond()).unwrap();
        (now_ms > ms(&message["created_at"]) + 1500).then_some(())
    })
    .await;
    gate.release();
    assert_part(&final_of(&scene.daemon, &first).await, "sending", 1500);
    assert_part(&final_of(&scene.daemon, &second).await, "turn", 1400);
}

#[tokio::test]
async fn an_order_key_and_a_rate_are_named_where_a_message_stood_first() {
    let scene = Scene::start("concurrency = 9\nordering = \"labels.to\"").await;
    let gate = Gate::new();
    scene.downstream.once(Answer::ok().held_by(&gate));
    let of_group = async |payload: u32| {
        let body = json!({ "payload": payload, "labels": { "to": "a" } });
        let reply = scene.daemon.post(&format!("/v1/queues/{QUEUE}/messages"), &body).await;
        reply.expect(201).json()["id"].as_str().unwrap().to_owned()
    };
    of_group(1).await;
    scene.downstream.wait_for(1).await;
    let second = of_group(2).await;
    poll_until("it is old", async || {
        let message = scene.daemon.message(&second).await;
        let now_ms = u64::try_from(Timestamp::now().as_millisecond()).unwrap();
        (now_ms > ms(&message["created_at"]) + 1500).then_some(())
    })
    .await;
    gate.release();
    assert_part(&final_of(&scene.daemon, &second).await, "order", 1400);

    let scene = Scene::start("rate = \"30/min\"").await;
    let mut ids = Vec::new();
    for payload in 0..5 {
        ids.push(scene.send(payload).await);
    }
    let mut parts = Vec::new();
    for id in &ids[2..] {
        let message = final_of(&scene.daemon, id).await;
        assert!(part(&message, "turn") >= 1000, "{message}");
        parts.push(part(&message, "limit:rate"));
    }
    // Who got its slot late, as a busy machine had lost one, was not held by the rate alone.
    assert!(parts.iter().any(|ms| (1900..=2100).contains(ms)), "{parts:?}");

    let lines =
        "concurrency = 9\nlimits = [{ rate = \"30/min\", per = \"group\", name = \"each\" }]";
    let scene = Scene::start(lines).await;
    let body = json!({ "payload": 1, "group": "a" });
    scene.daemon.send(QUEUE, &body).await;
    scene.downstream.wait_for(1).await;
    let second = scene.daemon.send(QUEUE, &body).await;
    assert_part(&final_of(&scene.daemon, &second).await, "limit:each", 1500);
}

#[tokio::test]
async fn cancelled_and_expired_messages_say_what_they_waited_for() {
    let scene = Scene::start("").await;
    let path = format!("/v1/queues/{QUEUE}");
    scene.daemon.post(&format!("{path}/pause"), &json!({ "for": "1h" })).await.expect(200);
    let body = json!({ "payload": 1, "ttl": "2s" });
    let reply = scene.daemon.post(&format!("{path}/messages"), &body).await.expect(201).json();
    let expired = final_of(&scene.daemon, reply["id"].as_str().unwrap()).await;
    assert_eq!(expired["state"], "expired");
    assert_part(&expired, "pause", 1900);

    let body = json!({ "payload": 1, "delay": "1h" });
    let reply = scene.daemon.post(&format!("{path}/messages"), &body).await.expect(201).json();
    let id = reply["id"].as_str().unwrap();
    poll_until("it is old", async || {
        let message = scene.daemon.message(id).await;
        let now_ms = u64::try_from(Timestamp::now().as_millisecond()).unwrap();
        (now_ms > ms(&message["created_at"]) + 1100).then_some(())
    })
    .await;
    scene.daemon.delete(&format!("/v1/messages/{id}")).await.expect(200);
    let cancelled = final_of(&scene.daemon, id).await;
    assert_part(&cancelled, "due", 1100);
    // Sent again, the time from then on counts as well.
    scene.daemon.post(&format!("{path}/resume"), &json!({})).await.expect(200);
    scene.daemon.post(&format!("/v1/messages/{id}/requeue"), &json!({})).await.expect(200);
    let message = final_of(&scene.daemon, id).await;
    assert_eq!(message["state"], "delivered");
    waited(&message);
}

#[tokio::test]
async fn a_closed_window_is_named() {
    let opens_s = u64::try_from(Timestamp::now().as_second()).unwrap() + 4;
    let time = |at_s: u64| {
        let of_day = at_s % 86_400;
        format!("{:02}:{:02}:{:02}", of_day / 3600, of_day / 60 % 60, of_day % 60)
    };
    let open = format!("{{ from = \"{}\", to = \"{}\" }}", time(opens_s), time(opens_s + 600));
    let lines = format!(
        "window = {{ time_zone = \"UTC\", open = [{open}], min_remaining = \"6s\" }}\ndownstream.timeout = \"5s\""
    );
    let scene = Scene::start(&lines).await;
    let id = scene.send(1).await;
    let message = final_of(&scene.daemon, &id).await;
    let closed_ms = (opens_s * 1000).saturating_sub(ms(&message["due_at"]));
    let (waited_ms, named_ms) =
        (ms(&message["final_at"]) - ms(&message["created_at"]), part(&message, "window"));
    assert!(waited_ms >= 1000 && closed_ms >= 1000, "the machine stood still: {message}");
    assert!(named_ms.abs_diff(closed_ms) <= 100, "{closed_ms} ms: {message}");
}

#[tokio::test]
async fn the_metric_counts_what_holds_the_first_message() {
    let Scene { daemon, redis: _redis, .. } = Scene::start("").await;
    daemon.post(&format!("/v1/queues/{QUEUE}/pause"), &json!({ "for": "1h" })).await.expect(200);
    daemon.send(QUEUE, &json!({ "payload": 1 })).await;
    let held = async || {
        let text = daemon.get("/metrics").await.expect(200).text().to_owned();
        let line = text.lines().find(|line| {
            line.starts_with("tidegate_held_seconds_total") && line.contains("gate=\"pause\"")
        });
        line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).unwrap_or_default()
    };
    poll_until("it has been held for two seconds", async || (held().await >= 2.0).then_some(()))
        .await;
}
