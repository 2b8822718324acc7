//! Hostile and clumsy clients: every bad request gets a problem that points at the field, nothing is
//! stored, and the daemon lives on.

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::http::Reply;
use crate::support::{QUEUE, Scene, within};

const JSON: (&str, &str) = ("Content-Type", "application/json");

async fn send(scene: &Scene, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Reply {
    let path = format!("/v1/queues/{QUEUE}/messages");
    scene.daemon.http().send(Method::POST, &path, headers, body).await
}

/// The pointers of a problem, which it must be.
fn pointers(reply: &Reply, status: u16) -> Vec<String> {
    let text = reply.text();
    assert_eq!(reply.status, status, "{text}");
    assert!(reply.header("content-type").starts_with("application/problem+json"), "{text}");
    let problem = reply.json();
    let code = problem["code"].as_str().expect("a problem has a code");
    assert_eq!(problem["type"], format!("urn:tidegate:problem:{code}"));
    assert_eq!(problem["status"], status);
    assert!(problem["title"].is_string() && problem["detail"].is_string(), "{text}");
    let errors = problem["errors"].as_array().cloned().unwrap_or_default();
    let pointer = |error: &Value| error["pointer"].as_str().expect("it points").to_owned();
    errors.iter().map(pointer).collect()
}

/// Nothing has been stored in any state, and the next message goes through.
async fn assert_unharmed(scene: &Scene) {
    let counts = scene.daemon.counts(QUEUE).await;
    let kept: u64 = counts.as_object().expect("counts").values().filter_map(Value::as_u64).sum();
    assert_eq!(kept, 0, "{counts}");
    let id = scene.send("after").await;
    assert_eq!(scene.daemon.wait_final(&id).await["state"], "delivered");
}

#[tokio::test]
async fn bad_fields_are_pointed_at() {
    let scene = Scene::start("").await;
    let long = "x".repeat(257);
    let many = |count: usize| {
        let pairs: Vec<_> = (0..count).map(|n| format!("\"n{n}\":\"v\"")).collect();
        format!("{{{}}}", pairs.join(","))
    };
    for (fields, pointer) in [
        (r#""delay":"soon""#.to_owned(), "/delay"),
        (r#""delay":-1"#.to_owned(), "/delay"),
        (r#""delay":1.5"#.to_owned(), "/delay"),
        (r#""delay":1e999"#.to_owned(), "/delay"),
        (r#""delay":123456789012345678901234567890"#.to_owned(), "/delay"),
        (r#""delay":"366d1s""#.to_owned(), "/delay"),
        (r#""delay":"1h","due_at":"2026-11-20T12:00:00Z""#.to_owned(), "/due_at"),
        (r#""due_at":"tomorrow""#.to_owned(), "/due_at"),
        (r#""due_at":"2026-11-20 12:00""#.to_owned(), "/due_at"),
        (r#""due_at":"9999-01-01T00:00:00Z""#.to_owned(), "/due_at"),
        (r#""ttl":0"#.to_owned(), "/ttl"),
        (r#""ttl":"1s","delay":"1s""#.to_owned(), "/ttl"),
        (r#""expires_at":"2001-01-01T00:00:00Z""#.to_owned(), "/expires_at"),
        (r#""ttl":"1h","expires_at":"2098-01-01T00:00:00Z""#.to_owned(), "/expires_at"),
        (r#""priority":10"#.to_owned(), "/priority"),
        (r#""priority":-1"#.to_owned(), "/priority"),
        (r#""priority":"5""#.to_owned(), "/priority"),
        (r#""group":"""#.to_owned(), "/group"),
        (format!("\"group\":\"{long}\""), "/group"),
        (r#""group":"a\u0000b""#.to_owned(), "/group"),
        (r#""idempotency_key":7"#.to_owned(), "/idempotency_key"),
        (format!("\"idempotency_key\":\"{long}\""), "/idempotency_key"),
        (r#""idempotency_key":"a\nb""#.to_owned(), "/idempotency_key"),
        (r#""content_type":"plain""#.to_owned(), "/content_type"),
        (r#""content_type":"text/plain\r\nX: y""#.to_owned(), "/content_type"),
        (r#""headers":[]"#.to_owned(), "/headers"),
        (r#""headers":{"a b":"c"}"#.to_owned(), "/headers/a b"),
        (r#""headers":{"":"c"}"#.to_owned(), "/headers/"),
        (r#""headers":{"x":"a\r\nb"}"#.to_owned(), "/headers/x"),
        (r#""headers":{"x":1}"#.to_owned(), "/headers/x"),
        (r#""headers":{"Host":"x"}"#.to_owned(), "/headers/Host"),
        (r#""headers":{"content-length":"9"}"#.to_owned(), "/headers/content-length"),
        (r#""headers":{"Transfer-Encoding":"chunked"}"#.to_owned(), "/headers/Transfer-Encoding"),
        (r#""headers":{"Webhook_Id":"x"}"#.to_owned(), "/headers/Webhook_Id"),
        (r#""headers":{"a/b~":"c"}"#.to_owned(), "/headers/a~1b~0"),
        (format!("\"headers\":{}", many(33)), "/headers"),
        (r#""labels":"x""#.to_owned(), "/labels"),
        (r#""labels":{"a":1}"#.to_owned(), "/labels/a"),
        (format!("\"labels\":{}", many(17)), "/labels"),
        (format!("\"labels\":{{\"a\":\"{long}\"}}"), "/labels/a"),
        (r#""retry":{"max_attempts":0}"#.to_owned(), "/retry/max_attempts"),
        (r#""retry":{"factor":"two"}"#.to_owned(), "/retry/factor"),
        (r#""retry":{"retries":3}"#.to_owned(), "/retry/retries"),
        (r#""retry":[]"#.to_owned(), "/retry"),
        (r#""payload":2"#.to_owned(), "/payload"),
        (r#""payload_base64":"AA==""#.to_owned(), "/payload_base64"),
        (r#""color":"red""#.to_owned(), "/color"),
    ] {
        let reply = send(&scene, &[JSON], format!("{{\"payload\":1,{fields}}}")).await;
        assert_eq!(pointers(&reply, 400), [pointer], "{fields}");
    }
    let several = r#"{"priority":10,"delay":"soon","labels":{"a":1},"color":1}"#;
    let mut all = pointers(&send(&scene, &[JSON], several).await, 400);
    all.sort();
    assert_eq!(all, ["/color", "/delay", "/labels/a", "/payload", "/priority"], "all in one go");
    assert_unharmed(&scene).await;
}

#[tokio::test]
async fn bad_bodies_are_refused_as_a_whole() {
    let scene = Scene::start("").await;
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    for (body, pointer) in [
        (Bytes::from_static(b"{\"payload\":\"\xff\xfe\"}"), ""),
        (Bytes::from_static(b"{\"payload\":\"\x00\"}"), ""),
        (Bytes::from_static(b"{\"payload\":1} x"), ""),
        (Bytes::from_static(b"{\"payload\":"), ""),
        (Bytes::from_static(b"{\"payload\":01}"), ""),
        (Bytes::from_static(b"{\"payload\":NaN}"), ""),
        (Bytes::from_static(b"[1]"), ""),
        (Bytes::from_static(b"null"), ""),
        (Bytes::from_static(b"{}"), "/payload"),
        (Bytes::from_static(b""), "/payload"),
        (Bytes::from_static(b"{\"payload\":1,\"payload\":2}"), "/payload"),
        (Bytes::from_static(b"{\"payload_base64\":\"a!\"}"), "/payload_base64"),
        (Bytes::from_static(b"{\"payload_base64\":\"AAAAA\"}"), "/payload_base64"),
        (Bytes::from_static(b"{\"payload_base64\":5}"), "/payload_base64"),
        (Bytes::from(format!("{{\"payload\":{}}}", nested(101))), "/payload"),
        (Bytes::from("[".repeat(100_000)), ""),
        (Bytes::from(format!("{{\"payload\":{}", "{\"a\":".repeat(30_000))), ""),
        (Bytes::from(format!("{{\"payload\":1,\"labels\":{}}}", nested(20_000))), "/labels"),
    ] {
        let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        let found = pointers(&send(&scene, &[JSON], body).await, 400);
        assert_eq!(found.first().map(String::as_str), Some(pointer), "{shown}");
    }
    let large = format!("{{\"payload\":\"{}\"}}", "x".repeat(256 * 1024));
    pointers(&send(&scene, &[JSON], large).await, 413);
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
        let headers = [("Content-Type", kind)];
        pointers(&send(&scene, &headers, "{\"payload\":1}").await, 415);
    }
    pointers(&send(&scene, &[], "{\"payload\":1}").await, 415);
    let long = "x".repeat(40_000);
    pointers(&send(&scene, &[JSON, ("X-Long", &long)], "{\"payload\":1}").await, 431);
    for key in ["", "\"\"", &"k".repeat(257)] {
        let headers = [JSON, ("Idempotency-Key", key)];
        pointers(&send(&scene, &headers, "{\"payload\":1}").await, 400);
    }
    assert_unharmed(&scene).await;
}

#[tokio::test]
async fn bad_addresses_are_told_apart() {
    let scene = Scene::start("").await;
    let request = async |method: Method, path: &str| {
        scene.daemon.http().send(method, path, &[JSON], Bytes::new()).await
    };
    for path in [
        "/v1/queues/none/messages",
        "/v1/queues/NO__PE",
        "/v1/queues/%ff%fe",
        "/v1/queues/jobs%00",
        "/v1/messages/x",
        "/v1/messages/none_01M7XS0TGQSYCW0XD01MYK4MGE",
        "/v1/messages/jobs_01M7XS0TGQSYCW0XD01MYK4MGE",
        "/v1/messages/..%2f..%2fetc",
        "/v1/nothing",
    ] {
        let reply = request(Method::GET, path).await;
        pointers(&reply, 404);
        assert_eq!(reply.json()["code"], "not-found");
    }
    let queue = request(Method::GET, "/v1/queues/none").await.json();
    assert!(
        queue["detail"].as_str().is_some_and(|said| said.contains("queue \"none\"")),
        "{queue}"
    );
    for (method, path) in [
        (Method::PUT, "/v1/queues/jobs/messages"),
        (Method::DELETE, "/v1/queues/jobs"),
        (Method::POST, "/livez"),
    ] {
        let reply = request(method, path).await;
        pointers(&reply, 405);
        assert!(!reply.header("allow").is_empty(), "405 names what is allowed");
    }
    for (query, pointer) in [
        ("limit=0", "?limit"),
        ("limit=1001", "?limit"),
        ("limit=1&limit=2", "?limit"),
        ("state=sleeping", "?state"),
        ("cursor=zzz", "?cursor"),
        ("stat=dead", "?stat"),
    ] {
        let reply = request(Method::GET, &format!("/v1/queues/jobs/messages?{query}")).await;
        assert_eq!(pointers(&reply, 400), [pointer], "{query}");
    }
    let reply = request(Method::GET, "/v1/queues/jobs/windows?days=0").await;
    assert_eq!(pointers(&reply, 400), ["?days"]);
    assert_unharmed(&scene).await;
}

#[tokio::test]
async fn bad_steps_on_queues_change_nothing() {
    let scene = Scene::start("").await;
    for (step, body, status, pointer) in [
        ("pause", r#"{"for":"1h","until":"2098-01-01T00:00:00Z"}"#, 400, "/for"),
        ("pause", r#"{"until":"2001-01-01T00:00:00Z"}"#, 400, "/until"),
        ("pause", r#"{"for":0}"#, 400, "/for"),
        ("pause", r#"{"reason":7}"#, 400, "/reason"),
        ("purge", r#"{}"#, 400, "/state"),
        ("purge", r#"{"state":"all"}"#, 400, "/state"),
        ("requeue-all", r#"{}"#, 400, "/state"),
        ("purge", r#"{"state":"leased"}"#, 409, ""),
        ("purge", r#"{"state":"uncertain"}"#, 409, ""),
        ("purge", r#"{"state":"accepted"}"#, 409, ""),
        ("requeue-all", r#"{"state":"delivered"}"#, 409, ""),
    ] {
        let path = format!("/v1/queues/{QUEUE}/{step}");
        let reply = scene.daemon.http().send(Method::POST, &path, &[JSON], body).await;
        let found = pointers(&reply, status);
        assert_eq!(found.first().map_or("", String::as_str), pointer, "{step} {body}");
    }
    let queue = scene.daemon.get(&format!("/v1/queues/{QUEUE}")).await.expect(200).json();
    assert_eq!(queue["paused"], Value::Null);
    assert_unharmed(&scene).await;
}

/// Writes these bytes on a connection of its own; what comes back until the daemon closes it.
async fn raw(scene: &Scene, bytes: &[u8]) -> String {
    let address = scene.daemon.url().trim_start_matches("http://").to_owned();
    let mut stream = TcpStream::connect(address).await.expect("the daemon listens");
    stream.write_all(bytes).await.expect("the daemon reads");
    let mut answer = Vec::new();
    // A reset instead of an end is an answer, too.
    let _cut = within("the end of a bad connection", stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn what_is_no_http_harms_nobody() {
    let scene = Scene::start("").await;
    for (bytes, status) in [
        (&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], "400"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n", "403"),
        (b"GET /livez HTTP/1.1\r\nConnection: close\r\n\r\n", "403"),
        (b"POST /v1/queues/jobs/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n", "400"),
        (
            b"POST /v1/queues/jobs/messages HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
            Content-Type: application/json\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "400",
        ),
    ] {
        let answer = raw(&scene, bytes).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    }
    assert_unharmed(&scene).await;
}

#[tokio::test]
async fn odd_payloads_that_are_json_are_kept_and_sent_as_they_are() {
    let scene = Scene::start("").await;
    let odd = [
        "null",
        "1e999",
        "-0.0",
        "123456789012345678901234567890",
        "\"\\u0000\\ud800\"",
        "{\"a\":1,\"a\":2,\"\":{}}",
        "[[],[[]]]",
    ];
    for (n, payload) in odd.iter().enumerate() {
        let body = format!("{{\"payload\":{payload},\"delay\":\"1h\"}}");
        let id = send(&scene, &[JSON], body).await.expect(201).json()["id"].clone();
        let path = format!("/v1/messages/{}", id.as_str().expect("an id"));
        let full = scene.daemon.get(&format!("{path}?view=full")).await.expect(200);
        let shown = full.text().contains(&format!("\"payload\":{payload}"));
        assert!(shown, "{payload} is shown as it came: {}", full.text());
        scene.daemon.post(&format!("{path}/run"), &json!({})).await.expect(200);
        let requests = scene.downstream.wait_for(n + 1).await;
        assert_eq!(requests[n].body, payload.as_bytes());
    }
    let text = r#"{"payload":"\ud800","content_type":"text/plain"}"#;
    assert_eq!(pointers(&send(&scene, &[JSON], text).await, 400), ["/payload"]);
}
