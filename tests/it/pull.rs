//! Workers that claim and settle over HTTP: every gate holds, and every fence.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::support::{Cluster, Daemon, RedisServer, eventually, within};

const QUEUE: &str = "jobs";

fn config(lines: &str) -> String {
    format!("[queues.{QUEUE}]\ndownstream.type = \"pull\"\n{lines}\n")
}

/// A worker of one daemon.
struct Worker<'a>(&'a Daemon);

impl Worker<'_> {
    async fn claim(&self, wish: &Value) -> Vec<Value> {
        let reply = self.0.post(&format!("/v1/queues/{QUEUE}/claim"), wish).await.expect(200);
        reply.json()["messages"].as_array().expect("a list").clone()
    }

    /// The only message there is, within a few seconds.
    async fn one(&self) -> Value {
        let messages = self.claim(&json!({ "wait": "10s" })).await;
        assert_eq!(messages.len(), 1, "{messages:?}");
        messages.into_iter().next().expect("one")
    }

    async fn settle(&self, items: &[Value]) -> Vec<String> {
        let path = format!("/v1/queues/{QUEUE}/settle");
        let reply = self.0.post(&path, &json!(items)).await.expect(200).json();
        let verdict = |result: &Value| result["verdict"].as_str().expect("a word").to_owned();
        reply["results"].as_array().expect("a list").iter().map(verdict).collect()
    }
}

/// What is said of a claimed message.
fn said(message: &Value, word: &str) -> Value {
    json!({ "id": message["id"], "token": message["token"], "as": word })
}

fn with(mut said: Value, field: &str, value: impl Into<Value>) -> Value {
    said[field] = value.into();
    said
}

async fn send(daemon: &Daemon, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for number in 0..count {
        ids.push(daemon.send(QUEUE, &json!({ "payload": number })).await);
    }
    ids
}

#[tokio::test]
async fn a_worker_gets_what_was_handed_over_and_its_word_is_kept() {
    let redis = RedisServer::start().await;
    let daemon = Daemon::start(&redis, config("")).await;
    let worker = Worker(&daemon);
    let sent = json!({
        "payload": { "page": 7 }, "headers": { "X-Shop": "eu" }, "group": "g", "labels": { "a": "b" },
    });
    let id = daemon.send(QUEUE, &sent).await;

    let message = worker.one().await;

    assert_eq!((&message["id"], &message["attempt"]), (&json!(id), &json!(1)));
    assert_eq!(message["payload"], json!({ "page": 7 }));
    assert_eq!((&message["headers"]["x-shop"], &message["group"]), (&json!("eu"), &json!("g")));
    assert_eq!(daemon.message(&id).await["state"], "leased");
    assert!(worker.claim(&json!({})).await.is_empty(), "it is in a worker's hands");

    let result = with(said(&message, "delivered"), "result", json!({ "printed": true }));
    assert_eq!(worker.settle(std::slice::from_ref(&result)).await, ["ok"]);

    let message = daemon.message(&id).await;
    assert_eq!(message["state"], "delivered");
    assert_eq!(message["result"]["body"], "{\"printed\":true}");
    assert_eq!(worker.settle(&[result]).await, ["already"]);
}

#[tokio::test]
async fn every_word_of_a_worker_has_its_effect() {
    let redis = RedisServer::start().await;
    let daemon =
        Daemon::start(&redis, config("retry.max_attempts = 3\nretry.initial = \"1h\"")).await;
    let worker = Worker(&daemon);
    let ids = send(&daemon, 5).await;
    let taken = worker.claim(&json!({ "max": 10 })).await;
    let of = |id: &String| taken.iter().find(|m| m["id"] == json!(id)).expect("all were taken");
    let detail = |said: Value| with(said, "detail", "no paper");

    let verdicts = worker
        .settle(&[
            said(of(&ids[0]), "delivered"),
            detail(said(of(&ids[1]), "dead")),
            detail(said(of(&ids[2]), "retry")),
            with(said(of(&ids[3]), "retry"), "delay", "0s"),
            said(of(&ids[4]), "release"),
        ])
        .await;

    assert_eq!(verdicts, ["ok"; 5]);
    let dead = daemon.message(&ids[1]).await;
    assert_eq!((&dead["state"], &dead["reason"]), (&json!("dead"), &json!("no paper")));
    let waits = daemon.message(&ids[2]).await;
    assert_eq!(
        (&waits["state"], &waits["last_attempt"]["error"]),
        (&json!("scheduled"), &json!("no paper"))
    );
    // By the policy, in about an hour.
    let counts = daemon.counts(QUEUE).await;
    assert_eq!(
        (&counts["delivered"], &counts["dead"], &counts["scheduled"]),
        (&json!(1), &json!(1), &json!(1))
    );
    let mut again = worker.claim(&json!({ "max": 10, "wait": "5s" })).await;
    while again.len() < 2 {
        again.extend(worker.claim(&json!({ "max": 10, "wait": "5s" })).await);
    }
    let attempt =
        |id: &String| again.iter().find(|m| m["id"] == json!(id)).expect("back")["attempt"].clone();
    assert_eq!(attempt(&ids[3]), 2, "a retry was an attempt");
    assert_eq!(attempt(&ids[4]), 1, "a release gives it back");
}

#[tokio::test]
async fn a_message_that_fails_too_often_is_dead() {
    let redis = RedisServer::start().await;
    let daemon =
        Daemon::start(&redis, config("retry.max_attempts = 2\nretry.initial = \"1ms\"")).await;
    let worker = Worker(&daemon);
    let id = daemon.send(QUEUE, &json!({ "payload": 1 })).await;

    for _ in 0..2 {
        let message = worker.one().await;
        assert_eq!(worker.settle(&[with(said(&message, "retry"), "detail", "jam")]).await, ["ok"]);
    }

    let message = daemon.wait_final(&id).await;
    assert_eq!((&message["state"], &message["attempts"]), (&json!("dead"), &json!(2)));
    assert_eq!(message["reason"], "2 attempts failed; the last: jam");
}

#[tokio::test]
async fn a_lease_that_runs_out_comes_back_and_the_late_worker_does_no_harm() {
    let redis = RedisServer::start().await;
    let daemon = Daemon::start(&redis, config("lease = \"5s\"")).await;
    let worker = Worker(&daemon);
    let id = daemon.send(QUEUE, &json!({ "payload": 1 })).await;
    let late = worker.claim(&json!({})).await.remove(0);

    let message = worker.one().await;

    assert_eq!((&message["id"], &message["attempt"]), (&json!(id), &json!(2)));
    // A failure that comes too late turns nothing back...
    assert_eq!(worker.settle(&[said(&late, "retry")]).await, ["stale"]);
    assert_eq!(worker.settle(&[said(&late, "renew")]).await, ["stale"]);
    assert_eq!(daemon.message(&id).await["state"], "leased");
    // ...a success counts, and the other one is a repeat.
    assert_eq!(worker.settle(&[said(&late, "delivered")]).await, ["ok"]);
    assert_eq!(daemon.message(&id).await["state"], "delivered");
    assert_ne!(worker.settle(&[said(&message, "retry")]).await, ["ok"]);
    assert_eq!(daemon.message(&id).await["state"], "delivered");
}

/// It goes alone, so that it loses no other with it; but it waits for nobody, or a worker with a long job would
/// hold up the whole queue.
#[tokio::test]
async fn a_message_that_was_lost_twice_goes_alone_and_holds_nobody_up() {
    let redis = RedisServer::start().await;
    let daemon = Daemon::start(&redis, config("lease = \"5s\"")).await;
    let worker = Worker(&daemon);
    send(&daemon, 1).await;
    let long = worker.claim(&json!({ "lease": "1h" })).await;
    let lost = send(&daemon, 1).await.remove(0);
    for attempt in [1, 2] {
        let taken = worker.claim(&json!({ "lease": "1s", "wait": "10s" })).await.remove(0);
        assert_eq!((&taken["id"], &taken["attempt"]), (&json!(lost), &json!(attempt)));
        eventually("its lease ends", async || daemon.message(&lost).await["state"] == "ready")
            .await;
    }
    send(&daemon, 3).await;

    let alone = worker.claim(&json!({ "max": 10, "wait": "10s" })).await;
    let others = worker.claim(&json!({ "max": 10, "wait": "10s" })).await;

    assert_eq!((alone.len(), &alone[0]["id"]), (1, &json!(lost)));
    assert_eq!(others.len(), 3, "while it is with its worker, as the long one is");
    assert_eq!(worker.settle(&[said(&long[0], "delivered")]).await, ["ok"]);
}

#[tokio::test]
async fn a_renewed_lease_stays() {
    let redis = RedisServer::start().await;
    let daemon = Daemon::start(&redis, config("")).await;
    let worker = Worker(&daemon);
    let _id = daemon.send(QUEUE, &json!({ "payload": 1 })).await;
    let message = worker.claim(&json!({ "lease": "1s" })).await.remove(0);
    assert_eq!(worker.settle(&[with(said(&message, "renew"), "lease", "1m")]).await, ["ok"]);

    // Beyond the first lease and the reaper's grace: nobody else gets it.
    assert!(worker.claim(&json!({ "wait": "3s" })).await.is_empty());
    assert_eq!(worker.settle(&[said(&message, "delivered")]).await, ["ok"]);
}

#[tokio::test]
async fn who_waits_is_told_by_any_node_and_asks_redis_only_then() {
    let redis = RedisServer::start().await;
    let (near, far) =
        tokio::join!(Daemon::start(&redis, config("")), Daemon::start(&redis, config("")));
    let claims = async || {
        let stats: String = redis.cli(&["INFO", "commandstats"]).await;
        let calls = |line: &str| {
            let rest = line.strip_prefix("cmdstat_evalsha:calls=")?;
            rest.split(',').next()?.parse::<u64>().ok()
        };
        stats.lines().find_map(calls).unwrap_or(0)
    };
    let workers = 40;
    let wish = json!({ "wait": "20s" });
    let waiting = (0..workers).map(async |_| Worker(&near).claim(&wish).await);
    let waiting = futures_util::future::join_all(waiting);
    let waking = async {
        // Until all of them stand in line.
        eventually("somebody asked", async || claims().await > 0).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        let before = claims().await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let idle = claims().await - before;
        assert!(idle < workers, "{idle} calls in 2 s while {workers} workers waited for nothing");
        send(&far, 40).await
    };

    let (messages, ids) =
        within("every worker gets one", async { tokio::join!(waiting, waking) }).await;

    let mut got: Vec<_> = messages.iter().flatten().map(|m| m["id"].clone()).collect();
    got.sort_by_key(Value::to_string);
    let mut ids: Vec<_> = ids.into_iter().map(Value::from).collect();
    ids.sort_by_key(Value::to_string);
    assert_eq!(got, ids, "each got one, and another one");
}

#[tokio::test]
async fn the_limit_holds_for_what_is_handed_out() {
    let redis = RedisServer::start().await;
    let daemon = Daemon::start(&redis, config("rate = \"20/s\"\nburst = 1")).await;
    let worker = Worker(&daemon);
    send(&daemon, 20).await;

    let mut times = Vec::new();
    while times.len() < 20 {
        let messages = worker.claim(&json!({ "max": 5, "wait": "5s" })).await;
        times.extend(messages.iter().map(|_| Instant::now()));
    }

    // Within W: rate × (W + 20 ms) + burst, plus what one claim takes ahead within its horizon.
    let took = times[19] - times[0];
    assert!(took >= Duration::from_millis(850), "20 at 20/s took {took:?}");
    assert!(took <= Duration::from_secs(3), "and the rate is used: {took:?}");
}

#[tokio::test]
async fn pause_concurrency_and_window_hold_for_workers() {
    let redis = RedisServer::start().await;
    let daemon = Daemon::start(&redis, config("concurrency = 2")).await;
    let worker = Worker(&daemon);
    send(&daemon, 4).await;

    let first = worker.claim(&json!({ "max": 4 })).await;
    assert_eq!(first.len(), 2, "two at once");
    assert!(worker.claim(&json!({ "max": 4 })).await.is_empty());
    daemon.post(&format!("/v1/queues/{QUEUE}/pause"), &json!({})).await.expect(200);
    assert_eq!(
        worker.settle(&first.iter().map(|m| said(m, "delivered")).collect::<Vec<_>>()).await,
        ["ok", "ok"]
    );
    assert!(worker.claim(&json!({ "max": 4 })).await.is_empty(), "paused");

    let (wish, resume) = (json!({ "max": 4, "wait": "10s" }), format!("/v1/queues/{QUEUE}/resume"));
    let nothing = json!({});
    let (resumed, _) = tokio::join!(worker.claim(&wish), daemon.post(&resume, &nothing));
    assert_eq!(resumed.len(), 2);

    let shut = "window = { time_zone = \"UTC\", open = [{ days = \"mon\", from = \"00:00\", to = \"00:01\" }], \
                closed_dates = [] }";
    let other = RedisServer::start().await;
    let shut = Daemon::start(&other, config(shut)).await;
    send(&shut, 1).await;
    let message = Worker(&shut).claim(&json!({ "wait": "1s" })).await;
    // One minute of the week apart.
    assert!(message.is_empty(), "{message:?}");
}

#[tokio::test]
async fn a_worker_that_hangs_up_before_its_answer_costs_no_attempt() {
    let redis = RedisServer::start().await;
    let daemon = Daemon::start(&redis, config("")).await;
    for round in 0..5 {
        let mut gone = TcpStream::connect(("127.0.0.1", daemon.port())).await.expect("it listens");
        let body = "{\"wait\":\"30s\"}";
        let request = format!(
            "POST /v1/queues/{QUEUE}/claim HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        gone.write_all(request.as_bytes()).await.expect("written");
        tokio::time::sleep(Duration::from_millis(50)).await;
        drop(gone);
        let id = daemon.send(QUEUE, &json!({ "payload": round })).await;

        let message = Worker(&daemon).one().await;

        assert_eq!((&message["id"], &message["attempt"]), (&json!(id), &json!(1)));
        assert_eq!(Worker(&daemon).settle(&[said(&message, "delivered")]).await, ["ok"]);
    }
}

#[tokio::test]
async fn what_one_node_handed_out_another_settles() {
    let redis = RedisServer::start().await;
    let (mut near, far) =
        tokio::join!(Daemon::start(&redis, config("")), Daemon::start(&redis, config("")));
    let id = near.send(QUEUE, &json!({ "payload": 1 })).await;
    let message = Worker(&near).one().await;

    near.kill9().await;

    assert_eq!(Worker(&far).settle(&[said(&message, "delivered")]).await, ["ok"]);
    let kept = far.message(&id).await;
    assert_eq!((&kept["state"], &kept["attempts"]), (&json!("delivered"), &json!(1)));
}

#[tokio::test]
async fn shards_over_a_cluster_serve_workers_too() {
    let cluster = Cluster::shared().await;
    let options = Daemon::with(config("shards = 4\nrate = \"200/s\"\nburst = 5"));
    let daemon = options.cluster(cluster).start().await;
    let worker = Worker(&daemon);
    let mut ids = send(&daemon, 30).await;

    let mut got = Vec::new();
    while got.len() < ids.len() {
        let messages = worker.claim(&json!({ "max": 10, "wait": "5s" })).await;
        let items: Vec<_> = messages.iter().map(|m| said(m, "delivered")).collect();
        assert!(worker.settle(&items).await.iter().all(|verdict| verdict == "ok"));
        got.extend(messages.iter().map(|m| m["id"].as_str().expect("an id").to_owned()));
    }

    got.sort();
    ids.sort();
    assert_eq!(got, ids);
    assert_eq!(daemon.counts(QUEUE).await["delivered"], 30);
}

#[tokio::test]
async fn what_a_worker_says_wrongly_is_told_with_its_place() {
    let redis = RedisServer::start().await;
    let config = config("") + "[queues.pushed]\ndownstream.type = \"null\"\n";
    let daemon = Daemon::start(&redis, config).await;
    send(&daemon, 1).await;
    let message = Worker(&daemon).one().await;
    let settle =
        async |body: &Value| daemon.post(&format!("/v1/queues/{QUEUE}/settle"), body).await;

    for (queue, status) in [("pushed", 409), ("nowhere", 404)] {
        for step in ["claim", "settle"] {
            daemon.post(&format!("/v1/queues/{queue}/{step}"), &json!([])).await.expect(status);
        }
    }
    for wish in [
        json!({ "max": 0 }),
        json!({ "max": 1001 }),
        json!({ "wait": "61s" }),
        json!({ "lease": "1ms" }),
    ] {
        daemon.post(&format!("/v1/queues/{QUEUE}/claim"), &wish).await.expect(400);
    }
    let renew = said(&message, "renew");
    for (item, pointer) in [
        (json!({ "id": message["id"], "as": "delivered" }), "/token"),
        (with(said(&message, "delivered"), "token", "mine"), "/token"),
        (with(said(&message, "delivered"), "id", "other_01JD3A9PX2M7Q8R4T6V0W1Y2Z3"), "/id"),
        (said(&message, "done"), "/as"),
        (with(said(&message, "delivered"), "delay", "1s"), "/delay"),
        (with(said(&message, "retry"), "result", 1), "/result"),
        (with(said(&message, "retry"), "until", 1), "/until"),
    ] {
        let reply = settle(&json!([renew, item, renew])).await.expect(200).json();
        let results = reply["results"].as_array().expect("a list");
        let verdicts: Vec<_> = results.iter().map(|result| &result["verdict"]).collect();
        assert_eq!(verdicts, ["ok", "invalid", "ok"], "{reply}");
        assert_eq!(results[1]["id"], item["id"]);
        assert_eq!(results[1]["problem"]["code"], "invalid-request");
        assert_eq!(results[1]["problem"]["errors"][0]["pointer"], pointer, "{reply}");
    }
    let nameless = settle(&json!([7, { "token": message["token"], "as": "delivered" }])).await;
    for result in nameless.expect(200).json()["results"].as_array().expect("a list") {
        assert_eq!((&result["id"], &result["verdict"]), (&Value::Null, &json!("invalid")));
    }
    settle(&said(&message, "delivered")).await.expect(400);
    settle(&json!(vec![&renew; 1001])).await.expect(400);
    // Nothing of what was invalid was done.
    assert_eq!(Worker(&daemon).settle(&[said(&message, "delivered")]).await, ["ok"]);
    let other =
        with(said(&message, "delivered"), "id", format!("{QUEUE}_01JD3A9PX2M7Q8R4T6V0W1Y2Z3"));
    assert_eq!(Worker(&daemon).settle(&[other]).await, ["gone"]);
}
