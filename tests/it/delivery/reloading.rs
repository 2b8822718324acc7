//! SIGHUP: the queues change over without losing anything, or not at all.

use std::time::Duration;

use serde_json::json;

use crate::support::{Answer, Daemon, Downstream, Gate, RedisServer, eventually, queue_toml};

#[tokio::test]
async fn a_new_rate_holds_at_once() {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let daemon = Daemon::start(&redis, queue_toml("sms", &downstream, "rate = \"1/min\"")).await;
    let messages: Vec<_> = (0..20).map(|n| json!({ "payload": n })).collect();
    daemon.post("/v1/queues/sms/messages/batch", &json!(messages)).await.expect(200);
    downstream.wait_for(1).await;

    daemon.sighup(&queue_toml("sms", &downstream, "rate = \"50/s\""));

    let requests = downstream.wait_for(20).await;
    let took = requests[19].arrived - requests[1].arrived;
    assert!(took >= Duration::from_millis(320) && took < Duration::from_secs(2), "{took:?}");
}

#[tokio::test]
async fn calls_in_flight_outlast_a_reload_and_are_made_once() {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let daemon = Daemon::start(&redis, queue_toml("sms", &downstream, "concurrency = 2")).await;
    let gate = Gate::new();
    downstream.always(Answer::ok().held_by(&gate));
    let messages: Vec<_> = (0..10).map(|n| json!({ "payload": n })).collect();
    daemon.post("/v1/queues/sms/messages/batch", &json!(messages)).await.expect(200);
    downstream.wait_for(2).await;

    daemon.sighup(&queue_toml("sms", &downstream, "concurrency = 3"));
    downstream.wait_for(3).await;
    gate.release();

    eventually("all are delivered", async || daemon.counts("sms").await["delivered"] == 10).await;
    assert_eq!((downstream.requests().len(), downstream.in_flight_max()), (10, 3));
}

#[tokio::test]
async fn a_new_queue_works_and_a_removed_one_rests_with_its_messages() {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let before = queue_toml("sms", &downstream, "");
    let daemon = Daemon::start(&redis, before.clone()).await;
    let kept = daemon.send("sms", &json!({ "payload": "kept", "delay": "400ms" })).await;

    daemon.sighup(&queue_toml("erp", &downstream, ""));
    eventually("the new queue is there", async || daemon.get("/v1/queues/erp").await.status == 200)
        .await;
    let id = daemon.send("erp", &json!({ "payload": "new" })).await;

    assert_eq!(daemon.wait_final(&id).await["state"], "delivered");
    let retired = daemon.get("/v1/queues/sms").await.expect(200).json();
    assert_eq!(retired["counts"]["scheduled"], 1);
    // Past its due time: a retired queue is not dispatched.
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(downstream.requests().len(), 1);
    daemon.sighup(&(before + &queue_toml("erp", &downstream, "")));
    assert_eq!(daemon.wait_final(&kept).await["state"], "delivered");
}

#[tokio::test]
async fn a_bad_file_changes_nothing_and_says_so() {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let daemon = Daemon::start(&redis, queue_toml("sms", &downstream, "")).await;

    daemon.sighup(&queue_toml("sms", &downstream, "concurency = 1"));
    eventually("the log says so", async || {
        daemon.log().contains("the old one stays in force") && daemon.log().contains("concurency")
    })
    .await;

    let id = daemon.send("sms", &json!({ "payload": 1 })).await;
    assert_eq!(daemon.wait_final(&id).await["state"], "delivered");

    let shown = async |what: &str| {
        let found = daemon.get("/v1/doctor").await.expect(200).text().contains("reload-failed");
        let metrics = daemon.get("/metrics").await.expect(200);
        (found, metrics.text().contains(&format!("tidegate_reload_failed {what}\n")))
    };
    assert_eq!(shown("1").await, (true, true));
    daemon.sighup(&queue_toml("sms", &downstream, "concurrency = 1"));
    eventually("it has reloaded", async || {
        daemon.log().contains("configuration reloaded") && daemon.log().contains("\"changed\":1")
    })
    .await;
    assert_eq!(shown("0").await, (false, true));
}

#[tokio::test]
async fn a_raised_rate_is_used_within_some_seconds() {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let daemon = Daemon::start(&redis, queue_toml("sms", &downstream, "rate = \"6/min\"")).await;
    for number in 0..5 {
        daemon.send("sms", &json!({ "payload": number })).await;
    }
    downstream.wait_for(1).await;

    let told = tokio::time::Instant::now();
    daemon.sighup(&queue_toml("sms", &downstream, "rate = \"50/s\""));
    downstream.wait_for(5).await;

    // Slots of the old rate may be with a node for up to two seconds.
    assert!(told.elapsed() < Duration::from_secs(5), "{:?}", told.elapsed());
}
