//! The place of a message within its key: what gives it, what keeps it, and what takes a new one.

use std::time::Duration;

use serde_json::{Value, json};

use super::calls::{assert_in_order, calls, message, numbers, of, with};
use super::{QUICK_RETRY, assert_sound, others};
use crate::support::clocks::wall_us;
use crate::support::{Answer, QUEUE, Scene, eventually, queue_toml};

const ORDERED: &str = "ordering = \"labels.order\"\nconcurrency = 1";

fn placed(number: usize) -> Value {
    message(number, &[("order", "k")])
}

/// A moment in milliseconds since the epoch, as a due time.
fn due_at(ms: u64) -> String {
    let ms = i64::try_from(ms).expect("milliseconds fit for ages");
    jiff::Timestamp::from_millisecond(ms).expect("a moment of today").to_string()
}

/// Due times count in milliseconds: what comes now is due later than what came before.
async fn later() {
    tokio::time::sleep(Duration::from_millis(3)).await;
}

/// A paused scene with its queue in order; what is sent now is ready, and waits.
async fn paused(lines: &str) -> Scene {
    let scene = Scene::start(&format!("{QUICK_RETRY}\n{lines}")).await;
    scene.queue_step("pause", &json!({})).await;
    scene
}

/// Lets everything go that was lined up; the numbers in the order in which they came.
async fn released(scene: &Scene, count: usize) -> Vec<u64> {
    scene.queue_step("resume", &json!({})).await;
    scene.wait_count("delivered", count).await;
    let seen = calls(&scene.downstream.requests());
    assert_sound(&scene.daemon).await;
    numbers(&seen)
}

#[tokio::test]
async fn what_is_run_requeued_or_given_another_due_time_goes_behind_the_others() {
    let scene = paused(ORDERED).await;
    let scheduled = with(placed(0), "delay", "1h");
    let scheduled = scene.daemon.send(QUEUE, &scheduled).await;
    let ids = scene.send_all(&[placed(1), placed(2), placed(3)]).await;
    later().await;
    scene.step(&scheduled, "run", &json!({})).await;
    later().await;
    scene.send_all(&[placed(4)]).await;
    later().await;
    scene.daemon.delete(&format!("/v1/messages/{}", ids[0])).await.expect(200);
    scene.step(&ids[0], "requeue", &json!({})).await;
    later().await;
    scene
        .daemon
        .patch(&format!("/v1/messages/{}", ids[1]), &json!({ "delay": "0s" }))
        .await
        .expect(200);
    later().await;
    scene.send_all(&[placed(5)]).await;

    assert_eq!(released(&scene, 6).await, [3, 0, 4, 1, 2, 5]);
}

#[tokio::test]
async fn what_is_moved_here_goes_behind_the_others() {
    let scene = Scene::start(ORDERED).await;
    let both =
        queue_toml(QUEUE, &scene.downstream, ORDERED) + &queue_toml("other", &scene.downstream, "");
    scene.daemon.sighup(&both);
    eventually("the other queue is there", async || {
        scene.daemon.get("/v1/queues/other").await.status == 200
    })
    .await;
    scene.queue_step("pause", &json!({})).await;
    scene.daemon.post("/v1/queues/other/pause", &json!({})).await.expect(200);
    let moved: Vec<_> = [placed(0), placed(1)].into();
    let path = "/v1/queues/other/messages/batch";
    scene.daemon.post(path, &json!(moved)).await.expect(200);
    later().await;
    scene.send_all(&[placed(2), placed(3)]).await;
    later().await;

    let moving =
        json!({ "action": "move", "queue": "other", "state": "ready", "all": true, "to": QUEUE });
    scene.daemon.post("/v1/operations", &moving).await.expect(202);
    scene.wait_count("ready", 4).await;

    let order = released(&scene, 4).await;
    assert_eq!(order[..2], [2, 3], "{order:?}");
}

#[tokio::test]
async fn a_due_time_in_the_past_counts_as_now_and_overtakes_nothing() {
    let scene = paused(ORDERED).await;
    scene.send_all(&[placed(1), placed(2)]).await;
    let early = with(placed(0), "due_at", due_at(wall_us() / 1000 - 3_600_000));
    scene.daemon.send(QUEUE, &early).await;

    assert_eq!(released(&scene, 3).await, [1, 2, 0]);

    // This one waits for another attempt when an earlier one comes.
    scene.downstream.once(Answer::status(500));
    scene.send_all(&[placed(3), placed(5)]).await;
    scene.downstream.wait_for(4).await;
    let early = with(placed(4), "due_at", due_at(wall_us() / 1000 - 7_200_000));
    scene.daemon.send(QUEUE, &early).await;
    scene.wait_count("delivered", 6).await;
    let seen = calls(&scene.downstream.requests());
    assert_eq!(numbers(&seen[3..]), [3, 3, 5, 4]);
}

#[tokio::test]
async fn what_falls_due_at_the_same_moment_goes_in_the_order_of_acceptance() {
    let lines = format!("{QUICK_RETRY}\nordering = \"labels.order\"\nconcurrency = 32");
    let scene = Scene::start(&lines).await;
    let _others = others(&scene, &lines, 1).await;
    let due_ms = wall_us() / 1000 + 900;
    let keyed = |number: usize| message(number, &[("order", &format!("k{}", number % 3))]);
    let scheduled: Vec<_> =
        (0..240).map(|number| with(keyed(number), "due_at", due_at(due_ms))).collect();

    scene.send_all(&scheduled).await;
    // Accepted while the others have just fallen due: it overtakes none of them.
    while wall_us() / 1000 <= due_ms {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    scene.send_all(&(240..270).map(keyed).collect::<Vec<_>>()).await;

    let seen = calls(&scene.downstream.wait_for(270).await);
    for key in ["k0", "k1", "k2"] {
        let seen = of(&seen, "order", key);
        assert_eq!(seen.len(), 90);
        assert_in_order(&seen);
    }
    assert_sound(&scene.daemon).await;
}

#[tokio::test]
async fn scheduled_messages_go_in_the_order_of_their_due_times() {
    let scene = Scene::start(&format!("{QUICK_RETRY}\nordering = \"labels.order\"")).await;
    // A call lasts longer than until the next message falls due.
    scene.downstream.always(Answer::ok().after(Duration::from_millis(25)));
    let due_ms = wall_us() / 1000 + 500;
    // Accepted in the reverse order.
    let one = |number: u64| {
        let number = 19 - number;
        let placed = placed(usize::try_from(number).expect("few"));
        with(placed, "due_at", due_at(due_ms + number * 10))
    };

    scene.send_all(&(0..20).map(one).collect::<Vec<_>>()).await;

    let seen = calls(&scene.downstream.wait_for(20).await);
    assert_in_order(&seen);
}

#[tokio::test]
async fn a_retry_that_is_sent_at_once_keeps_its_place() {
    let lines = "retry = { initial = \"1h\", max = \"1h\" }\nordering = \"labels.order\"\ndownstream.timeout = \"500ms\"";
    let scene = Scene::start(lines).await;
    scene.downstream.once(Answer::status(500));
    let ids = scene.send_all(&[placed(0), placed(1), placed(2)]).await;
    let waits = json!({ "state": "scheduled", "attempts": 1 });
    scene.wait_members(&ids[0], &waits).await;
    let held = json!({ "held_by": ["order"], "blocked_by": [{ "id": ids[0] }] });
    scene.wait_members(&ids[1], &held).await;

    let retry = json!({ "action": "retry", "queue": QUEUE, "all": true });
    scene.daemon.post("/v1/operations", &retry).await.expect(202);

    scene.wait_count("delivered", 3).await;
    assert_eq!(numbers(&calls(&scene.downstream.requests())), [0, 0, 1, 2]);
}

#[tokio::test]
async fn another_priority_or_payload_changes_no_place() {
    let scene = paused(&format!("{ORDERED}\npriority_levels = 10")).await;
    let ids = scene.send_all(&[placed(0), placed(1), placed(2)]).await;
    let later_one = with(message(3, &[("order", "other")]), "priority", 5);
    scene.daemon.send(QUEUE, &later_one).await;

    let path = |id: &String| format!("/v1/messages/{id}");
    scene.daemon.patch(&path(&ids[2]), &json!({ "priority": 9 })).await.expect(200);

    // The level of a key is that of its head: 0, until the last one is the head.
    assert_eq!(released(&scene, 4).await, [3, 0, 1, 2]);
}

#[tokio::test]
async fn the_head_of_a_key_decides_its_level() {
    let scene = paused(&format!("{ORDERED}\npriority_levels = 10")).await;
    let one = |number: usize, key: &str, priority: u64| {
        with(message(number, &[("order", key)]), "priority", priority)
    };
    let sent = [
        one(0, "low first", 0),
        one(1, "low first", 9),
        one(2, "high first", 9),
        one(3, "high first", 0),
        one(4, "between", 5),
        one(5, "between", 1),
    ];

    scene.send_all(&sent).await;

    // Heads: 2 (9), 4 (5), 0 (0); then 5 (1), 0 (0), 3 (0) and, once it is the head, 1 (9).
    assert_eq!(released(&scene, 6).await, [2, 4, 5, 0, 1, 3]);
}

#[tokio::test]
async fn a_message_that_leaves_lets_the_next_one_go() {
    let lines = "retry = { initial = \"1h\", max = \"1h\" }\nordering = \"labels.order\"";
    let scene = Scene::start(lines).await;
    scene.downstream.once(Answer::status(500));
    let ids = scene.send_all(&[placed(0), placed(1), placed(2), placed(3)]).await;
    scene.wait_members(&ids[0], &json!({ "state": "scheduled", "attempts": 1 })).await;

    // One in the middle, then the head, which has begun and waits for another attempt.
    scene.daemon.delete(&format!("/v1/messages/{}", ids[2])).await.expect(200);
    let held = json!({ "held_by": ["order"], "blocked_by": [{ "id": ids[0] }] });
    scene.wait_members(&ids[1], &held).await;
    assert_eq!(scene.downstream.requests().len(), 1);
    scene.daemon.delete(&format!("/v1/messages/{}", ids[0])).await.expect(200);

    scene.wait_count("delivered", 2).await;
    assert_eq!(numbers(&calls(&scene.downstream.requests())), [0, 1, 3]);
    assert_sound(&scene.daemon).await;
}

#[tokio::test]
async fn a_head_that_expires_lets_the_next_one_go() {
    let lines = "retry = { initial = \"1h\", max = \"1h\" }\nordering = \"labels.order\"";
    let scene = Scene::start(lines).await;
    scene.downstream.once(Answer::status(500));
    let ids = scene.send_all(&[with(placed(0), "ttl", "2s"), placed(1), placed(2)]).await;

    scene.wait_state(&ids[0], "expired").await;

    scene.wait_count("delivered", 2).await;
    assert_eq!(numbers(&calls(&scene.downstream.requests())), [0, 1, 2]);
    // And one that expires where it waits in line, before the queue goes on.
    scene.queue_step("pause", &json!({})).await;
    let ids = scene.send_all(&[with(placed(3), "ttl", "1s"), placed(4)]).await;
    scene.wait_state(&ids[0], "expired").await;
    scene.queue_step("resume", &json!({})).await;
    scene.wait_count("delivered", 3).await;
    assert_eq!(numbers(&calls(&scene.downstream.requests())), [0, 1, 2, 4]);
    assert_sound(&scene.daemon).await;
}
