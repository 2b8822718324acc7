//! `collapse.wait` and `max_wait`: messages that name no due time wait for newer ones, and never too long.

use std::time::Duration;

use serde_json::{Value, json};
use tidegate::domain::time::parse_rfc3339;
use tokio::time::Instant;

use super::{assert_nothing_left, assert_sound, collapsed, fresh, id_of, level, numbers, with};
use crate::support::Scene;

const WAITS: &str = "collapse = { wait = \"2s\", max_wait = \"6s\" }";

fn moment(view: &Value, name: &str) -> u64 {
    parse_rfc3339(view[name].as_str().expect("a moment")).expect("a moment")
}

fn delay_ms(view: &Value) -> u64 {
    moment(view, "due_at") - moment(view, "created_at")
}

#[tokio::test]
async fn each_newer_message_moves_the_due_time_on_up_to_the_maximum() {
    let scene = Scene::start(WAITS).await;
    let began = Instant::now();
    let id = fresh(&scene, &level(0)).await;
    let first = scene.daemon.message(&id).await;
    assert_eq!(first["state"], "scheduled");
    assert!((1990..=6000).contains(&delay_ms(&first)), "{first}");

    let mut last_ms = delay_ms(&first);
    let mut number = 0;
    while last_ms < 6000 {
        number += 1;
        tokio::time::sleep(Duration::from_millis(100)).await;
        let view = collapsed(&scene, &level(number)).await;
        assert!(delay_ms(&view) >= last_ms && delay_ms(&view) <= 6000, "{view}");
        last_ms = delay_ms(&view);
    }

    let request = scene.downstream.wait_for(1).await.remove(0);
    assert!(request.arrived - began >= Duration::from_millis(5900));
    assert_eq!((request.id(), numbers(&scene)), (id.as_str(), vec![number as u64]));
    scene.wait_state(&id, "delivered").await;
    assert_nothing_left(&scene).await;
}

#[tokio::test]
async fn a_message_that_names_its_due_time_keeps_it() {
    let scene = Scene::start(WAITS).await;
    let id = fresh(&scene, &with(1, &json!({ "delay": "1h" }))).await;
    let before = scene.daemon.message(&id).await;
    collapsed(&scene, &level(2)).await;
    assert_eq!(scene.daemon.message(&id).await["due_at"], before["due_at"]);
    // So does one whose due time an operator has set.
    let other = fresh(&scene, &json!({ "payload": { "n": 5 }, "collapse_key": "other" })).await;
    let path = format!("/v1/messages/{other}");
    scene.daemon.patch(&path, &json!({ "delay": "30m" })).await.expect(200);
    let before = scene.daemon.message(&other).await;
    collapsed(&scene, &json!({ "payload": { "n": 6 }, "collapse_key": "other" })).await;
    assert_eq!(scene.daemon.message(&other).await["due_at"], before["due_at"]);
    assert_sound(&scene.daemon).await;
}

#[tokio::test]
async fn a_message_without_a_collapse_key_does_not_wait() {
    let scene = Scene::start(WAITS).await;
    let id = scene.send(json!({ "n": 1 })).await;
    scene.wait_state(&id, "delivered").await;
}

#[tokio::test]
async fn a_queue_follows_a_reload() {
    let scene = Scene::start("").await;
    scene.queue_step("pause", &json!({})).await;
    let id = fresh(&scene, &level(1)).await;
    assert_eq!(scene.daemon.message(&id).await["state"], "ready");
    let toml = crate::support::queue_toml(
        crate::support::QUEUE,
        &scene.downstream,
        "collapse = { wait = \"1h\", max_wait = \"2h\" }",
    );
    scene.daemon.sighup(&toml);
    crate::support::eventually("the table is in force", async || {
        let other = json!({ "payload": 1, "collapse_key": format!("k{}", rand::random::<u32>()) });
        let id = fresh(&scene, &other).await;
        scene.daemon.message(&id).await["state"] == "scheduled"
    })
    .await;
    // What was there before keeps its due time.
    let view = collapsed(&scene, &level(2)).await;
    assert_eq!((id_of(&view), &view["state"]), (id, &json!("ready")));
}
