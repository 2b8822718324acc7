//! What waits in lanes is counted, listed, exported and acted upon as what waits anywhere.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::assert_sound;
use super::calls::{calls, message, of};
use crate::support::wait::poll_until;
use crate::support::{Gate, QUEUE, Scene};

const COUNT: usize = 600;
const LINES: &str = "concurrency = 8\npriority_levels = 3\nordering = \"labels.order\"\nfairness = \"labels.tenant\"\nlimits = [{ quota = \"40/month\", per = \"labels.tenant\" }]";

fn keyed(number: usize) -> Value {
    let (order, tenant) = (format!("k{}", number % 50), format!("t{}", number % 4));
    let mut message = message(number, &[("order", &order), ("tenant", &tenant)]);
    message["priority"] = json!(number % 10);
    message
}

/// Every message of a list, page by page.
async fn listed(scene: &Scene, query: &str) -> Vec<String> {
    let mut ids = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/v1/queues/{QUEUE}/messages?state=ready&limit=70{query}{cursor}");
        let page = scene.daemon.get(&path).await.expect(200).json();
        let messages = page["messages"].as_array().expect("a page has messages");
        ids.extend(messages.iter().map(|it| it["id"].as_str().expect("an id").to_owned()));
        let Some(next) = page["next_cursor"].as_str() else { return ids };
        cursor.clear();
        write!(cursor, "&cursor={next}").expect("to a String");
    }
}

#[tokio::test]
async fn what_waits_in_lanes_is_counted_listed_exported_and_acted_upon() {
    let scene = Scene::start(LINES).await;
    scene.queue_step("pause", &json!({})).await;
    let ids = scene.send_all(&(0..COUNT).map(keyed).collect::<Vec<_>>()).await;
    // 160 go, and the quotas of the tenants hold the others.
    scene.queue_step("resume", &json!({})).await;
    scene.wait_count("delivered", 160).await;
    scene.wait_count("ready", COUNT - 160).await;
    let delivered: BTreeSet<_> =
        calls(&scene.downstream.requests()).iter().map(|call| call.number).collect();
    let waiting: Vec<_> =
        (0..COUNT).filter(|number| !delivered.contains(&(*number as u64))).collect();
    let expected: BTreeSet<_> = waiting.iter().map(|number| ids[*number].clone()).collect();

    let all = listed(&scene, "").await;
    assert_eq!(all.len(), expected.len(), "each once");
    assert_eq!(all.into_iter().collect::<BTreeSet<_>>(), expected);
    let of_tenant = listed(&scene, "&label=tenant=t1").await;
    assert_eq!(of_tenant.len(), waiting.iter().filter(|number| *number % 4 == 1).count());
    let export = scene.daemon.cli(&["export", QUEUE, "--state", "ready"]).await;
    assert_eq!(export.stdout.lines().count(), COUNT - 160, "{}", export.stderr);
    let metrics = scene.daemon.get("/metrics").await.expect(200);
    let counted = format!("tidegate_queue_messages{{queue=\"{QUEUE}\",state=\"ready\"}} 440");
    assert!(metrics.text().contains(&counted), "{}", metrics.text());
    let queue = scene.daemon.get(&format!("/v1/queues/{QUEUE}")).await.expect(200).json();
    assert!(queue["oldest_ready_age_ms"].as_u64() > Some(0), "{queue}");

    // An operation on those of one tenant, wherever they stand in their lanes.
    let cancel = json!({
        "action": "cancel", "queue": QUEUE, "state": "ready", "reason": "the campaign is off", "filter": { "label": { "tenant": "t1" } },
    });
    scene.daemon.post("/v1/operations", &cancel).await.expect(202);
    scene.wait_count("cancelled", of_tenant.len()).await;
    assert_eq!(scene.daemon.counts(QUEUE).await["ready"], COUNT - 160 - of_tenant.len());
    assert_sound(&scene.daemon).await;
}

#[tokio::test]
async fn a_message_of_a_tenant_that_has_no_turn_says_so() {
    let scene = Scene::start("concurrency = 1\nfairness = \"labels.tenant\"").await;
    let gate = Gate::new();
    scene.downstream.always(crate::support::Answer::ok().held_by(&gate));
    scene.queue_step("pause", &json!({})).await;
    let of_tenant = |number: usize| message(number, &[("tenant", ["a", "b"][number / 3])]);
    let ids = scene.send_all(&(0..6).map(of_tenant).collect::<Vec<_>>()).await;

    scene.queue_step("resume", &json!({})).await;

    let seen = calls(&scene.downstream.wait_for(1).await);
    // Whoever went first has had its turn, and the other one has the next.
    let (went, next) = if of(&seen, "tenant", "a").len() == 1 { (0, 3) } else { (3, 0) };
    scene.wait_members(&ids[next], &json!({ "held_by": ["concurrency"] })).await;
    scene.wait_members(&ids[went + 1], &json!({ "held_by": ["concurrency", "fairness"] })).await;
    gate.release();
    poll_until("all are delivered", async || {
        (scene.daemon.counts(QUEUE).await["delivered"] == 6).then_some(())
    })
    .await;
}
