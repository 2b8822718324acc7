//! What a downstream says of the items of a batch is read right, and what cannot be read is unknown.

use serde_json::{Value, json};

use crate::support::downstream::Request;
use crate::support::{Answer, Scene, batch_results};

/// A full batch of three, once; what is unknown waits for a decision.
const PARK: &str = "batch = { max_items = 3, max_wait = \"60s\" }\non_uncertain = \"park\"";
/// The same, and what is unknown is sent again.
const RESEND: &str = "batch = { max_items = 3, max_wait = \"60s\" }\ndownstream.timeout = \"500ms\"\nretry = { initial = \"50ms\" }";
const UNREADABLE: &str = "tidegate_unreadable_answers_total{queue=\"jobs\"}";

/// Results that say dead of each item, with a detail that is no text.
fn dead(request: &Request) -> Value {
    let result =
        |item: &Value| json!({ "id": item["id"], "status": "Dead", "detail": { "code": 42 } });
    json!({ "results": request.items().iter().map(result).collect::<Vec<_>>() })
}

fn as_json(body: impl Into<Vec<u8>>) -> Answer {
    Answer::ok().header("Content-Type", "application/json").body(body)
}

/// A batch of three whose call got this answer: all of them are then in this state.
async fn answered(script: fn(&Request) -> Answer, state: &str) -> (Scene, Vec<String>) {
    let scene = Scene::start(PARK).await;
    scene.downstream.answer_with(script);
    let ids = scene.send_numbers(3).await;
    for id in &ids {
        scene.wait_members(id, &json!({ "state": state, "attempts": 1 })).await;
    }
    assert_eq!(scene.downstream.requests().len(), 1);
    (scene, ids)
}

async fn count(scene: &Scene, metric: &str) -> String {
    let text = scene.daemon.get("/metrics").await.expect(200).text().to_owned();
    let line = text.lines().find_map(|line| line.strip_prefix(metric));
    line.unwrap_or_else(|| panic!("{metric} is not in\n{text}")).trim().to_owned()
}

#[tokio::test]
async fn a_detail_of_any_type_hides_no_status() {
    let (scene, ids) = answered(|request| as_json(dead(request).to_string()), "dead").await;

    for id in &ids {
        let error = scene.daemon.message(id).await["last_attempt"]["error"].clone();
        assert_eq!(error, r#"status 200: {"code":42}"#);
    }
    assert_eq!(count(&scene, UNREADABLE).await, "0");
}

#[tokio::test]
async fn an_answer_with_something_that_is_not_json_in_it_is_unknown() {
    let (scene, ids) = answered(
        |request| as_json(dead(request).to_string().replacen('{', "{\"took\":NaN,", 1)),
        "uncertain",
    )
    .await;

    let message = scene.daemon.message(&ids[0]).await;
    let error = message["last_attempt"]["error"].as_str().unwrap();
    assert!(error.starts_with("the answer's body is not valid JSON: "), "{message}");
    assert_eq!(message["last_attempt"]["status_code"], 200);
    assert_eq!(count(&scene, UNREADABLE).await, "1");
}

#[tokio::test]
async fn a_warning_before_the_json_makes_it_unknown_whatever_its_type() {
    for content_type in ["application/json", "text/html; charset=UTF-8"] {
        let scene = Scene::start(PARK).await;
        scene.downstream.answer_with(move |request| {
            let body = format!("<br />\n<b>Warning</b>: x\n{}", dead(request));
            Answer::ok().header("Content-Type", content_type).body(body)
        });

        scene.send_numbers(3).await;

        scene.wait_count("uncertain", 3).await;
        assert_eq!(count(&scene, UNREADABLE).await, "1");
        let warnings = scene.daemon.log();
        let said = warnings.matches("answers to batches cannot be read").count();
        assert_eq!(said, 1, "{warnings}");
    }
}

#[tokio::test]
async fn an_answer_that_says_nothing_of_items_delivers_all() {
    answered(|_| as_json("ok"), "delivered").await;
    answered(|_| Answer::ok().body("ok"), "delivered").await;
    answered(|_| as_json(""), "delivered").await;
    answered(|_| as_json("{\"taken\":3}"), "delivered").await;
}

#[tokio::test]
async fn results_that_are_not_a_list_and_bodies_that_are_encoded_are_unknown() {
    answered(|_| as_json("{\"results\":3}"), "uncertain").await;
    answered(|_| as_json("{\"results\":[{\"sku\":7}]}"), "uncertain").await;
    let gzip = |_: &Request| {
        as_json(&b"\x1f\x8b\x08\0\0\0\0\0\0\x03"[..]).header("Content-Encoding", "gzip")
    };
    let (scene, ids) = answered(gzip, "uncertain").await;
    let message = scene.daemon.message(&ids[0]).await;
    let error = message["last_attempt"]["error"].as_str().unwrap();
    assert!(error.contains("encoded (gzip)"), "{message}");
}

/// An answer whose head promises ten bytes more than come before the connection ends.
fn breaks_off(body: &str) -> Answer {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len() + 10
    );
    Answer::raw(format!("{head}{body}"))
}

fn delivered(request: &Request) -> String {
    let result = |item: &Value| json!({ "id": item["id"], "status": "delivered" });
    json!({ "results": request.items().iter().map(result).collect::<Vec<_>>() }).to_string()
}

#[tokio::test]
async fn whole_results_count_although_the_connection_breaks_off() {
    answered(|request| breaks_off(&delivered(request)), "delivered").await;
}

#[tokio::test]
async fn results_that_break_off_are_unknown_with_the_true_reason() {
    let half = |request: &Request| {
        let whole = delivered(request);
        breaks_off(&whole[..whole.len() - 1])
    };
    let (scene, ids) = answered(half, "uncertain").await;

    let message = scene.daemon.message(&ids[0]).await;
    let error = "the answer's body is not whole: it broke off: connection closed by the other side";
    assert_eq!(message["last_attempt"]["error"], error, "{message}");
    answered(|_| breaks_off("ok"), "uncertain").await;
}

#[tokio::test]
async fn a_single_message_is_delivered_whatever_its_answer_says() {
    let scene = Scene::start("on_uncertain = \"park\"").await;
    for answer in [
        as_json("{\"results\":3"),
        as_json("{\"results\":[]}"),
        breaks_off("{"),
        as_json(&b"\x1f\x8b"[..]).header("Content-Encoding", "gzip"),
    ] {
        scene.downstream.once(answer);
        let id = scene.send("x").await;
        assert_eq!(scene.daemon.wait_final(&id).await["state"], "delivered");
    }
}

#[tokio::test]
async fn a_batch_that_is_repeated_unchanged_keeps_its_key() {
    let scene = Scene::start(RESEND).await;
    scene.downstream.once(Answer::silence());
    scene.downstream.once(Answer::status(500));
    scene.downstream.answer_with(|request| {
        batch_results(request, |item| {
            Some(if item["payload"] == 0 || request.index > 2 { "delivered" } else { "retry" })
        })
    });

    scene.send_numbers(3).await;
    let requests = scene.downstream.wait_for(3).await;
    scene.send_all(&[json!({ "payload": 3 })]).await;
    scene.wait_count("delivered", 4).await;

    let key = |request: &Request| {
        let names = ["idempotency-key", "webhook-id", "tidegate-batch-id"];
        let keys = names.map(|name| request.header(name).unwrap().to_owned());
        assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
        keys[0].clone()
    };
    assert_eq!((key(&requests[1]), key(&requests[2])), (key(&requests[0]), key(&requests[0])));
    let last = scene.downstream.requests().pop().unwrap();
    assert_ne!(key(&last), key(&requests[0]), "it holds other messages");
}

#[tokio::test]
async fn items_carry_their_content_type_where_it_is_not_json() {
    let scene = Scene::start("batch = { max_items = 4, max_wait = \"60s\" }").await;
    let typed = |payload: Value, content_type: &str| json!({ "payload": payload, "content_type": content_type });
    scene
        .send_all(&[
            json!({ "payload": 1 }),
            typed(json!(2), "application/json; charset=utf-8"),
            typed(json!("three"), "text/csv"),
            json!({ "payload_base64": "BA==" }),
        ])
        .await;

    let mut types: Vec<_> = scene.downstream.wait_for(1).await[0]
        .items()
        .iter()
        .map(|item| item.get("content_type").and_then(Value::as_str).unwrap_or("-").to_owned())
        .collect();
    types.sort();
    assert_eq!(types, ["-", "-", "application/octet-stream", "text/csv"]);
}
