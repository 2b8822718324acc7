//! Every route once: its answer is as the document says, as that of every scenario is.

use http::Method;
use serde_json::{Value, json};

use crate::support::{QUEUE, Scene};

/// A window that is always open, and a topic. The topic is a table of its own, so it stands last.
const LINES: &str = r#"window = { time_zone = "UTC", open = [{ from = "00:00", to = "24:00" }] }
[topics.told]
queues = ["jobs"]"#;

#[tokio::test]
async fn every_route_answers_as_the_document_says() {
    let scene = Scene::start(LINES).await;
    let daemon = &scene.daemon;
    let of_queue = |rest: &str| format!("/v1/queues/{QUEUE}/{rest}");
    let id = scene.send(1).await;
    daemon.wait_final(&id).await;
    let event = daemon.post("/v1/topics/told/messages", &json!({ "payload": 2 })).await;
    assert_eq!(event.expect(201).json()["messages"][0]["queue"], QUEUE);

    let put = |path: String, body: Value| async move {
        let headers = [("Content-Type", "application/json")];
        daemon.http().send(Method::PUT, &path, &headers, body.to_string()).await
    };
    let schedule = json!({ "queue": QUEUE, "cron": "@daily", "payload": 3 });
    put("/v1/schedules/nightly".to_owned(), schedule.clone()).await.expect(201);
    put("/v1/schedules/nightly".to_owned(), schedule).await.expect(200);
    for step in ["pause", "resume"] {
        daemon.post(&format!("/v1/schedules/nightly/{step}"), &json!({})).await.expect(200);
    }
    let key = [("Content-Type", "application/json"), ("Idempotency-Key", "once")];
    for status in [201, 200] {
        let run = daemon.http().send(Method::POST, "/v1/schedules/nightly/run", &key, "{}").await;
        run.expect(status);
    }

    for path in [
        "/livez",
        "/readyz",
        "/v1/doctor",
        "/v1/nodes",
        "/v1/clock",
        "/v1/rollbacks",
        "/v1/actions",
        "/v1/operations",
        "/v1/queues",
        "/v1/topics",
        "/v1/topics/told",
        "/v1/schedules",
        "/v1/schedules/nightly",
        &format!("/v1/queues/{QUEUE}"),
        &of_queue("history?minutes=60"),
        &of_queue("windows?days=3"),
        &of_queue("messages?view=full"),
        &of_queue("audit"),
        &format!("/v1/messages/{id}?view=full"),
        &format!("/v1/messages/{id}/attempts"),
    ] {
        daemon.get(path).await.expect(200);
    }
    for (path, body) in [
        ("/v1/clock/resume".to_owned(), json!({})),
        (of_queue("try"), json!({ "payload": 4 })),
        (of_queue("pause"), json!({ "for": "1m", "reason": "deploy" })),
        (of_queue("resume"), json!({})),
        (of_queue("purge"), json!({ "state": "delivered" })),
        (of_queue("requeue-all"), json!({ "state": "dead" })),
        (of_queue("audit"), json!({})),
    ] {
        daemon.post(&path, &body).await.expect(200);
    }
    daemon.delete("/v1/schedules/nightly").await.expect(200);
}
