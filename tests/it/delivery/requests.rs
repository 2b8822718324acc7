//! Templates for what is sent, on the wire.

use serde_json::json;

use crate::support::{Answer, Daemon, Downstream, QUEUE, RedisServer, Scene};

/// A queue with these lines and a request with these.
async fn scene(lines: &str, request: &str) -> Scene {
    let lines = format!("{lines}\n[queues.{QUEUE}.downstream.request]\n{request}");
    Scene::start(&lines).await
}

#[tokio::test]
async fn a_message_that_lacks_a_value_is_dead_and_nothing_leaves() {
    let scene = scene("", "body = '{\"to\": {{ payload.to }}}'").await;
    for (message, part) in [
        (
            json!({ "payload": { "text": "x" } }),
            "request.body needs payload.to, which the message does not have",
        ),
        (json!({ "payload": { "to": "a" }, "payload_base64": null }), ""),
        (
            json!({ "payload": "text", "content_type": "text/plain" }),
            "request.body needs payload.to",
        ),
        (json!({ "payload_base64": "AAE=" }), "request.body needs the payload, which is bytes"),
    ] {
        let id = scene.daemon.send(QUEUE, &message).await;
        let message = scene.daemon.wait_final(&id).await;
        if part.is_empty() {
            assert_eq!(message["state"], "delivered", "{message}");
            continue;
        }
        assert_eq!((&message["state"], &message["attempts"]), (&json!("dead"), &json!(1)));
        let last = &message["last_attempt"];
        assert_eq!((&last["outcome"], &last["status_code"]), (&json!("refused"), &json!(null)));
        let error = last["error"].as_str().unwrap();
        assert!(error.starts_with(part), "{error}");
        assert_eq!(message["reason"], *error);
    }
    let calls = scene.downstream.requests();
    assert_eq!(calls.len(), 1, "only what could be rendered left");
    assert_eq!(calls[0].body, b"{\"to\": \"a\"}");
}

#[tokio::test]
async fn one_bad_message_of_a_batch_stops_no_other() {
    let body = "body = '[{% for m in messages %}{\"id\": {{ m.id }}, \"to\": {{ m.payload.to }}}{% if not loop.last %},{% endif %}{% endfor %}]'";
    let scene = scene("batch = { max_items = 4, max_wait = \"5s\" }", body).await;
    let ids = scene
        .send_all(&[
            json!({"payload": {"to": 1}}),
            json!({"payload": {}}),
            json!({"payload": {"to": 12.50}}),
            json!({"payload_base64": "AA=="}),
        ])
        .await;
    let mut states = Vec::new();
    for id in &ids {
        states.push(scene.daemon.wait_final(id).await["state"].clone());
    }
    assert_eq!(states, ["delivered", "dead", "delivered", "dead"]);
    let calls = scene.downstream.requests();
    assert_eq!(calls.len(), 1, "one call for those that are left");
    let items: Vec<_> = calls[0].items().iter().map(|item| item["id"].clone()).collect();
    assert_eq!(items, [json!(ids[0]), json!(ids[2])]);
    assert!(calls[0].id().starts_with(&format!("{QUEUE}_")));
}

#[tokio::test]
async fn what_is_signed_is_what_leaves_and_the_headers_are_laid_over_each_other() {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let config = format!(
        "[queues.{QUEUE}.downstream]\nsigning_secret = \"hush\"\nheaders = {{ X-Own = \"operator\" }}\n[queues.{QUEUE}.downstream.request]\nmethod = \"PUT\"\nurl = \"{}\"\nheaders = {{ X-To = \"{{{{ payload.to }}}}\" }}\ncontent_type = \"text/plain\"\nbody = \"to {{{{ payload.to }}}}\"",
        downstream.url("/to/{{ payload.to }}?key=literal&a={{ attempt }}"),
    );
    let daemon = Daemon::start(&redis, config).await;
    let message = json!({ "payload": { "to": "a/b" }, "headers": { "x-to": "forged", "x-own": "forged", "x-message": "1" } });
    let id = daemon.send(QUEUE, &message).await;
    assert_eq!(daemon.wait_final(&id).await["state"], "delivered");
    let call = downstream.requests()[0].clone();
    assert_eq!((&*call.method, &*call.path), ("PUT", "/to/a%2Fb?key=literal&a=1"));
    assert_eq!(call.body, b"to a/b");
    let header = |name: &str| call.header(name).unwrap_or_default().to_owned();
    assert_eq!(
        (header("x-to"), header("x-own"), header("x-message")),
        ("a/b".to_owned(), "operator".to_owned(), "1".to_owned())
    );
    assert_eq!(
        (header("content-type"), header("content-length")),
        ("text/plain".to_owned(), "6".to_owned())
    );
    let signed = signature("hush", &id, &header("webhook-timestamp"), "to a/b");
    assert_eq!(header("webhook-signature"), signed);

    // What is shown of it has neither the secret nor a literal parameter.
    let policy =
        daemon.get(&format!("/v1/queues/{QUEUE}")).await.expect(200).json()["policy"].clone();
    let request = &policy["downstream"]["request"];
    assert!(policy["downstream"]["url"].is_null() && policy["downstream"]["method"].is_null());
    assert_eq!((&request["method"], &request["body"]), (&json!("PUT"), &json!("***")));
    assert_eq!(request["headers"], json!(["x-to"]));
    assert!(
        request["url"].as_str().unwrap().ends_with("/to/{{ payload.to }}?key=***&a={{ attempt }}"),
        "{request}"
    );

    let tried = daemon.cli(&["try", QUEUE, "-d", "{\"to\": \"x y\"}"]).await;
    assert_eq!(tried.code, 0, "{}", tried.stderr);
    for part in ["/to/x%20y?key=***&a=1", "x-to: x y", "to x y"] {
        assert!(tried.stdout.contains(part), "{part}: {}", tried.stdout);
    }
    let tried = daemon.cli(&["try", QUEUE, "-d", "{}"]).await;
    assert_ne!(tried.code, 0);
    assert!(
        format!("{}{}", tried.stdout, tried.stderr).contains("request.url needs payload.to"),
        "{}",
        tried.stderr
    );
}

fn signature(secret: &str, id: &str, timestamp: &str, body: &str) -> String {
    use base64::Engine as _;
    use hmac::Mac as _;
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
    format!("v1,{}", base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes()))
}

#[tokio::test]
async fn a_payload_does_not_choose_where_a_call_goes() {
    let (redis, downstream, other) =
        tokio::join!(RedisServer::start(), Downstream::start(), Downstream::start());
    let config = format!(
        "[queues.{QUEUE}.downstream.request]\nmethod = \"GET\"\nurl = \"{}\"",
        downstream.url("/a/{{ payload.to | safe }}/b"),
    );
    let daemon = Daemon::start(&redis, config).await;
    let host = other.url("").replace("http://", "");
    for to in [
        format!("@{host}"),
        format!("//{host}/"),
        "..".to_owned(),
        "%2e%2E".to_owned(),
        "a\\b".to_owned(),
        "a\nb".to_owned(),
        "#".to_owned(),
    ] {
        let id = daemon.send(QUEUE, &json!({ "payload": { "to": to } })).await;
        drop(daemon.wait_final(&id).await);
    }
    assert!(other.requests().is_empty());
    let paths: Vec<_> = downstream.requests().iter().map(|call| call.path.clone()).collect();
    assert!(paths.iter().all(|path| path.starts_with("/a/") && path.ends_with("/b")), "{paths:?}");
    assert_eq!(paths.len(), 2, "{paths:?}");
}

#[tokio::test]
async fn an_outcome_of_a_templated_call_is_that_of_any_other() {
    let scene =
        scene("retry.initial = \"10ms\"", "headers = { X-Attempt = \"{{ attempt }}\" }").await;
    scene.downstream.once(Answer::status(500));
    let id = scene.send(json!({"a": 1.5})).await;
    assert_eq!(scene.daemon.wait_final(&id).await["state"], "delivered");
    let calls = scene.downstream.requests();
    let attempts: Vec<_> = calls.iter().map(|call| call.header("x-attempt").unwrap()).collect();
    assert_eq!(attempts, ["1", "2"]);
    assert_eq!(calls[0].body, b"{\"a\":1.5}", "without a template for the body it leaves as it is");
}
