//! The `timeout` of a message: it holds each attempt to less than its queue's, whichever way the message came in.

use http::Method;
use serde_json::{Value, json};

use crate::support::wait::poll_until;
use crate::support::{Answer, Daemon, Downstream, QUEUE, RedisServer, Scene, queue_toml};

/// A queue that would wait for much longer than any test.
const PATIENT: &str = "downstream.timeout = \"10m\"\nretry = { initial = \"20ms\" }";

fn config(downstream: &Downstream) -> String {
    let nightly = "cron = \"0 0 1 1 *\"\npayload = 1\ntimeout = \"200ms\"";
    queue_toml(QUEUE, downstream, PATIENT)
        + "[inbox]\nenabled = true\n"
        + &format!("[topics.paid]\nqueues = [\"{QUEUE}\"]\n")
        + &format!("[schedules.nightly]\nqueue = \"{QUEUE}\"\n{nightly}\n")
}

/// The only message that is not final yet, by its id.
async fn waiting(daemon: &Daemon) -> String {
    let path = format!("/v1/queues/{QUEUE}/messages?state=scheduled,ready,leased");
    let message = poll_until("a message waits or is under way", async || {
        daemon.get(&path).await.expect(200).json()["messages"].get(0).cloned()
    });
    message.await["id"].as_str().expect("it has an id").to_owned()
}

/// The first call gets no answer; after the timeout of the message there is a second one.
async fn is_held_to_it(downstream: &Downstream, daemon: &Daemon, id: &str) {
    let message = daemon.wait_final(id).await;
    assert_eq!((&message["state"], &message["attempts"]), (&json!("delivered"), &json!(2)));
    assert_eq!(message["timeout"], "200ms");
    let last = downstream.requests().pop().expect("it was called");
    assert_eq!(last.header("webhook-id"), Some(id));
}

#[tokio::test]
async fn each_way_in_takes_it_and_an_attempt_is_held_to_it() {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let daemon = Daemon::start(&redis, config(&downstream)).await;
    let message = json!({ "payload": 1, "timeout": "200ms" });
    let messages = format!("/v1/queues/{QUEUE}/messages");
    let of = |reply: &Value| reply["id"].as_str().expect("it has an id").to_owned();

    downstream.once(Answer::silence());
    let sent = daemon.post(&messages, &message).await.expect(201).json();
    is_held_to_it(&downstream, &daemon, &of(&sent)).await;

    downstream.once(Answer::silence());
    let batch = daemon.post(&format!("{messages}/batch"), &json!([message])).await.expect(200);
    is_held_to_it(&downstream, &daemon, &of(&batch.json()["results"][0])).await;

    downstream.once(Answer::silence());
    let event = daemon.post("/v1/topics/paid/messages", &message).await.expect(201).json();
    is_held_to_it(&downstream, &daemon, &of(&event["messages"][0])).await;

    downstream.once(Answer::silence());
    let fields = ["XADD", "tidegate:inbox:jobs", "*", "payload", "1", "timeout", "200ms"];
    let _entry: String = redis.cli(&fields).await;
    is_held_to_it(&downstream, &daemon, &waiting(&daemon).await).await;

    downstream.once(Answer::silence());
    daemon.post("/v1/schedules/nightly/run", &json!({})).await;
    is_held_to_it(&downstream, &daemon, &waiting(&daemon).await).await;

    downstream.once(Answer::silence());
    let schedule = json!({ "queue": QUEUE, "every": "366d", "payload": 1, "timeout": "200ms" });
    let json = [("Content-Type", "application/json")];
    let path = "/v1/schedules/made";
    let put = daemon.http().send(Method::PUT, path, &json, schedule.to_string()).await.expect(201);
    assert_eq!(put.json()["timeout"], "200ms");
    daemon.post("/v1/schedules/made/run", &json!({})).await;
    is_held_to_it(&downstream, &daemon, &waiting(&daemon).await).await;
}

#[tokio::test]
async fn one_above_the_queues_is_refused_with_the_bound() {
    let scene = Scene::start("downstream.timeout = \"2s\"\n").await;
    let messages = format!("/v1/queues/{QUEUE}/messages");
    let send = async |timeout: Value| {
        scene.daemon.post(&messages, &json!({ "payload": 1, "timeout": timeout })).await
    };
    let refused = send(json!("3s")).await.expect(400).json();
    let fault = &refused["errors"][0];
    assert_eq!(fault["pointer"], "/timeout");
    let why = "found 3s, expected at most 2s, the downstream.timeout of the queue \"jobs\"";
    assert_eq!(fault["detail"], why);
    for bad in [json!("0s"), json!("2h"), json!("soon"), json!(-1)] {
        assert_eq!(send(bad).await.expect(400).json()["errors"][0]["pointer"], "/timeout");
    }
    assert!(send(json!("2s")).await.status == 201 && send(json!(1)).await.status == 201);
}

#[tokio::test]
async fn a_batch_takes_the_shortest_of_its_messages_and_workers_take_none() {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let gathers = format!("{PATIENT}\nbatch = {{ max_items = 2, max_wait = \"10s\" }}");
    let pulled = "[queues.pulled.downstream]\ntype = \"pull\"\n";
    let config = queue_toml(QUEUE, &downstream, &gathers) + pulled;
    let daemon = Daemon::start(&redis, config).await;
    downstream.once(Answer::silence());

    let short = daemon.send(QUEUE, &json!({ "payload": 1, "timeout": "200ms" })).await;
    let long = daemon.send(QUEUE, &json!({ "payload": 2 })).await;

    for id in [&short, &long] {
        let message = daemon.wait_final(id).await;
        assert_eq!((&message["state"], &message["attempts"]), (&json!("delivered"), &json!(2)));
    }
    let message = json!({ "payload": 1, "timeout": "1s" });
    let refused = daemon.post("/v1/queues/pulled/messages", &message).await.expect(400).json();
    assert_eq!(refused["errors"][0]["pointer"], "/timeout");
}
