//! A step of Redis' clock at the level of single calls: the first call after it does no harm, before
//! anybody has noticed.

use tidegate::domain::gates::Gate;
use tidegate::domain::message::When;
use tidegate::domain::settlement::Settlement;
use tidegate::domain::state::State;
use tidegate::store::{ClaimStatus, Verb};

use super::ground::Ground;
use super::node::{HOUR_MS, Node, WISH, With, bodies, ended, message};
use crate::support::redis::RedisOptions;

const HOUR: i64 = HOUR_MS.cast_signed();
const SOON: When = When::After(60_000);

async fn ground() -> Ground {
    Ground::on(RedisOptions::default().with_faults().start().await, "disk").await
}

fn step(ground: &Ground, ms: i64) {
    ground.server().faults().step_clock(ms);
}

async fn reap(node: &Node) -> u64 {
    node.store.messages.reap(&node.queue, node.shard()).await.expect("Redis is there").reaped
}

async fn expire(node: &Node) -> u64 {
    node.store.messages.expire(&node.queue, node.shard()).await.expect("Redis is there").moved
}

async fn prune(node: &Node) -> u64 {
    node.store
        .messages
        .prune(&node.queue, node.shard(), &[])
        .await
        .expect("Redis is there")
        .messages
}

#[tokio::test]
async fn after_a_step_ahead_nothing_goes_by_time_until_the_operator_says_so() {
    let ground = ground().await;
    let lines = "retention = { delivered = \"1m\", dead = \"30d\" }";
    let node = ground.node(lines).await;
    let delivered = node.send(message("delivered")).await;
    node.end(Verb::Ack, &node.take_one().await).await;
    let leased = node.send(message("leased")).await;
    node.take_one().await;
    let ready = node.send(message("ready").expires(SOON)).await;
    let due = node.send(message("due").due(SOON)).await;
    let ids = [&delivered, &leased, &ready, &due];
    let states = async || {
        let mut states = Vec::new();
        for id in ids {
            states.push(node.get(id).await.state);
        }
        states
    };
    let before = [State::Delivered, State::Leased, State::Ready, State::Scheduled];

    // A node each, so that each verb is the first to meet the step.
    let mut fresh = Vec::new();
    for _ in 0..5 {
        fresh.push(ground.node(lines).await);
    }
    step(&ground, HOUR);
    let claim = fresh[0].claim(WISH).await;
    assert_eq!(
        (claim.status, claim.messages.len()),
        (ClaimStatus::ClockInDoubt, 0),
        "neither sent nor expired"
    );
    assert_eq!(fresh[1].promote().await, 0);
    assert_eq!(reap(&fresh[2]).await, 0);
    assert_eq!(expire(&fresh[3]).await, 0);
    assert_eq!(prune(&fresh[4]).await, 0);
    assert_eq!(states().await, before);
    assert!(
        fresh[1]
            .store
            .clock_alarms
            .standing()
            .is_some_and(|alarm| (alarm.step_ms - HOUR).abs() < 5000)
    );

    assert!(fresh[1].store.clock_alarms.end("ann").await.unwrap());
    assert!(!fresh[1].store.clock_alarms.end("ann").await.unwrap(), "repeated, it changes nothing");

    assert_eq!(fresh[1].promote().await, 1);
    assert_eq!((reap(&fresh[1]).await, expire(&fresh[1]).await, prune(&fresh[1]).await), (1, 1, 1));
    ground.assert_sound(&node).await;
}

#[tokio::test]
async fn what_is_ready_goes_on_during_the_alarm() {
    let ground = ground().await;
    let node = ground.node("").await;
    node.send(message("would expire").expires(SOON)).await;
    node.send_all(&["a", "b"]).await;
    step(&ground, HOUR);

    let taken = node.claim(WISH).await;

    assert_eq!(bodies(&taken.messages), ["a", "b"]);
    assert_eq!(node.claim(WISH).await.status, ClaimStatus::ClockInDoubt);
    let lease = &taken.messages[0].lease;
    node.end(Verb::Renew, lease).await;
    node.end(Verb::Ack, lease).await;
    assert_eq!(node.counts().await.of(State::Ready), 1);
    ground.assert_sound(&node).await;
}

#[tokio::test]
async fn a_pause_does_not_end_by_a_step() {
    let ground = ground().await;
    let node = ground.node("").await;
    node.send(message("m")).await;
    node.store.queues.pause(&node.name, Some(SOON), "deploy", "ann").await.unwrap();
    step(&ground, HOUR);

    for _ in 0..2 {
        let claim = node.claim(WISH).await;
        assert_eq!((claim.status, claim.messages.len()), (ClaimStatus::Held(Gate::Pause), 0));
    }
    assert!(node.store.clock_alarms.end("ann").await.unwrap());
    assert_eq!(bodies(&node.claim(WISH).await.messages), ["m"]);
}

#[tokio::test]
async fn a_step_of_less_than_a_second_is_only_a_step() {
    let ground = ground().await;
    let node = ground.node("").await;
    node.send(message("m").due(When::After(60_000))).await;
    for ms in [900, -900] {
        step(&ground, ms);
        assert_eq!(node.promote().await, 0);
        assert!(node.store.clock_alarms.standing().is_none());
    }
    node.send(message("sooner").due(When::After(800))).await;
    step(&ground, 900);

    assert_eq!(node.promote().await, 1);
}

#[tokio::test]
async fn a_deadline_of_before_a_step_back_is_pulled_to_a_lease_from_now() {
    let ground = ground().await;
    let node = ground.node_shaped("", |policy| policy.lease_ms = 6000).await;
    node.send(message("m")).await;
    node.take_one().await;
    step(&ground, -HOUR);
    assert_eq!(node.promote().await, 0);
    assert!(
        node.store.clock_alarms.standing().is_some_and(|alarm| (alarm.step_ms + HOUR).abs() < 5000)
    );
    node.store.clock_alarms.end("ann").await.unwrap();

    let reaped = node.store.messages.reap(&node.queue, node.shard()).await.unwrap();

    assert!(reaped.next_in.is_some_and(|next_in| next_in.as_millis() <= 7000), "{reaped:?}");
}

#[tokio::test]
async fn a_gate_that_was_shut_before_a_step_back_opens() {
    let ground = ground().await;
    let node = ground.node("").await;
    node.send_all(&["a", "b"]).await;
    let lease = node.take_one().await;
    let throttle = Settlement::Throttle { gate_ms: Some(30_000) };
    node.settle_as(&[ended(&lease, "throttled", throttle)]).await;
    assert_eq!(node.claim(WISH).await.status, ClaimStatus::Held(Gate::Throttled));

    step(&ground, -HOUR);

    assert_eq!(node.claim(WISH).await.status, ClaimStatus::Taken);
}
