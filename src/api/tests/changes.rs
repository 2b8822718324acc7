//! Steps on one message, and which states allow them.

use serde_json::json;

use super::support::{House, from_now};

#[tokio::test]
async fn a_waiting_message_can_be_edited() {
    let house = House::open().await;
    let id = house.seed(r#"{"payload": 1, "delay": "1h"}"#).await;
    let path = format!("/v1/messages/{id}");
    let due_at = from_now(7_200_000);
    let body = json!({"due_at": due_at, "priority": 7, "payload": {"new":true}});
    let headers = [("content-type", "application/json")];
    let unpaid = json!({"priority": 3}).to_string();
    let moved = house.send(http::Method::PATCH, &path, &headers, unpaid).await.expect(200).json();
    assert!(moved.get("edited").is_none(), "its payload is as it was: {moved}");
    let edited = house.send(http::Method::PATCH, &path, &headers, body.to_string()).await;
    let edited = edited.expect(200).json();
    assert_eq!(edited["edited"], true);
    assert_eq!((&edited["due_at"], &edited["priority"]), (&json!(due_at), &json!(7)));
    let full = house.get(&format!("{path}?view=full")).await.expect(200).json();
    assert_eq!((&full["payload"], &full["edited"]), (&json!({"new": true}), &json!(true)));
    let expiring = format!("{{\"expires_at\": \"{}\"}}", from_now(9_000_000));
    let reply = house.send(http::Method::PATCH, &path, &headers, expiring).await.expect(200).json();
    assert!(reply["expires_at"].is_string());
    let never = house.patch(&path, r#"{"expires_at": null}"#).await.expect(200).json();
    assert_eq!(never["expires_at"], json!(null));
    let early = format!("{{\"expires_at\": \"{}\"}}", from_now(60_000));
    let problem = house.send(http::Method::PATCH, &path, &headers, early).await.problem(400);
    assert_eq!(problem["errors"][0]["pointer"], "/expires_at");
}

#[tokio::test]
async fn bad_edits_are_refused() {
    let house = House::open().await;
    let id = house.seed(r#"{"payload": 1, "delay": "1h"}"#).await;
    let text = house.seed(r#"{"payload": "x", "content_type": "text/plain", "delay": "1h"}"#).await;
    let raw = house.seed(r#"{"payload_base64": "aGk", "delay": "1h"}"#).await;
    for (id, body, pointer) in [
        (&id, "{}", ""),
        (&id, r#"{"due_at": null}"#, ""),
        (&id, r#"{"delay": 1, "due_at": "2026-01-01T00:00:00Z"}"#, "/due_at"),
        (&id, r#"{"delay": "367d"}"#, "/delay"),
        (&id, r#"{"priority": 10}"#, "/priority"),
        (&id, r#"{"expires_at": "2001-01-01T00:00:00Z"}"#, "/expires_at"),
        (&id, r#"{"headers": {}}"#, "/headers"),
        (&id, r#"{"payload_base64": "aGk"}"#, "/payload_base64"),
        (&text, r#"{"payload": 5}"#, "/payload"),
        (&raw, r#"{"payload": "x"}"#, "/payload"),
    ] {
        let problem = house.patch(&format!("/v1/messages/{id}"), body).await.problem(400);
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{body}");
    }
    for (id, body) in [(&text, r#"{"payload": "y"}"#), (&raw, r#"{"payload_base64": "eA=="}"#)] {
        house.patch(&format!("/v1/messages/{id}"), body).await.expect(200);
    }
    let ready = house.seed(r#"{"payload": 1}"#).await;
    let problem =
        house.patch(&format!("/v1/messages/{ready}"), r#"{"payload": 2}"#).await.problem(409);
    assert_eq!((&problem["code"], &problem["state"]), (&json!("wrong-state"), &json!("ready")));
}

#[tokio::test]
async fn cancelled_once_is_cancelled_twice() {
    let house = House::open().await;
    let id = house.seed(r#"{"payload": 1, "delay": "1h"}"#).await;
    let path = format!("/v1/messages/{id}");
    for _ in 0..2 {
        let cancelled = house.delete(&path).await.expect(200).json();
        assert_eq!(cancelled["state"], "cancelled");
        assert!(cancelled["final_at"].is_string());
        assert_eq!(cancelled["held_by"], json!([]));
    }
    let run = house.post(&format!("{path}/run"), "").await.problem(409);
    assert_eq!(run["state"], "cancelled");
    let patch = house.patch(&path, r#"{"priority": 1}"#).await.problem(409);
    assert_eq!(patch["state"], "cancelled");
    let back = house.post(&format!("{path}/requeue"), "{}").await.expect(200).json();
    assert_eq!(back["state"], "ready");
    let again = house.post(&format!("{path}/requeue"), "{}").await.problem(409);
    assert_eq!(again["state"], "ready");
}

#[tokio::test]
async fn run_makes_it_due_now() {
    let house = House::open().await;
    let id = house.seed(r#"{"payload": 1, "delay": "1h"}"#).await;
    let path = format!("/v1/messages/{id}/run");
    for _ in 0..2 {
        let run = house.post(&path, "").await.expect(200).json();
        assert_eq!((&run["state"], &run["held_by"]), (&json!("ready"), &json!([])));
    }
    assert_eq!(house.post(&path, r#"{"when": "now"}"#).await.code(400), "invalid-request");
}

#[tokio::test]
async fn a_decision_needs_an_uncertain_message() {
    let house = House::open().await;
    let id = house.seed(r#"{"payload": 1, "delay": "1h"}"#).await;
    let path = format!("/v1/messages/{id}/resolve");
    for (body, pointer) in [
        ("{}", "/as"),
        (r#"{"as": "maybe"}"#, "/as"),
        (r#"{"as": "dead", "reason": 5}"#, "/reason"),
    ] {
        let problem = house.post(&path, body).await.problem(400);
        assert_eq!(problem["errors"][0]["pointer"], pointer);
    }
    let problem = house.post(&path, r#"{"as": "delivered", "reason": "seen"}"#).await.problem(409);
    assert_eq!(problem["state"], "scheduled");
}

#[tokio::test]
async fn unknown_messages_are_not_found_by_any_step() {
    let house = House::open().await;
    for id in
        ["sms_01ARZ3NDEKTSV4RRFFQ69G5FAV", "none_01ARZ3NDEKTSV4RRFFQ69G5FAV", "sms_1", "x", "%ff"]
    {
        let path = format!("/v1/messages/{id}");
        assert_eq!(house.get(&path).await.code(404), "not-found", "{id}");
        assert_eq!(house.get(&format!("{path}?wait=1s")).await.code(404), "not-found", "{id}");
        assert_eq!(house.get(&format!("{path}/attempts")).await.code(404), "not-found", "{id}");
        assert_eq!(house.delete(&path).await.code(404), "not-found", "{id}");
        assert_eq!(house.patch(&path, r#"{"priority": 1}"#).await.code(404), "not-found", "{id}");
        for step in ["run", "requeue"] {
            assert_eq!(
                house.post(&format!("{path}/{step}"), "").await.code(404),
                "not-found",
                "{id}"
            );
        }
        let resolve = house.post(&format!("{path}/resolve"), r#"{"as": "dead"}"#).await;
        assert_eq!(resolve.code(404), "not-found", "{id}");
    }
}
