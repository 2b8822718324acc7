//! `redis.settle = "replicas"`: a slot comes free when the replicas have the outcome of its call, so that a failover repeats at
//! most what was in flight.

use std::collections::BTreeMap;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use tidegate::domain::lease;
use tokio::time::Instant;

use crate::rig::checker::{Rule, check};
use crate::rig::history::{
    Answer as HistoryAnswer, Arrival, Fault, FaultKind, Final, History, Life, Queue, Sent, Verdict,
    body_hash,
};
use crate::support::clocks::wall_us;
use crate::support::downstream::Request;
use crate::support::redis::RedisOptions;
use crate::support::wait::poll_until_within;
use crate::support::{Answer, Daemon, Downstream, Gate, QUEUE, SentinelSet, queue_toml};

/// In flight at once.
const SLOTS: usize = 2;
const SENT: usize = 12;
/// Two leases, and a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longer than it takes to send them all, also on a busy machine: the first calls are answered after the last one was sent.
const TIMEOUT_MS: u64 = 6000;
const LEASE_MS: u64 = lease::shortest_ms(TIMEOUT_MS);

fn config(downstream: &Downstream) -> String {
    let lines = format!(
        "concurrency = {SLOTS}\nlease = \"{LEASE_MS}ms\"\ndownstream.timeout = \"{TIMEOUT_MS}ms\""
    );
    queue_toml(QUEUE, downstream, &lines)
}

async fn send_all(daemon: &Daemon) {
    for number in 0..SENT {
        daemon.send(QUEUE, &json!({ "payload": number })).await;
    }
}

/// How often each message was sent.
fn times_sent(downstream: &Downstream) -> BTreeMap<String, usize> {
    let mut times = BTreeMap::new();
    for request in downstream.requests() {
        *times.entry(request.id().to_owned()).or_default() += 1;
    }
    times
}

async fn delivered(daemon: &Daemon, count: usize) {
    poll_until_within(PATIENCE, "they are delivered", async || {
        let delivered = daemon.counts(QUEUE).await["delivered"].as_u64()?;
        (delivered >= count as u64).then_some(())
    })
    .await;
}

/// A master and a replica that is stopped once two calls are in flight, whose answers come then. Returns how many requests
/// there were before the replica went on.
async fn requests_without_the_replica(settle: &str) -> usize {
    let master = RedisOptions::default().on_tcp().start().await;
    let replica = RedisOptions::default().replica_of(&master).start().await;
    master.wait_replicas(1).await;
    let downstream = Downstream::start().await;
    let daemon = Daemon::with(config(&downstream))
        .redis(&master)
        .durability("replicas")
        .environment("TIDEGATE__REDIS__SETTLE", settle)
        .start()
        .await;
    let gate = Gate::new();
    downstream.always(Answer::ok().held_by(&gate));
    send_all(&daemon).await;
    downstream.wait_for(SLOTS).await;

    replica.signal(Signal::STOP);
    gate.release();
    delivered(&daemon, SLOTS).await;
    // What does not happen takes a while to be seen.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let before = downstream.requests().len();

    replica.signal(Signal::CONT);
    delivered(&daemon, SENT).await;
    assert!(times_sent(&downstream).values().all(|times| *times == 1));
    before
}

#[tokio::test]
async fn nothing_is_sent_while_the_replica_does_not_have_the_outcomes() {
    assert_eq!(requests_without_the_replica("replicas").await, SLOTS);
}

/// The same without it: so the scenario above shows what the setting does.
#[tokio::test]
async fn without_the_setting_more_is_sent() {
    assert_eq!(requests_without_the_replica("level").await, SENT);
}

/// A master dies together with the node, while its replicas know the calls in flight and not their outcomes. What happened, as
/// the checker judges it for `settle = "replicas"`; `sent_before`: how many calls there are until then.
async fn a_failover_with_a_lost_node(settle: &str, sent_before: usize) -> History {
    let mut set = SentinelSet::start().await;
    let downstream = Downstream::start().await;
    let mut daemon = Daemon::with(config(&downstream))
        .environment("TIDEGATE__REDIS__SETTLE", settle)
        .sentinel(&set)
        .durability("replicas")
        .start()
        .await;
    let began = (wall_us(), Instant::now());
    let gate = Gate::new();
    downstream.always(Answer::ok().held_by(&gate));
    send_all(&daemon).await;
    downstream.wait_for(SLOTS).await;

    let master = set.master().await;
    let replicas: Vec<usize> = (0..set.servers().len()).filter(|it| *it != master).collect();
    for replica in &replicas {
        set.servers()[*replica].signal(Signal::STOP);
    }
    // What lies in a connection would still be read by a replica that goes on.
    set.servers()[master].cli::<i64>(&["CLIENT", "KILL", "TYPE", "replica"]).await;
    gate.release();
    delivered(&daemon, sent_before).await;
    let mut faults = vec![fault(FaultKind::DaemonKill), fault(FaultKind::FailoverKill)];
    daemon.kill9().await;
    set.kill_master().await;
    for replica in &replicas {
        set.servers()[*replica].signal(Signal::CONT);
    }
    let new = set.wait_new_master(master).await;
    faults[1].until_us = wall_us();
    // A node starts where as many replicas are in step as the sentinels see.
    set.restart_as_replica(master).await;
    for server in (0..set.servers().len()).filter(|server| *server != new) {
        set.wait_in_step(server).await;
    }
    daemon.restart().await;

    delivered(&daemon, SENT).await;
    history(&daemon, &downstream, began, faults).await
}

/// One that begins now, of the only node in its first life.
fn fault(kind: FaultKind) -> Fault {
    let at_us = wall_us();
    let life = Some(Life::default());
    Fault { at_us, until_us: at_us, kind, life, detail: String::new() }
}

async fn history(
    daemon: &Daemon,
    downstream: &Downstream,
    began: (u64, Instant),
    faults: Vec<Fault>,
) -> History {
    let path = format!("/v1/queues/{QUEUE}/messages?state=delivered&limit=1000");
    let page = daemon.get(&path).await.expect(200).json();
    let messages = page["messages"].as_array().expect("a page has messages");
    let id = |message: &Value| message["id"].as_str().expect("an id").to_owned();
    let killed_us = faults[0].at_us;
    let queue = Queue {
        name: QUEUE.to_owned(),
        concurrency: u32::try_from(SLOTS).expect("few"),
        batch_max: 1,
        settles_at_replicas: true,
        timeout_ms: TIMEOUT_MS,
        lease_ms: LEASE_MS,
        ..Queue::default()
    };
    let arrivals: Vec<_> =
        downstream.requests().iter().map(|request| arrival(request, began, killed_us)).collect();
    let sent = |message: &Value| Sent {
        key: arrivals
            .iter()
            .find(|it| it.id == id(message))
            .and_then(|it| it.key)
            .expect("it came"),
        cost: 1,
        first_try_us: began.0,
        verdict: Verdict::Accepted { id: id(message), at_us: began.0 },
        body_hash: arrivals.iter().find(|it| it.id == id(message)).expect("it came").body_hash,
        ..Sent::default()
    };
    let record = |message: &Value| Final {
        id: id(message),
        state: "delivered".to_owned(),
        attempts: 1,
        reason: String::new(),
    };
    History {
        queues: vec![queue],
        sent: messages.iter().map(sent).collect(),
        finals: messages.iter().map(record).collect(),
        arrivals,
        faults,
        ..History::default()
    }
}

fn arrival(request: &Request, (wall_us, began): (u64, Instant), killed_us: u64) -> Arrival {
    let us = |at: Instant| wall_us + u64::try_from((at - began).as_micros()).expect("short");
    let at_us = us(request.arrived);
    Arrival {
        at_us,
        call: request.index as u64,
        queue: 0,
        id: request.id().to_owned(),
        key: request.json().as_u64(),
        attempt: request.attempt(),
        body_hash: body_hash(&request.body),
        by: Life { node: 0, boot: u32::from(at_us > killed_us) },
        answer: HistoryAnswer::Taken,
        answer_at_us: request.answered.map_or(at_us, us),
    }
}

#[tokio::test]
async fn a_failover_with_a_lost_node_repeats_at_most_what_was_in_flight() {
    let history = a_failover_with_a_lost_node("replicas", SLOTS).await;
    check(&history).expect_good();
    assert!(history.arrivals.len() <= SENT + SLOTS, "{}", history.arrivals.len());
}

/// The rule can fail: without the setting, the same failover repeats all.
#[tokio::test]
async fn without_the_setting_a_failover_repeats_more_than_was_in_flight() {
    let history = a_failover_with_a_lost_node("level", SENT).await;
    let report = check(&history);
    assert_eq!(report.broken(), [Rule::RepeatsInFlight], "{report}");
}
