//! A shop from five to midnight, an ERP from one to four: each side gets its messages in its hours.

use serde_json::{Value, json};

use super::Stage;

/// What is held by its window, and what is delivered, at this time of the day.
async fn at(time: &str) -> (Vec<&'static str>, Vec<String>) {
    let stage = Stage::set_at("two-links", time, &[]).await;
    stage.run().await;
    let (mut held, mut delivered) = (Vec::new(), Vec::new());
    for queue in ["orders", "stock"] {
        let window = stage.daemon.get(&format!("/v1/queues/{queue}")).await.expect(200).json();
        if window["window"]["open"] == true {
            let path = "/v1/queues/".to_owned() + queue + "/messages";
            let sent = stage.daemon.post(&path, &json!({ "payload": 1 })).await.expect(201).json();
            let id = sent["id"].as_str().expect("an id").to_owned();
            delivered.push(stage.daemon.wait_final(&id).await["queue"].to_string());
        } else {
            let waiting = stage.list(queue, "ready").await;
            assert!(holds(&waiting, "window"), "{waiting:?}");
            held.push(queue);
        }
    }
    let open = |host| stage.calls(host) > 0;
    assert_eq!(
        (open("erp.example"), open("shop.example")),
        (!held.contains(&"orders"), !held.contains(&"stock"))
    );
    (held, delivered)
}

fn holds(messages: &[Value], gate: &str) -> bool {
    let is_held = |message: &Value| {
        message["held_by"].as_array().is_some_and(|gates| gates.contains(&json!(gate)))
    };
    !messages.is_empty() && messages.iter().all(is_held)
}

#[tokio::test]
async fn by_day_orders_wait_by_night_counts_and_between_the_hours_both() {
    let (day, night, between, late) =
        tokio::join!(at("12:00:00"), at("02:00:00"), at("04:30:00"), at("00:30:00"));
    assert_eq!((day.0, day.1.len()), (vec!["orders"], 1));
    assert_eq!((night.0, night.1.len()), (vec!["stock"], 1));
    assert_eq!((between.0, between.1.len()), (vec!["orders", "stock"], 0));
    assert_eq!((late.0, late.1.len()), (vec!["orders", "stock"], 0));
}
