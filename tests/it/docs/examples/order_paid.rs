//! An order is paid: four systems hear of it, each in its own way, and none waits for another.

use serde_json::json;

use super::{Answer, Stage};
use crate::support::{Gate, eventually};

/// The id of the message that this queue got, as `publish` printed it.
fn id_in<'a>(ids: &'a str, queue: &str) -> &'a str {
    let prefix = format!("{queue}_");
    ids.lines().find(|line| line.starts_with(&prefix)).expect("the queue subscribes")
}

/// Points are booked at the third try; the SMS gateway hangs until it is let go; marketing sleeps.
#[tokio::test]
async fn stock_points_marketing_and_sms_hear_of_it_each_in_its_own_way() {
    let stage = Stage::set("order-paid").await;
    let gate = Gate::new();
    let (held, mut tries) = (gate.clone(), 0);
    stage.downstream.answer_with(move |request| match request.path.as_str() {
        "/points.example/paid" => {
            tries += 1;
            if tries < 3 { Answer::status(503) } else { Answer::ok() }
        }
        "/sms.example/send" => Answer::ok().held_by(&held),
        _ => Answer::ok(),
    });
    let daemon = &stage.daemon;
    daemon.post("/v1/queues/marketing/pause", &json!({ "reason": "night" })).await.expect(200);

    let ids = stage.run().await;

    for queue in ["stock", "points"] {
        assert_eq!(daemon.wait_final(id_in(&ids, queue)).await["state"], "delivered");
    }
    eventually("the gateway was called", async || stage.calls("sms.example") == 1).await;
    assert_eq!(daemon.message(id_in(&ids, "sms")).await["state"], "leased");
    assert_eq!(daemon.message(id_in(&ids, "marketing")).await["state"], "ready");
    gate.release();
    assert_eq!(daemon.wait_final(id_in(&ids, "sms")).await["state"], "delivered");
    daemon.post("/v1/queues/marketing/resume", &json!({})).await.expect(200);
    assert_eq!(daemon.wait_final(id_in(&ids, "marketing")).await["state"], "delivered");

    let calls =
        ["stock", "points", "marketing", "sms"].map(|host| stage.calls(&format!("{host}.example")));
    assert_eq!(calls, [1, 3, 1, 1], "published twice under one key, told once");
    let requests = stage.downstream.requests();
    let stock = requests.iter().find(|request| request.path == "/stock.example/paid");
    let stock = stock.expect("it arrived");
    assert_eq!(stock.json(), json!({ "order": 42, "customer": 7 }));
    assert_eq!(stock.header("tidegate-topic"), Some("order_paid"));
}
