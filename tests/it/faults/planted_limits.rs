//! The proof of limits can fail: a bug is planted in the daemons, and the checker finds it under the rule
//! that it breaks. The same scenario without the bug breaks nothing.

use crate::rig::checker::{Report, Rule, check};
use crate::rig::flow::{Limit, LimitKind};
use crate::support::{Nodes, NodesOptions, RedisServer, Row};

fn quota(units: u64) -> Limit {
    Limit::of("contract", LimitKind::Quota { units })
}

/// Two nodes with these limits, both with this planted.
async fn two(limits: Vec<Limit>, plant: &'static str) -> Nodes {
    let failpoints = vec![(0, plant), (1, plant)];
    let options = NodesOptions { limits, failpoints, ..Default::default() };
    Nodes::start(RedisServer::start().await, options).await
}

/// Three times as much as this quota of ten lets start.
async fn beyond(quota: Limit, plant: &'static str) -> Report {
    let mut nodes = two(vec![quota], plant).await;
    nodes.send(0, 15).await;
    nodes.send(1, 15).await;
    nodes.cancel_held(0, "contract").await;
    nodes.drained(0).await;
    check(&nodes.history(0).await)
}

#[tokio::test]
async fn a_claim_that_does_not_keep_its_quota_exceeds_it() {
    let (sound, spoilt) =
        tokio::join!(beyond(quota(10), ""), beyond(quota(10), "quota-not-kept=return"));
    sound.expect_good();
    assert_eq!(spoilt.broken(), [Rule::WithinQuota], "{spoilt}");
}

#[tokio::test]
async fn a_reservation_that_is_not_kept_exceeds_a_shared_quota() {
    let (sound, spoilt) = tokio::join!(
        beyond(quota(10).shared(), ""),
        beyond(quota(10).shared(), "reservation-not-kept=return")
    );
    sound.expect_good();
    assert_eq!(spoilt.broken(), [Rule::WithinShared], "{spoilt}");
}

/// A node stops while what it claimed waits for its slot, and comes back.
async fn stops_beside_a_quota(plant: &'static str) -> Report {
    let mut nodes = two(vec![Limit::rate(100.0, 1), quota(50)], plant).await;
    nodes.stop(1).await;
    nodes.send(0, 80).await;
    for sent in [10, 20, 30] {
        nodes.downstream.wait_for(sent).await;
        nodes.stop(0).await;
        nodes.start_again_armed(0, plant).await;
    }
    nodes.cancel_held(0, "contract").await;
    nodes.drained(0).await;
    check(&nodes.history(0).await)
}

#[tokio::test]
async fn units_that_go_back_twice_exceed_the_quota() {
    let (sound, spoilt) =
        tokio::join!(stops_beside_a_quota(""), stops_beside_a_quota("given-back-twice=return"));
    sound.expect_good();
    assert_eq!(spoilt.broken(), [Rule::WithinQuota], "{spoilt}");
}

/// Messages of three units each, beside two rates.
async fn costs_at_two_rates(plant: &'static str) -> Report {
    let minute = LimitKind::Rate { units_per_s: 30.0, burst: 5 };
    let mut nodes = two(vec![Limit::rate(60.0, 2), Limit::of("minute", minute)], plant).await;
    let row = Row { cost: 3, ..Row::default() };
    nodes.send_rows(0, &[row; 8]).await;
    nodes.send_rows(1, &[row; 8]).await;
    nodes.drained(0).await;
    check(&nodes.history(0).await)
}

#[tokio::test]
async fn what_a_rate_forgets_of_a_call_exceeds_it() {
    let (sound, unpaced, unowed) = tokio::join!(
        costs_at_two_rates(""),
        costs_at_two_rates("rate-not-advanced=return"),
        costs_at_two_rates("cost-not-owed=return")
    );
    sound.expect_good();
    assert_eq!(unpaced.broken(), [Rule::WithinRate], "{unpaced}");
    assert_eq!(unowed.broken(), [Rule::WithinRate], "{unowed}");
}
