//! Calls in flight: never more than `concurrency`, over all nodes, and no queue takes another's.

use serde_json::json;
use tidegate::domain::id::MessageId;

use crate::support::{
    Answer, Daemon, Downstream, Gate, RedisServer, Scene, eventually, queue_toml,
};

#[tokio::test]
async fn as_many_calls_are_in_flight_as_allowed_and_never_more() {
    let scene = Scene::start("concurrency = 4").await;
    let gate = Gate::new();
    scene.downstream.always(Answer::ok().held_by(&gate));

    scene.send_numbers(30).await;
    scene.downstream.wait_for(4).await;
    assert_eq!(scene.daemon.counts("jobs").await["leased"], 4);
    gate.release();
    scene.wait_count("delivered", 30).await;

    assert_eq!(scene.downstream.in_flight_max(), 4);
}

#[tokio::test]
async fn two_nodes_share_the_slots() {
    let scene = Scene::start("concurrency = 3").await;
    let other = scene.another_daemon("concurrency = 3").await;
    let gate = Gate::new();
    scene.downstream.always(Answer::ok().held_by(&gate));

    scene.send_numbers(40).await;
    scene.downstream.wait_for(3).await;
    gate.release();
    scene.wait_count("delivered", 40).await;

    assert_eq!(scene.downstream.in_flight_max(), 3);
    drop(other);
}

#[tokio::test]
async fn every_shard_is_served() {
    let scene = Scene::start("concurrency = 4\nshards = 4").await;
    let gate = Gate::new();
    scene.downstream.always(Answer::ok().held_by(&gate));

    scene.send_numbers(60).await;
    // One for each shard: none waits for a call of another to end.
    scene.downstream.wait_for(4).await;
    gate.release();

    scene.wait_count("delivered", 60).await;
    assert_eq!(scene.downstream.in_flight_max(), 4);
}

#[tokio::test]
async fn what_waits_behind_the_calls_of_its_own_shard_is_held_by_concurrency() {
    let scene = Scene::start("concurrency = 2\nshards = 2").await;
    let gate = Gate::new();
    scene.downstream.always(Answer::ok().held_by(&gate));

    let ids = scene.line_up(12).await;
    let shard_of = |id: &str| id.parse::<MessageId>().expect("an id").shard(2);
    let (mine, others): (Vec<_>, Vec<_>) =
        ids.iter().partition(|id| shard_of(id) == shard_of(&ids[0]));
    for id in others {
        scene.daemon.delete(&format!("/v1/messages/{id}")).await.expect(200);
    }
    scene.queue_step("resume", &json!({})).await;
    scene.downstream.wait_for(1).await;

    // One call of two is in flight, and yet no other one starts: the other place is the other shard's.
    let waiting = scene.daemon.message(mine[mine.len() - 1]).await;
    assert_eq!(
        (&waiting["state"], &waiting["held_by"]),
        (&json!("ready"), &json!(["concurrency"])),
        "{waiting}"
    );
    gate.release();
    scene.wait_count("delivered", mine.len()).await;
    assert_eq!(scene.downstream.in_flight_max(), 1);
}

#[tokio::test]
async fn a_hung_downstream_delays_no_other_queue() {
    let redis = RedisServer::start().await;
    let (hung, quick) = tokio::join!(Downstream::start(), Downstream::start());
    hung.always(Answer::silence());
    let config = queue_toml("hung", &hung, "concurrency = 50") + &queue_toml("quick", &quick, "");
    let daemon = Daemon::start(&redis, config).await;
    let messages: Vec<_> = (0..100).map(|n| json!({ "payload": n })).collect();
    daemon.post("/v1/queues/hung/messages/batch", &json!(messages)).await.expect(200);
    hung.wait_for(50).await;

    let began = tokio::time::Instant::now();
    daemon.post("/v1/queues/quick/messages/batch", &json!(messages)).await.expect(200);
    eventually("the quick queue is done", async || {
        daemon.counts("quick").await["delivered"] == 100
    })
    .await;

    assert!(began.elapsed().as_secs() < 5, "{:?}", began.elapsed());
    assert_eq!(hung.requests().len(), 50);
}
