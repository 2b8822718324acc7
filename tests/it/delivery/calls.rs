//! What a single call looks like to the downstream: body, content type, headers, signature, attempt.

use base64::Engine as _;
use hmac::{Hmac, Mac as _};
use http::Method;
use serde_json::json;
use sha2::Sha256;

use crate::support::{Answer, QUEUE, Scene};

/// Valid JSON that nobody would write the same way again.
const ODD_JSON: &str =
    "{ \"a\" :\t1.0e+2,\"b\":[ ],\n\"a\":\"\\u00e9\\/\", \"n\":123456789012345678901234567890.10 }";

#[tokio::test]
async fn a_json_payload_leaves_byte_for_byte() {
    let scene = Scene::start("").await;
    let body = format!("{{\"priority\":0, \"payload\" : {ODD_JSON} }}");
    let path = format!("/v1/queues/{QUEUE}/messages");
    let headers = [("Content-Type", "application/json")];

    scene.daemon.http().send(Method::POST, &path, &headers, body).await.expect(201);

    let request = &scene.downstream.wait_for(1).await[0];
    assert_eq!(String::from_utf8_lossy(&request.body), ODD_JSON);
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/jobs"));
}

#[tokio::test]
async fn text_and_bytes_leave_as_what_they_are() {
    let scene = Scene::start("").await;
    let text = json!({ "payload": "schön & \"gut\"", "content_type": "text/plain; charset=utf-8" });
    let bytes = json!({ "payload_base64": "AP8QgA==", "content_type": "image/x-tide" });

    scene.daemon.send(QUEUE, &text).await;
    let request = scene.downstream.wait_for(1).await.remove(0);
    scene.daemon.send(QUEUE, &bytes).await;
    let second = scene.downstream.wait_for(2).await.remove(1);

    assert_eq!(request.body, "schön & \"gut\"".as_bytes());
    assert_eq!(request.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(second.body, [0x00, 0xff, 0x10, 0x80]);
    assert_eq!(second.header("content-type"), Some("image/x-tide"));
}

#[tokio::test]
async fn a_call_carries_the_message_s_headers_the_operator_s_and_ours() {
    let lines = "downstream.headers = { Authorization = \"Bearer operator\" }\n\
                 downstream.method = \"PUT\"";
    let scene = Scene::start(lines).await;
    let message = json!({ "payload": 1, "headers": { "X-Order": "42" } });

    let id = scene.daemon.send(QUEUE, &message).await;

    let request = &scene.downstream.wait_for(1).await[0];
    let due_at = scene.daemon.message(&id).await["due_at"].as_str().unwrap().to_owned();
    assert_eq!(request.method, "PUT");
    for (name, value) in [
        ("x-order", "42"),
        ("authorization", "Bearer operator"),
        ("idempotency-key", &id),
        ("webhook-id", &id),
        ("tidegate-queue", QUEUE),
        ("tidegate-attempt", "1"),
        ("tidegate-due-at", &due_at),
    ] {
        assert_eq!(request.header(name), Some(value), "{name}");
    }
    assert_eq!(request.header("webhook-signature"), None, "there is no secret");
}

#[tokio::test]
async fn a_signature_verifies_as_standard_webhooks_say() {
    let scene = Scene::start("downstream.signing_secret = \"whsec_dGlkZWdhdGU=\"").await;

    let id = scene.send(json!({ "to": "x" })).await;

    let request = &scene.downstream.wait_for(1).await[0];
    let timestamp = request.header("webhook-timestamp").unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(b"tidegate").unwrap();
    mac.update(format!("{id}.{timestamp}.{{\"to\":\"x\"}}").as_bytes());
    let signature = base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes());
    assert_eq!(request.header("webhook-signature"), Some(format!("v1,{signature}").as_str()));
}

#[tokio::test]
async fn each_secret_has_a_signature_while_it_is_being_changed() {
    let scene =
        Scene::start("downstream.signing_secrets = [\"whsec_dGlkZWdhdGU=\", \"the old one\"]")
            .await;

    let id = scene.send(json!(1)).await;

    let request = &scene.downstream.wait_for(1).await[0];
    let timestamp = request.header("webhook-timestamp").unwrap();
    let signature = |key: &[u8]| {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
        mac.update(format!("{id}.{timestamp}.1").as_bytes());
        base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes())
    };
    let both = format!("v1,{} v1,{}", signature(b"tidegate"), signature(b"the old one"));
    assert_eq!(request.header("webhook-signature"), Some(both.as_str()));
}

#[tokio::test]
async fn a_retry_carries_the_same_id_and_the_next_attempt() {
    let scene = Scene::start("retry.initial = \"20ms\"").await;
    scene.downstream.once(Answer::status(500));

    let id = scene.send("again").await;

    let requests = scene.downstream.wait_for(2).await;
    assert_eq!(
        requests.iter().map(|r| (r.id(), r.attempt())).collect::<Vec<_>>(),
        [(id.as_str(), 1), (id.as_str(), 2)]
    );
    assert_eq!(requests[0].body, requests[1].body);
    assert_eq!(requests[1].header("idempotency-key"), Some(id.as_str()));
    assert_eq!(scene.daemon.wait_final(&id).await["attempts"], 2);
}

#[tokio::test]
async fn the_answer_is_kept_up_to_keep_response() {
    let scene = Scene::start("keep_response = \"8B\"").await;
    scene
        .downstream
        .always(Answer::status(202).header("Content-Type", "text/x").body("0123456789"));

    let id = scene.send(1).await;

    let message = scene.daemon.wait_final(&id).await;
    assert_eq!(message["state"], "delivered");
    assert_eq!(message["result"]["status_code"], 202);
    assert_eq!(message["result"]["content_type"], "text/x");
    assert_eq!(message["result"]["body"], "01234567");
    assert_eq!(message["last_attempt"]["outcome"], "delivered");
}
