//! Reading: waits, results, attempts, pages.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::support::{House, Plan, policy, within};
use crate::domain::message::Attempt;
use crate::domain::settlement::Settlement;
use crate::store::{ClaimWish, Claimed, LeaseEnd, Verdict};

#[tokio::test]
async fn bad_queries_are_refused() {
    let house = House::open().await;
    let id = house.seed(r#"{"payload": 1}"#).await;
    let message = format!("/v1/messages/{id}");
    let list = "/v1/queues/sms/messages";
    for (path, pointer) in [
        (format!("{message}?wait=61s"), "?wait"),
        (format!("{message}?wait=soon"), "?wait"),
        (format!("{message}?wait=-1"), "?wait"),
        (format!("{message}?view=all"), "?view"),
        (format!("{message}?wiat=1s"), "?wiat"),
        (format!("{message}?wait=1s&wait=2s"), "?wait"),
        (format!("{list}?limit=0"), "?limit"),
        (format!("{list}?limit=1001"), "?limit"),
        (format!("{list}?state=done"), "?state"),
        (format!("{list}?cursor=x"), "?cursor"),
        (format!("{list}?idempotency_key="), "?idempotency_key"),
        ("/v1/queues/sms/windows?days=367".to_owned(), "?days"),
        ("/v1/queues?limit=5".to_owned(), "?limit"),
    ] {
        let problem = house.get(&path).await.problem(400);
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{path}");
    }
}

#[tokio::test]
async fn a_wait_ends_with_the_final_state() {
    let house = House::open().await;
    let id = house.seed(r#"{"payload": 1, "delay": "1h"}"#).await;
    let path = format!("/v1/messages/{id}?wait=20s");
    let started = Instant::now();
    let (waited, cancelled) = within(async {
        tokio::join!(house.get(&path), async {
            house.until_watched().await;
            house.delete(&format!("/v1/messages/{id}")).await
        })
    })
    .await;
    cancelled.expect(200);
    assert_eq!(waited.expect(200).json()["state"], "cancelled");
    assert!(started.elapsed() < Duration::from_secs(15));
    let again = house.get(&path).await.expect(200).json();
    assert_eq!(again["state"], "cancelled");
    let other = house.seed(r#"{"payload": 1, "delay": "1h"}"#).await;
    let short = house.get(&format!("/v1/messages/{other}?wait=50ms")).await.expect(200).json();
    assert_eq!(short["state"], "scheduled");
}

/// The one message that is ready in `sms`, under our lease.
async fn claim(house: &House) -> Claimed {
    let queue = house.store.queues.get(&"sms".parse().unwrap()).unwrap();
    let wish = ClaimWish { messages_max: 10, horizon_us: 50_000, ..ClaimWish::default() };
    let mut messages = house.store.messages.claim(&queue, wish).await.unwrap().messages;
    assert_eq!(messages.len(), 1);
    messages.remove(0)
}

async fn ack(house: &House, claimed: &Claimed, body: &'static [u8]) {
    let queue = house.store.queues.get(&"sms".parse().unwrap()).unwrap();
    let attempt = Attempt {
        attempt: 1,
        started_at_ms: 1_763_640_000_000,
        ended_at_ms: 1_763_640_000_100,
        outcome: "delivered".to_owned(),
        status_code: Some(200),
        error: None,
        response: Some((Some("application/json".to_owned()), Bytes::from_static(body))),
        wait: crate::domain::waited::AttemptWait::default(),
    };
    let released = LeaseEnd::released(claimed.lease.clone());
    let end = LeaseEnd { settlement: Settlement::Ack, attempt: Some(attempt), ..released };
    let verdicts = house.store.messages.settle(&queue, end.way(), &[], [&end]).await.unwrap();
    assert_eq!(verdicts, [Verdict::Ok]);
}

#[tokio::test]
async fn a_delivered_message_shows_its_result() {
    let house = House::open().await;
    let id = house.seed(r#"{"payload": 1}"#).await;
    let claimed = claim(&house).await;
    let leased = house.message(&id).await;
    assert_eq!((&leased["state"], &leased["held_by"]), (&json!("leased"), &json!([])));
    for (path, method) in [("", http::Method::DELETE), ("/run", http::Method::POST)] {
        let reply = house.send(method, &format!("/v1/messages/{id}{path}"), &[], "").await;
        assert_eq!(reply.problem(409)["state"], "leased");
    }
    ack(&house, &claimed, b"{\"ok\":true}").await;
    let message = house.message(&id).await;
    assert_eq!(message["state"], "delivered");
    assert_eq!(message["attempts"], 1);
    assert_eq!(
        message["result"],
        json!({"status_code": 200, "content_type": "application/json", "body": "{\"ok\":true}"})
    );
    assert_eq!(message["last_attempt"]["outcome"], "delivered");
    assert_eq!(message["last_attempt"]["status_code"], 200);
    assert_eq!(message["last_attempt"]["started_at"], "2025-11-20T12:00:00.000Z");
    let full = house.get(&format!("/v1/messages/{id}?view=full")).await.expect(200).json();
    assert!(full.get("payload").is_none(), "it goes at delivered");
    let attempts = house.get(&format!("/v1/messages/{id}/attempts")).await.expect(200).json();
    assert_eq!(attempts["attempts"][0]["attempt"], 1);
    assert_eq!(attempts["attempts"][0]["response"]["body"], "{\"ok\":true}");
    let requeue = house.post(&format!("/v1/messages/{id}/requeue"), "").await.problem(409);
    assert_eq!(requeue["state"], "delivered");
}

#[tokio::test]
async fn a_body_that_is_no_text_is_shown_in_base64() {
    let house = House::open().await;
    let id = house.seed(r#"{"payload": 1}"#).await;
    let claimed = claim(&house).await;
    ack(&house, &claimed, b"\xff\x00").await;
    let result = house.message(&id).await["result"].clone();
    assert_eq!(result["body_base64"], "/wA=");
    assert!(result.get("body").is_none());
}

async fn pages(house: &House, query: &str) -> Vec<Value> {
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/queues/sms/messages?{query}{cursor}");
        let page = house.get(&path).await.expect(200).json();
        found.extend(page["messages"].as_array().unwrap().iter().cloned());
        assert!(found.len() < 1000, "it never ends");
        assert_eq!(page["looked"], found.len(), "{path}");
        assert!(page["of"].as_u64() >= page["looked"].as_u64(), "{page}");
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return found,
        }
    }
}

#[tokio::test]
async fn pages_show_every_message_once() {
    let mut sharded = policy("sms");
    sharded.shards = 3;
    let house = House::build(Plan { queues: vec![sharded], ..Plan::default() }).await;
    let mut expected = BTreeSet::new();
    for n in 0..20 {
        expected.insert(house.seed(r#"{"payload": 1, "delay": "1h"}"#).await);
        expected.insert(house.seed(r#"{"payload": 2}"#).await);
        if n % 5 == 0 {
            let id = house.seed(r#"{"payload": 3}"#).await;
            house.delete(&format!("/v1/messages/{id}")).await.expect(200);
            expected.insert(id);
        }
    }
    let ids = |found: &[Value]| -> BTreeSet<String> {
        found.iter().map(|message| message["id"].as_str().unwrap().to_owned()).collect()
    };
    for limit in [1, 7, 100] {
        let found = pages(&house, &format!("limit={limit}&view=full")).await;
        assert_eq!(ids(&found), expected);
        assert_eq!(found.len(), expected.len(), "limit {limit}");
        assert!(found.iter().all(|message| message["payload"].is_u64()));
    }
    let cancelled = pages(&house, "limit=3&state=cancelled").await;
    assert_eq!(cancelled.len(), 4);
    assert!(cancelled.iter().all(|message| message["state"] == "cancelled"));
    let first = house.get("/v1/queues/sms/messages?limit=1&state=ready").await.expect(200).json();
    assert_eq!((&first["looked"], &first["of"]), (&json!(1), &json!(20)));
    let cursor = first["next_cursor"].as_str().unwrap();
    let other = house.get(&format!("/v1/queues/sms/messages?state=dead&cursor={cursor}")).await;
    assert_eq!(other.problem(400)["errors"][0]["pointer"], "?cursor");
}
