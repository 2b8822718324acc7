//! The edges of HTTP: sizes, methods, odd requests, slow and rude callers.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::get;
use http::Method;
use http_body_util::BodyExt as _;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tower_service::Service as _;

use super::super::{Door, guard};
use super::support::{House, Plan, within};

const PATH: &str = "/v1/queues/sms/messages";

/// Writes bytes as they are and reads until the door closes.
async fn raw(house: &House, request: &[u8]) -> String {
    within(async {
        let mut stream = TcpStream::connect(house.address).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    })
    .await
}

#[tokio::test]
async fn methods_and_paths_that_do_not_exist() {
    let house = House::open().await;
    for (method, path, allow) in [
        (Method::PUT, "/v1/queues/sms/messages", "GET,HEAD,POST"),
        (Method::GET, "/v1/queues/sms/pause", "POST"),
        (Method::POST, "/livez", "GET,HEAD"),
        (Method::OPTIONS, "/v1/messages/sms_01ARZ3NDEKTSV4RRFFQ69G5FAV", "DELETE,GET,HEAD,PATCH"),
        (Method::DELETE, "/openapi.json", "GET,HEAD"),
    ] {
        let reply = house.send(method.clone(), path, &[], "").await;
        let mut allowed: Vec<_> = reply.header("allow").split(',').collect();
        allowed.sort_unstable();
        assert_eq!(allowed.join(","), allow, "{method} {path}");
        assert_eq!(reply.code(405), "method-not-allowed");
    }
    for path in ["/", "/v1", "/v1/queues/", "/v1/queues/sms/messages/", "/v1/messages/", "/v2/x"] {
        assert_eq!(house.get(path).await.code(404), "not-found", "{path}");
    }
    let head = house.send(Method::HEAD, "/v1/queues/sms", &[], "").await.expect(200);
    assert!(head.body.is_empty());
}

#[tokio::test]
async fn bodies_have_a_limit_and_the_answer_arrives() {
    let house = House::build(Plan { body_limit_bytes: 1000, ..Plan::default() }).await;
    let message = |bytes: usize| format!("{{\"payload\":\"{}\"}}", "x".repeat(bytes - 14));
    house.post(PATH, message(1000)).await.expect(201);
    for bytes in [1001, 100_000, 8_000_000] {
        assert_eq!(house.post(PATH, message(bytes)).await.code(413), "too-large", "{bytes}");
    }
    // The same without a Content-Length that tells it in advance.
    let chunk = "x".repeat(2000);
    let request = format!(
        "POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n7d0\r\n{chunk}\r\n0\r\n\r\n"
    );
    let answer = raw(&house, request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("application/problem+json"), "{answer}");
}

#[tokio::test]
async fn a_refusal_reaches_a_caller_who_is_still_sending() {
    let house = House::open().await;
    let large = "x".repeat(4_000_000);
    let foreign = [("content-type", "application/json"), ("host", "evil.example")];
    let reply = house.send(Method::POST, PATH, &foreign, large.clone()).await;
    assert_eq!(reply.code(403), "forbidden");
    let nowhere = house.post("/v1/queues/none/messages", large.clone()).await;
    assert_eq!(nowhere.code(404), "not-found");
    assert_eq!(house.post("/v1/queues/sms/pause", large).await.code(413), "too-large");
}

#[tokio::test]
async fn who_waits_to_be_asked_is_not_asked_for_a_body_that_is_refused() {
    let house = House::open().await;
    let request = format!(
        "POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: 99999999\r\nExpect: 100-continue\r\n\r\n"
    );
    let answer = raw(&house, request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn heads_have_a_limit() {
    let house = House::open().await;
    let long = "x".repeat(40_000);
    let reply = house.send(Method::GET, "/livez", &[("x-long", long.as_str())], "").await;
    assert_eq!(reply.code(431), "headers-too-large");
    let reply = house.get(&format!("/livez?{long}")).await;
    assert_eq!(reply.code(431), "headers-too-large");
    let endless =
        format!("GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Long: {}", "x".repeat(200_000));
    let answer = within(async {
        let mut stream = TcpStream::connect(house.address).await.unwrap();
        // The door may hang up while we still write.
        drop(stream.write_all(endless.as_bytes()).await);
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer).await);
        answer
    })
    .await;
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 431 "), "no bare acceptance");
}

#[tokio::test]
async fn a_request_id_comes_back() {
    let house = House::open().await;
    let reply = house.send(Method::GET, "/livez", &[("x-request-id", "abc-1")], "").await;
    assert_eq!(reply.header("x-request-id"), "abc-1");
    assert_eq!(reply.header("cache-control"), "no-store");
    assert_eq!(house.get("/livez").await.header("x-request-id").len(), 20);
}

#[tokio::test]
async fn a_body_that_breaks_off_harms_nobody() {
    let house = House::open().await;
    let half = format!(
        "POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: 100\r\n\r\n{{\"payload\":"
    );
    let mut stream = TcpStream::connect(house.address).await.unwrap();
    stream.write_all(half.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    drop(within(stream.read_to_end(&mut answer)).await);
    drop(stream);
    let queue: Value = house.get("/v1/queues/sms").await.expect(200).json();
    assert_eq!(queue["counts"]["ready"], 0);
}

#[tokio::test]
async fn what_breaks_inside_leaves_as_a_problem() {
    async fn broken() -> Response {
        panic!("on purpose");
    }
    async fn bare() -> (StatusCode, [(&'static str, &'static str); 1], &'static str) {
        (StatusCode::PAYLOAD_TOO_LARGE, [("x-kept", "1")], "plain words")
    }
    let house = House::open().await;
    let door = Arc::new(Door::new(house.state()));
    let mut router: Router = Router::new()
        .route("/broken", get(broken))
        .route("/bare", get(bare))
        .layer(from_fn_with_state(door, guard::guard));
    for (path, status, code) in [("/broken", 500, "internal"), ("/bare", 413, "too-large")] {
        let request = Request::builder().uri(path).header("host", "localhost");
        let reply = router.call(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(reply.status(), status);
        assert_eq!(reply.headers()["content-type"], "application/problem+json");
        assert_eq!(reply.headers().contains_key("x-kept"), path == "/bare");
        let body = reply.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["code"], code);
    }
}
