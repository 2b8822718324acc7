//! What callers meet while Redis has never been reached, so that nobody knows the time.

use http::Method;
use sha2::{Digest as _, Sha256};

use super::support::{House, Plan, policy};
use crate::config::{Scope, Token};
use crate::domain::policy::Downstream;

const JSON: (&str, &str) = ("content-type", "application/json");
const DELIVERED: &str = r#"[{
    "id": "jobs_01K00000000000000000000000", "token": "abcdefghij0123456789.1.1.1.0", "as": "delivered"
}]"#;

async fn house_without_redis(tokens: Vec<Token>) -> House {
    let mut jobs = policy("jobs");
    jobs.downstream = Downstream::Pull;
    let queues = vec![policy("sms"), jobs];
    House::build(Plan { queues, tokens, is_redis_away: true, ..Plan::default() }).await
}

#[tokio::test]
async fn what_needs_the_time_says_that_the_store_was_not_reached_and_that_nothing_was_done() {
    let house = house_without_redis(Vec::new()).await;
    for (method, path, body) in [
        (Method::POST, "/v1/queues/sms/messages", r#"{"payload": 1}"#),
        (Method::POST, "/v1/queues/sms/messages/batch", r#"[{"payload": 1}]"#),
        (Method::POST, "/v1/queues/jobs/claim", "{}"),
        (Method::POST, "/v1/queues/jobs/claim", r#"{"wait": "20s"}"#),
        (Method::POST, "/v1/queues/jobs/settle", DELIVERED),
        (Method::GET, "/v1/queues/sms/windows", ""),
        (Method::GET, "/v1/clock", ""),
    ] {
        let headers: &[_] = if body.is_empty() { &[] } else { &[JSON] };
        let problem = house.send(method, path, headers, body).await.problem(503);
        assert_eq!(problem["code"], "store-unavailable", "{path}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("the time is unknown; nothing was done"), "{path}: {detail}");
    }
    assert_eq!(house.get("/v1/nodes").await.code(503), "store-unavailable");
    house.get("/livez").await.expect(200);
    // What is asked of Redis alone stays away; the rest of the numbers is shown.
    let metrics = house.get("/metrics").await.expect(200);
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    assert!(
        !metrics.contains("tidegate_gate_open{"),
        "a gate of which nothing is known is not shown"
    );
}

#[tokio::test]
async fn a_token_that_expires_is_neither_valid_nor_expired_while_the_time_is_unknown() {
    let token = |name: &str, expires_ms| Token {
        name: name.to_owned(),
        sha256: Sha256::digest(name).into(),
        scopes: vec![Scope::Read],
        expires_ms,
        queues: None,
    };
    let house = house_without_redis(vec![token("lasts", None), token("ends", Some(1))]).await;
    let asked = |name: &'static str| {
        let house = &house;
        async move {
            let bearer = format!("Bearer {name}");
            let headers = [("authorization", bearer.as_str())];
            house.send(Method::GET, "/v1/nodes", &headers, "").await
        }
    };
    let problem = asked("ends").await.problem(503);
    assert!(problem["detail"].as_str().unwrap().contains("the time is unknown"), "{problem}");
    // This one gets as far as Redis, which is away.
    let problem = asked("lasts").await.problem(503);
    assert!(!problem["detail"].as_str().unwrap().contains("the time is unknown"), "{problem}");
}
