//! Tokens of some queues: every route by itself, and every list.
//!
//! The table names each route of the API; a route that is not in it fails the test.

use std::collections::BTreeSet;

use http::Method;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::super::router::described;
use super::support::{House, Plan, Reply, policy};
use crate::config::{Scope, Token};
use crate::domain::limit::{LimitKind, LimitRule};
use crate::domain::policy::Downstream;

/// What a token of `sms` alone gets where the route is asked for another queue's things.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Then {
    /// 404, as for what does not exist.
    Hidden,
    /// 400 at the field that names the queue, as for a queue that does not exist.
    Fault,
    /// 403: it acts on all queues.
    Refused,
    /// 200, without what it does not reach.
    Cut,
    /// As for everybody: no queue is named there.
    Same,
}

/// Method, route, body, outcome. QUEUE in a body is the queue; the parameters of the route are filled in.
const ROUTES: &[(&str, &str, &str, Then)] = &[
    ("POST", "/v1/queues/{queue}/messages", r#"{"payload": 1}"#, Then::Hidden),
    ("GET", "/v1/queues/{queue}/messages", "", Then::Hidden),
    ("POST", "/v1/queues/{queue}/messages/batch", r#"[{"payload": 1}]"#, Then::Hidden),
    ("GET", "/v1/messages/{id}", "", Then::Hidden),
    ("GET", "/v1/messages/{id}/attempts", "", Then::Hidden),
    ("GET", "/v1/messages/{id}/explain", "", Then::Hidden),
    ("PATCH", "/v1/messages/{id}", r#"{"delay": "2h"}"#, Then::Hidden),
    ("POST", "/v1/messages/{id}/run", "", Then::Hidden),
    ("POST", "/v1/messages/{id}/resolve", r#"{"as": "dead"}"#, Then::Hidden),
    ("DELETE", "/v1/messages/{id}", "", Then::Hidden),
    ("POST", "/v1/messages/{id}/requeue", "", Then::Hidden),
    ("GET", "/v1/queues", "", Then::Cut),
    ("GET", "/v1/queues/{queue}", "", Then::Hidden),
    ("POST", "/v1/queues/{queue}/pause", "{}", Then::Hidden),
    // While it is paused, which is a finding.
    ("GET", "/v1/doctor", "", Then::Cut),
    ("POST", "/v1/queues/{queue}/resume", "", Then::Hidden),
    ("POST", "/v1/queues/{queue}/purge", r#"{"state": "dead"}"#, Then::Hidden),
    ("POST", "/v1/queues/{queue}/requeue-all", r#"{"state": "dead"}"#, Then::Hidden),
    ("GET", "/v1/queues/{queue}/audit", "", Then::Hidden),
    ("POST", "/v1/queues/{queue}/audit", "", Then::Hidden),
    ("GET", "/v1/queues/{queue}/windows", "", Then::Hidden),
    ("GET", "/v1/queues/{queue}/keys", "", Then::Hidden),
    ("PUT", "/v1/queues/{queue}/keys", r#"{"weight": 1}"#, Then::Hidden),
    ("DELETE", "/v1/queues/{queue}/keys", "", Then::Hidden),
    ("GET", "/v1/queues/{queue}/forecast", "", Then::Hidden),
    ("GET", "/v1/queues/{queue}/history", "", Then::Hidden),
    ("GET", "/v1/queues/{queue}/overrides", "", Then::Hidden),
    ("POST", "/v1/queues/{queue}/overrides", r#"{"rate": "1/s", "for": "1h"}"#, Then::Hidden),
    ("DELETE", "/v1/queues/{queue}/overrides/{id}", "", Then::Hidden),
    ("POST", "/v1/queues/{queue}/receipts", r#"{"id": "ID", "status": "dead"}"#, Then::Hidden),
    ("GET", "/v1/queues/{queue}/receipts", "", Then::Hidden),
    ("POST", "/v1/queues/{queue}/try", r#"{"payload": 1}"#, Then::Hidden),
    ("POST", "/v1/queues/{queue}/claim", r#"{"max": 1}"#, Then::Hidden),
    ("POST", "/v1/queues/{queue}/settle", "[]", Then::Hidden),
    ("POST", "/v1/topics/{topic}/messages", r#"{"payload": 1}"#, Then::Hidden),
    ("GET", "/v1/topics", "", Then::Cut),
    ("GET", "/v1/topics/{topic}", "", Then::Hidden),
    ("GET", "/v1/schedules", "", Then::Cut),
    ("GET", "/v1/schedules/{name}", "", Then::Hidden),
    (
        "PUT",
        "/v1/schedules/{name}",
        r#"{"queue": "sms", "every": "9h", "payload": 1}"#,
        Then::Hidden,
    ),
    (
        "PUT",
        "/v1/schedules/fresh",
        r#"{"queue": "QUEUE", "every": "9h", "payload": 1}"#,
        Then::Fault,
    ),
    ("POST", "/v1/schedules/{name}/pause", "", Then::Hidden),
    ("POST", "/v1/schedules/{name}/resume", "", Then::Hidden),
    ("POST", "/v1/schedules/{name}/run", "", Then::Hidden),
    ("DELETE", "/v1/schedules/{name}", "", Then::Hidden),
    (
        "POST",
        "/v1/operations",
        r#"{"action": "cancel", "queue": "QUEUE", "state": "scheduled", "filter": {"group": "none"}, "reason": "x"}"#,
        Then::Hidden,
    ),
    (
        "POST",
        "/v1/operations",
        r#"{"action": "move", "queue": "sms", "to": "QUEUE", "state": "dead", "filter": {"group": "none"}, "dry_run": true}"#,
        Then::Hidden,
    ),
    ("GET", "/v1/limits", "", Then::Cut),
    ("GET", "/v1/limits/{name}", "", Then::Hidden),
    ("POST", "/v1/limits/{name}/charge", r#"{"units": 1}"#, Then::Hidden),
    ("GET", "/v1/operations", "", Then::Cut),
    ("GET", "/v1/operations/{id}", "", Then::Hidden),
    ("POST", "/v1/operations/{id}/stop", "", Then::Hidden),
    ("GET", "/v1/actions", "", Then::Cut),
    ("GET", "/v1/nodes", "", Then::Same),
    ("GET", "/v1/events?queue=QUEUE", "", Then::Hidden),
    ("GET", "/v1/clock", "", Then::Same),
    ("POST", "/v1/clock/resume", "", Then::Refused),
    ("GET", "/v1/rollbacks", "", Then::Cut),
    ("GET", "/metrics", "", Then::Cut),
    ("GET", "/livez", "", Then::Same),
    ("GET", "/readyz", "", Then::Same),
];

fn token(name: &str, queues: Option<&[&str]>) -> Token {
    Token {
        name: name.to_owned(),
        sha256: Sha256::digest(format!("{name}-secret")).into(),
        scopes: Scope::ALL.to_vec(),
        expires_ms: None,
        queues: queues.map(|queues| queues.iter().map(|q| q.parse().unwrap()).collect()),
    }
}

async fn house() -> House {
    // A shared limit is named like the schedule of its queue.
    let pulled = |name, limit: &str| {
        let mut policy = policy(name);
        policy.downstream = Downstream::Pull;
        policy.limits = vec![LimitRule {
            name: limit.parse().unwrap(),
            kind: LimitKind::Quota("1000/day".parse().unwrap()),
            shared: true,
            cap: None,
            ..LimitRule::own_rate("1/s".parse().unwrap(), 1)
        }];
        policy
    };
    House::build(Plan {
        queues: vec![pulled("sms", "hourly"), pulled("erp", "nightly")],
        tokens: vec![token("some", Some(&["sms"])), token("boss", None)],
        topics: vec![("mine", vec!["sms"]), ("both", vec!["sms", "erp"])],
        ..Plan::default()
    })
    .await
}

async fn ask(house: &House, who: &str, method: &str, path: &str, body: &str) -> Reply {
    let bearer = format!("Bearer {who}-secret");
    let headers = [("content-type", "application/json"), ("authorization", bearer.as_str())];
    house.send(method.parse().unwrap(), path, &headers, body.to_owned()).await
}

/// What a queue has, made by `boss`: the message's id and the operation's.
struct Things {
    queue: &'static str,
    topic: &'static str,
    schedule: &'static str,
    message: String,
    operation: String,
    /// An override.
    overriding: String,
}

impl Things {
    async fn make(
        house: &House,
        queue: &'static str,
        topic: &'static str,
        schedule: &'static str,
    ) -> Self {
        let path = format!("/v1/queues/{queue}/messages");
        let body = r#"{"payload": "secret of QUEUE", "delay": "1h"}"#.replace("QUEUE", queue);
        let sent = ask(house, "boss", "POST", &path, &body).await.expect(201).json();
        let body = json!({ "queue": queue, "every": "9h", "payload": 1 }).to_string();
        ask(house, "boss", "PUT", &format!("/v1/schedules/{schedule}"), &body).await.expect(201);
        let wish = json!({
            "action": "requeue", "queue": queue, "state": "dead", "filter": { "group": "none" },
        });
        let started = ask(house, "boss", "POST", "/v1/operations", &wish.to_string()).await;
        let path = format!("/v1/queues/{queue}/overrides");
        let wish = r#"{"concurrency": 5, "for": "1h"}"#;
        let overriding = ask(house, "boss", "POST", &path, wish).await.expect(201).json();
        let text = |value: &Value| value["id"].as_str().unwrap().to_owned();
        Self {
            overriding: text(&overriding),
            queue,
            topic,
            schedule,
            message: text(&sent),
            operation: text(&started.expect(202).json()),
        }
    }

    fn fill(&self, route: &str, body: &str) -> (String, String) {
        let id = match route {
            _ if route.contains("/operations/") => &self.operation,
            _ if route.contains("/overrides/") => &self.overriding,
            _ => &self.message,
        };
        let path = route
            .replace("{queue}", self.queue)
            .replace("{topic}", self.topic)
            .replace("{name}", self.schedule)
            .replace("{id}", id)
            .replace("QUEUE", self.queue);
        (path, body.replace("QUEUE", self.queue).replace("ID", &self.message))
    }
}

#[tokio::test]
async fn a_token_of_some_queues_finds_nothing_of_the_others_on_any_route() {
    let house = house().await;
    let hidden = Things::make(&house, "erp", "both", "nightly").await;
    ask(&house, "boss", "POST", "/v1/queues/erp/pause", "{}").await.expect(200);
    let before = ask(&house, "boss", "GET", "/v1/queues/erp", "").await.expect(200).json();
    for (method, route, body, then) in ROUTES {
        let (path, body) = hidden.fill(route, body);
        let what = format!("{method} {path}");
        if *then == Then::Cut {
            let reply = ask(&house, "some", method, &path, &body).await.expect(200);
            let text = String::from_utf8_lossy(&reply.body);
            for word in ["erp", "both", "nightly"] {
                assert!(!text.contains(word), "{what} names {word}: {text}");
            }
            continue;
        }
        let reply = ask(&house, "some", method, &path, &body).await;
        match then {
            Then::Hidden => assert_eq!(reply.code(404), "not-found", "{what}"),
            Then::Fault => {
                let problem = reply.problem(400);
                assert_eq!(problem["errors"][0]["pointer"], "/queue", "{what}: {problem}");
            }
            Then::Refused => assert_eq!(reply.code(403), "forbidden", "{what}"),
            Then::Same | Then::Cut => assert_eq!(reply.status, 200, "{what}"),
        }
    }
    let after = ask(&house, "boss", "GET", "/v1/queues/erp", "").await.expect(200).json();
    assert_eq!(before["counts"], after["counts"], "nothing was touched");
    assert_eq!(before["paused"], after["paused"]);
    let path = format!("/v1/schedules/{}", hidden.schedule);
    ask(&house, "boss", "GET", &path, "").await.expect(200);
}

/// The table above is worth something: who reaches a queue is let through on every one of its routes.
#[tokio::test]
async fn whoever_reaches_a_queue_is_not_held_up() {
    let house = house().await;
    let own = Things::make(&house, "sms", "mine", "hourly").await;
    let foreign = Things::make(&house, "erp", "both", "nightly").await;
    for (who, things) in [("some", own), ("boss", foreign)] {
        for (method, route, body, then) in ROUTES {
            let (path, body) = things.fill(route, body);
            if path.starts_with("/v1/events") || (who, *then) == ("some", Then::Refused) {
                continue;
            }
            let reply = ask(&house, who, method, &path, &body).await;
            let text = String::from_utf8_lossy(&reply.body);
            assert!(![401, 403, 404].contains(&reply.status), "{who} {method} {path}: {text}");
            if *then == Then::Cut && !path.contains("rollbacks") {
                let word = if path.contains("topics") { things.topic } else { things.queue };
                assert!(text.contains(word), "{who} {method} {path}: {text}");
            }
        }
    }
}

#[tokio::test]
async fn a_cursor_never_names_what_is_not_reached() {
    let house = house().await;
    Things::make(&house, "sms", "mine", "a").await;
    for (queue, name) in [("erp", "b"), ("erp", "c"), ("sms", "d"), ("erp", "e")] {
        let body = json!({ "queue": queue, "every": "9h", "payload": 1 }).to_string();
        ask(&house, "boss", "PUT", &format!("/v1/schedules/{name}"), &body).await.expect(201);
    }
    let mut names = Vec::new();
    let mut path = "/v1/schedules?limit=1".to_owned();
    loop {
        let page = ask(&house, "some", "GET", &path, "").await.expect(200).json();
        for schedule in page["schedules"].as_array().unwrap() {
            names.push(schedule["name"].as_str().unwrap().to_owned());
        }
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        assert_eq!(cursor, super::super::cursor::seal("schedules", names.last().unwrap()));
        path = format!("/v1/schedules?limit=1&cursor={cursor}");
    }
    assert_eq!(names, ["a", "d"]);
}

#[test]
fn every_route_is_in_the_table() {
    let (_, document) = described().split_for_parts();
    let document = serde_json::to_value(document).unwrap();
    let mut known = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            if method.parse::<Method>().is_ok() && method != "parameters" {
                known.insert(format!("{} {path}", method.to_uppercase()));
            }
        }
    }
    let route = |(method, path, _, _): &(&str, &str, &str, Then)| {
        let path = path.split('?').next().unwrap_or_default().replace("/fresh", "/{name}");
        format!("{method} {path}")
    };
    let tried: BTreeSet<String> = ROUTES.iter().map(route).collect();
    assert_eq!(tried, known);
}

#[tokio::test]
async fn a_queues_callbacks_go_with_it_and_names_are_not_suggested() {
    let house = house().await;
    let of = async |path: &str| ask(&house, "some", "GET", path, "").await;
    // Neither has callbacks here: both are 404, and in the same words.
    let unknown = of("/v1/queues/none").await.problem(404)["detail"].to_string();
    let hidden = of("/v1/queues/erp").await.problem(404)["detail"].to_string();
    assert_eq!(hidden.replace("erp", "none"), unknown);
    let near = of("/v1/topics/bot").await.problem(404)["detail"].to_string();
    assert!(!near.contains("both"), "{near}");
    let near = ask(&house, "boss", "GET", "/v1/topics/bot", "").await.problem(404);
    assert!(near["detail"].as_str().unwrap().contains("both"), "{near}");
}
