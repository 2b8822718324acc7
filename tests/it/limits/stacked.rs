//! Several limits on one queue: quotas beside a rate, costs, and what goes back.
//!
//! Quotas are a month's, so that no test meets the end of a period unless it runs at the end of a month.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::rates::assert_within;
use crate::support::wait::poll_until;
use crate::support::{
    Daemon, Downstream, QUEUE, RedisServer, Scene, Stalls, eventually, queue_toml,
};

/// The standing of a limit, as the queue shows it.
pub(crate) async fn limit(daemon: &Daemon, name: &str) -> Value {
    let queue = daemon.get(&format!("/v1/queues/{QUEUE}")).await.expect(200).json();
    let limits = queue["limits"].as_array().expect("a list").clone();
    limits.into_iter().find(|limit| limit["name"] == name).expect("the queue has it")
}

/// Waits until the limit holds all that is left, and so many are delivered.
async fn wait_held(daemon: &Daemon, delivered: u64, ready: u64) {
    eventually("the limit holds the rest", async || {
        let counts = daemon.counts(QUEUE).await;
        counts["delivered"] == delivered && counts["ready"] == ready && counts["leased"] == 0
    })
    .await;
}

/// The bodies that the downstream got; none came twice.
fn numbers(downstream: &Downstream) -> BTreeSet<String> {
    let bodies: Vec<_> =
        downstream.requests().iter().map(|request| request.json().to_string()).collect();
    let numbers: BTreeSet<_> = bodies.iter().cloned().collect();
    assert_eq!(numbers.len(), bodies.len(), "one came twice: {bodies:?}");
    numbers
}

#[tokio::test]
async fn a_quota_holds_what_is_beyond_it_and_says_so() {
    let scene = Scene::start(
        "rate = \"50/s\"\nlimits = [{ name = \"contract\", quota = \"5/month\", time_zone = \"Asia/Shanghai\" }]",
    )
    .await;

    scene.send_numbers(8).await;

    wait_held(&scene.daemon, 5, 3).await;
    assert_eq!(numbers(&scene.downstream).len(), 5);
    let contract = limit(&scene.daemon, "contract").await;
    let shown = [
        &contract["kind"],
        &contract["value"],
        &contract["used"],
        &contract["left"],
        &contract["held_keys"],
    ];
    assert_eq!(json!(shown), json!(["quota", "5/month", 5, 0, 1]));
    let queue = scene.daemon.get(&format!("/v1/queues/{QUEUE}")).await.expect(200).json();
    let until = contract["resets_at"].as_str().expect("a moment");
    assert_eq!(queue["sending"]["state"], "open");
    assert_eq!(
        queue["sending"]["reason"],
        format!(
            "Its limit \"contract\" is used up until {until}, and what is due waits until then."
        )
    );
    let table = scene.daemon.cli(&["queues"]).await.stdout;
    assert!(table.contains("open, limit contract used up, begins again in"), "{table}");
    // A month begins at midnight in Shanghai, which is 16:00 UTC the day before.
    assert!(
        contract["resets_at"].as_str().expect("a moment").ends_with("T16:00:00.000Z"),
        "{contract}"
    );
    // Between two slots a rate holds what is ready, too.
    poll_until("the slot of the rate has come", async || {
        let rate = limit(&scene.daemon, "rate").await;
        assert_eq!(
            json!([rate["kind"], rate["value"], rate["used"]]),
            json!(["rate", "50/s", null])
        );
        (rate["held_keys"] == 0).then_some(())
    })
    .await;
    let path = format!("/v1/queues/{QUEUE}/messages?state=ready");
    for message in
        scene.daemon.get(&path).await.expect(200).json()["messages"].as_array().expect("a page")
    {
        assert_eq!(message["held_by"], json!(["limit:contract"]));
    }
    let metrics = scene.daemon.get("/metrics").await.expect(200).text().to_owned();
    let gauge = format!("tidegate_limit_used{{queue=\"{QUEUE}\",limit=\"contract\"}} 1.0");
    assert!(metrics.contains(&gauge), "{metrics}");
}

#[tokio::test]
async fn three_nodes_share_a_quota_to_the_unit() {
    let lines = "limits = [{ quota = \"40/month\" }]";
    let scene = Scene::start(lines).await;
    let _others = (scene.another_daemon(lines).await, scene.another_daemon(lines).await);

    scene.send_numbers(60).await;

    wait_held(&scene.daemon, 40, 20).await;
    assert_eq!(numbers(&scene.downstream).len(), 40);
    assert_eq!(limit(&scene.daemon, "quota_month").await["used"], 40);
}

#[tokio::test]
async fn a_quota_over_shards_leaves_nothing_unused() {
    let scene = Scene::start("shards = 4\nlimits = [{ quota = \"20/month\" }]").await;

    // One by one: each claim is granted more than it finds.
    for number in 0..30 {
        let message = json!({ "payload": number });
        scene.daemon.post(&format!("/v1/queues/{QUEUE}/messages"), &message).await.expect(201);
    }

    wait_held(&scene.daemon, 20, 10).await;
    assert_eq!(numbers(&scene.downstream).len(), 20);
}

#[tokio::test]
async fn a_stop_gives_back_the_units_of_what_did_not_start() {
    let redis = RedisServer::start().await;
    let downstream = Downstream::start().await;
    let lines = "rate = \"20/s\"\nlimits = [{ name = \"contract\", quota = \"12/month\" }]";
    let mut daemon = Daemon::start(&redis, queue_toml(QUEUE, &downstream, lines)).await;
    let messages: Vec<_> = (0..12).map(|number| json!({ "payload": number })).collect();
    daemon.post(&format!("/v1/queues/{QUEUE}/messages/batch"), &json!(messages)).await.expect(200);

    // Each stop finds messages that are claimed and wait for their slots.
    for sent in [3, 6, 9] {
        downstream.wait_for(sent).await;
        assert_eq!(daemon.sigterm().await, 0);
        daemon.restart().await;
    }

    wait_held(&daemon, 12, 0).await;
    assert_eq!(numbers(&downstream).len(), 12);
    assert_eq!(limit(&daemon, "contract").await["used"], 12);
}

#[tokio::test]
async fn costs_are_paced_and_a_quota_that_they_do_not_fit_holds() {
    let stalls = Stalls::watch();
    let scene =
        Scene::start("rate = \"40/s\"\nlimits = [{ name = \"contract\", quota = \"62/month\" }]")
            .await;
    // 20 × (1 + 2) = 60 units; then one of 3 does not fit, and holds those behind it.
    let costs = (0..40).map(|number| 1 + number % 2).chain([3, 1]);
    let messages: Vec<_> = costs
        .enumerate()
        .map(|(number, cost)| json!({ "payload": number, "cost": cost }))
        .collect();

    scene
        .daemon
        .post(&format!("/v1/queues/{QUEUE}/messages/batch"), &json!(messages))
        .await
        .expect(200);

    wait_held(&scene.daemon, 40, 2).await;
    assert_eq!(limit(&scene.daemon, "contract").await["used"], 60);
    // The last unit of the last message is not paced: it stands for nothing that follows.
    let requests = scene.downstream.requests();
    let took = requests[39].arrived - requests[0].arrived;
    assert!(took >= Duration::from_millis((60 - 2) * 25 - 25), "{took:?}");
    // Calls of one and two units in turns: in any window at most one unit more than the rate gives.
    let calls_per_second = 40.0 / 1.5;
    assert_within(&stalls, &requests, calls_per_second, 2);
}

/// A cost above the burst is a debt that all later calls wait for, and for no longer.
async fn costs_are_paced_at(lines: &str, per_second: u64, cost: u64) {
    const COUNT: usize = 8;
    let stalls = Stalls::watch();
    let scene = Scene::start(lines).await;
    let messages: Vec<_> =
        (0..COUNT).map(|number| json!({ "payload": number, "cost": cost })).collect();

    scene.send_all(&messages).await;

    let requests = scene.downstream.wait_for(COUNT).await;
    assert_eq!(numbers(&scene.downstream).len(), COUNT);
    let took = requests[COUNT - 1].arrived - requests[0].arrived;
    let ideal = Duration::from_millis(1000 * cost * (COUNT as u64 - 1) / per_second);
    let (first, last) = (requests[0].arrived, requests[COUNT - 1].arrived);
    let worst = stalls.worst_between(first - Duration::from_millis(500), last);
    assert!(took + Duration::from_millis(25) + worst >= ideal, "{took:?}, not {ideal:?}");
    // A machine that stalls loses permits, and with each of them as much time as a message costs.
    let is_calm = worst < Duration::from_millis(10);
    assert!(!is_calm || took <= ideal * 2, "{took:?}, not {ideal:?}");
}

#[tokio::test]
async fn costs_above_the_burst_use_the_rate_wholly() {
    costs_are_paced_at("rate = \"20/s\"", 20, 3).await;
}

#[tokio::test]
async fn costs_above_a_larger_burst_use_the_rate_wholly() {
    costs_are_paced_at("limits = [{ rate = \"100/s\", burst = 5, name = \"fast\" }, { rate = \"40/s\", name = \"slow\" }]", 40, 8).await;
}

#[tokio::test]
async fn costs_over_shards_use_the_rate_wholly() {
    costs_are_paced_at("rate = \"20/s\"\nshards = 4", 20, 3).await;
}

#[tokio::test]
async fn a_batch_is_cut_where_a_quota_of_messages_ends() {
    let scene = Scene::start(
        "concurrency = 1\nbatch = { max_items = 4, max_wait = \"100ms\" }\nlimits = [{ name = \"rows\", quota = \"10/month\", unit = \"messages\" }]",
    )
    .await;

    scene.send_numbers(13).await;

    wait_held(&scene.daemon, 10, 3).await;
    let sizes: Vec<usize> = scene
        .downstream
        .requests()
        .iter()
        .map(|request| request.json().as_array().expect("a batch").len())
        .collect();
    assert_eq!(sizes, [4, 4, 2]);
    assert_eq!(limit(&scene.daemon, "rows").await["used"], 10);
}

#[tokio::test]
async fn after_a_rollback_each_node_raises_a_quota_to_what_it_started() {
    let mut redis = RedisServer::start().await;
    let downstream = Downstream::start().await;
    let lines = "limits = [{ name = \"contract\", quota = \"5/month\" }]";
    let daemon = Daemon::start(&redis, queue_toml(QUEUE, &downstream, lines)).await;
    let send = async |numbers: std::ops::Range<u32>| {
        let messages: Vec<_> = numbers.map(|number| json!({ "payload": number })).collect();
        let path = format!("/v1/queues/{QUEUE}/messages/batch");
        poll_until("the messages are taken", async || {
            let reply = daemon.post(&path, &json!(messages)).await;
            (reply.status == 200 && reply.json()["accepted"] == messages.len()).then_some(())
        })
        .await;
    };
    send(0..3).await;
    wait_held(&daemon, 3, 0).await;

    // As a failover below `replicas` would leave it: Redis knows nothing of the calls.
    let shard = format!("{{tidegate:{QUEUE}.0}}");
    assert_eq!(redis.cli::<u64>(&["HDEL", &format!("{shard}:meta"), "limit:contract"]).await, 1);
    redis.cli::<u64>(&["DEL", &format!("{shard}:claims")]).await;
    redis.restart().await;

    eventually("the node tells what it started", async || {
        limit(&daemon, "contract").await["used"] == 3
    })
    .await;
    send(3..8).await;
    eventually("the rest is held", async || {
        let counts = daemon.counts(QUEUE).await;
        counts["delivered"] == 5 && counts["ready"] == 3
    })
    .await;
    assert_eq!(numbers(&downstream).len(), 5);
}

#[tokio::test]
async fn what_a_worker_releases_goes_back_to_the_quota() {
    let redis = RedisServer::start().await;
    let lines = "limits = [{ name = \"contract\", quota = \"4/month\" }]";
    let toml = format!("[queues.{QUEUE}]\ndownstream.type = \"pull\"\n{lines}\n");
    let daemon = Daemon::start(&redis, toml).await;
    for cost in [3, 1, 1] {
        daemon.send(QUEUE, &json!({ "payload": cost, "cost": cost })).await;
    }
    let claim = async || {
        let path = format!("/v1/queues/{QUEUE}/claim");
        let reply = daemon.post(&path, &json!({ "max": 10 })).await.expect(200).json();
        reply["messages"].as_array().expect("a list").clone()
    };

    // Three units and one: the third message does not fit any more.
    let claimed = claim().await;
    assert_eq!(claimed.len(), 2, "{claimed:?}");
    assert_eq!(limit(&daemon, "contract").await["used"], 4);
    let said: Vec<_> = claimed
        .iter()
        .map(|message| json!({ "id": message["id"], "token": message["token"], "as": "release" }))
        .collect();
    // Twice: a repeat gives nothing back.
    for verdict in ["ok", "already"] {
        let path = format!("/v1/queues/{QUEUE}/settle");
        let reply = daemon.post(&path, &json!(said)).await.expect(200).json();
        assert_eq!(reply["results"][0]["verdict"], verdict, "{reply}");
        assert_eq!(limit(&daemon, "contract").await["used"], 0);
    }
    assert_eq!(claim().await.len(), 2);
}
