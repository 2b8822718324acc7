//! What waits: due times, priorities, time to live, pauses, and what operators do to it.

use std::time::Duration;

use serde_json::json;

use crate::support::{Answer, Clocks, Gate, QUEUE, Scene, payloads};

#[tokio::test]
async fn higher_bands_go_first_and_each_band_keeps_its_order() {
    let scene = Scene::start("priority_levels = 10\nconcurrency = 1").await;
    scene.queue_step("pause", &json!({})).await;
    for (payload, priority) in [(0, 0), (1, 5), (2, 9), (3, 5), (4, 0)] {
        scene.daemon.send(QUEUE, &json!({ "payload": payload, "priority": priority })).await;
    }

    scene.queue_step("resume", &json!({})).await;

    assert_eq!(payloads(&scene.downstream.wait_for(5).await), [2, 1, 3, 0, 4]);
}

#[tokio::test]
async fn priorities_share_bands_where_there_are_fewer() {
    let scene = Scene::start("priority_levels = 2\nconcurrency = 1").await;
    scene.queue_step("pause", &json!({})).await;
    for (payload, priority) in [(0, 4), (1, 0), (2, 5), (3, 9)] {
        scene.daemon.send(QUEUE, &json!({ "payload": payload, "priority": priority })).await;
    }

    scene.queue_step("resume", &json!({})).await;

    assert_eq!(payloads(&scene.downstream.wait_for(4).await), [2, 3, 0, 1]);
}

#[tokio::test]
async fn what_outlives_its_time_expires_unsent_even_while_paused() {
    let scene = Scene::start("").await;
    scene.queue_step("pause", &json!({ "reason": "repairs" })).await;

    let id = scene.daemon.send(QUEUE, &json!({ "payload": 1, "ttl": "200ms" })).await;
    let later = json!({ "payload": 2, "delay": "300ms", "ttl": "200ms" });
    scene.daemon.post(&format!("/v1/queues/{QUEUE}/messages"), &later).await;

    let message = scene.daemon.wait_final(&id).await;
    assert_eq!((&message["state"], &message["attempts"]), (&json!("expired"), &json!(0)));
    scene.queue_step("resume", &json!({})).await;
    let next = scene.send("after").await;
    assert_eq!(scene.daemon.wait_final(&next).await["state"], "delivered");
    assert_eq!(payloads(&scene.downstream.requests()), ["after"]);
}

#[tokio::test]
async fn what_is_due_later_arrives_then_not_before_and_soon_after() {
    let scene = Scene::start("").await;
    let mut messages = Vec::new();
    for delay_ms in [150, 300, 301, 600, 900] {
        messages.push(json!({ "payload": delay_ms, "delay": format!("{delay_ms}ms") }));
    }
    let clocks = Clocks::read();

    scene.send_all(&messages).await;

    for request in scene.downstream.wait_for(5).await {
        let due: jiff::Timestamp = request.header("tidegate-due-at").unwrap().parse().unwrap();
        let due_ms = u64::try_from(due.as_millisecond()).unwrap();
        let late_ms = clocks.wall_ms(request.arrived).checked_sub(due_ms);
        assert!(late_ms.is_some_and(|ms| ms < 250), "{late_ms:?} ms late");
    }
}

#[tokio::test]
async fn a_pause_holds_and_ends_by_itself() {
    let scene = Scene::start("").await;
    scene.queue_step("pause", &json!({ "for": "600ms", "reason": "repairs" })).await;
    let began = tokio::time::Instant::now();

    let id = scene.send(1).await;

    assert_eq!(scene.daemon.message(&id).await["state"], "ready");
    assert_eq!(scene.daemon.wait_final(&id).await["state"], "delivered");
    assert!(began.elapsed() >= Duration::from_millis(500), "{:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_millis(1500), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_cancelled_message_is_never_sent() {
    let scene = Scene::start("").await;
    scene.queue_step("pause", &json!({})).await;
    let ids = scene.line_up(3).await;

    scene.daemon.delete(&format!("/v1/messages/{}", ids[1])).await.expect(200);
    scene.daemon.delete(&format!("/v1/messages/{}", ids[1])).await.expect(200);
    scene.queue_step("resume", &json!({})).await;

    scene.wait_count("delivered", 2).await;
    assert_eq!(scene.daemon.message(&ids[1]).await["state"], "cancelled");
    assert_eq!(scene.downstream.requests().len(), 2);
}

#[tokio::test]
async fn what_is_under_way_cannot_be_cancelled() {
    let scene = Scene::start("").await;
    let gate = Gate::new();
    scene.downstream.always(Answer::ok().held_by(&gate));
    let id = scene.send(1).await;
    scene.downstream.wait_for(1).await;

    scene.daemon.delete(&format!("/v1/messages/{id}")).await.expect(409);
    gate.release();

    assert_eq!(scene.daemon.wait_final(&id).await["state"], "delivered");
}

#[tokio::test]
async fn a_dead_message_is_requeued_and_starts_over() {
    let scene = Scene::start("").await;
    scene.downstream.once(Answer::status(400));
    let message = json!({ "payload": 1, "group": "order-42", "labels": { "shop": "north" } });
    let id = scene.daemon.send(QUEUE, &message).await;
    assert_eq!(scene.daemon.wait_final(&id).await["state"], "dead");

    scene.step(&id, "requeue", &json!({})).await;

    let message = scene.daemon.wait_final(&id).await;
    assert_eq!((&message["state"], &message["attempts"]), (&json!("delivered"), &json!(1)));
    assert_eq!(
        (&message["group"], &message["labels"]["shop"]),
        (&json!("order-42"), &json!("north"))
    );
    let requests = scene.downstream.requests();
    assert_eq!((requests[0].id(), requests[1].id()), (id.as_str(), id.as_str()));
}

#[tokio::test]
async fn the_attempts_before_a_requeue_are_still_shown() {
    let scene = Scene::start("retry = { initial = \"1ms\", max_attempts = 2 }").await;
    for status in [503, 503, 400] {
        scene.downstream.once(Answer::status(status));
    }
    let id = scene.send(1).await;
    for _ in 0..2 {
        assert_eq!(scene.daemon.wait_final(&id).await["state"], "dead");
        scene.step(&id, "requeue", &json!({})).await;
    }
    assert_eq!(scene.daemon.wait_final(&id).await["state"], "delivered");
    let shown = scene.daemon.get(&format!("/v1/messages/{id}/attempts")).await.expect(200).json();
    let shown: Vec<_> = shown["attempts"].as_array().expect("a list").iter().collect();
    let of = |name: &str| shown.iter().map(|it| it[name].as_u64()).collect::<Vec<_>>();
    assert_eq!(of("status_code"), [503, 503, 400, 200].map(Some), "{shown:?}");
    assert_eq!(of("attempt"), [1, 2, 1, 1].map(Some), "{shown:?}");
}

#[tokio::test]
async fn what_is_due_later_can_be_run_now() {
    let scene = Scene::start("").await;
    let id = scene.daemon.send(QUEUE, &json!({ "payload": 1, "delay": "1h" })).await;
    assert_eq!(scene.daemon.message(&id).await["state"], "scheduled");

    scene.step(&id, "run", &json!({})).await;

    assert_eq!(scene.daemon.wait_final(&id).await["state"], "delivered");
}
