//! The proof of order and of limits by key can fail: a bug is planted in the daemons, and the checker finds it under
//! the rule that it breaks. The same scenario without the bug breaks nothing.

use crate::rig::checker::{Report, Rule, check};
use crate::rig::flow::{Key, Limit, LimitKind};
use crate::support::clocks::wall_us;
use crate::support::wait::poll_until;
use crate::support::{Answer, Gate, Nodes, NodesOptions, RedisServer, Row};

/// Two nodes that share an ordered queue, both with this armed.
async fn in_order(armed: &'static str) -> Nodes {
    let failpoints = vec![(0, armed), (1, armed)];
    let order = Some(Key::Group);
    let options =
        NodesOptions { order, failpoints, timeout_ms: 2000, lease_ms: 7000, ..Default::default() };
    Nodes::start(RedisServer::start().await, options).await
}

/// Two nodes that share a queue with a limit for each customer, both with this planted.
async fn limited(kind: LimitKind, plant: &'static str) -> Nodes {
    let failpoints = vec![(0, plant), (1, plant)];
    let limits = vec![Limit::of("own", kind).per(Key::Customer)];
    let options =
        NodesOptions { limits, failpoints, timeout_ms: 2000, lease_ms: 7000, ..Default::default() };
    Nodes::start(RedisServer::start().await, options).await
}

/// Two conversations before a downstream that takes a while.
async fn conversations(plant: &'static str) -> Report {
    let mut nodes = in_order(plant).await;
    let gate = Gate::new();
    nodes.downstream.once(Answer::ok().held_by(&gate));
    nodes.downstream.once(Answer::ok().held_by(&gate));
    let rows: Vec<_> = (0..12).map(|row| Row::of_group(row % 2)).collect();
    nodes.send_rows(0, &rows).await;
    nodes.downstream.wait_for(2).await;
    nodes.send_rows(1, &rows).await;
    gate.release();
    nodes.drained(0).await;
    check(&nodes.history(0).await)
}

#[tokio::test]
async fn a_claim_that_leaves_the_lane_open_sends_two_of_a_key_at_once() {
    let (sound, spoilt, newest) = tokio::join!(
        conversations(""),
        conversations("lane-not-busy=return"),
        conversations("lane-newest-first=return")
    );
    sound.expect_good();
    assert!(spoilt.broken().contains(&Rule::OneOfAKey), "{spoilt}");
    assert_eq!(newest.broken(), [Rule::FirstInOrder], "{newest}");
}

/// A conversation whose first message needs three attempts.
async fn a_retry(plant: &'static str) -> Report {
    let mut nodes = in_order(plant).await;
    nodes.downstream.once(Answer::status(500));
    nodes.downstream.once(Answer::status(500));
    nodes.send_rows(0, &[Row::of_group(1); 6]).await;
    nodes.drained(0).await;
    check(&nodes.history(0).await)
}

#[tokio::test]
async fn a_lane_that_goes_on_before_a_retry_sends_two_of_a_key_at_once() {
    let (sound, spoilt) = tokio::join!(a_retry(""), a_retry("lane-freed-by-retry=return"));
    sound.expect_good();
    assert_eq!(spoilt.broken(), [Rule::OneOfAKey], "{spoilt}");
}

/// A message is due, and before anybody has brought it in the next one of its key is accepted. Only a claim brings it in.
async fn the_later_one_is_in_first(armed: &'static str) -> Report {
    let mut nodes = in_order(armed).await;
    nodes.queue_step(0, "pause").await;
    // Later than it takes to send it, also on a busy machine.
    let due_ms = wall_us() / 1000 + 1500;
    nodes.send_rows(0, &[Row { due_ms, ..Row::of_group(1) }]).await;
    poll_until("it is due", async || (wall_us() / 1000 > due_ms).then_some(())).await;
    nodes.send_rows(0, &[Row::of_group(1)]).await;
    nodes.queue_step(0, "resume").await;
    nodes.drained(0).await;
    check(&nodes.history(0).await)
}

const WITHOUT_PROMOTE: &str = "before-promote=return(delay 600000)";
const WITHOUT_PLACES: &str = "before-promote=return(delay 600000);lane-without-places=return";

#[tokio::test]
async fn a_lane_that_does_not_look_at_places_begins_with_the_later_message() {
    let (sound, spoilt) = tokio::join!(
        the_later_one_is_in_first(WITHOUT_PROMOTE),
        the_later_one_is_in_first(WITHOUT_PLACES)
    );
    sound.expect_good();
    assert_eq!(spoilt.broken(), [Rule::FirstInOrder], "{spoilt}");
}

/// Many messages of two customers, of whom each may have two calls; one of the first four calls ends.
async fn calls_of_customers(plant: &'static str) -> Report {
    let mut nodes = limited(LimitKind::Concurrency { calls: 2 }, plant).await;
    let (first, others) = (Gate::new(), Gate::new());
    nodes.downstream.once(Answer::ok().held_by(&first));
    nodes.downstream.always(Answer::ok().held_by(&others));
    let rows: Vec<_> = (0..12).map(|row| Row::of_customer(row % 2)).collect();
    nodes.send_rows(0, &rows).await;
    nodes.downstream.wait_for(4).await;
    first.release();
    nodes.downstream.wait_for(5).await;
    nodes.send_rows(1, &rows).await;
    others.release();
    nodes.drained(0).await;
    check(&nodes.history(0).await)
}

#[tokio::test]
async fn a_claim_that_does_not_count_calls_of_a_key_exceeds_their_concurrency() {
    let (sound, spoilt) =
        tokio::join!(calls_of_customers(""), calls_of_customers("call-of-key-not-counted=return"));
    sound.expect_good();
    assert_eq!(spoilt.broken(), [Rule::WithinConcurrency], "{spoilt}");
}

/// More of each of two customers than their quota lets start.
async fn quotas_of_customers(plant: &'static str) -> Report {
    let mut nodes = limited(LimitKind::Quota { units: 5 }, plant).await;
    let rows: Vec<_> = (0..20).map(|row| Row::of_customer(row % 2)).collect();
    nodes.send_rows(0, &rows).await;
    nodes.send_rows(1, &rows).await;
    nodes.cancel_held(0, "own").await;
    nodes.drained(0).await;
    check(&nodes.history(0).await)
}

#[tokio::test]
async fn a_quota_by_key_that_does_not_count_is_exceeded() {
    let (sound, spoilt) = tokio::join!(
        quotas_of_customers(""),
        quotas_of_customers("quota-of-key-not-counted=return")
    );
    sound.expect_good();
    assert_eq!(spoilt.broken(), [Rule::WithinQuota], "{spoilt}");
}

/// Messages of two customers, each with a pace of their own.
async fn rates_of_customers(plant: &'static str) -> Report {
    let mut nodes = limited(LimitKind::Rate { units_per_s: 10.0, burst: 2 }, plant).await;
    let rows: Vec<_> = (0..12).map(|row| Row::of_customer(row % 2)).collect();
    nodes.send_rows(0, &rows).await;
    nodes.drained(0).await;
    check(&nodes.history(0).await)
}

#[tokio::test]
async fn a_rate_by_key_that_does_not_advance_is_exceeded() {
    let (sound, spoilt) =
        tokio::join!(rates_of_customers(""), rates_of_customers("rate-of-key-not-advanced=return"));
    sound.expect_good();
    assert_eq!(spoilt.broken(), [Rule::WithinRate], "{spoilt}");
}
