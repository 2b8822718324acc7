//! Somebody writes into the structures that Tidegate keeps, by hand: what is not Tidegate's is passed over,
//! and stops nothing.

use serde_json::json;

use crate::support::{Answer, Daemon, Downstream, QUEUE, RedisServer, eventually, queue_toml};

/// Members that are no message of ours: too short, of the right length, too long, not even text.
const FOREIGN: [&[u8]; 7] = [
    b"x",
    b"",
    b"abcdefghijklmnopqrstuvwxyz",
    b"01JD3A9PX2M7Q8R4T6V0W1Y2Z3",
    b"01JD3A9PX2M7Q8R4T6V0W1Y2Z3000",
    b"01JD3A9PX2M7Q8R4T6V0W1Y2Z3zzz and more than that",
    b"\xff\xfe\x00\x01\xff\xfe\x00\x01\xff\xfe\x00\x01\xff\xfe\x00\x01\xff\xfe\x00\x01\xff\xfe\x00\x01\xff\xfe\x00\x01",
];

const OTHERS: &str = r#"
[queues.other.downstream]
type = "null"
[queues.pulled.downstream]
type = "pull"
[topics.paid]
queues = ["other"]
[schedules.often]
queue = "other"
every = "1s"
payload = 1
[inbox]
enabled = true
"#;

struct Scrawl {
    connection: redis::aio::MultiplexedConnection,
}

impl Scrawl {
    async fn run(&mut self, words: &[&[u8]]) {
        let mut command = redis::cmd(std::str::from_utf8(words[0]).expect("a command"));
        for word in &words[1..] {
            command.arg(*word);
        }
        let reply: redis::RedisResult<redis::Value> =
            command.query_async(&mut self.connection).await;
        reply.unwrap_or_else(|error| panic!("{words:?}: {error}"));
    }

    /// Foreign members in all structures of one shard.
    async fn scrawl(&mut self, tag: &str, set: &str) {
        let key = |name: &str| format!("{{{tag}}}:{set}{name}").into_bytes();
        for member in FOREIGN {
            for zset in [
                "due",
                "leased",
                "exchanges",
                "expiry",
                "uncertain",
                "accepted",
                "delivered",
                "dead",
                "expired",
                "cancelled",
                "waited",
                "probes",
                "ticks",
                "looks",
            ] {
                // One that is over, and (another) one that is far ahead.
                self.run(&[b"ZADD", &key(zset), b"1", member]).await;
                let later = [member, b"!"].concat();
                self.run(&[b"ZADD", &key(zset), b"99999999999999", &later]).await;
            }
            for hash in
                ["records", "states", "history", "idem:new", "idem:old", "claims", "refs", "early"]
            {
                self.run(&[b"HSET", &key(hash), member, member]).await;
            }
            for band in ["ready:0", "ready:5", "ready:9"] {
                self.run(&[b"LPUSH", &key(band), member]).await;
                self.run(&[b"RPUSH", &key(band), member]).await;
            }
        }
        self.run(&[b"XADD", &key("events"), b"*", b"a", b"b"]).await;
        self.run(&[b"XADD", &key("events"), b"*", b"e", b"\xff"]).await;
    }

    async fn scrawl_beside(&mut self) {
        for member in FOREIGN {
            for hash in [
                "{tidegate}:queues",
                "{tidegate}:topics",
                "{tidegate}:node_info",
                "{tidegate:~schedules}:definitions",
                "{tidegate:~schedules}:states",
                "{tidegate:~schedules}:intents",
                "{tidegate:~schedules}:held",
                "{tidegate:~topic.paid}:events",
                "{tidegate:~topic.paid}:left",
                "{tidegate:~topic.paid}:idem:new",
                "{tidegate:~operations}:definitions",
                "{tidegate:~operations}:progress",
                "{tidegate:~operations}:leases",
                "{tidegate:~operations}:stops",
                "{tidegate:~actions}:outcomes",
            ] {
                self.run(&[b"HSET", hash.as_bytes(), member, member]).await;
            }
            for zset in [
                "{tidegate}:nodes",
                "{tidegate:~schedules}:names",
                "{tidegate:~schedules}:next",
                "{tidegate:~schedules}:firing",
                "{tidegate:~topic.paid}:due",
                "{tidegate:~topic.paid}:put_off",
                "{tidegate:~topic.paid}:born",
                "{tidegate:~operations}:running",
                "{tidegate:~operations}:ended",
            ] {
                self.run(&[b"ZADD", zset.as_bytes(), b"1", member]).await;
                let later = [member, b"!"].concat();
                self.run(&[b"ZADD", zset.as_bytes(), b"99999999999999", &later]).await;
            }
        }
        self.run(&[b"HSET", b"{tidegate}:clock", b"alarm", b"nonsense"]).await;
        self.run(&[b"XADD", b"{tidegate:~actions}:list", b"*", b"a", b"b"]).await;
    }
}

struct Stage {
    // Ends before its Redis does.
    daemon: Daemon,
    downstream: Downstream,
    /// Where callbacks go.
    hooks: Downstream,
    scrawl: Scrawl,
    _redis: RedisServer,
}

async fn start() -> Stage {
    let redis = RedisServer::start().await;
    let (downstream, hooks) = tokio::join!(Downstream::start(), Downstream::start());
    let lines = "retry = { initial = \"100ms\", jitter = 0.0 }\npriority_levels = 10\n\
                 retention.delivered_max_messages = 1000\n";
    let url = hooks.url("/hooks");
    let callback = format!("callback = {{ url = \"{url}\", on = [\"delivered\"] }}\n");
    let config = queue_toml(QUEUE, &downstream, &format!("{lines}{callback}")) + OTHERS;
    let daemon =
        Daemon::with(config).redis(&redis).environment("TIDEGATE_LOG", "debug").start().await;
    let connection = redis.connect().await.expect("redis-server answers");
    Stage { daemon, downstream, hooks, scrawl: Scrawl { connection }, _redis: redis }
}

/// The whole of what a queue does.
async fn all_goes_on(stage: &Stage, round: usize) {
    let Stage { daemon, downstream, hooks, .. } = stage;
    let called_back = hooks.requests().len();
    let plain = daemon.send(QUEUE, &json!({ "payload": 1, "priority": 5 })).await;
    assert_eq!(daemon.wait_final(&plain).await["state"], "delivered");
    let delayed = json!({ "payload": 2, "delay": "200ms", "ttl": "1h", "idempotency_key": round.to_string() });
    let delayed = daemon.send(QUEUE, &delayed).await;
    assert_eq!(daemon.wait_final(&delayed).await["state"], "delivered");
    downstream.once(Answer::status(500));
    let retried = daemon.send(QUEUE, &json!({ "payload": 3 })).await;
    assert_eq!(daemon.wait_final(&retried).await["attempts"], 2);
    downstream.once(Answer::status(422));
    let dead = daemon.send(QUEUE, &json!({ "payload": 4 })).await;
    assert_eq!(daemon.wait_final(&dead).await["state"], "dead");
    let expires = json!({ "payload": 5, "delay": "1h", "ttl": "2h" });
    let expires = daemon.send(QUEUE, &expires).await;
    hooks.wait_for(called_back + 3).await;
    for state in [
        "scheduled",
        "ready",
        "leased",
        "uncertain",
        "accepted",
        "delivered",
        "dead",
        "expired",
        "cancelled",
    ] {
        let path = format!("/v1/queues/{QUEUE}/messages?state={state}&limit=1000");
        daemon.get(&path).await.expect(200);
    }
    daemon.delete(&format!("/v1/messages/{expires}")).await.expect(200);
    let all = json!({ "action": "requeue", "queue": QUEUE, "state": "dead", "all": true });
    daemon.post("/v1/operations", &all).await.expect(202);
    eventually("the operation requeues it", async || {
        daemon.message(&dead).await["state"] == "delivered"
    })
    .await;
    daemon.post("/v1/topics/paid/messages", &json!({ "payload": 6 })).await.expect(201);
    let before = daemon.counts("other").await["delivered"].as_u64().unwrap_or(0);
    eventually("the schedule ticks", async || {
        daemon.counts("other").await["delivered"].as_u64() >= Some(before + 3)
    })
    .await;
    for path in [
        "/v1/queues",
        "/v1/nodes",
        "/v1/schedules",
        "/v1/topics",
        "/v1/operations",
        "/v1/actions",
        "/metrics",
        "/v1/rollbacks",
    ] {
        daemon.get(path).await.expect(200);
    }
}

fn errors(daemon: &Daemon) -> Vec<String> {
    const BAD: [&str; 4] =
        ["script:", "user_script", "WRONGTYPE", "gave an answer that cannot be understood"];
    let log = daemon.log();
    let bad = log.lines().filter(|line| BAD.iter().any(|word| line.contains(word)));
    bad.map(str::to_owned).collect()
}

#[tokio::test]
#[ignore = "takes 14 seconds or more: make test-all runs it"]
async fn foreign_members_are_passed_over_counted_and_stop_nothing() {
    let mut stage = start().await;
    for queue in [QUEUE, "other", "pulled"] {
        stage.scrawl.scrawl(&format!("tidegate:{queue}.0"), "").await;
    }
    stage.scrawl.scrawl(&format!("tidegate:{QUEUE}.0"), "callbacks:").await;
    stage.scrawl.scrawl_beside().await;

    all_goes_on(&stage, 1).await;
    stage.daemon.cli(&["doctor", "--repair"]).await;
    all_goes_on(&stage, 2).await;

    let errors = errors(&stage.daemon);
    assert!(errors.is_empty(), "{}\n{}", errors.len(), errors[..errors.len().min(20)].join("\n"));
    assert!(!stage.daemon.log().contains("Redis is away"), "{}", stage.daemon.log());
    let metrics = stage.daemon.get("/metrics").await.expect(200).text().to_owned();
    for counted in [
        "{queue=\"jobs\",fault=\"misplaced\"}",
        "{queue=\"~operations\",fault=\"foreign\"}",
        "{queue=\"~schedules\",fault=\"foreign\"}",
    ] {
        let line = format!("tidegate_index_faults_total{counted} ");
        assert!(metrics.contains(&line), "{line} in\n{metrics}");
    }
}

#[tokio::test]
async fn a_daemon_starts_beside_foreign_members() {
    let mut stage = start().await;
    stage.scrawl.scrawl(&format!("tidegate:{QUEUE}.0"), "").await;
    stage.scrawl.scrawl_beside().await;

    stage.daemon.restart().await;

    all_goes_on(&stage, 1).await;
    // A page that ends at a foreign member, whose name may be no text, leads on to the next one.
    for state in ["scheduled", "delivered", "dead", "cancelled"] {
        let path = format!("/v1/queues/{QUEUE}/messages?state={state}&limit=1");
        stage.daemon.get(&path).await.expect(200);
    }
    assert!(stage.daemon.get("/v1/clock").await.json()["alarm"].is_null());
}
