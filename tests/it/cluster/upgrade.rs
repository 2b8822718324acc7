//! A rolling upgrade from the program of before, which reads records of version 2 only: with messages under way all the
//! while, in either order, and with a node killed in the middle.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::Method;
use rustix::process::Signal;
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::support::before::program_of;
use crate::support::daemon::PROGRAM;
use crate::support::http::Http;
use crate::support::wait::{poll_until, poll_until_within};
use crate::support::{
    Answer, Daemon, Downstream, Gate, QUEUE, RedisServer, eventually, queue_toml,
};

/// The last commit whose program reads and writes records of version 2 only.
const BEFORE: &str = "761b7adc29c3f2d03c80ad55d791becc10a87bbd";
const CONCURRENCY: usize = 16;
const RECORDS: &str = "{tidegate:jobs.0}:records";
/// Everything is delivered within this time; a killed node's leases end after 45 s.
const DRAINED_WITHIN: Duration = Duration::from_secs(150);

/// Two nodes of the program of before, and messages that are handed in all the while.
struct Fleet {
    nodes: [Daemon; 2],
    before: PathBuf,
    downstream: Downstream,
    redis: RedisServer,
    stop: Arc<AtomicBool>,
    producer: Option<JoinHandle<BTreeMap<u64, String>>>,
}

impl Fleet {
    /// `None` where there is no program of before.
    async fn start() -> Option<Self> {
        let before =
            tokio::task::spawn_blocking(|| program_of(BEFORE)).await.expect("it is built")?;
        let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
        downstream.answer_with(|_| slow_answer());
        let config = queue_toml(QUEUE, &downstream, &format!("concurrency = {CONCURRENCY}"));
        let node = || Daemon::with(&config).redis(&redis).program(&before).start();
        let nodes: [Daemon; 2] = tokio::join!(node(), node()).into();
        let stop = Arc::new(AtomicBool::new(false));
        let urls = [nodes[0].url().to_owned(), nodes[1].url().to_owned()];
        #[expect(clippy::disallowed_methods, reason = "its end is awaited, with what it returns")]
        let producer = Some(tokio::spawn(produce(urls, Arc::clone(&stop))));
        Some(Self { nodes, before, downstream, redis, stop, producer })
    }

    /// As by a package: stopped, and started as the program under test.
    async fn upgrade(&mut self, node: usize) {
        assert_eq!(self.nodes[node].sigterm().await, 0);
        self.nodes[node].start_as(PROGRAM).await;
    }

    /// Messages are delivered meanwhile.
    async fn goes_on(&self) {
        let now = self.downstream.requests().len();
        self.downstream.wait_for(now + 150).await;
    }

    async fn schema(&self) -> String {
        self.redis.cli(&["GET", "{tidegate}:schema"]).await
    }

    /// How many records there are of version 2, and of version 3.
    async fn versions(&self) -> [usize; 2] {
        let mut connection = self.redis.connect().await.expect("redis-server answers");
        let records: Vec<Vec<u8>> =
            redis::cmd("HVALS").arg(RECORDS).query_async(&mut connection).await.expect("a hash");
        let count = |version| records.iter().filter(|record| record[0] == version).count();
        let counts = [count(2), count(3)];
        assert_eq!(counts[0] + counts[1], records.len(), "no other");
        counts
    }

    async fn writes_the_newest(&self) {
        poll_until("version 3 is written", async || (self.versions().await[1] > 0).then_some(()))
            .await;
    }

    /// Everything that was accepted is delivered; `lost_calls`: as many may have come twice.
    async fn all_arrived(&mut self, lost_calls: usize) {
        self.stop.store(true, Ordering::Relaxed);
        let accepted = self.producer.take().expect("once").await.expect("it hands in");
        poll_until_within(DRAINED_WITHIN, "all is delivered", async || {
            let counts = self.nodes[0].counts(QUEUE).await;
            let delivered = counts["delivered"].as_u64().expect("a count");
            (delivered >= accepted.len() as u64).then_some(())
        })
        .await;
        let counts = self.nodes[0].counts(QUEUE).await;
        for state in ["scheduled", "ready", "leased", "uncertain", "dead", "expired", "cancelled"] {
            assert_eq!(counts[state], 0, "{state}: {counts}");
        }
        let mut calls: BTreeMap<u64, Vec<(String, u32)>> = BTreeMap::new();
        for call in self.downstream.requests() {
            let number = call.json().as_u64().expect("the number of a message");
            calls.entry(number).or_default().push((call.id().to_owned(), call.attempt()));
        }
        for (number, id) in &accepted {
            let arrived = calls.get(number).map(Vec::as_slice).unwrap_or_default();
            assert!(arrived.iter().any(|(by, _)| by == id), "{number} is lost: {arrived:?}");
            assert!(arrived.iter().all(|(by, _)| by == id), "{number} is two: {arrived:?}");
        }
        let again: Vec<_> = calls.values().flat_map(|calls| calls.iter().skip(1)).collect();
        assert!(again.len() <= lost_calls, "{} came twice: {again:?}", again.len());
        assert!(again.iter().all(|(_, attempt)| *attempt > 1), "{again:?}");
        for id in accepted.values().step_by(accepted.len() / 50 + 1) {
            let message = self.nodes[1].message(id).await;
            assert_eq!(
                (&message["state"], &message["labels"]["shop"]),
                (&json!("delivered"), &json!("eu"))
            );
            assert_eq!(message["group"], "g");
        }
        let faults = self.nodes[0].cli(&["doctor", "--quick"]).await;
        assert!(!faults.stdout.contains("cannot be read"), "{}", faults.stdout);
    }

    /// The program of before has nothing to do here any more, and says so.
    async fn before_is_refused(&self) {
        let config = queue_toml(QUEUE, &self.downstream, "");
        let mut late = Daemon::with(config).redis(&self.redis).program(&self.before).launch();
        assert_eq!(late.wait_exit().await, 1);
        let said = "the namespace \"tidegate\" holds records of version 3, this program knows up to 2; run the newer tidegate";
        assert!(late.log().contains(said), "{}", late.log());
    }
}

/// So that calls are under way whenever a node ends.
#[expect(clippy::disallowed_methods, reason = "it ends by itself")]
fn slow_answer() -> Answer {
    let gate = Gate::new();
    let answer = Answer::ok().held_by(&gate);
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(50)).await;
        gate.release();
    });
    answer
}

/// Hands numbered messages in until it is told to stop, each until a node has accepted it; returns their ids.
async fn produce(urls: [String; 2], stop: Arc<AtomicBool>) -> BTreeMap<u64, String> {
    let nodes = urls.map(|url| Http::of_before(&url));
    let json = [("Content-Type", "application/json")];
    let path = format!("/v1/queues/{QUEUE}/messages");
    let mut accepted = BTreeMap::new();
    let mut silent_until = [Instant::now(); 2];
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let delay = if number % 5 == 0 { "2s" } else { "0s" };
        let message = json!({
            "payload": number, "group": "g", "labels": { "shop": "eu" }, "delay": delay, "idempotency_key": format!("k{number}"),
        });
        for at in [0, 1].into_iter().cycle().skip(usize::try_from(number % 2).expect("0 or 1")) {
            if silent_until[at] > Instant::now() {
                tokio::time::sleep(Duration::from_millis(2)).await;
                continue;
            }
            let sent = nodes[at].try_send(Method::POST, &path, &json, message.to_string());
            match tokio::time::timeout(Duration::from_secs(1), sent).await {
                Ok(Ok(reply)) if matches!(reply.status, 200 | 201) => {
                    let id = reply.json()["id"].as_str().expect("an id").to_owned();
                    accepted.insert(number, id);
                    break;
                }
                _ => silent_until[at] = Instant::now() + Duration::from_secs(1),
            }
        }
        tokio::time::sleep(Duration::from_millis(4)).await;
    }
    accepted
}

/// Upgrades one node after the other, the second as `how` says; the node that runs first is killed in between.
async fn upgraded(order: [usize; 2]) {
    let Some(mut fleet) = Fleet::start().await else { return };
    fleet.goes_on().await;
    assert_eq!(fleet.versions().await[1], 0);

    fleet.upgrade(order[0]).await;
    fleet.goes_on().await;
    fleet.nodes[order[0]].kill9().await;
    fleet.goes_on().await;
    fleet.nodes[order[0]].start_as(PROGRAM).await;
    fleet.goes_on().await;
    assert_eq!((fleet.schema().await.as_str(), fleet.versions().await[1]), ("2", 0), "one is old");
    assert!(fleet.nodes[order[0]].log().contains("new messages are written as version 2 until"));
    fleet.upgrade(order[1]).await;
    eventually("the schema is raised", async || fleet.schema().await == "3").await;
    fleet.before_is_refused().await;
    fleet.writes_the_newest().await;
    fleet.goes_on().await;

    fleet.before_is_refused().await;
    fleet.all_arrived(CONCURRENCY).await;
    let [old, new] = fleet.versions().await;
    assert!(old > 0 && new > 0, "{old} of version 2, {new} of version 3");
}

#[tokio::test]
#[ignore = "builds the program of an earlier commit: make test-all runs it"]
async fn nodes_are_upgraded_one_after_the_other_and_nothing_is_lost() {
    upgraded([0, 1]).await;
}

#[tokio::test]
#[ignore = "builds the program of an earlier commit: make test-all runs it"]
async fn nodes_are_upgraded_in_the_other_order_and_nothing_is_lost() {
    upgraded([1, 0]).await;
}

/// A node that was lost may only stand still: the version is raised once it is forgotten.
#[tokio::test]
#[ignore = "builds the program of an earlier commit: make test-all runs it"]
async fn an_old_node_that_is_killed_holds_the_version_until_it_is_forgotten() {
    let Some(mut fleet) = Fleet::start().await else { return };
    fleet.goes_on().await;
    let old: Vec<String> = fleet.redis.cli(&["ZRANGE", "{tidegate}:nodes", "0", "-1"]).await;
    fleet.upgrade(0).await;
    fleet.nodes[1].kill9().await;
    fleet.nodes[1].start_as(PROGRAM).await;
    fleet.goes_on().await;
    assert_eq!((fleet.schema().await.as_str(), fleet.versions().await[1]), ("2", 0));

    // As the other nodes do after five minutes.
    for id in &old {
        fleet.redis.cli::<()>(&["ZREM", "{tidegate}:nodes", id]).await;
    }

    fleet.writes_the_newest().await;
    fleet.goes_on().await;
    fleet.all_arrived(CONCURRENCY).await;
    fleet.before_is_refused().await;
}

/// An old node that stood still for longer than it is remembered, and goes on: what it cannot read it leaves as it is,
/// and what it took off the ready lists for that reason, or off the leases, is put back. It takes nothing more in, and
/// it is named.
#[tokio::test]
#[ignore = "builds the program of an earlier commit: make test-all runs it"]
async fn an_old_node_that_wakes_after_the_raise_loses_nothing() {
    let Some(mut fleet) = Fleet::start().await else { return };
    fleet.goes_on().await;
    let old: Vec<String> = fleet.redis.cli(&["ZRANGE", "{tidegate}:nodes", "0", "-1"]).await;
    fleet.upgrade(0).await;
    fleet.nodes[1].signal(Signal::STOP);
    for id in &old {
        fleet.redis.cli::<()>(&["ZREM", "{tidegate}:nodes", id]).await;
    }
    fleet.writes_the_newest().await;
    fleet.goes_on().await;
    let before = fleet.downstream.requests().len();

    fleet.nodes[1].signal(Signal::CONT);

    let named = "new messages are written as version 2 until these nodes are upgraded or gone";
    // It gives its sign of life once more and is named, or it has seen before that what it cannot read is here.
    let refuses = "holds records of version 3, this program knows up to 2";
    eventually("the old one is named, or refuses", async || {
        fleet.nodes[0].log().matches(named).count() >= 2 || fleet.nodes[1].log().contains(refuses)
    })
    .await;
    eventually("it takes nothing in", async || {
        let message = json!({ "payload": 1, "idempotency_key": "k1" });
        fleet.nodes[1].post(&format!("/v1/queues/{QUEUE}/messages"), &message).await.status == 503
    })
    .await;
    fleet.downstream.wait_for(before + 100).await;
    fleet.upgrade(1).await;
    // What it held when it was stopped was sent once more.
    fleet.all_arrived(2 * CONCURRENCY).await;
}
