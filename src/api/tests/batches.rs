//! Many messages in one request.

use http::Method;
use serde_json::{Value, json};

use super::support::{House, Plan};

const PATH: &str = "/v1/queues/sms/messages/batch";
const LINES: [(&str, &str); 1] = [("content-type", "application/x-ndjson")];

fn ids(answer: &Value) -> Vec<Option<&str>> {
    answer["results"].as_array().unwrap().iter().map(|result| result["id"].as_str()).collect()
}

#[tokio::test]
async fn one_bad_item_harms_no_neighbour() {
    let house = House::open().await;
    let array =
        r#"[{"payload": 1}, {"payload": 2, "priority": 10}, 7, {"payload": 3, "delay": 60}]"#;
    let lines = "{\"payload\": 1}\n\n{\"payload\": 2, \"priority\": 10}\r\nseven\n{\"payload\": 3, \"delay\": 60}";
    for (headers, body) in [([("content-type", "application/json")], array), (LINES, lines)] {
        let answer = house.send(Method::POST, PATH, &headers, body).await.expect(200).json();
        assert_eq!((&answer["accepted"], &answer["rejected"]), (&json!(2), &json!(2)), "{answer}");
        let results = answer["results"].as_array().unwrap();
        let indexes: Vec<_> =
            results.iter().map(|result| result["index"].as_u64().unwrap()).collect();
        assert_eq!(indexes, [0, 1, 2, 3]);
        assert_eq!(results[0]["duplicate"], false);
        assert_eq!(results[1]["problem"]["errors"][0]["pointer"], "/priority");
        assert_eq!(results[2]["problem"]["code"], "invalid-request");
        let last = house.message(results[3]["id"].as_str().unwrap()).await;
        assert_eq!(last["due_at"], results[3]["due_at"]);
        assert_eq!(last["state"], "scheduled");
    }
}

#[tokio::test]
async fn repeats_within_and_across_batches_are_recognised() {
    let house = House::open().await;
    let body = r#"[{"payload": 1, "idempotency_key": "a"}, {"payload": 1, "idempotency_key": "a"},
                   {"payload": 2, "idempotency_key": "a"}]"#;
    let first = house.post(PATH, body).await.expect(200).json();
    let found = ids(&first);
    assert_eq!(found[0], found[1]);
    assert_eq!(first["results"][1]["duplicate"], true);
    assert_eq!(first["results"][2]["problem"]["code"], "idempotency-mismatch");
    let again = house.post(PATH, body).await.expect(200).json();
    assert_eq!(ids(&again), ids(&first));
    assert_eq!(again["results"][0]["duplicate"], true);
}

#[tokio::test]
async fn ten_thousand_items_are_taken_and_no_more() {
    let house = House::open().await;
    let lines = "{\"payload\": 1}\n".repeat(10_000);
    let answer = house.send(Method::POST, PATH, &LINES, lines.clone()).await.expect(200).json();
    assert_eq!(answer["accepted"], 10_000);
    let over = format!("{lines}{{\"payload\": 1}}");
    let problem = house.send(Method::POST, PATH, &LINES, over).await.problem(413);
    assert_eq!(problem["accepted"], 10_000, "what was taken in is told");
    let array = format!("[{}0]", "0,".repeat(10_000));
    let problem = house.post(PATH, array).await.problem(413);
    assert!(problem.get("accepted").is_none());
    let counts = house.get("/v1/queues/sms").await.expect(200).json();
    assert_eq!(counts["counts"]["ready"], 20_000);
}

#[tokio::test]
async fn sizes_are_bounded_for_items_and_for_the_whole() {
    let plan = Plan { body_limit_bytes: 1000, batch_body_limit_bytes: 20_000, ..Plan::default() };
    let house = House::build(plan).await;
    let large = format!("{{\"payload\": \"{}\"}}", "x".repeat(5000));
    let array = format!("[{{\"payload\": 1}}, {large}, {{\"payload\": 2}}]");
    let lines = format!("{{\"payload\": 1}}\n{large}\n{{\"payload\": 2}}\n");
    for (headers, body) in [([("content-type", "application/json")], array), (LINES, lines)] {
        let answer = house.send(Method::POST, PATH, &headers, body).await.expect(200).json();
        assert_eq!(answer["accepted"], 2);
        assert_eq!(answer["results"][1]["problem"]["code"], "too-large");
    }
    let whole = format!("[{}]", [large.as_str(); 5].join(","));
    assert_eq!(house.post(PATH, whole).await.code(413), "too-large");
    let lines = format!("{{\"payload\": 1}}\n{}", "\n".repeat(30_000));
    let problem = house.send(Method::POST, PATH, &LINES, lines).await.problem(413);
    assert_eq!(problem["code"], "too-large");
}

#[tokio::test]
async fn a_broken_array_is_refused_as_a_whole() {
    let house = House::open().await;
    for bad in [r#"[{"payload": 1}, {"payload": ]"#, r#"{"payload": 1}"#, ""] {
        assert_eq!(house.post(PATH, bad).await.code(400), "invalid-request", "{bad}");
    }
    let headers = [("content-type", "application/json"), ("idempotency-key", "k")];
    assert_eq!(house.send(Method::POST, PATH, &headers, "[]").await.code(400), "invalid-request");
    let counts = house.get("/v1/queues/sms").await.expect(200).json();
    assert_eq!(counts["counts"]["ready"], 0);
    let empty = house.post(PATH, "[]").await.expect(200).json();
    assert_eq!(empty, json!({"accepted": 0, "rejected": 0, "results": []}));
}
