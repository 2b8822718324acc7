//! One message on its way in.

use http::Method;
use serde_json::json;

use super::support::{House, from_now};

const PATH: &str = "/v1/queues/sms/messages";

#[tokio::test]
async fn a_message_is_answered_as_a_get_would_show_it() {
    let house = House::open().await;
    for body in [
        r#"{"payload": {"to": "+49"}}"#,
        r#"{"payload": 1, "delay": "90s", "ttl": "1h", "priority": 9, "group": "g", "labels": {"a": "b"}}"#,
        r#"{"payload": "x", "content_type": "text/plain", "due_at": "2099-01-01T00:00:00Z"}"#,
        r#"{"payload_base64": "aGk", "headers": {"X-A": "1"}, "expires_at": "2090-01-01T00:00:00+02:00"}"#,
        r#"{"payload": 1, "due_at": "2001-01-01T00:00:00Z", "ttl": "1h", "idempotency_key": "k"}"#,
        r#"{"payload": 1, "retry": {"max_attempts": 2, "schedule": ["5s"]}}"#,
    ] {
        let reply = house.post(PATH, body).await;
        if body.contains("2099") {
            assert_eq!(reply.problem(400)["errors"][0]["pointer"], "/due_at");
            continue;
        }
        let reply = reply.expect(201);
        let sent = reply.json();
        let id = sent["id"].as_str().unwrap();
        assert_eq!(reply.header("location"), format!("/v1/messages/{id}"));
        assert_eq!(sent, house.message(id).await, "{body}");
        assert_eq!(sent["state"], if body.contains("90s") { "scheduled" } else { "ready" });
    }
    let soon = json!({"payload": 1, "due_at": from_now(60_000), "ttl": "1h"});
    let sent = house.post(PATH, soon.to_string()).await.expect(201).json();
    assert_eq!(sent, house.message(sent["id"].as_str().unwrap()).await);
    assert_eq!(sent["state"], "scheduled");
    assert_eq!(sent["held_by"], json!(["due"]));
    assert_eq!(sent["next_attempt_at"], sent["due_at"]);
}

#[tokio::test]
async fn a_payload_is_shown_again_as_it_came() {
    let house = House::open().await;
    for (body, shown) in [
        (r#"{"payload": {"b" : 1.0,   "a": 1e2}}"#, r#""payload":{"b" : 1.0,   "a": 1e2}"#),
        (r#"{"payload": "h\u00e9"}"#, r#""payload":"h\u00e9""#),
        (r#"{"payload": null}"#, r#""payload":null"#),
        (r#"{"payload": "a\n", "content_type": "text/plain"}"#, r#""payload":"a\n""#),
        (r#"{"payload_base64": "/w"}"#, r#""payload_base64":"/w==""#),
    ] {
        let id = house.post(PATH, body).await.expect(201).json()["id"].as_str().unwrap().to_owned();
        let full = house.get(&format!("/v1/messages/{id}?view=full")).await.expect(200);
        let text = String::from_utf8(full.body.to_vec()).unwrap();
        assert!(text.contains(shown), "{text}");
        let brief = house.message(&id).await;
        assert!(brief.get("payload").is_none() && brief.get("payload_base64").is_none());
    }
}

#[tokio::test]
async fn a_repeat_is_answered_with_the_first_message() {
    let house = House::open().await;
    let body = r#"{"payload": 1, "delay": "1h", "idempotency_key": "k-1"}"#;
    let first = house.post(PATH, body).await.expect(201).json();
    assert!(first.get("duplicate").is_none());
    let again = house.post(PATH, body).await.expect(200);
    assert_eq!(again.json()["id"], first["id"]);
    assert_eq!(again.json()["duplicate"], true);
    assert_eq!(again.header("location"), format!("/v1/messages/{}", first["id"].as_str().unwrap()));
    for key in ["k-1", "\"k-1\""] {
        let headers = [("content-type", "application/json"), ("idempotency-key", key)];
        let body = r#"{"payload": 1, "delay": "1h"}"#;
        let by_header = house.send(Method::POST, PATH, &headers, body).await.expect(200).json();
        assert_eq!(by_header["id"], first["id"]);
    }
    let other =
        house.post(PATH, r#"{"payload": 2, "delay": "1h", "idempotency_key": "k-1"}"#).await;
    let problem = other.problem(422);
    assert_eq!(problem["code"], "idempotency-mismatch");
    assert_eq!(problem["id"], first["id"]);
    let headers = [("content-type", "application/json"), ("idempotency-key", "k-2")];
    let differs = house.send(Method::POST, PATH, &headers, body).await.problem(400);
    assert_eq!(differs["errors"][0]["pointer"], "/idempotency_key");
    let listed = house.get(&format!("{PATH}?idempotency_key=k-1")).await.expect(200).json();
    assert_eq!(listed["messages"][0]["id"], first["id"]);
    assert_eq!(listed["next_cursor"], json!(null));
    let none = house.get(&format!("{PATH}?idempotency_key=other")).await.expect(200).json();
    assert_eq!(none["messages"], json!([]));
}

#[tokio::test]
async fn everything_wrong_is_told_with_its_place() {
    let house = House::open().await;
    let body = r#"{"paylod": 1, "priority": "high", "window": 2, "headers": {"Host": "x"}}"#;
    let problem = house.post(PATH, body).await.problem(400);
    let pointers: Vec<_> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["pointer"].as_str().unwrap())
        .collect();
    assert_eq!(pointers, ["/paylod", "/window", "/payload", "/headers/Host", "/priority"]);
    assert!(problem["errors"][0]["detail"].as_str().unwrap().contains("did you mean \"payload\"?"));
    for bad in ["", "{", "[]", "null", "\u{feff}{}", "{\"payload\": 1}x", "{\"payload\": 01}"] {
        assert_eq!(house.post(PATH, bad).await.code(400), "invalid-request", "{bad}");
    }
    let not_utf8 = house.post(PATH, &b"{\"payload\": \"\xff\"}"[..]).await.problem(400);
    assert!(not_utf8["detail"].as_str().unwrap().contains("line 1"));
    let deep = format!("{{\"payload\": {}{}}}", "[".repeat(50_000), "]".repeat(50_000));
    assert_eq!(house.post(PATH, deep).await.problem(400)["errors"][0]["pointer"], "/payload");
    let deep_name = format!("{{\"x\": {}{}}}", "[".repeat(50_000), "]".repeat(50_000));
    assert_eq!(house.post(PATH, deep_name).await.code(400), "invalid-request");
}

#[tokio::test]
async fn unknown_and_retired_queues_are_not_found() {
    let mut house = House::open().await;
    let id = house.seed(r#"{"payload": 1}"#).await;
    for name in ["smss", "SMS", "a__b", "%ff", "%2e%2e", "sms%00"] {
        let path = format!("/v1/queues/{name}/messages");
        assert_eq!(house.post(&path, r#"{"payload": 1}"#).await.code(404), "not-found", "{name}");
    }
    house.retire_all();
    let problem = house.post(PATH, r#"{"payload": 1}"#).await.problem(404);
    assert!(problem["detail"].as_str().unwrap().contains("retired"), "{problem}");
    assert_eq!(house.message(&id).await["state"], "ready");
    let queue = house.get("/v1/queues/sms").await.expect(200).json();
    assert_eq!(queue["retired"], true);
}

#[tokio::test]
async fn a_test_call_shows_the_exchange_and_stores_nothing() {
    let house = House::open().await;
    let exchange =
        house.post("/v1/queues/sms/try", r#"{"payload": {"a":1}}"#).await.expect(200).json();
    assert_eq!(
        exchange,
        json!({
            "request": {
                "method": "POST", "url": "https://sms.example/send",
                "headers": {"content-type": "application/json"}, "body": "{\"a\":1}",
            },
            "answer": {
                "status_code": 200, "content_type": "text/plain", "body": "{\"a\":1}", "error": null,
            },
            "outcome": "delivered", "decision": { "rule": null, "as": null, "ref": null, "detail": null, "unreadable": null },
            "duration_ms": 7,
        })
    );
    let queue = house.get("/v1/queues/sms").await.expect(200).json();
    assert!(queue["counts"].as_object().unwrap().values().all(|count| count == 0), "{queue}");
    house.post("/v1/queues/sms/try", "{}").await.expect(400);
}
