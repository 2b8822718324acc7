//! Operations beside everything else that a message may have: callbacks, receipts, workers that pull,
//! a topic it came from.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::bulk::{ended, start};
use crate::support::{
    Answer, Daemon, Downstream, QUEUE, RedisServer, Scene, eventually, queue_toml,
};

/// Starts an operation and waits for its end; how many messages it has dealt with.
async fn operate(daemon: &Daemon, wish: &Value) -> u64 {
    let operation = start(daemon, wish).await;
    let end = ended(daemon, &operation).await;
    assert_eq!((&end["state"], &end["skipped"]), (&json!("done"), &json!(0)), "{end}");
    end["done"].as_u64().expect("a count")
}

/// What was told, of which message.
fn told(receiver: &Downstream) -> BTreeMap<String, Vec<String>> {
    let mut told: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for request in receiver.requests() {
        let event = request.json();
        let text = |name: &str| event[name].as_str().expect("a text").to_owned();
        told.entry(text("subject")).or_default().push(text("type"));
    }
    told
}

#[tokio::test]
async fn what_is_cancelled_in_bulk_is_told_and_what_is_moved_is_told_by_the_other_queue() {
    let (redis, downstream, receiver) =
        tokio::join!(RedisServer::start(), Downstream::start(), Downstream::start());
    let tells = format!(
        "callback = {{ url = \"{}\", on = [\"delivered\", \"cancelled\"] }}",
        receiver.url("/hook")
    );
    let config = ["old", "new"].map(|name| queue_toml(name, &downstream, &tells)).join("\n");
    let daemon = Daemon::start(&redis, config).await;
    daemon.post("/v1/queues/old/pause", &json!({})).await.expect(200);
    let mut ids = Vec::new();
    for group in ["a", "a", "b", "b", "b"] {
        ids.push(daemon.send("old", &json!({ "payload": 1, "group": group })).await);
    }

    let cancelled = json!({
        "action": "cancel", "queue": "old", "state": "ready", "filter": { "group": "a" }, "reason": "not wanted",
    });
    assert_eq!(operate(&daemon, &cancelled).await, 2);
    let moved =
        json!({ "action": "move", "queue": "old", "state": "ready", "all": true, "to": "new" });
    assert_eq!(operate(&daemon, &moved).await, 3);

    eventually("five ends are told", async || {
        let counts = [daemon.counts("old~callbacks").await, daemon.counts("new~callbacks").await];
        (&counts[0]["delivered"], &counts[1]["delivered"]) == (&json!(2), &json!(3))
    })
    .await;
    let told = told(&receiver);
    assert_eq!(told.len(), 5, "{told:?}");
    for id in &ids[..2] {
        assert_eq!(told[id], ["tidegate.message.cancelled"]);
    }
    for id in &ids[2..] {
        assert!(!told.contains_key(id), "a move is not a final state");
        let reason = daemon.message(id).await["reason"].as_str().unwrap().to_owned();
        let new = reason.strip_prefix("moved to ").expect("it went over");
        assert_eq!(told[new], ["tidegate.message.delivered"]);
    }
}

#[tokio::test]
async fn dead_callbacks_are_told_again_in_bulk_under_their_ids() {
    let receiver = Downstream::start().await;
    receiver.always(Answer::status(422));
    let scene =
        Scene::start(&format!("callback = {{ url = \"{}\" }}", receiver.url("/hook"))).await;
    let ids = scene.send_numbers(3).await;
    let callbacks = "jobs~callbacks";
    eventually("they are dead", async || scene.daemon.counts(callbacks).await["dead"] == ids.len())
        .await;
    receiver.always(Answer::ok());

    let requeue = json!({ "action": "requeue", "queue": callbacks, "state": "dead", "all": true });
    assert_eq!(operate(&scene.daemon, &requeue).await, 3);

    eventually("they are told", async || {
        scene.daemon.counts(callbacks).await["delivered"] == ids.len()
    })
    .await;
    let mut times: BTreeMap<String, u32> = BTreeMap::new();
    for request in receiver.requests() {
        *times.entry(request.id().to_owned()).or_default() += 1;
    }
    assert_eq!(times.values().copied().collect::<Vec<_>>(), [2, 2, 2]);
}

#[tokio::test]
async fn what_awaits_its_receipt_is_left_alone_and_what_was_refused_by_one_is_sent_again() {
    let scene = Scene::start("").await;
    let pending = || Answer::status(202).header("Tidegate-Receipt", "pending");
    scene.downstream.always(pending());
    let ids = scene.send_numbers(2).await;
    scene.wait_count("accepted", 2).await;
    let wish = |action: &str, state: &str| json!({ "action": action, "queue": QUEUE, "state": state, "all": true, "reason": "again" });
    let refused =
        scene.daemon.post("/v1/operations", &wish("cancel", "accepted")).await.expect(409);
    assert_eq!(refused.json()["state"], "accepted");
    assert_eq!(operate(&scene.daemon, &wish("cancel", "ready")).await, 0);
    let receipts = format!("/v1/queues/{QUEUE}/receipts");
    let receipt = |id: &str, status: &str| json!({ "id": id, "status": status });
    scene.daemon.post(&receipts, &receipt(&ids[0], "dead")).await.expect(200);

    assert_eq!(operate(&scene.daemon, &wish("requeue", "dead")).await, 1);

    scene.downstream.wait_for(3).await;
    scene.wait_count("accepted", 2).await;
    for id in &ids {
        scene.daemon.post(&receipts, &receipt(id, "delivered")).await.expect(200);
    }
    scene.wait_count("delivered", 2).await;
    assert_eq!(scene.downstream.requests().len(), 3);
}

#[tokio::test]
async fn messages_move_to_workers_that_pull_and_what_they_hold_is_left_alone() {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let config = format!(
        "{}\n[queues.new]\ndownstream.type = \"pull\"\n",
        queue_toml("old", &downstream, "")
    );
    let daemon = Daemon::start(&redis, config).await;
    daemon.post("/v1/queues/old/pause", &json!({})).await.expect(200);
    for number in 0..2 {
        daemon.send("old", &json!({ "payload": number })).await;
    }
    let moved =
        json!({ "action": "move", "queue": "old", "state": "ready", "all": true, "to": "new" });
    assert_eq!(operate(&daemon, &moved).await, 2);
    let claim = async || {
        let wish = json!({ "max": 1, "wait": "10s" });
        let reply = daemon.post("/v1/queues/new/claim", &wish).await.expect(200).json();
        assert_eq!(reply["messages"][0]["attempt"], 1, "{reply}");
        reply["messages"][0].clone()
    };
    let settle = async |message: &Value, word: &str| {
        let said = json!([{ "id": message["id"], "token": message["token"], "as": word }]);
        let reply = daemon.post("/v1/queues/new/settle", &said).await.expect(200).json();
        reply["results"][0]["verdict"].clone()
    };
    let held = claim().await;
    let on_new = |action: &str, state: &str| json!({ "action": action, "queue": "new", "state": state, "all": true, "reason": "x" });
    assert_eq!(operate(&daemon, &on_new("cancel", "ready")).await, 1);
    assert_eq!(settle(&held, "dead").await, "ok");

    assert_eq!(operate(&daemon, &on_new("requeue", "dead")).await, 1);

    assert_eq!(settle(&held, "delivered").await, "stale", "another claim's word");
    let again = claim().await;
    assert_eq!(again["id"], held["id"]);
    assert_eq!(settle(&again, "delivered").await, "ok");
    assert!(downstream.requests().is_empty());
}

#[tokio::test]
async fn what_came_from_a_topic_is_cancelled_in_one_queue_alone_and_stays_so() {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let queues = ["stock", "sms"].map(|name| queue_toml(name, &downstream, "")).join("\n");
    let config = format!("{queues}\n[topics.paid]\nqueues = [\"stock\", \"sms\"]\n");
    let mut daemon = Daemon::start(&redis, config).await;
    daemon.post("/v1/queues/sms/pause", &json!({})).await.expect(200);
    daemon.post("/v1/topics/paid/messages", &json!({ "payload": 1 })).await.expect(201);
    let cancel = json!({
        "action": "cancel", "queue": "sms", "state": "ready", "all": true, "reason": "not by SMS",
    });

    assert_eq!(operate(&daemon, &cancel).await, 1);
    daemon.kill9().await;
    daemon.restart().await;
    daemon.post("/v1/queues/sms/resume", &json!({})).await.expect(200);
    // What the topic still had to hand over would come before this.
    let later = daemon.send("sms", &json!({ "payload": 2 })).await;
    daemon.wait_final(&later).await;

    assert_eq!(daemon.counts("sms").await["cancelled"], 1);
    eventually("its neighbour has it", async || daemon.counts("stock").await["delivered"] == 1)
        .await;
    assert!(
        downstream
            .requests()
            .iter()
            .all(|request| request.json() == 2 || !request.id().starts_with("sms_"))
    );
}
