//! An account with a quota: used to the unit, and never exceeded by one.

use serde_json::json;

use super::{Shared, fill, shown};
use crate::support::{Answer, eventually};

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

/// All or nothing over two accounts and a rate: what one of them does not let start takes nothing of the others.
#[tokio::test]
async fn a_queue_that_names_two_accounts_keeps_to_both() {
    let accounts =
        format!("{BRAND}\n[limits.small]\nquota = \"12/month\"\n[limits.line]\nrate = \"100/s\"");
    let scene = Shared::new(&["a", "b"], &accounts).await;
    let daemon = scene.node("limits = [\"line\", \"small\", \"brand\"]").await;

    scene.fill(&daemon, 20, 1).await;

    scene.wait_delivered(&daemon, 12).await;
    for (limit, used) in [("small", 12), ("brand", 12)] {
        eventually("nothing is taken beside what was sent", async || {
            shown(&daemon, "b", limit).await["used"] == used
        })
        .await;
    }
    assert_eq!(scene.calls(), 12);
}

/// Each part of a split batch takes a unit of its own.
#[tokio::test]
async fn halves_of_a_batch_take_units_of_the_account() {
    let scene = Shared::new(&["a"], BRAND).await;
    let (_, downstream) = &scene.queues[0];
    downstream.answer_with(|request| {
        let has_bad = request
            .json()
            .as_array()
            .is_some_and(|items| items.iter().any(|item| item["payload"] == 2));
        Answer::status(if has_bad { 422 } else { 200 })
    });
    let lines = "batch = { max_items = 4, max_wait = \"50ms\" }\nlimits = [\"brand\"]";
    let daemon = scene.node(lines).await;

    fill(&daemon, "a", 4, 1).await;

    scene.wait_delivered(&daemon, 3).await;
    let calls = scene.calls();
    assert!(calls >= 4, "the batch, two halves, and the parts of one: {calls}");
    assert_eq!(shown(&daemon, "a", "brand").await["used"], calls);
}

/// A callback is no call to the downstream, and takes nothing. A probe is one, and takes one unit, whatever its message costs.
#[tokio::test]
async fn callbacks_take_nothing_of_an_account_and_probes_one_unit() {
    let scene = Shared::new(&["a", "b"], BRAND).await;
    let [(_, called), (_, asked)] = &scene.queues[..] else { unreachable!("two queues") };
    let lines = format!(
        "{LINES}\ndownstream.timeout = \"300ms\"\non_uncertain = \"probe\"\n\
         probe = {{ url = \"{}\", after = \"50ms\" }}\n\
         callback = {{ url = \"{}\", on = [\"delivered\"] }}",
        asked.url("/asked/{id}"),
        asked.url("/told"),
    );
    let daemon = scene.node(&lines).await;
    called.once(Answer::silence());

    // One of them is asked for: its answer never comes.
    fill(&daemon, "a", 4, 3).await;

    scene.wait_delivered(&daemon, 4).await;
    let of = |path: &'static str| {
        let requests = asked.requests().into_iter();
        requests.filter(move |request| request.path.starts_with(path)).count()
    };
    eventually("all are told", async || of("/told") == 4).await;
    assert_eq!((called.requests().len(), of("/asked/")), (4, 1));
    assert_eq!(shown(&daemon, "a", "brand").await["used"], 4 * 3 + 1);
}

/// What stood first costs more than is left, and then stands there no more: what is behind it leaves.
#[tokio::test]
async fn a_message_that_is_gone_holds_nobody_behind_it() {
    for lines in [
        LINES,
        "limits = [\"brand\"]\nbatch = { max_items = 4, max_wait = \"50ms\" }",
        "limits = [\"brand\"]\nshards = 2",
        "limits = [\"brand\"]\nordering = \"group\"",
    ] {
        let accounts = "[limits.brand]\nquota = \"5/month\"\nunit = \"messages\"";
        let scene = Shared::new(&["a"], accounts).await;
        let daemon = scene.node(lines).await;
        fill(&daemon, "a", 1, 3).await;
        scene.wait_delivered(&daemon, 1).await;
        let mut ids = Vec::new();
        for number in 0..2 {
            let message = json!({ "payload": number, "cost": 3 });
            let reply = daemon.post("/v1/queues/a/messages", &message).await.expect(201).json();
            ids.push(reply["id"].as_str().expect("an id").to_owned());
        }
        eventually("the account holds both", async || {
            let holds = daemon.get(&format!("/v1/messages/{}", ids[0])).await.expect(200).json();
            holds["held_by"] == json!(["limit:brand"])
        })
        .await;

        fill(&daemon, "a", 2, 1).await;
        daemon.delete(&format!("/v1/messages/{}", ids[0])).await.expect(200);
        let later = json!({ "delay": "1h" });
        daemon.patch(&format!("/v1/messages/{}", ids[1]), &later).await.expect(200);

        scene.wait_delivered(&daemon, 3).await;
        assert_eq!(shown(&daemon, "a", "brand").await["used"], 5, "{lines}");
    }
}
