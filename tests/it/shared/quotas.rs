//! An account with a quota: used to the unit, and never exceeded by one.

use serde_json::json;

use super::{Shared, fill, shown};
use crate::support::eventually;

const BRAND: &str = "[limits.brand]\nquota = \"40/month\"";
const LINES: &str = "limits = [\"brand\"]";

#[tokio::test]
async fn four_queues_and_three_nodes_use_an_account_to_the_unit() {
    let scene = Shared::new(&["a", "b", "c", "d"], BRAND).await;
    let daemon = scene.node(LINES).await;
    let _others = (scene.node(LINES).await, scene.node(LINES).await);

    scene.fill(&daemon, 15, 1).await;

    scene.wait_delivered(&daemon, 40).await;
    assert_eq!(scene.calls(), 40);
    for (name, _) in &scene.queues {
        let limit = shown(&daemon, name, "brand").await;
        let seen =
            json!([limit["kind"], limit["value"], limit["shared"], limit["used"], limit["left"]]);
        assert_eq!(seen, json!(["quota", "40/month", true, 40, 0]));
        let path = format!("/v1/queues/{name}/messages?state=ready");
        let page = daemon.get(&path).await.expect(200).json();
        for message in page["messages"].as_array().expect("a page") {
            assert_eq!(message["held_by"], json!(["limit:brand"]));
        }
    }
    let metrics = daemon.get("/metrics").await.expect(200).text().to_owned();
    let gauge = "tidegate_limit_used{queue=\"a\",limit=\"brand\"} 1.0";
    assert!(metrics.contains(gauge), "{metrics}");
}

#[tokio::test]
async fn a_message_that_one_limit_holds_takes_nothing_of_the_shared_one() {
    let scene = Shared::new(&["a", "b"], BRAND).await;
    let lines = "limits = [{ quota = \"3/month\" }, \"brand\"]";
    let daemon = scene.node(lines).await;

    scene.fill(&daemon, 10, 1).await;

    scene.wait_delivered(&daemon, 6).await;
    eventually("what was not used went back", async || {
        shown(&daemon, "a", "brand").await["used"] == 6
    })
    .await;
}

#[tokio::test]
async fn costs_batches_and_shards_take_what_they_take_of_other_limits() {
    let accounts = "[limits.brand]\nquota = \"41/month\"\nunit = \"messages\"";
    for (lines, cost, delivered) in [
        ("limits = [\"brand\"]", 3, 13),
        ("limits = [\"brand\"]\nbatch = { max_items = 4, max_wait = \"50ms\" }", 3, 13),
        ("limits = [\"brand\"]\nordering = \"group\"", 3, 13),
    ] {
        let scene = Shared::new(&["a", "b"], accounts).await;
        let daemon = scene.node(lines).await;
        scene.fill(&daemon, 10, cost).await;
        scene.wait_delivered(&daemon, delivered).await;
        eventually("what was not used went back", async || {
            shown(&daemon, "a", "brand").await["used"] == delivered * cost
        })
        .await;
    }
}

#[tokio::test]
async fn a_queue_with_shards_uses_an_account_to_the_unit() {
    let scene = Shared::new(&["a", "b"], BRAND).await;
    let daemon = scene.node("shards = 4\nlimits = [\"brand\", { quota = \"30/month\" }]").await;

    fill(&daemon, "a", 35, 1).await;
    scene.wait_delivered(&daemon, 30).await;
    fill(&daemon, "b", 15, 1).await;

    scene.wait_delivered(&daemon, 40).await;
    assert_eq!(shown(&daemon, "b", "brand").await["used"], 40);
}
