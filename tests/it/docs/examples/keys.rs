//! One rule for each queue, and each goes by a value of the messages.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Answer, Stage};
use crate::support::downstream::Request;
use crate::support::wait::poll_until_within;

async fn labelled(stage: &Stage, queue: &str, number: usize, label: &str, value: &str) -> String {
    let labels = json!({ label: value });
    let body = json!({ "payload": { "n": number, "key": value }, "labels": labels });
    stage.daemon.send(queue, &body).await
}

fn to(stage: &Stage, path: &str) -> Vec<Request> {
    let requests = stage.downstream.requests().into_iter();
    requests.filter(|request| request.path.contains(path)).collect()
}

/// A key that lets one start a minute gives a slot away that a busy machine did not use in time: the next one is a minute later.
const PATIENCE: Duration = Duration::from_secs(150);

async fn wait_for(stage: &Stage, path: &str, count: usize) -> Vec<Request> {
    poll_until_within(PATIENCE, &format!("{count} calls to {path}"), async || {
        let found = to(stage, path);
        (found.len() >= count).then_some(found)
    })
    .await
}

/// The most of these calls that were in flight together.
fn at_once(requests: &[Request]) -> usize {
    let in_flight = |at: &Request| {
        let is_there = |it: &&Request| {
            it.arrived <= at.arrived && it.answered.is_none_or(|end| end > at.arrived)
        };
        requests.iter().filter(is_there).count()
    };
    requests.iter().map(in_flight).max().unwrap_or(0)
}

#[tokio::test]
async fn each_number_waits_for_itself_and_conversations_are_in_order() {
    let stage = Stage::set("keys").await;
    stage.downstream.always(Answer::ok().after(Duration::from_millis(400)));

    let shown = stage.run().await;

    assert!(shown.contains("Waiting for its turn under the limit \"per_to\""), "{shown}");
    let of_message = "The limit \"per_to\" lets 1/min start for labels.to = +4915112345678: the next one may start at ";
    assert!(shown.contains(of_message), "{shown}");
    assert!(shown.contains("it holds the messages of 1 value now"), "{shown}");
    assert!(shown.contains("50000/day: 3 used, 49997 left"), "{shown}");
    assert_eq!(wait_for(&stage, "/codes", 2).await.len(), 2);
    let chat = wait_for(&stage, "chat.example", 3).await;
    let texts: Vec<Value> = chat.iter().map(|request| request.json()["text"].clone()).collect();
    assert_eq!(texts, ["one", "two", "three"]);
    assert_eq!(at_once(&chat), 1);
    let orders = wait_for(&stage, "erp.example", 5).await;
    assert_eq!(at_once(&orders), 2);
    wait_for(&stage, "mail.example", 2).await;
}

#[tokio::test]
async fn tenants_share_by_weight_and_a_customer_leaves_room_for_others() {
    let stage = Stage::set("keys").await;
    stage.downstream.always(Answer::ok().after(Duration::from_millis(300)));
    stage.daemon.post("/v1/queues/mails/pause", &json!({})).await.expect(200);
    for number in 0..80 {
        let tenant = if number < 40 { "acme" } else { "globex" };
        labelled(&stage, "mails", number, "tenant", tenant).await;
    }
    for number in 0..6 {
        labelled(&stage, "orders", number, "customer", "7").await;
    }
    let other = labelled(&stage, "orders", 6, "customer", "8").await;

    stage.daemon.post("/v1/queues/mails/resume", &json!({})).await.expect(200);

    assert_eq!(stage.daemon.wait_final(&other).await["state"], "delivered");
    let of_7 = |requests: &[Request]| requests.iter().filter(|it| it.json()["key"] == "7").count();
    let before = of_7(&to(&stage, "erp.example"));
    assert!(before <= 4, "the other customer waited behind {before} calls");
    let mails = wait_for(&stage, "mail.example", 40).await;
    let acme = mails[..40].iter().filter(|it| it.json()["key"] == "acme").count();
    assert!((28..=32).contains(&acme), "acme got {acme} of 40");
    let orders = wait_for(&stage, "erp.example", 7).await;
    let of_7: Vec<Request> = orders.into_iter().filter(|it| it.json()["key"] == "7").collect();
    assert_eq!(at_once(&of_7), 2);
}
