//! The default `ttl` of a queue: of messages that name neither `ttl` nor `expires_at`, counted from the due time.

use serde_json::{Value, json};

use super::WaysIn;
use crate::support::{eventually, wait::poll_until};

/// How long after its due time a message expires, ms.
fn of_use_ms(message: &Value) -> Option<i64> {
    let at = |name: &str| {
        let text = message[name].as_str()?;
        Some(text.parse::<jiff::Timestamp>().expect("a moment").as_millisecond())
    };
    Some(at("expires_at")? - at("due_at")?)
}

const HOUR_MS: i64 = 3_600_000;

#[tokio::test]
async fn it_counts_from_the_due_time_by_every_way_in() {
    let ways = WaysIn::start("ttl = \"1h\"", "payload = 1").await;
    let plain = json!({ "payload": 1 });

    let due_now = ways.send(&plain).await.expect(201).json();
    assert_eq!(of_use_ms(&due_now), Some(HOUR_MS));
    let later = ways.send(&json!({ "payload": 1, "delay": "2h" })).await.expect(201).json();
    assert_eq!(of_use_ms(&later), Some(HOUR_MS));
    let at = json!({ "payload": 1, "due_at": later["due_at"] });
    assert_eq!(of_use_ms(&ways.send(&at).await.expect(201).json()), Some(HOUR_MS));
    ways.send_rows(&[plain.clone(), json!({ "payload": 1, "delay": "1m" })]).await;
    ways.publish(&plain).await.expect(201);
    ways.add_entry(&["payload", "1"]).await;
    ways.add_entry(&["payload", "1", "delay", "1m"]).await;
    ways.run_schedule().await.expect(201);

    let all = poll_until("nine came in", async || {
        Some(ways.waiting("jobs").await).filter(|all| all.len() == 9)
    });
    for message in all.await {
        assert_eq!(of_use_ms(&message), Some(HOUR_MS), "{message}");
    }
}

#[tokio::test]
async fn what_a_message_says_itself_holds_and_so_does_what_was_said_elsewhere() {
    let ways = WaysIn::start("ttl = \"1h\"", "payload = 1\nttl = \"5m\"").await;
    let own = ways.send(&json!({ "payload": 1, "ttl": "10m" })).await.expect(201).json();
    assert_eq!(of_use_ms(&own), Some(600_000));
    let at = json!({ "payload": 1, "expires_at": own["expires_at"] });
    assert_eq!(ways.send(&at).await.expect(201).json()["expires_at"], own["expires_at"]);
    ways.run_schedule().await.expect(201);
    ways.daemon.post("/v1/queues/other/messages", &json!({ "payload": 1 })).await.expect(201);
    let moving =
        json!({ "action": "move", "queue": "other", "state": "ready", "all": true, "to": "jobs" });
    ways.daemon.post("/v1/operations", &moving).await.expect(202);

    let all = poll_until("four came in", async || {
        Some(ways.waiting("jobs").await).filter(|all| all.len() == 4)
    });
    let mut of_use: Vec<_> = all.await.iter().map(of_use_ms).collect();
    of_use.sort_unstable();
    // The one that was moved had no end, and has none here.
    assert_eq!(of_use[..2], [None, Some(300_000)]);
}

#[tokio::test]
async fn a_message_that_waits_longer_expires() {
    let ways = WaysIn::start("ttl = \"200ms\"", "payload = 1").await;
    let id = ways.send(&json!({ "payload": 1 })).await.expect(201).json()["id"].clone();
    let id = id.as_str().expect("an id");
    assert_eq!(ways.daemon.wait_final(id).await["state"], "expired");
    eventually("nothing waits", async || ways.waiting("jobs").await.is_empty()).await;
}
