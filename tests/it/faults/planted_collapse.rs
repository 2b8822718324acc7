//! The proof of collapse keys can fail: a bug is planted in the daemons, and the checker finds it under the rule that it
//! breaks. The same scenario without the bug breaks nothing.

use crate::rig::checker::{Report, Rule, check};
use crate::support::wait::poll_until;
use crate::support::{Answer, Gate, Nodes, NodesOptions, QUEUE, RedisServer, Row};

const ARTICLES: u32 = 20;
/// Between two attempts there is time to send something newer.
const LINES: &str = "retry = { initial = \"3s\", factor = 1.0, jitter = 0.0 }";

/// Two nodes, both with this planted.
async fn two(plant: &'static str) -> Nodes {
    let failpoints = vec![(0, plant), (1, plant)];
    let options = NodesOptions { failpoints, concurrency: 100, lines: LINES, ..Default::default() };
    Nodes::start(RedisServer::start().await, options).await
}

/// A change of each article.
fn changes() -> Vec<Row> {
    (0..ARTICLES).map(Row::of_collapse_key).collect()
}

async fn judged(nodes: &Nodes) -> Report {
    nodes.drained(0).await;
    check(&nodes.history(0).await)
}

/// Each article changes twice, the second time while the first change is being sent and about to fail.
async fn changed_while_sent(plant: &'static str) -> Report {
    let mut nodes = two(plant).await;
    let gate = Gate::new();
    for _ in 0..ARTICLES {
        nodes.downstream.once(Answer::status(500).held_by(&gate));
    }
    nodes.send_rows(0, &changes()).await;
    nodes.downstream.wait_for(ARTICLES as usize).await;
    nodes.send_rows(1, &changes()).await;
    gate.release();
    judged(&nodes).await
}

#[tokio::test]
async fn a_newer_message_that_does_not_wait_for_the_older_comes_before_it() {
    let (sound, spoilt) = tokio::join!(
        changed_while_sent(""),
        changed_while_sent("collapse-not-held=return;collapse-again=return"),
    );
    sound.expect_good();
    assert_eq!(spoilt.broken(), [Rule::NewestLast], "{spoilt}");
}

/// Each article changes three times while the queue is paused.
async fn changed_while_paused(plant: &'static str) -> Report {
    let mut nodes = two(plant).await;
    nodes.queue_step(0, "pause").await;
    for node in [0, 1, 0] {
        nodes.send_rows(node, &changes()).await;
    }
    nodes.queue_step(0, "resume").await;
    judged(&nodes).await
}

#[tokio::test]
async fn a_payload_that_is_accepted_and_not_kept_is_lost() {
    let (sound, spoilt) =
        tokio::join!(changed_while_paused(""), changed_while_paused("collapse-not-kept=return"),);
    sound.expect_good();
    assert_eq!(spoilt.broken(), [Rule::NotLost], "{spoilt}");
    assert!(!spoilt.lost.is_empty(), "{spoilt}");
}

/// Each article changes a second time while the first change waits for another attempt.
async fn changed_between_attempts(plant: &'static str) -> Report {
    let mut nodes = two(plant).await;
    for _ in 0..ARTICLES {
        nodes.downstream.once(Answer::status(500));
    }
    nodes.send_rows(0, &changes()).await;
    poll_until("all have failed once", async || {
        let counts = nodes.daemon(0).counts(QUEUE).await;
        (counts["scheduled"] == ARTICLES).then_some(())
    })
    .await;
    nodes.send_rows(1, &changes()).await;
    judged(&nodes).await
}

#[tokio::test]
async fn a_payload_that_takes_the_place_of_one_that_was_sent_comes_under_its_id() {
    let (sound, spoilt) = tokio::join!(
        changed_between_attempts(""),
        changed_between_attempts("collapse-after-begin=return"),
    );
    sound.expect_good();
    assert!(spoilt.broken().contains(&Rule::OnePayload), "{spoilt}");
}
