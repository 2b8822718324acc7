//! Redis' clock steps under running daemons: what goes by time waits, an alarm says so on every node,
//! and it goes on after steady time or by the operator.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::redis::RedisOptions;
use crate::support::wait::poll_until;
use crate::support::{
    Answer, Daemon, Downstream, QUEUE, RedisServer, eventually, queue_toml, within,
};

const HOUR_MS: i64 = 3_600_000;

struct Stage {
    first: Daemon,
    second: Daemon,
    downstream: Downstream,
    redis: RedisServer,
}

impl Stage {
    /// Two nodes on one Redis; `settle` is how long its clock must be steady after a step.
    async fn start(settle: &str, lines: &str) -> Self {
        let redis = RedisOptions::default().with_faults().start();
        let (redis, downstream) = tokio::join!(redis, Downstream::start());
        let config = Self::config(settle, &downstream, lines);
        let (first, second) =
            tokio::join!(Daemon::start(&redis, config.clone()), Daemon::start(&redis, config));
        Self { first, second, downstream, redis }
    }

    fn config(settle: &str, downstream: &Downstream, lines: &str) -> String {
        let queue = queue_toml(QUEUE, downstream, lines);
        format!("[redis]\nclock_settle = \"{settle}\"\n{queue}")
    }

    /// Steps the clock and waits until both nodes have noticed.
    async fn step(&self, ms: i64) {
        self.redis.faults().step_clock(ms);
        for node in [&self.first, &self.second] {
            eventually("the alarm stands", async || !alarm(node).await.is_null()).await;
        }
    }
}

async fn alarm(node: &Daemon) -> Value {
    node.get("/v1/clock").await.expect(200).json()["alarm"].clone()
}

async fn metric(node: &Daemon, line: &str) -> bool {
    node.get("/metrics").await.expect(200).text().lines().any(|found| found == line)
}

#[tokio::test]
async fn after_a_step_ahead_time_waits_on_every_node_until_the_operator_resumes() {
    let stage = Stage::start("10m", "").await;
    let later = json!({ "payload": "later", "delay": "30m" });
    let later = stage.first.send(QUEUE, &later).await;
    stage.downstream.once(Answer::status(500));
    let failed = stage.first.send(QUEUE, &json!({ "payload": "fails" })).await;
    let message = async |id: &str| stage.first.message(id).await;
    eventually("it waits for its retry", async || message(&failed).await["attempts"] == 1).await;

    stage.step(HOUR_MS).await;

    let now = stage.first.send(QUEUE, &json!({ "payload": "now" })).await;
    assert_eq!(stage.first.wait_final(&now).await["state"], "delivered", "what is ready goes on");
    assert_eq!(message(&later).await["state"], "scheduled");
    let told = alarm(&stage.second).await;
    let step_ms = told["step_ms"].as_i64().expect("a number");
    assert!((step_ms - HOUR_MS).abs() < 5000, "{told}");
    assert!(metric(&stage.second, "tidegate_clock_alarm 1").await);
    assert!(!metric(&stage.second, "tidegate_clock_steps_total 0").await);
    let doctor = stage.second.cli(&["doctor"]).await;
    assert_eq!(doctor.code, 1, "{}", doctor.stdout);
    assert!(doctor.stdout.contains("the clock of Redis stepped"), "{}", doctor.stdout);
    assert!(stage.second.log().contains("tidegate clock resume"));

    let resumed = stage.second.cli(&["clock", "resume"]).await;
    assert!(resumed.stdout.contains("steady"), "{}{}", resumed.stdout, resumed.stderr);

    for id in [&later, &failed] {
        assert_eq!(stage.first.wait_final(id).await["state"], "delivered");
    }
    eventually("it ended everywhere", async || alarm(&stage.first).await.is_null()).await;
    assert!(metric(&stage.second, "tidegate_clock_alarm 0").await);
}

#[tokio::test]
async fn after_a_step_the_alarm_ends_by_itself_when_the_clock_was_steady() {
    let stage = Stage::start("2s", "").await;
    let later = json!({ "payload": "later", "delay": "30m" });
    let later = stage.first.send(QUEUE, &later).await;

    stage.step(HOUR_MS).await;
    assert_eq!(stage.first.message(&later).await["state"], "scheduled");

    assert_eq!(stage.second.wait_final(&later).await["state"], "delivered");
    for node in [&stage.first, &stage.second] {
        eventually("it ended everywhere", async || alarm(node).await.is_null()).await;
    }
}

#[tokio::test]
async fn after_a_step_back_the_leases_of_a_dead_node_come_back_all_the_same() {
    let short = "downstream.timeout = \"500ms\"\nlease = \"5500ms\"";
    let mut stage = Stage::start("1s", short).await;
    stage.second.kill9().await;
    stage.downstream.once(Answer::silence());
    let id = stage.first.send(QUEUE, &json!({ "payload": 1 })).await;
    stage.downstream.wait_for(1).await;
    stage.first.kill9().await;
    stage.redis.faults().step_clock(-HOUR_MS);

    // It never saw the clock before the step: the last sign of life of the dead tells it.
    let second = Daemon::start(&stage.redis, Stage::config("1s", &stage.downstream, short)).await;

    assert!(second.log().contains("the clock of Redis stepped"), "{}", second.log());
    let message = second.wait_final(&id).await;
    assert_eq!((&message["state"], &message["attempts"]), (&json!("delivered"), &json!(2)));
}

#[tokio::test]
async fn after_a_step_back_no_key_waits_for_a_moment_of_before_it() {
    let lines = "downstream.timeout = \"500ms\"\nlease = \"5500ms\"\nlimits = [{ rate = \"20/min\", per = \"labels.to\" }]";
    let stage = Stage::start("1s", lines).await;
    let one = json!({ "payload": 1, "labels": { "to": "a" } });
    let first = stage.first.send(QUEUE, &one).await;
    let second = stage.first.send(QUEUE, &one).await;
    stage.first.wait_final(&first).await;
    assert_eq!(stage.first.message(&second).await["state"], "ready", "its key holds it");

    // Nothing is leased, so that there is nothing but keys to look at.
    stage.step(-HOUR_MS).await;

    assert_eq!(stage.second.wait_final(&second).await["state"], "delivered");
}

#[tokio::test]
async fn a_node_that_starts_during_an_alarm_keeps_to_it() {
    let mut stage = Stage::start("10m", "").await;
    let later = json!({ "payload": "later", "delay": "30m" });
    let later = stage.first.send(QUEUE, &later).await;
    stage.step(HOUR_MS).await;
    let record = async || stage.redis.cli::<i64>(&["HEXISTS", "{tidegate}:clock", "alarm"]).await;
    eventually("the alarm is on record", async || record().await == 1).await;

    stage.first.kill9().await;
    stage.second.restart().await;

    assert!(!alarm(&stage.second).await.is_null());
    let now = stage.second.send(QUEUE, &json!({ "payload": "now" })).await;
    assert_eq!(stage.second.wait_final(&now).await["state"], "delivered");
    assert_eq!(stage.second.message(&later).await["state"], "scheduled");
    stage.second.post("/v1/clock/resume", &json!({})).await.expect(200);
    assert_eq!(stage.second.wait_final(&later).await["state"], "delivered");
}

#[tokio::test]
async fn a_small_step_and_a_redis_that_stood_still_are_no_steps() {
    let stage = Stage::start("10m", "").await;
    let soon = async || stage.first.send(QUEUE, &json!({ "payload": 1, "delay": "2s" })).await;
    let before = soon().await;

    stage.redis.faults().step_clock(900);
    stage.redis.signal(Signal::STOP);
    tokio::time::sleep(std::time::Duration::from_millis(2500)).await;
    stage.redis.signal(Signal::CONT);

    let after = poll_until("Redis takes messages again", async || {
        let message = json!({ "payload": 2, "delay": "500ms" });
        let reply = stage.first.post(&format!("/v1/queues/{QUEUE}/messages"), &message).await;
        (reply.status == 201).then(|| reply.json()["id"].as_str().unwrap_or_default().to_owned())
    })
    .await;
    for id in [&before, &after] {
        let message = within("it is delivered", stage.first.wait_final(id)).await;
        assert_eq!(message["state"], "delivered");
    }
    for node in [&stage.first, &stage.second] {
        assert!(metric(node, "tidegate_clock_steps_total 0").await, "{}", node.log());
    }
}
