//! Topics: one event, a message in each queue, each with its own fate.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::support::redis::RedisOptions;
use crate::support::wait::poll_until;
use crate::support::{Cluster, Daemon, Downstream, RedisServer, eventually, queue_toml};

const PATH: &str = "/v1/topics/order_paid/messages";

fn topic_toml(queues: &[&str]) -> String {
    format!("[topics.order_paid]\nqueues = {queues:?}\n")
}

fn config(downstream: &Downstream, queues: &[&str]) -> String {
    let tables: String = queues.iter().map(|name| queue_toml(name, downstream, "")).collect();
    tables + &topic_toml(queues)
}

/// The id of the message that this queue got of an event.
fn id_in(event: &Value, queue: &str) -> String {
    let messages = event["messages"].as_array().expect("an event has messages");
    let message = messages.iter().find(|message| message["queue"] == queue);
    message.expect("the queue subscribes")["id"].as_str().expect("it has an id").to_owned()
}

/// Requests that came for this queue.
fn arrived(downstream: &Downstream, queue: &str) -> usize {
    let path = format!("/{queue}");
    downstream.requests().iter().filter(|request| request.path == path).count()
}

async fn topic(daemon: &Daemon) -> Value {
    daemon.get("/v1/topics/order_paid").await.expect(200).json()
}

#[tokio::test]
async fn a_repeat_gets_the_same_ids_and_another_event_under_the_same_key_is_refused() {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let daemon = Daemon::start(&redis, config(&downstream, &["stock", "sms"])).await;
    let body = json!({ "payload": 1, "idempotency_key": "o-1" });
    let first = daemon.post(PATH, &body).await.expect(201).json();
    for queue in ["stock", "sms"] {
        assert_eq!(daemon.wait_final(&id_in(&first, queue)).await["state"], "delivered");
    }

    let headers = [("Content-Type", "application/json"), ("Idempotency-Key", "\"o-1\"")];
    let repeat =
        daemon.http().send(Method::POST, PATH, &headers, json!({ "payload": 1 }).to_string()).await;
    let repeat = repeat.expect(200).json();
    let other = daemon.post(PATH, &json!({ "payload": 2, "idempotency_key": "o-1" })).await;

    assert_eq!((&repeat["id"], &repeat["messages"]), (&first["id"], &first["messages"]));
    assert_eq!(repeat["duplicate"], true);
    assert_eq!(other.expect(422).json()["id"], first["id"]);
    // The key is the topic's: in a queue it is free.
    daemon.send("sms", &json!({ "payload": "its own", "idempotency_key": "o-1" })).await;
    downstream.wait_for(3).await;
    assert_eq!((arrived(&downstream, "stock"), arrived(&downstream, "sms")), (1, 2));
}

#[tokio::test]
async fn delays_expiry_and_bad_events_are_as_those_of_messages() {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let daemon = Daemon::start(&redis, config(&downstream, &["stock", "sms"])).await;

    let later = json!({ "payload": 1, "delay": "300ms", "ttl": "1h", "priority": 3 });
    let event = daemon.post(PATH, &later).await.expect(201).json();

    let message = daemon.message(&id_in(&event, "sms")).await;
    assert_eq!((&message["state"], &message["priority"]), (&json!("scheduled"), &json!(3)));
    assert!(message["expires_at"].is_string(), "{message}");
    assert_eq!(daemon.wait_final(&id_in(&event, "sms")).await["state"], "delivered");

    let unknown = daemon.post("/v1/topics/order_payd/messages", &json!({ "payload": 1 })).await;
    assert_eq!(
        unknown.expect(404).json()["detail"],
        "there is no topic \"order_payd\"; did you mean \"order_paid\"?"
    );
    let faulty = daemon.post(PATH, &json!({ "paylod": 1, "delay": "soon" })).await.expect(400);
    assert!(faulty.json()["errors"].as_array().unwrap().len() >= 2, "{}", faulty.text());
    let large = json!({ "payload_base64": "AAAA", "headers":
        (0..8).map(|n| (format!("x-{n}"), json!("v".repeat(8176)))).collect::<serde_json::Map<_, _>>() });
    daemon.post(PATH, &large).await.expect(413);
}

#[tokio::test]
async fn the_command_line_publishes_and_shows_topics() {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let daemon = Daemon::start(&redis, config(&downstream, &["stock", "sms"])).await;

    let published =
        daemon.cli(&["publish", "order_paid", "-d", "{\"order\": 1}", "--key", "o-1"]).await;

    assert_eq!(published.code, 0, "{}", published.stderr);
    let ids: Vec<_> = published.stdout.lines().collect();
    assert!(ids[0].starts_with("stock_") && ids[1].starts_with("sms_"), "{ids:?}");
    for id in ids {
        assert_eq!(daemon.wait_final(id).await["state"], "delivered");
    }
    let topics = daemon.cli(&["topics"]).await;
    assert!(topics.stdout.contains("order_paid  stock, sms"), "{}", topics.stdout);
    let missing = daemon.cli(&["publish", "order_payd", "-d", "1"]).await;
    assert_eq!(missing.code, 3);
    assert!(missing.stderr.contains("did you mean \"order_paid\"?"), "{}", missing.stderr);
}

#[tokio::test]
async fn who_subscribes_by_a_reload_gets_later_events_only() {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let queues = config(&downstream, &["stock", "sms"]);
    let with = |subscribers: &[&str]| {
        queues.split("[topics").next().expect("queues come first").to_owned()
            + &topic_toml(subscribers)
    };
    let daemon = Daemon::start(&redis, with(&["stock"])).await;
    let before = json!({ "payload": "before", "idempotency_key": "o-1" });
    let first = daemon.post(PATH, &before).await.expect(201).json();
    assert_eq!(first["messages"].as_array().unwrap().len(), 1);

    daemon.sighup(&with(&["stock", "nobody"]));
    eventually("the bad file is refused", async || {
        daemon.log().contains("topics.order_paid.queues[1]: there is no queue")
    })
    .await;
    daemon.sighup(&with(&["stock", "sms"]));
    eventually("it subscribes", async || topic(&daemon).await["queues"] == json!(["stock", "sms"]))
        .await;

    // Told again, the old event is the old event.
    let repeat = daemon.post(PATH, &before).await.expect(200).json();
    assert_eq!(repeat["messages"], first["messages"]);
    let second = daemon.post(PATH, &json!({ "payload": "after" })).await.expect(201).json();
    assert_eq!(daemon.wait_final(&id_in(&second, "sms")).await["state"], "delivered");
    downstream.wait_for(3).await;
    assert_eq!((arrived(&downstream, "stock"), arrived(&downstream, "sms")), (2, 1));

    daemon.sighup(queues.split("[topics").next().unwrap());
    eventually("the topic is retired", async || topic(&daemon).await["retired"] == true).await;
    let gone = daemon.post(PATH, &json!({ "payload": "late" })).await.expect(404).json();
    assert!(gone["detail"].as_str().unwrap().contains("is retired"), "{gone}");
}

/// A namespace in which sms lies on another master than the topic and stock; and that master.
pub(crate) async fn apart(cluster: &Cluster) -> (String, usize) {
    for number in 0.. {
        let namespace = format!("t{number}");
        let mut owners = Vec::new();
        for tag in ["sms.0", "stock.0", "~topic.order_paid"] {
            let slot = cluster.slot(&format!("{{{namespace}:{tag}}}")).await;
            owners.push(cluster.owner(slot, 0).await);
        }
        if owners[0] != owners[1] && owners[0] != owners[2] {
            return (namespace, owners[0]);
        }
    }
    unreachable!("three masters share the slots")
}

#[tokio::test]
async fn a_queue_that_is_full_gets_its_message_later_and_its_neighbours_at_once() {
    let (cluster, downstream) = tokio::join!(Cluster::start(), Downstream::start());
    let (namespace, number) = apart(&cluster).await;
    let daemon = Daemon::with(config(&downstream, &["stock", "sms"]))
        .cluster(&cluster)
        .environment("TIDEGATE__REDIS__NAMESPACE", &namespace)
        .start()
        .await;
    let limit = async |bytes: String| {
        cluster.nodes()[number].cli::<()>(&["CONFIG", "SET", "maxmemory", &bytes]).await;
    };
    let info: String = cluster.nodes()[number].cli(&["INFO", "memory"]).await;
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory:")).expect("it is told");
    limit((used.trim().parse::<u64>().unwrap() * 100 / 95).to_string()).await;
    let mut so_far = 0;
    while daemon.post("/v1/queues/sms/messages", &json!({ "payload": 0 })).await.status != 503 {
        so_far += 1;
        eventually("it has come", async || arrived(&downstream, "sms") == so_far).await;
    }

    let event = daemon.post(PATH, &json!({ "payload": 1 })).await.expect(201).json();

    assert_eq!(event["messages"][0]["pending"], Value::Null, "{event}");
    assert_eq!(event["messages"][1]["pending"], true, "{event}");
    assert_eq!(daemon.wait_final(&id_in(&event, "stock")).await["state"], "delivered");
    let told = topic(&daemon).await;
    assert_eq!((&told["pending"], &told["waits_for"]), (&json!(1), &json!(["sms"])));
    let metrics = daemon.get("/metrics").await;
    let metrics = metrics.text();
    assert!(metrics.contains("tidegate_topic_pending{topic=\"order_paid\"} 1"), "{metrics}");
    assert!(metrics.contains("tidegate_topic_events_total{topic=\"order_paid\"} 1"), "{metrics}");

    limit("0".to_owned()).await;
    let id = id_in(&event, "sms");
    poll_until("sms has it too", async || {
        let message = daemon.get(&format!("/v1/messages/{id}")).await;
        (message.status == 200 && message.json()["state"] == "delivered").then_some(())
    })
    .await;
    eventually("the event is done with", async || topic(&daemon).await["pending"] == 0).await;
    assert_eq!((arrived(&downstream, "stock"), arrived(&downstream, "sms") - so_far), (1, 1));
}

#[tokio::test]
#[ignore = "needs Valkey: make test-all runs it"]
async fn on_valkey_too() {
    let redis = RedisOptions::valkey().start().await;
    let downstream = Downstream::start().await;
    let daemon = Daemon::start(&redis, config(&downstream, &["stock", "sms"])).await;
    let event = daemon.post(PATH, &json!({ "payload": 1 })).await.expect(201).json();
    for queue in ["stock", "sms"] {
        assert_eq!(daemon.wait_final(&id_in(&event, queue)).await["state"], "delivered");
    }
    let quick = Duration::from_secs(1);
    tokio::time::timeout(
        quick,
        eventually("it is done with", async || topic(&daemon).await["pending"] == 0),
    )
    .await
    .expect("nobody had to look for it");
}
