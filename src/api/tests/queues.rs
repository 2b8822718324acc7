//! Queues, nodes, health and the rest that is read or stopped as a whole.

use serde_json::json;

use super::support::{House, Plan, from_now, policy};
use crate::config::testing;
use crate::domain::limit::LimitRule;
use crate::domain::window::{Dates, Hours, OpeningRule, Window};
use crate::store::NodeInfo;

fn windowed(name: &str, from: &str, to: &str) -> crate::domain::policy::QueuePolicy {
    let hours = Hours::new(from.parse().unwrap(), to.parse().unwrap()).unwrap();
    let rule = OpeningRule::new("mon-sun".parse().unwrap(), hours);
    let window = Window::new("Asia/Shanghai", vec![rule], Dates::default(), 0);
    let mut policy = policy(name);
    policy.window = Some(window.unwrap());
    policy
}

#[tokio::test]
async fn a_queue_tells_its_policy_counts_and_gates() {
    let mut limited = policy("sms");
    limited.limits = vec![LimitRule::own_rate("20/s".parse().unwrap(), 1)];
    let house = House::build(Plan { queues: vec![limited, policy("b")], ..Plan::default() }).await;
    house.seed(r#"{"payload": 1}"#).await;
    house.seed(r#"{"payload": 1, "delay": "1h"}"#).await;
    let queue = house.get("/v1/queues/sms").await.expect(200).json();
    assert_eq!(queue["name"], "sms");
    assert_eq!(
        queue["counts"],
        json!({
            "scheduled": 1, "ready": 1, "leased": 0, "uncertain": 0, "accepted": 0, "delivered": 0,
            "dead": 0, "expired": 0, "cancelled": 0,
        })
    );
    assert!(queue["oldest_ready_age_ms"].is_u64());
    assert_eq!(queue["rate"], json!({"configured": "20/s", "observed_1m": 0.0}));
    assert_eq!(queue["policy"]["downstream"], json!({"type": "null"}));
    assert_eq!(queue["policy"]["lease"], "30s");
    assert_eq!((&queue["paused"], &queue["window"]), (&json!(null), &json!(null)));
    assert_eq!((&queue["durability"], &queue["gate"]["open"]), (&json!("memory"), &json!(true)));
    let all = house.get("/v1/queues").await.expect(200).json();
    let names: Vec<_> =
        all["queues"].as_array().unwrap().iter().map(|q| q["name"].clone()).collect();
    assert_eq!(names, ["b", "sms"]);
}

#[tokio::test]
async fn limits_by_a_key_stand_among_the_others_and_nothing_is_counted_for_all_values() {
    let text = "rate = \"20/s\"\nlimits = [{ rate = \"1/min\", per = \"labels.to\" }, { quota = \"5/day\" }, { concurrency = 2, per = \"group\" }, { quota = \"7/day\", per = \"group\" }]";
    let only_keys = "limits = [{ concurrency = 2, per = \"group\" }]";
    let queues = vec![testing::policy("sms", text), testing::policy("b", only_keys)];
    let house = House::build(Plan { queues, ..Plan::default() }).await;
    let queue = house.get("/v1/queues/sms").await.expect(200).json();
    let limits = queue["limits"].as_array().unwrap();
    let shown: Vec<_> = limits
        .iter()
        .map(|limit| ["name", "kind", "value", "per", "left"].map(|key| limit[key].clone()))
        .collect();
    let expected = json!([
        ["rate", "rate", "20/s", null, null],
        ["per_to", "rate", "1/min", "labels.to", null],
        ["quota_day", "quota", "5/day", null, 5],
        ["per_group_concurrency", "concurrency", "2", "group", null],
        ["per_group_day", "quota", "7/day", "group", null],
    ]);
    assert_eq!(json!(shown), expected);
    for limit in limits.iter().filter(|limit| !limit["per"].is_null()) {
        let counted = ["used", "left", "resets_at", "next_at"].map(|key| limit[key].clone());
        assert_eq!(counted, [json!(null), json!(null), json!(null), json!(null)], "{limit}");
        assert_eq!((&limit["shared"], &limit["held_keys"]), (&json!(false), &json!(0)));
    }
    let queue = house.get("/v1/queues/b").await.expect(200).json();
    assert_eq!(queue["limits"][0]["name"], "per_group_concurrency");
    assert_eq!(queue["policy"]["limits"][0]["per"], "group");
}

#[tokio::test]
async fn a_quota_by_a_key_refuses_what_costs_more_than_a_whole_period() {
    let text = "limits = [{ quota = \"5/day\", per = \"labels.to\" }]\nbatch = {}";
    let queues = vec![testing::policy("sms", text)];
    let house = House::build(Plan { queues, ..Plan::default() }).await;
    let path = "/v1/queues/sms/messages";
    let problem = house.post(path, r#"{"payload": 1, "cost": 6}"#).await.problem(422);
    assert_eq!(problem["code"], "cost-too-large");
    assert!(problem["detail"].to_string().contains("\\\"per_to_day\\\""), "{problem}");
    house.post(path, r#"{"payload": 1, "cost": 5}"#).await.expect(201);
}

#[tokio::test]
async fn a_pause_holds_and_a_resume_ends_it() {
    let house = House::open().await;
    let id = house.seed(r#"{"payload": 1}"#).await;
    let path = "/v1/queues/sms/pause";
    let until = from_now(60_000);
    let paused = house.post(path, json!({"until": until, "reason": "deploy"}).to_string()).await;
    let expected = json!({"until": until, "reason": "deploy", "by": "anonymous"});
    assert_eq!(paused.expect(200).json()["paused"], expected);
    assert_eq!(house.message(&id).await["held_by"], json!(["pause"]));
    let resumed = house.post("/v1/queues/sms/resume", "").await.expect(200).json();
    assert_eq!((&resumed["paused"], &resumed["resumed"]), (&json!(null), &json!(true)));
    let again = house.post("/v1/queues/sms/resume", "").await.expect(200).json();
    assert_eq!(again["resumed"], false, "it was not paused");
    assert!(house.get("/v1/queues/sms").await.expect(200).json().get("resumed").is_none());
    let open_ended = house.post(path, "").await.expect(200).json();
    assert_eq!(open_ended["paused"], json!({"until": null, "reason": "", "by": "anonymous"}));
    house.post(path, r#"{"for": "1h"}"#).await.expect(200);
    for (body, pointer) in [
        (r#"{"until": "2001-01-01T00:00:00Z"}"#, "/until"),
        (r#"{"for": "0s"}"#, "/for"),
        (r#"{"for": 1, "until": "2099-01-01T00:00:00Z"}"#, "/for"),
        (r#"{"untli": 1}"#, "/untli"),
    ] {
        let problem = house.post(path, body).await.problem(400);
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{body}");
    }
}

#[tokio::test]
async fn purge_and_requeue_all_name_their_state() {
    let house = House::open().await;
    for _ in 0..3 {
        house.seed(r#"{"payload": 1, "delay": "1h"}"#).await;
    }
    let (purge, requeue) = ("/v1/queues/sms/purge", "/v1/queues/sms/requeue-all");
    for path in [purge, requeue] {
        for body in ["", "{}", r#"{"state": "done"}"#, r#"{"state": 1}"#] {
            assert_eq!(house.post(path, body).await.problem(400)["errors"][0]["pointer"], "/state");
        }
    }
    for state in ["leased", "uncertain", "accepted"] {
        let problem = house.post(purge, json!({"state": state}).to_string()).await.problem(409);
        assert_eq!((&problem["code"], &problem["state"]), (&json!("wrong-state"), &json!(state)));
    }
    let purged = house.post(purge, r#"{"state": "scheduled"}"#).await.expect(200).json();
    assert_eq!(purged, json!({"purged": 3, "remaining": 0}));
    for state in ["scheduled", "ready", "leased", "accepted", "delivered"] {
        let problem = house.post(requeue, json!({"state": state}).to_string()).await.problem(409);
        assert_eq!(problem["state"], state);
    }
    let requeued = house.post(requeue, r#"{"state": "cancelled"}"#).await.expect(200).json();
    assert_eq!(requeued, json!({"requeued": 3, "remaining": 0}));
    let counts = house.get("/v1/queues/sms").await.expect(200).json()["counts"].clone();
    assert_eq!((&counts["ready"], &counts["cancelled"]), (&json!(3), &json!(0)));
}

#[tokio::test]
async fn windows_are_told_ahead() {
    let queues = vec![policy("sms"), windowed("erp", "01:00", "04:00")];
    let house = House::build(Plan { queues, ..Plan::default() }).await;
    let told = house.get("/v1/queues/erp/windows?days=3").await.expect(200).json();
    assert_eq!(told["time_zone"], "Asia/Shanghai");
    let openings = told["windows"].as_array().unwrap();
    assert!((3..=4).contains(&openings.len()), "{told}");
    for opening in openings {
        assert!(opening["opens_at"].as_str().unwrap().ends_with("T17:00:00.000Z"), "{told}");
        assert!(opening["closes_at"].as_str().unwrap().ends_with("T20:00:00.000Z"), "{told}");
    }
    let always = house.get("/v1/queues/sms/windows").await.expect(200).json();
    assert_eq!(always["windows"], json!([{"opens_at": null, "closes_at": null}]));
    assert_eq!((&always["dates"], &always["clock_changes"]), (&json!([]), &json!([])));
    let queue = house.get("/v1/queues/erp").await.expect(200).json();
    assert!(queue["window"]["open"].is_boolean(), "{queue}");
    assert_eq!(queue["policy"]["window"]["open"][0]["to"], "04:00");
}

#[tokio::test]
async fn a_gathering_batch_is_told() {
    let mut batched = policy("sms");
    let batch = "batch = { max_items = 2, max_bytes = \"1000B\", max_wait = \"1m\" }";
    batched.batch = testing::queue_of(batch).batch;
    let house = House::build(Plan { queues: vec![batched], ..Plan::default() }).await;
    let id = house.seed(r#"{"payload": 1}"#).await;
    assert_eq!(house.message(&id).await["held_by"], json!(["batch"]));
    house.seed(r#"{"payload": 1}"#).await;
    assert_eq!(house.message(&id).await["held_by"], json!([]));
}

#[tokio::test]
async fn nodes_health_and_metrics() {
    let house = House::open().await;
    assert_eq!(
        house.get("/v1/nodes").await.expect(200).json(),
        json!({"nodes": [], "config_agrees": true, "answered_by": house.store.nodes.own_id().as_str()})
    );
    let info = NodeInfo {
        beats: 0,
        id: house.store.nodes.own_id().as_str().to_owned(),
        host: "h".to_owned(),
        pid: 1,
        version: "0".to_owned(),
        listen: "127.0.0.1:1".to_owned(),
        started_at_ms: 1_763_640_000_000,
        config_hash: "c".to_owned(),
        queues: 1,
        slots: 16,
        in_flight: 2,
        record_version: crate::store::RECORD_VERSION,
        follows: Vec::new(),
        seen_at_ms: 0,
    };
    house.store.nodes.show(&info).await.unwrap();
    let nodes = house.get("/v1/nodes").await.expect(200).json();
    assert_eq!(nodes["nodes"][0]["id"], house.store.nodes.own_id().as_str());
    assert_eq!(nodes["nodes"][0]["started_at"], "2025-11-20T12:00:00.000Z");
    assert_eq!(house.get("/livez").await.expect(200).json(), json!({"status": "live"}));
    let ready = house.get("/readyz").await.expect(200).json();
    assert_eq!((&ready["status"], &ready["durability"]), (&json!("ready"), &json!("memory")));
    house.seed(r#"{"payload": 1}"#).await;
    let metrics = house.get("/metrics").await.expect(200);
    let kind = metrics.header("content-type").to_owned();
    assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
    let text = String::from_utf8(metrics.body.to_vec()).unwrap();
    assert!(text.contains("tidegate_messages_total{queue=\"sms\",event=\"schedule\"} 1"), "{text}");
    let document = house.get("/openapi.json").await.expect(200).json();
    assert_eq!(document["info"]["title"], "Tidegate");
}

#[tokio::test]
async fn a_redis_that_is_away_is_told_as_such() {
    let mut house = House::open().await;
    let id = house.seed(r#"{"payload": 1}"#).await;
    house.kill_redis();
    let sent = house.post("/v1/queues/sms/messages", r#"{"payload": 1}"#).await.problem(503);
    assert_eq!(sent["code"], "store-unavailable");
    assert!(sent["detail"].as_str().unwrap().contains("same idempotency key"), "{sent}");
    let batch = house.post("/v1/queues/sms/messages/batch", r#"[{"payload": 1}, 5]"#).await;
    let batch = batch.expect(200).json();
    assert_eq!(batch["results"][0]["problem"]["code"], "store-unavailable");
    assert_eq!(batch["results"][1]["problem"]["code"], "invalid-request");
    assert_eq!(house.get(&format!("/v1/messages/{id}")).await.code(503), "store-unavailable");
    // What only reads has done nothing, whatever came of it.
    let read = house.get(&format!("/v1/messages/{id}/attempts")).await.problem(503);
    let receipt = format!("/v1/queues/sms/receipts?id={id}&status=delivered");
    let changed = house.get(&receipt).await.problem(503);
    assert!(!read["detail"].as_str().unwrap().contains("unknown"), "{read}");
    assert!(
        changed["detail"].as_str().unwrap().contains("unknown whether this was done"),
        "{changed}"
    );
    assert_eq!(house.get("/readyz").await.code(503), "store-unavailable");
    house.get("/livez").await.expect(200);
    house.get("/metrics").await.expect(200);
}
