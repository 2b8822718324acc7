//! What operators do with messages that have a collapse key, and what the audit knows of the index.

use serde_json::{Value, json};

use super::{
    Pair, assert_nothing_left, assert_sound, collapsed, fresh, id_of, keys_known, level, numbers,
    post, whole, with,
};
use crate::support::{
    Answer, Daemon, Downstream, QUEUE, RedisServer, Scene, eventually, queue_toml,
};

const INDEX: &str = "{tidegate:jobs.0}:collapse";

#[tokio::test]
async fn the_index_goes_with_cancel_expiry_and_purge() {
    let scene = Scene::start("").await;
    scene.queue_step("pause", &json!({})).await;
    let id = fresh(&scene, &level(1)).await;
    scene.daemon.delete(&format!("/v1/messages/{id}")).await.expect(200);
    assert_nothing_left(&scene).await;

    let id = fresh(&scene, &with(2, &json!({ "ttl": "300ms" }))).await;
    scene.wait_state(&id, "expired").await;
    assert_nothing_left(&scene).await;

    fresh(&scene, &level(3)).await;
    fresh(&scene, &json!({ "payload": 1, "collapse_key": "other", "delay": "1h" })).await;
    assert_eq!(keys_known(&scene.redis).await, 2);
    for state in ["ready", "scheduled"] {
        scene
            .daemon
            .post(&format!("/v1/queues/{QUEUE}/purge"), &json!({ "state": state }))
            .await
            .expect(200);
    }
    assert_nothing_left(&scene).await;
}

#[tokio::test]
async fn a_newer_one_that_waits_can_be_cancelled_and_expire() {
    let scene = Scene::start("").await;
    let Pair { first, second, gate } = Pair::begin(&scene, Answer::ok()).await;
    scene.daemon.delete(&format!("/v1/messages/{second}")).await.expect(200);
    assert_eq!(keys_known(&scene.redis).await, 1);
    let third = fresh(&scene, &with(3, &json!({ "ttl": "300ms" }))).await;
    assert_ne!(second, third);
    scene.wait_state(&third, "expired").await;
    assert_sound(&scene.daemon).await;
    gate.release();
    scene.wait_state(&first, "delivered").await;
    assert_eq!(numbers(&scene), [1]);
    assert_nothing_left(&scene).await;
}

#[tokio::test]
async fn a_requeued_message_never_stands_beside_a_newer_one() {
    let scene = Scene::start("").await;
    scene.downstream.once(Answer::status(422));
    let dead = fresh(&scene, &level(1)).await;
    assert_eq!(scene.daemon.wait_final(&dead).await["state"], "dead");
    scene.queue_step("pause", &json!({})).await;
    let newer = fresh(&scene, &level(2)).await;

    let refused = scene
        .daemon
        .post(&format!("/v1/messages/{dead}/requeue"), &json!({}))
        .await
        .expect(409)
        .json();
    assert_eq!(
        (&refused["code"], &refused["state"]),
        (&json!("wrong-state"), &json!("dead")),
        "{refused}"
    );
    assert!(
        refused["detail"].as_str().unwrap().contains("a newer message of its collapse_key"),
        "{refused}"
    );
    assert_sound(&scene.daemon).await;

    // Without a newer one it is sent again, and makes way for a newer one as any other.
    scene.daemon.delete(&format!("/v1/messages/{newer}")).await.expect(200);
    scene.step(&dead, "requeue", &json!({})).await;
    assert_eq!(id_of(&collapsed(&scene, &level(3)).await), dead);
    scene.queue_step("resume", &json!({})).await;
    scene.wait_state(&dead, "delivered").await;
    assert_eq!(numbers(&scene), [1, 3]);
    assert_nothing_left(&scene).await;
}

#[tokio::test]
async fn a_moved_message_takes_no_newer_ones_place() {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let toml = queue_toml(QUEUE, &downstream, "") + &queue_toml("other", &downstream, "");
    let daemon = Daemon::start(&redis, toml).await;
    let scene = Scene { daemon, downstream, redis };
    for queue in [QUEUE, "other"] {
        scene.daemon.post(&format!("/v1/queues/{queue}/pause"), &json!({})).await.expect(200);
    }
    let old = fresh(&scene, &level(1)).await;
    let alone = fresh(&scene, &json!({ "payload": { "n": 5 }, "collapse_key": "alone" })).await;
    // Later than the clocks of two nodes may differ.
    tokio::time::sleep(std::time::Duration::from_millis(1200)).await;
    let newer =
        id_of(&scene.daemon.post("/v1/queues/other/messages", &level(2)).await.expect(201).json());

    let body = json!({ "action": "move", "queue": QUEUE, "state": "ready", "to": "other", "all": true, "reason": "test" });
    scene.daemon.post("/v1/operations", &body).await.expect(202);
    eventually("both have gone over", async || scene.daemon.counts(QUEUE).await["cancelled"] == 2)
        .await;
    for id in [&old, &alone] {
        assert_eq!(scene.daemon.message(id).await["state"], "cancelled");
    }
    assert_eq!(whole(&scene.daemon, &newer).await["payload"]["n"], 2);
    eventually("one stands beside it", async || scene.daemon.counts("other").await["ready"] == 2)
        .await;
    assert_nothing_left(&scene).await;
    scene.daemon.post("/v1/queues/other/resume", &json!({})).await.expect(200);
    scene.downstream.wait_for(2).await;
    let mut seen = numbers(&scene);
    seen.sort_unstable();
    assert_eq!(seen, [2, 5]);
}

/// The audit's summary, which has mended what it found.
async fn repaired(daemon: &Daemon) -> Value {
    let lines = daemon.post(&format!("/v1/queues/{QUEUE}/audit"), &json!({})).await.expect(200);
    serde_json::from_str(lines.text().lines().last().expect("a summary")).expect("JSON")
}

#[tokio::test]
async fn the_audit_finds_and_mends_what_is_wrong_with_the_index() {
    let scene = Scene::start("").await;
    let Pair { first, second, gate } = Pair::begin(&scene, Answer::ok()).await;
    // An entry of messages that are gone, and a key that the index has lost.
    scene
        .redis
        .cli::<redis::Value>(&["HSET", INDEX, "0123456789abcdef", "01JD3A9PX2M7Q8R4T6V0W1Y2Z3"])
        .await;
    let lost = fresh(&scene, &json!({ "payload": 1, "collapse_key": "lost", "delay": "1h" })).await;
    let lost_entry = lost.split('_').next_back().expect("an id has two parts");
    let forget = "for _, f in ipairs(redis.call('HKEYS', KEYS[1])) do if redis.call('HGET', KEYS[1], f) == ARGV[1] then redis.call('HDEL', KEYS[1], f) end end";
    scene.redis.cli::<redis::Value>(&["EVAL", forget, "1", INDEX, lost_entry]).await;
    assert_eq!(keys_known(&scene.redis).await, 2);

    let found = repaired(&scene.daemon).await;

    assert_eq!(
        found["faults"],
        json!({ "misplaced": { "found": 1, "repaired": 1 }, "unplaced": { "found": 1, "repaired": 1 } }),
        "{found}"
    );
    assert_sound(&scene.daemon).await;
    assert_eq!(
        id_of(
            &post(&scene.daemon, &json!({ "payload": 2, "collapse_key": "lost" }))
                .await
                .expect(200)
                .json()
        ),
        lost
    );
    gate.release();
    scene.wait_state(&first, "delivered").await;
    scene.wait_state(&second, "delivered").await;
    assert_eq!(numbers(&scene), [1, 2]);
}

#[tokio::test]
async fn housekeeping_frees_what_nobody_has_freed() {
    let scene = Scene::start("").await;
    let Pair { first, second, gate } = Pair::begin(&scene, Answer::ok()).await;
    // As an earlier version would: it ends the older one and knows nothing of the newer.
    scene.redis.cli::<redis::Value>(&["DEL", INDEX]).await;
    gate.release();
    scene.wait_state(&first, "delivered").await;
    scene.wait_state(&second, "delivered").await;
    assert_eq!(numbers(&scene), [1, 2]);
    assert_nothing_left(&scene).await;
}
