//! Everybody gets an id at once; everybody learns by it what became of the order.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::{Answer, Stage};

const CUSTOMERS: usize = 600;
const ARTICLES: usize = 100;
const CALLS_MAX: usize = 32;

/// What the customer reads in the end.
fn word(message: &Value) -> Value {
    let body = message["result"]["body"].as_str().expect("the answer is kept");
    serde_json::from_str(body).expect("the order system answers JSON")
}

#[tokio::test]
async fn each_customer_has_one_order_and_learns_its_fate_by_id() {
    let stage = Stage::set("flash-sale").await;
    let mut left = ARTICLES;
    stage.downstream.answer_with(move |_| {
        let seat = left;
        left = left.saturating_sub(1);
        Answer::ok().json(&json!({ "seat": (seat > 0).then_some(seat) }))
    });
    stage.run().await;
    let press = async |customer: usize| {
        let path = "/v1/queues/orders/messages";
        let key = format!("customer-{customer}-article-7");
        let body =
            json!({ "payload": { "customer": customer, "article": 7 }, "idempotency_key": key });
        let (once, again) =
            tokio::join!(stage.daemon.post(path, &body), stage.daemon.post(path, &body));
        assert_eq!(once.json()["id"], again.json()["id"], "pressed twice, one order");
        once.json()["id"].as_str().expect("an id").to_owned()
    };

    let ids = futures_util::future::join_all((1..CUSTOMERS).map(press)).await;

    let mut seats = HashSet::new();
    for id in &ids {
        let message = stage.daemon.wait_final(id).await;
        assert_eq!(message["state"], "delivered", "sold out is an answer, not a failure");
        if let Some(seat) = word(&message)["seat"].as_u64() {
            assert!(seats.insert(seat), "seat {seat} was sold twice");
        }
    }
    // One seat went to the customer of the page.
    assert_eq!(seats.len(), ARTICLES - 1);
    assert_eq!(stage.downstream.requests().len(), CUSTOMERS);
    assert!(stage.downstream.in_flight_max() <= CALLS_MAX);
}
