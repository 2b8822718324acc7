//! What is wrong with the daemon: doctor, health.

use serde_json::{Value, json};

use super::super::exit::Exit;
use super::admin::{METRICS, READY, queue};
use super::answers;
use super::kit::{Daemon, reply};

#[tokio::test]
async fn doctor_ends_with_0_where_all_is_well() {
    let well = answers::queue(&json!({"counts": {"ready": 1}, "oldest_ready_age_ms": 20}));
    let daemon = Daemon::with([
        reply(200, READY),
        reply(200, "tidegate_store_up 1\ntidegate_durability_achieved{level=\"disk\"} 1\n"),
        reply(200, answers::nodes(&[])),
        reply(200, answers::queues(&[well])),
        reply(200, "{\"looked\":5,\"of\":9}\n{\"faults\":{},\"complete\":true}\n"),
    ])
    .await;
    let done = daemon.run(&["doctor"]).await;
    assert_eq!((done.exit, done.out.as_str()), (Exit::Ok, "no problems found\n"));
    let asked = ["readyz", "metrics", "v1/nodes", "v1/queues", "v1/queues/sms/audit"];
    assert_eq!(daemon.lines(), asked.map(|path| format!("GET /{path}")));
}

#[tokio::test]
async fn doctor_names_problems_with_remedies_and_ends_with_1() {
    let daemon = Daemon::with([
        reply(200, READY),
        reply(200, "tidegate_gate_open{queue=\"sms\",gate=\"throttled\"} 0\n"),
        reply(200, answers::nodes(&[])),
        reply(200, json!({"queues": [queue()]})),
        reply(
            200,
            answers::messages(
                &[answers::message(&json!({"reason": "refused",
                    "last_attempt": {"status_code": 422, "error": "no such number"}}))],
                &Value::Null,
            ),
        ),
        reply(200, READY),
        reply(200, METRICS),
        reply(200, answers::nodes(&[])),
        reply(200, json!({"queues": [queue()]})),
        reply(503, json!({"code": "store-unavailable", "detail": "away"})),
    ])
    .await;
    let done = daemon.run(&["doctor", "--quick"]).await;
    assert_eq!(done.exit, Exit::Failure);
    for words in [
        "problem  sms: its gate is shut: the downstream refuses our credentials or our address (status 401: bad token)",
        "problem  sms: it is paused by ann (deploy), and 3 messages wait",
        "note     sms: its window is closed and opens in 1h",
        "problem  sms: 3 dead messages, for example sms_01 (refused (status 422, no such number))\n",
        "→ `tidegate resume sms`",
        "more: docs/runbook.md#tidegatemessagesdie\n",
        "3 problems found",
    ] {
        assert!(done.out.contains(words), "{words}: {}", done.out);
    }
    let without = daemon.run(&["doctor", "--quick", "--output", "json"]).await;
    let document: Value = serde_json::from_str(&without.out).unwrap();
    let findings = document["findings"].as_array().unwrap();
    let dead = findings.iter().find(|f| f["what"] == "3 dead messages").expect("the finding");
    assert_eq!(dead["runbook"], "docs/runbook.md#tidegatemessagesdie");
    assert_eq!(daemon.lines()[4], "GET /v1/queues/sms/messages?state=dead&limit=1");
}

#[tokio::test]
async fn doctor_repairs_when_told_and_says_what_was_mended() {
    let daemon = Daemon::with([
        reply(200, READY),
        reply(200, METRICS),
        reply(200, answers::nodes(&[])),
        reply(200, answers::queues(&[answers::queue(&json!({}))])),
        reply(
            200,
            "{\"fault\":\"unplaced\",\"shard\":0,\"id\":null,\"member\":\"01J\",\"repaired\":true}\n\
             {\"faults\":{\"unplaced\":{\"found\":1,\"repaired\":1}},\"complete\":true}\n",
        ),
    ])
    .await;
    let done = daemon.run(&["doctor", "--repair"]).await;
    assert_eq!(done.exit, Exit::Ok, "nobody has to act");
    assert!(done.out.contains("would never be sent (01J); repaired"), "{}", done.out);
    assert_eq!(daemon.lines()[4], "POST /v1/queues/sms/audit");
}

#[tokio::test]
async fn doctor_never_takes_metrics_that_are_refused_for_metrics_without_a_finding() {
    let refused = json!({"code": "forbidden", "detail": "the token lacks the scope read"});
    let daemon = Daemon::with([reply(200, READY), reply(403, refused)]).await;
    let done = daemon.run(&["doctor", "--quick"]).await;
    assert_eq!(done.exit, Exit::Refused);
    assert!(done.err.contains("the token lacks the scope read"), "{}", done.err);
}

#[tokio::test]
async fn doctor_looks_twice_at_an_old_queue() {
    let old =
        |age_ms: u64| answers::queues(&[answers::queue(&json!({"oldest_ready_age_ms": age_ms}))]);
    let daemon = Daemon::with([
        reply(200, READY),
        reply(200, METRICS),
        reply(200, answers::nodes(&[])),
        reply(200, old(90_000)),
        reply(200, old(91_000)),
    ])
    .await;
    let done = daemon.run(&["doctor", "--quick", "--output", "json"]).await;
    assert_eq!(done.exit, Exit::Failure);
    let document: Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(document["problems"], 1);
    assert!(document["findings"][0]["what"].as_str().unwrap().contains("its age grows"));
    assert_eq!(daemon.lines().len(), 5);
}

#[tokio::test]
async fn doctor_finds_a_store_that_is_away() {
    const AWAY: &str =
        "tidegate_store_up 0\ntidegate_store_info{address=\"Redis at redis://cache-1\"} 1\n";
    let away = json!({"code": "store-unavailable", "detail": "connection refused"});
    let daemon = Daemon::with([reply(503, away), reply(200, AWAY)]).await;
    let done = daemon.run(&["doctor"]).await;
    assert_eq!(done.exit, Exit::Unreachable);
    assert!(done.out.contains("the daemon is not ready: connection refused"), "{}", done.out);
    assert!(
        done.out.starts_with("messages are kept in: Redis at redis://cache-1\n"),
        "{}",
        done.out
    );
    assert!(done.out.contains("1 problem found"), "{}", done.out);
    assert_eq!(
        daemon.lines(),
        ["GET /readyz", "GET /metrics"],
        "what asks the store would only time out"
    );
}

#[tokio::test]
async fn doctor_gives_the_reason_why_messages_are_refused_and_looks_on() {
    let why = "this Redis evicts; set maxmemory-policy noeviction";
    let refused = json!({"code": "store-unavailable", "detail": why});
    let daemon = Daemon::with([
        reply(503, refused),
        reply(200, "tidegate_store_up 1\ntidegate_store_fit 0\n"),
        reply(200, answers::nodes(&[])),
        reply(200, json!({"queues": []})),
    ])
    .await;
    let done = daemon.run(&["doctor"]).await;
    assert_eq!(done.exit, Exit::Failure);
    assert!(done.out.contains(why) && done.out.contains("1 problem found"), "{}", done.out);
}

#[tokio::test]
async fn health_says_whether_messages_are_taken() {
    let full = json!({"code": "store-full", "detail": "the disk has 10 MiB left"});
    let daemon = Daemon::with([reply(200, READY), reply(503, full)]).await;
    let ready = daemon.run(&["health"]).await;
    assert_eq!((ready.exit, ready.out.as_str()), (Exit::Ok, "ready\n"));
    let full = daemon.run(&["health"]).await;
    assert_ne!(full.exit, Exit::Ok);
    assert!(full.err.contains("the disk has 10 MiB left"), "{}", full.err);
    assert!(full.err.contains("`tidegate doctor --quick`"), "{}", full.err);
    assert_eq!(daemon.lines(), ["GET /readyz", "GET /readyz"]);
}

#[tokio::test]
async fn doctor_looks_on_where_the_daemon_is_stopping() {
    let daemon = Daemon::with([
        reply(503, json!({"code": "draining", "detail": "it stops"})),
        reply(200, "tidegate_store_up 0\n"),
        reply(200, answers::nodes(&[])),
        reply(200, json!({"queues": []})),
    ])
    .await;
    let done = daemon.run(&["doctor"]).await;
    assert_eq!(done.exit, Exit::Failure);
    assert!(done.out.contains("new messages are refused: it is stopping"), "{}", done.out);
    assert!(done.out.contains("2 problems found"), "{}", done.out);
}
