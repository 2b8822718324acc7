//! Rules say what an answer means whose status does not say it.

use serde_json::{Value, json};

use crate::support::downstream::Request;
use crate::support::{Answer, QUEUE, Scene};

/// A gateway that answers 200 to everything and says the rest in its body.
const GATEWAY: &str = r#"on_uncertain = "park"
downstream.answers = [
  { status = [200], body = '^ERR: (114|301) ?(?P<detail>.*)', as = "dead" },
  { json = "/status", equals = "busy", as = "throttle" },
  { body = '^ID: (?P<ref>\S+)', as = "accepted" },
]"#;

#[tokio::test]
async fn an_error_in_the_body_of_a_200_is_the_end() {
    let scene = Scene::start(GATEWAY).await;
    scene.downstream.always(Answer::ok().body("\r\nERR: 114 unknown number\r\n"));

    let id = scene.send("x").await;

    let message = scene.daemon.wait_final(&id).await;
    assert_eq!((&message["state"], &message["attempts"]), (&json!("dead"), &json!(1)));
    let last = &message["last_attempt"];
    assert_eq!((&last["outcome"], &last["status_code"]), (&json!("refused"), &json!(200)));
    assert_eq!(last["error"], "status 200, answers[0]: unknown number", "{message}");
}

#[tokio::test]
async fn a_busy_gateway_shuts_the_gate_and_costs_no_attempt() {
    let scene = Scene::start(GATEWAY).await;
    let busy =
        Answer::ok().header("Content-Type", "text/plain").body("\u{feff}{\"status\": \"busy\"}");
    scene.downstream.once(busy.header("Retry-After", "1"));

    let id = scene.send("x").await;

    let message = scene.daemon.wait_final(&id).await;
    assert_eq!((&message["state"], &message["attempts"]), (&json!("delivered"), &json!(1)));
    assert_eq!(message["throttles"], 1, "{message}");
    let calls = scene.downstream.requests();
    let waited = calls[1].arrived - calls[0].arrived;
    assert!((990..4000).contains(&waited.as_millis()), "{waited:?}");
}

#[tokio::test]
async fn an_id_in_the_text_is_the_name_under_which_the_receipt_comes() {
    let scene = Scene::start(GATEWAY).await;
    scene.downstream.always(Answer::ok().body("ID: 8f14-77"));

    let id = scene.send("x").await;

    let message = scene.wait_state(&id, "accepted").await;
    assert_eq!(message["ref"], "8f14-77", "{message}");
    let receipt = json!({ "ref": "8f14-77", "status": "delivered" });
    scene.daemon.post(&format!("/v1/queues/{QUEUE}/receipts"), &receipt).await.expect(200);
    assert_eq!(scene.daemon.wait_final(&id).await["state"], "delivered");
}

#[tokio::test]
async fn what_cannot_be_read_waits_for_a_decision() {
    let scene = Scene::start(GATEWAY).await;
    let broken = "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nERR: 114";
    for (answer, part) in [
        (
            Answer::raw(broken),
            "whether answers[0] holds: the answer's body is not whole: it broke off",
        ),
        (Answer::ok().body(&b"\x1f\x8b\x08\0"[..]), "the answer's body is not text"),
        (
            Answer::ok().body("{\"status\": \"bu"),
            "whether answers[1] holds: the answer's body is not valid JSON",
        ),
        (Answer::ok().body("x".repeat(300 << 10)), "it is longer than the 256KiB that are read"),
    ] {
        scene.downstream.once(answer);
        let id = scene.send("x").await;
        let message = scene.wait_state(&id, "uncertain").await;
        let error = message["last_attempt"]["error"].as_str().unwrap_or_default();
        assert!(error.contains(part), "{message}");
    }
    assert_eq!(scene.downstream.requests().len(), 4);
}

#[tokio::test]
async fn without_a_rule_the_table_decides_and_little_is_kept() {
    let scene = Scene::start(GATEWAY).await;
    let long = format!("OK {}", "x".repeat(100 << 10));
    scene.downstream.once(Answer::ok().body(long));
    let id = scene.send("x").await;
    let message = scene.daemon.wait_final(&id).await;
    assert_eq!(message["state"], "delivered", "{message}");
    let kept = message["result"]["body"].as_str().map(str::len);
    assert_eq!(kept, Some(4096), "keep_response says how much is kept");

    scene.downstream.once(Answer::status(422).body("no such field"));
    let id = scene.send("x").await;
    let message = scene.daemon.wait_final(&id).await;
    assert_eq!(message["last_attempt"]["error"], "status 422: no such field", "{message}");
}

#[tokio::test]
async fn try_and_check_say_which_rule_decides() {
    let scene = Scene::start(GATEWAY).await;
    scene.downstream.once(Answer::ok().body("ID: A-1"));
    let tried = scene.daemon.cli(&["try", QUEUE]).await;
    assert_eq!(tried.code, 0, "{tried:?}");
    let said = "outcome: accepted\ndecided by: answers[2], as = \"accepted\"\nref: A-1\n";
    assert!(tried.stdout.ends_with(said), "{tried:?}");
    let tried = scene.daemon.cli(&["try", QUEUE]).await;
    assert!(tried.stdout.ends_with("decided by: the table of outcomes\n"), "{tried:?}");
}

/// An ERP that answers with a list of rows, one for each order.
fn erp(id: &str) -> String {
    format!(
        r#"on_uncertain = "park"
batch = {{ max_items = 3, max_wait = "60s" }}
downstream.answers = [
  {{ json = "/state", equals = "failed", as = "dead", detail = "/text" }},
  {{ json = "/state", equals = "taken", as = "accepted", ref = "/nr" }},
]
downstream.each = {{ at = "/rows"{id} }}"#
    )
}

fn row(item: &Value) -> Value {
    match item["payload"].as_u64() {
        Some(0) => json!({ "order": item["id"], "state": "failed", "text": "no such article" }),
        Some(1) => json!({ "order": item["id"], "state": "taken", "nr": 4711 }),
        _ => json!({ "order": item["id"], "state": "done" }),
    }
}

fn rows(request: &Request) -> Vec<Value> {
    request.items().iter().map(row).collect()
}

async fn wait_rows(scene: &Scene, ids: &[String]) {
    let dead = scene.wait_state(&ids[0], "dead").await;
    assert_eq!(dead["last_attempt"]["error"], "status 200, answers[0]: no such article", "{dead}");
    let accepted = scene.wait_state(&ids[1], "accepted").await;
    assert_eq!(accepted["ref"], "4711", "{accepted}");
    scene.wait_state(&ids[2], "delivered").await;
    assert_eq!(scene.downstream.requests().len(), 1);
}

#[tokio::test]
async fn each_row_of_a_batch_is_judged_by_its_id() {
    let scene = Scene::start(&erp(", id = \"/order\"")).await;
    scene.downstream.answer_with(|request| {
        let mut rows = rows(request);
        rows.reverse();
        rows.push(json!({ "order": "jobs_01JD3A9PX2M7Q8R4T6V0W1Y2Z3", "state": "failed" }));
        Answer::ok().json(&json!({ "rows": rows }))
    });

    let ids = scene.send_numbers(3).await;

    wait_rows(&scene, &ids).await;
    let log = scene.daemon.log();
    assert!(log.contains("answers to batches name messages that were not in them"), "{log}");
}

#[tokio::test]
async fn each_row_of_a_batch_is_judged_in_the_order_sent() {
    let scene = Scene::start(&erp("")).await;
    scene.downstream.answer_with(|request| Answer::ok().json(&json!({ "rows": rows(request) })));
    let ids = scene.send_numbers(3).await;
    wait_rows(&scene, &ids).await;
}

#[tokio::test]
async fn a_list_that_does_not_fit_is_unknown_for_all() {
    for body in [json!({ "rows": [{ "state": "failed" }] }), json!({ "status": "ok" })] {
        let scene = Scene::start(&erp("")).await;
        scene.downstream.always(Answer::ok().json(&body));
        scene.send_numbers(3).await;
        scene.wait_count("uncertain", 3).await;
        assert_eq!(scene.downstream.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_refusal_without_a_word_on_any_row_splits_the_batch() {
    let scene = Scene::start(&erp("")).await;
    scene.downstream.answer_with(|request| {
        if request.items().iter().any(|item| item["payload"] == 0) {
            Answer::status(422).json(&json!({ "rows": [], "error": "no such article" }))
        } else {
            Answer::ok().json(&json!({ "rows": rows(request) }))
        }
    });

    let ids = scene.send_numbers(3).await;

    scene.wait_state(&ids[0], "dead").await;
    scene.wait_state(&ids[1], "accepted").await;
    scene.wait_state(&ids[2], "delivered").await;
}
