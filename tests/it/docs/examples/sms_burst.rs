//! A flood of SMS at a gateway that counts, from five nodes, one of which dies.

use std::collections::HashSet;

use super::{Answer, Stage};
use crate::limits::rates::assert_within;
use crate::support::Stalls;
use crate::support::downstream::Request;
use crate::support::wait::poll_until_within;

const CAMPAIGN: usize = 160;
/// At 20 a second, and the lease of the node that dies.
const DONE_WITHIN: std::time::Duration = std::time::Duration::from_secs(90);

#[tokio::test]
#[ignore = "takes 14 seconds or more: make test-all runs it"]
async fn a_campaign_leaves_at_its_pace_over_five_nodes_and_a_code_goes_first() {
    let stalls = Stalls::watch();
    let stage = Stage::set("sms-burst").await;
    stage.downstream.always(Answer::status(202));
    let others = (0..4).map(|_| stage.another_node());
    let mut others = futures_util::future::join_all(others).await;

    stage.run().await;
    stage.downstream.wait_for(60).await;
    others[0].kill9().await;

    poll_until_within(DONE_WITHIN, "all are delivered", async || {
        let delivered = stage.daemon.counts("sms").await["delivered"].as_u64();
        (delivered == Some(CAMPAIGN as u64 + 1)).then_some(())
    })
    .await;
    let requests = stage.downstream.requests();
    assert_within(&stalls, &requests, 20.0, 1);
    let messages: HashSet<_> = requests.iter().map(Request::id).collect();
    assert_eq!(messages.len(), CAMPAIGN + 1);
    // A call or two were under way when the node died.
    assert!(requests.len() <= CAMPAIGN + 3, "{} calls", requests.len());
    let code = requests.iter().position(|r| r.body.windows(4).any(|part| part == b"4711"));
    assert!(code < Some(CAMPAIGN / 2), "the code was call {code:?}");
}
