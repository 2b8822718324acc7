//! Who may enter: tokens, scopes, and what protects a door without them.

use http::Method;
use sha2::{Digest as _, Sha256};

use super::support::{House, Plan};
use crate::config::{Scope, Token};

const JSON: (&str, &str) = ("content-type", "application/json");

fn token(name: &str, scopes: &[Scope]) -> Token {
    let sha256 = Sha256::digest(format!("{name}-secret")).into();
    Token { name: name.to_owned(), sha256, scopes: scopes.to_vec(), expires_ms: None, queues: None }
}

async fn guarded() -> House {
    let tokens = vec![
        token("shop", &[Scope::Send]),
        token("eye", &[Scope::Read]),
        token("ops", &[Scope::Operate]),
    ];
    House::build(Plan { tokens, ..Plan::default() }).await
}

#[tokio::test]
async fn each_scope_opens_its_own_routes() {
    let house = guarded().await;
    let routes = [
        (Method::POST, "/v1/queues/sms/messages", r#"{"payload": 1}"#, "shop"),
        (Method::POST, "/v1/queues/sms/messages/batch", "[]", "shop"),
        (Method::GET, "/v1/queues", "", "eye"),
        (Method::GET, "/metrics", "", "eye"),
        (Method::POST, "/v1/queues/sms/pause", "{}", "ops"),
        (Method::POST, "/v1/queues/sms/resume", "", "ops"),
        (Method::POST, "/v1/queues/sms/try", r#"{"payload": 1}"#, "ops"),
    ];
    for (method, path, body, fitting) in routes {
        for name in ["shop", "eye", "ops"] {
            let bearer = format!("Bearer {name}-secret");
            let headers = [JSON, ("authorization", bearer.as_str())];
            let reply = house.send(method.clone(), path, &headers, body).await;
            if name == fitting {
                assert!(reply.status < 300, "{method} {path} as {name}: {}", reply.status);
            } else {
                assert_eq!(reply.code(403), "forbidden", "{method} {path} as {name}");
            }
        }
        let reply = house.send(method.clone(), path, &[JSON], body).await;
        assert_eq!(reply.header("www-authenticate"), "Bearer", "{method} {path}");
        assert_eq!(reply.code(401), "unauthorized");
        let wrong = [JSON, ("authorization", "Bearer wrong")];
        assert_eq!(house.send(method, path, &wrong, body).await.code(401), "unauthorized");
    }
    for open in ["/livez", "/readyz"] {
        house.get(open).await.expect(200);
    }
    assert_eq!(house.get("/v1/nowhere").await.code(401), "unauthorized");
}

#[tokio::test]
async fn with_tokens_neither_host_nor_origin_nor_content_type_is_asked() {
    let house = guarded().await;
    let headers = [
        ("authorization", "Bearer shop-secret"),
        ("host", "tidegate.example"),
        ("origin", "https://shop.example"),
    ];
    let path = "/v1/queues/sms/messages";
    house.send(Method::POST, path, &headers, r#"{"payload": 1}"#).await.expect(201);
    let foreign = [headers[0], ("content-type", "text/plain")];
    let reply = house.send(Method::POST, path, &foreign, r#"{"payload": 1}"#).await;
    assert_eq!(reply.code(415), "unsupported-media-type");
}

#[tokio::test]
async fn who_paused_is_told() {
    let house = guarded().await;
    let headers = [JSON, ("authorization", "Bearer ops-secret")];
    let reply =
        house.send(Method::POST, "/v1/queues/sms/pause", &headers, r#"{"reason": "deploy"}"#);
    assert_eq!(reply.await.expect(200).json()["paused"]["by"], "ops");
}

#[tokio::test]
async fn an_open_door_serves_its_own_machine_only() {
    let house = House::open().await;
    let path = "/v1/queues/sms/messages";
    let body = r#"{"payload": 1}"#;
    for headers in [
        [JSON, ("host", "evil.example")],
        [JSON, ("origin", "https://evil.example")],
        [JSON, ("origin", "null")],
    ] {
        assert_eq!(house.send(Method::POST, path, &headers, body).await.code(403), "forbidden");
        assert_eq!(house.send(Method::GET, path, &headers, "").await.code(403), "forbidden");
    }
    for headers in [
        vec![],
        vec![("content-type", "text/plain")],
        vec![("content-type", "application/x-www-form-urlencoded")],
        vec![("content-type", "application/x-ndjson")],
    ] {
        let reply = house.send(Method::POST, path, &headers, body).await;
        assert_eq!(reply.code(415), "unsupported-media-type", "{headers:?}");
    }
    let page = [JSON, ("host", "localhost:7411"), ("origin", "http://127.0.0.1:3000")];
    house.send(Method::POST, path, &page, body).await.expect(201);
    // Without a body there is nothing to declare.
    house.send(Method::POST, "/v1/queues/sms/resume", &[], "").await.expect(200);
    let form = [("content-type", "application/x-www-form-urlencoded")];
    house.send(Method::POST, "/v1/queues/sms/resume", &form, "").await.expect(415);
}
