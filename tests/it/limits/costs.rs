//! The `cost` of a message: what it takes of limits, whichever way the message came in, and wherever it goes.

use http::Method;
use serde_json::{Value, json};

use crate::support::wait::poll_until;
use crate::support::{Daemon, Downstream, QUEUE, RedisServer, Scene, queue_toml};

fn config(downstream: &Downstream) -> String {
    let yearly = "cron = \"0 0 1 1 *\"\npayload = 1\ncost = 3";
    queue_toml(QUEUE, downstream, "")
        + &queue_toml("other", downstream, "")
        + "[inbox]\nenabled = true\n"
        + &format!("[topics.paid]\nqueues = [\"{QUEUE}\"]\n")
        + &format!("[schedules.yearly]\nqueue = \"{QUEUE}\"\n{yearly}\n")
}

/// The messages that wait in a queue.
async fn waiting(daemon: &Daemon, queue: &str, count: usize) -> Vec<Value> {
    let path = format!("/v1/queues/{queue}/messages?state=scheduled,ready");
    poll_until("they wait", async || {
        let messages = daemon.get(&path).await.expect(200).json()["messages"].clone();
        messages.as_array().filter(|messages| messages.len() == count).cloned()
    })
    .await
}

#[tokio::test]
async fn each_way_in_takes_it_and_every_step_keeps_it() {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let daemon = Daemon::start(&redis, config(&downstream)).await;
    daemon.post(&format!("/v1/queues/{QUEUE}/pause"), &json!({})).await.expect(200);
    let message = json!({ "payload": 1, "cost": 3, "group": "g" });
    let messages = format!("/v1/queues/{QUEUE}/messages");
    let json = [("Content-Type", "application/json")];

    assert_eq!(daemon.post(&messages, &message).await.expect(201).json()["cost"], 3);
    daemon.post(&format!("{messages}/batch"), &json!([message])).await.expect(200);
    daemon.post("/v1/topics/paid/messages", &message).await.expect(201);
    let fields = ["XADD", "tidegate:inbox:jobs", "*", "payload", "1", "cost", "3"];
    let _entry: String = redis.cli(&fields).await;
    daemon.post("/v1/schedules/yearly/run", &json!({})).await;
    let schedule = json!({ "queue": QUEUE, "every": "366d", "payload": 1, "cost": 3 }).to_string();
    let put = daemon.http().send(Method::PUT, "/v1/schedules/made", &json, schedule).await;
    assert_eq!(put.expect(201).json()["cost"], 3);
    daemon.post("/v1/schedules/made/run", &json!({})).await;
    let all = waiting(&daemon, QUEUE, 6).await;
    assert!(all.iter().all(|message| message["cost"] == 3), "{all:?}");

    for message in &all {
        let path = format!("/v1/messages/{}", message["id"].as_str().expect("it has an id"));
        for edit in [json!({ "priority": 5, "delay": "1h" }), json!({ "payload": 2 })] {
            assert_eq!(daemon.patch(&path, &edit).await.expect(200).json()["cost"], 3);
        }
        daemon.delete(&path).await.expect(200);
        let again = daemon.post(&format!("{path}/requeue"), &json!({})).await.expect(200);
        assert_eq!(again.json()["cost"], 3);
    }
    daemon.post("/v1/queues/other/pause", &json!({})).await.expect(200);
    let moving =
        json!({ "action": "move", "queue": QUEUE, "state": "ready", "all": true, "to": "other" });
    daemon.post("/v1/operations", &moving).await.expect(202);
    let moved = waiting(&daemon, "other", 6).await;
    assert!(moved.iter().all(|message| message["cost"] == 3), "{moved:?}");
}

#[tokio::test]
async fn one_that_names_none_costs_one_and_one_out_of_bounds_is_refused() {
    let scene = Scene::start("").await;
    let messages = format!("/v1/queues/{QUEUE}/messages");
    let send = async |message: Value| scene.daemon.post(&messages, &message).await;
    let key = json!({ "payload": 1, "idempotency_key": "k" });
    assert_eq!(send(key.clone()).await.expect(201).json()["cost"], 1);
    assert_eq!(send(json!({ "payload": 1, "idempotency_key": "k", "cost": 1 })).await.status, 200);
    let other = send(json!({ "payload": 1, "idempotency_key": "k", "cost": 2 })).await;
    assert_eq!(other.expect(422).json()["code"], "idempotency-mismatch");
    assert_eq!(
        send(json!({ "payload": 1, "cost": 10_000 })).await.expect(201).json()["cost"],
        10_000
    );
    for bad in [json!(0), json!(10_001), json!(-1), json!(1.5), json!("3"), json!([3])] {
        let refused = send(json!({ "payload": 1, "cost": bad })).await.expect(400).json();
        assert_eq!(refused["errors"][0]["pointer"], "/cost", "{bad}");
    }
}

#[tokio::test]
async fn one_above_a_quota_is_refused_by_each_way_in_and_its_neighbours_are_not() {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let limits = "limits = [{ rate = \"1000/s\" }, { quota = \"5/day\", name = \"contract\" }]";
    let config = queue_toml(QUEUE, &downstream, limits)
        + "[inbox]\nenabled = true\n"
        + &format!("[topics.paid]\nqueues = [\"{QUEUE}\"]\n");
    let daemon = Daemon::start(&redis, config).await;
    daemon.post(&format!("/v1/queues/{QUEUE}/pause"), &json!({})).await.expect(200);
    let messages = format!("/v1/queues/{QUEUE}/messages");
    let [fits, above] = [5, 6].map(|cost| json!({ "payload": 1, "cost": cost }));
    let is_refused = |problem: &Value| {
        assert_eq!((&problem["status"], &problem["code"]), (&json!(422), &json!("cost-too-large")));
        assert_eq!(problem["errors"][0]["pointer"], "/cost");
        let why = problem["detail"].as_str().expect("it says why");
        let expected = "found 6, more than the limit \"contract\" of the queue \"jobs\" lets through in a whole period (5/day)";
        assert!(why.starts_with(expected), "{why}");
    };

    is_refused(&daemon.post(&messages, &above).await.expect(422).json());
    daemon.post(&messages, &fits).await.expect(201);
    let batch = daemon.post(&format!("{messages}/batch"), &json!([fits, above, fits])).await;
    let batch = batch.expect(200).json();
    assert_eq!((&batch["accepted"], &batch["rejected"]), (&json!(2), &json!(1)));
    is_refused(&batch["results"][1]["problem"]);
    is_refused(&daemon.post("/v1/topics/paid/messages", &above).await.expect(422).json());
    let schedule = json!({ "queue": QUEUE, "every": "366d", "payload": 1, "cost": 6 }).to_string();
    let json = [("Content-Type", "application/json")];
    let put = daemon.http().send(Method::PUT, "/v1/schedules/made", &json, schedule).await;
    is_refused(&put.expect(422).json());
    for cost in ["6", "5"] {
        let fields = ["XADD", "tidegate:inbox:jobs", "*", "payload", "1", "cost", cost];
        let _entry: String = redis.cli(&fields).await;
    }
    waiting(&daemon, QUEUE, 4).await;
    let range = ["XRANGE", "tidegate:inbox:rejected", "-", "+"];
    let rejected: Vec<(String, Vec<String>)> = redis.cli(&range).await;
    assert!(rejected[0].1[5].starts_with("cost: found 6, more than the limit"), "{rejected:?}");
    let sent = daemon.cli(&["send", QUEUE, "-d", "1", "--cost", "6"]).await;
    assert_eq!(sent.code, 4);
    assert!(sent.stderr.contains("(cost-too-large)"), "{}", sent.stderr);
}
