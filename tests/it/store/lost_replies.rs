//! A reply that is lost on its way: the call ran, nobody was told, and it is repeated.
//!
//! One scenario for each verb that a repeat could harm. On a single server: what is lost is a
//! connection, and the scripts do not know of what kind.

use tidegate::domain::message::When;
use tidegate::domain::settlement::Settlement;
use tidegate::domain::state::State;
use tidegate::store::{Lease, Verb, Verdict};

use super::ground::Ground;
use super::node::{HOUR_MS, Node, With, bodies, ended, message};
use crate::support::Wire;

/// A node on a wire; every script has run once, so that the next reply is the one to lose.
async fn node_on_a_wire(queue: &str) -> (Ground, Wire, Node) {
    let ground = Ground::single().await;
    let wire = Wire::to(ground.server()).await;
    let ground = ground.over(&wire);
    let node = ground.node(queue).await;
    for verb in
        [Verb::Ack, Verb::Retry, Verb::Release, Verb::Defer, Verb::Bury, Verb::Park, Verb::Renew]
    {
        let id = node.send(message("first")).await;
        let lease = node.take_one().await;
        node.end(verb, &lease).await;
        // Whatever became of it, it is not ready any more.
        node.store.messages.cancel(&id).await.unwrap();
        assert!(node.take(1).await.is_empty());
    }
    (ground, wire, node)
}

#[tokio::test]
async fn a_claim_returns_the_same_set() {
    let (ground, wire, node) = node_on_a_wire("concurrency = 16").await;
    let leased = node.counts().await.of(State::Leased);
    node.send_all(&["a", "b", "c", "d"]).await;

    wire.lose_a_reply();
    let taken = node.take(3).await;

    assert!(wire.has_lost());
    assert_eq!(bodies(&taken), ["a", "b", "c"]);
    assert!(taken.iter().all(|claimed| claimed.attempt == 1));
    assert_eq!(node.counts().await.of(State::Leased), leased + 3);
    assert_eq!(bodies(&node.take(3).await), ["d"]);
    ground.assert_sound(&node).await;
}

#[tokio::test]
async fn the_permits_of_a_repeated_claim_stay_in_the_past() {
    let (ground, wire, node) = node_on_a_wire("rate = \"1000/s\"\nburst = 8").await;
    ground.passes(ground.now_ms().await + 60).await;
    node.send_all(&["a", "b"]).await;

    wire.lose_a_reply();
    let asked_at = tokio::time::Instant::now();
    let taken = node.take(2).await;

    // It took a new connection to get the reply; the slots are those of the call that was lost.
    assert!(wire.has_lost());
    assert!(taken[0].slot <= asked_at + std::time::Duration::from_millis(60));
    assert!(taken[0].slot < tokio::time::Instant::now());
    ground.assert_sound(&node).await;
}

#[tokio::test]
async fn a_message_is_taken_in_once() {
    let (ground, wire, node) = node_on_a_wire("").await;
    let before = node.counts().await.by_state.iter().sum::<u64>();
    // Both connections of the intake have been used, so each has a script to lose the reply of.
    for _ in 0..2 {
        wire.lose_a_reply();
        let sent = node.try_send(message("m").due(When::After(HOUR_MS))).await.unwrap();
        assert!(wire.has_lost());
        assert!(!sent.duplicate);
        assert_eq!(node.get(&sent.id).await.due_at_ms, sent.due_at_ms);
    }
    // A second entry in the ready list would be a stale one that nobody counted.
    wire.lose_a_reply();
    node.send(message("ready")).await;
    assert!(wire.has_lost());
    ground.assert_sound(&node).await;
    wire.lose_a_reply();
    let keyed = node.try_send(message("k").key("k").due(When::After(HOUR_MS))).await.unwrap();
    assert!(wire.has_lost() && !keyed.duplicate);

    assert_eq!(node.counts().await.by_state.iter().sum::<u64>(), before + 4);
    ground.assert_sound(&node).await;
}

#[tokio::test]
async fn every_settling_is_done_once() {
    let (ground, wire, node) = node_on_a_wire("concurrency = 16").await;
    for (verb, state, attempts) in [
        (Verb::Ack, State::Delivered, 1),
        (Verb::Retry, State::Scheduled, 1),
        (Verb::Release, State::Ready, 0),
        (Verb::Defer, State::Ready, 0),
        (Verb::Bury, State::Dead, 1),
        (Verb::Park, State::Uncertain, 1),
    ] {
        let id = node.send(message("m")).await;
        let lease = node.take_one().await;

        wire.lose_a_reply();
        let verdicts = node.settle(verb, std::slice::from_ref(&lease)).await;

        assert!(wire.has_lost());
        assert_eq!(verdicts, [Verdict::Already], "{verb:?}");
        let after = node.get(&id).await;
        assert_eq!((after.state, after.attempts), (state, attempts), "{verb:?}");
        assert_eq!(after.window_holds, u32::from(verb == Verb::Defer));
        ground.assert_sound(&node).await;
        node.store.messages.cancel(&id).await.unwrap();
        assert!(node.take(1).await.is_empty());
    }
}

#[tokio::test]
async fn a_throttle_counts_once() {
    let (ground, wire, node) = node_on_a_wire("").await;
    let id = node.send(message("m")).await;
    let lease: Lease = node.take_one().await;
    let end = ended(&lease, "throttled", Settlement::Throttle { gate_ms: None });

    wire.lose_a_reply();
    let verdicts = node.settle_as(&[end]).await;

    assert!(wire.has_lost());
    assert_eq!(verdicts, [Verdict::Already]);
    assert_eq!(node.get(&id).await.throttles, 1);
    assert_eq!(ground.meta("throttle_streak").await.as_deref(), Some("1"));
    ground.assert_sound(&node).await;
}
