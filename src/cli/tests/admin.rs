//! Commands on queues and the daemon: queues, queue, pause, resume, purge, requeue-all, windows,
//! nodes, doctor.

use serde_json::{Value, json};

use super::super::exit::Exit;
use super::kit::{Daemon, reply};

/// What a daemon says that takes messages.
const READY: &str = r#"{"status": "ready", "node": "A"}"#;
/// Metrics without a finding.
const METRICS: &str = "tidegate_store_up 1\n";

fn queue() -> Value {
    json!({"name": "sms", "counts": {"scheduled": 1, "ready": 2, "leased": 0, "uncertain": 0,
            "accepted": 0, "delivered": 40, "dead": 3, "expired": 0, "cancelled": 0},
        "oldest_ready_age_ms": 5000, "paused": {"until": null, "reason": "deploy", "by": "ann"},
        "window": {"open": false, "closes_at": null, "opens_at": "2026-11-21T10:00:00.000Z"},
        "rate": {"configured": "20/s", "observed_1m": 19.5},
        "gate": {"open": false, "kind": "alarm", "reason": "status 401: bad token", "until": null},
        "sending": {"state": "paused", "reason": "It was paused by ann (deploy).", "since": null, "until": null},
        "failing": null,
        "policy": {"concurrency": 16, "retry": {"initial": "5s"}}})
}

#[tokio::test]
async fn queues_shows_counts_and_whether_each_sends() {
    let daemon = Daemon::with([
        reply(200, json!({"queues": [queue()]})),
        reply(200, json!({"status": "ready", "node": "A"})),
        reply(200, "tidegate_store_up 1\ntidegate_store_full{resource=\"disk\"} 0\n"),
    ])
    .await;
    let done = daemon.run(&["queues"]).await;
    let lines: Vec<&str> = done.out.lines().collect();
    assert!(lines[0].starts_with("QUEUE  SCHEDULED  READY"), "{}", done.out);
    let words: Vec<&str> = lines[1].split_whitespace().collect();
    assert_eq!(words[..7], ["sms", "1", "2", "40", "3", "5s", "19.5"]);
    for empty in ["LEASED", "CANCELLED"] {
        assert!(!lines[0].contains(empty), "an empty column takes space: {}", done.out);
    }
    assert!(lines[1].ends_with("paused (deploy)"), "{}", done.out);
    assert_eq!(daemon.lines(), ["GET /v1/queues", "GET /readyz", "GET /metrics"]);
}

#[tokio::test]
async fn queue_shows_its_policy() {
    let daemon = Daemon::with([reply(200, queue())]).await;
    let done = daemon.run(&["queue", "sms"]).await;
    for line in [
        "dead",
        "sending",
        "It was paused by ann (deploy).",
        "policy.retry.initial  5s",
        "rate.configured       20/s",
    ] {
        assert!(done.out.contains(line), "{line}: {}", done.out);
    }
    assert_eq!(daemon.lines(), ["GET /v1/queues/sms"]);
}

#[tokio::test]
async fn pause_and_resume() {
    let script =
        [reply(200, queue()), reply(200, queue()), reply(200, queue()), reply(200, queue())];
    let daemon = Daemon::with(script).await;
    daemon.run(&["pause", "sms"]).await;
    let done = daemon.run(&["pause", "sms", "--for", "30m", "--reason", "deploy"]).await;
    assert_eq!(done.out, "sms is paused for 30m; messages are still accepted\n");
    let until = ["pause", "sms", "--until", "2026-11-21 20:00", "--tz", "Asia/Shanghai"];
    assert!(daemon.run(&until).await.out.contains("until 2026-11-21 20:00:00 +08:00"));
    assert_eq!(daemon.run(&["resume", "sms"]).await.out, "sms is resumed\n");
    let seen = daemon.seen();
    assert_eq!(seen[0].line, "POST /v1/queues/sms/pause");
    assert_eq!(seen[0].json(), json!({}));
    assert_eq!(seen[1].json(), json!({"for": "30m", "reason": "deploy"}));
    assert_eq!(seen[2].json(), json!({"until": "2026-11-21T12:00:00.000Z"}));
    assert_eq!(seen[3].line, "POST /v1/queues/sms/resume");
}

#[tokio::test]
async fn bulk_commands_loop_until_nothing_remains() {
    for (verb, field) in [("purge", "purged"), ("requeue-all", "requeued")] {
        let daemon = Daemon::with([
            reply(200, json!({field: 1000, "remaining": 5})),
            reply(200, json!({field: 5, "remaining": 0})),
        ])
        .await;
        let done = daemon.run(&[verb, "sms", "--state", "dead", "--yes"]).await;
        assert_eq!((done.exit, done.out), (Exit::Ok, format!("1005 messages {field}\n")));
        let seen = daemon.seen();
        assert_eq!(seen[1].line, format!("POST /v1/queues/sms/{verb}"));
        assert_eq!(seen[1].json(), json!({"state": "dead"}));
    }
}

#[tokio::test]
async fn a_purge_without_yes_only_counts() {
    let daemon = Daemon::with([reply(200, queue())]).await;
    let done = daemon.run(&["purge", "sms", "--state", "dead"]).await;
    assert_eq!((done.exit, done.out.as_str()), (Exit::Usage, ""));
    assert!(done.err.contains("3 dead messages of sms would be purged"), "{}", done.err);
    assert!(done.err.contains("--yes"), "{}", done.err);
    assert_eq!(daemon.lines(), ["GET /v1/queues/sms"]);
}

#[tokio::test]
async fn requeue_all_asks_nobody_where_nobody_sits() {
    let daemon = Daemon::with([reply(200, json!({"requeued": 2, "remaining": 0}))]).await;
    let done = daemon.run(&["requeue-all", "sms", "--state", "dead"]).await;
    assert_eq!((done.exit, done.out.as_str()), (Exit::Ok, "2 messages requeued\n"));
}

#[tokio::test]
async fn a_purge_that_gets_nowhere_ends_with_1() {
    let daemon = Daemon::with([reply(200, json!({"purged": 0, "remaining": 2}))]).await;
    let done = daemon.run(&["purge", "sms", "--state", "ready", "--yes", "--output", "json"]).await;
    assert_eq!(done.exit, Exit::Failure);
    assert_eq!(done.out, "{\"purged\":0,\"remaining\":2}\n");
}

#[tokio::test]
async fn windows_are_listed_with_their_length() {
    let windows = json!({"time_zone": "UTC", "windows": [
        {"opens_at": "2026-11-21T08:00:00.000Z", "closes_at": "2026-11-21T11:00:00.000Z"},
        {"opens_at": "2026-11-22T08:00:00.000Z", "closes_at": "2026-11-22T08:30:00.000Z"}]});
    let daemon = Daemon::with([reply(200, windows)]).await;
    let done = daemon.run(&["windows", "erp", "--days", "2"]).await;
    assert_eq!(
        done.out,
        "OPENS                    CLOSES                   LENGTH\n\
         2026-11-21 08:00:00 UTC  2026-11-21 11:00:00 UTC  3h      open now\n\
         2026-11-22 08:00:00 UTC  2026-11-22 08:30:00 UTC  30m     in 23h\n"
    );
    assert_eq!(daemon.lines(), ["GET /v1/queues/erp/windows?days=2"]);
    let always = json!([{"opens_at": null, "closes_at": null}]);
    let daemon = Daemon::with([reply(200, json!({"time_zone": "UTC", "windows": always}))]).await;
    let row = daemon.run(&["windows", "sms"]).await.out;
    let words: Vec<&str> = row.lines().nth(1).unwrap_or_default().split_whitespace().collect();
    assert_eq!(words, ["always", "never", "open", "now"], "{row}");
}

#[tokio::test]
async fn nodes_say_which_one_answers_what_it_does_and_what_it_means_that_one_is_missing() {
    let node = |id: &str, hash: &str| {
        json!({"id": id, "host": "web1", "pid": 41, "version": "0.1.0", "listen": "127.0.0.1:7411",
            "config_hash": hash, "queues": 3, "slots": 160, "in_flight": 2,
            "started_at": "2026-11-21T08:00:00.000Z", "seen_at": "2026-11-21T09:00:00.000Z"})
    };
    let answer = |second: &str| {
        let nodes = [node("AAAAAAAAAAAA", "x"), node("BBBBBBBBBBBB", second)];
        let agrees = second == "x";
        reply(200, json!({"nodes": nodes, "config_agrees": agrees, "answered_by": "BBBBBBBBBBBB"}))
    };
    let daemon = Daemon::with([answer("x"), answer("y")]).await;
    let done = daemon.run(&["nodes"]).await;
    let lines: Vec<&str> = done.out.lines().collect();
    assert_eq!(
        lines[..2],
        [
            "NODE          HOST  VERSION  CALLS     QUEUES  LISTENS         PROCESS  STARTED",
            "AAAAAAAAAAAA  web1  0.1.0    2 of 160  3       127.0.0.1:7411  41       2026-11-21 08:00:00 UTC (1h ago)",
        ]
    );
    assert_eq!(lines[4], "2 nodes; this answer is from node BBBBBBBBBBBB.");
    assert!(lines[6].contains("If one is missing that should run"), "{}", done.out);
    let differ = daemon.run(&["nodes"]).await;
    assert!(differ.out.lines().next().unwrap().ends_with("CONFIG"), "{}", differ.out);
    assert!(differ.err.contains("different configs"), "{}", differ.err);
}

#[tokio::test]
async fn queues_say_that_new_messages_are_refused_and_why() {
    let why = "the disk has 10 MiB left, less than the 32 MiB that intake needs";
    let full = "tidegate_store_up 1\ntidegate_store_full{resource=\"disk\"} 1\n";
    let queues = || reply(200, json!({"queues": [queue()]}));
    let daemon = Daemon::with([
        queues(),
        reply(503, json!({"code": "store-full", "detail": why})),
        reply(200, full),
        queues(),
        reply(503, json!({"code": "draining", "detail": "it stops"})),
        reply(200, "tidegate_store_up 1\n"),
        queues(),
        reply(200, READY),
        reply(403, json!({"code": "forbidden", "detail": "the token lacks the scope read"})),
        queues(),
    ])
    .await;
    let done = daemon.run(&["queues"]).await;
    let lines: Vec<&str> = done.out.lines().collect();
    assert!(lines[0].starts_with(&format!("new messages are refused: {why}")), "{}", done.out);
    assert!(lines[1].starts_with("  next: free space on the disk"), "{}", done.out);
    assert!(lines[3].starts_with("QUEUE  SCHEDULED"), "{}", done.out);
    let stopping = daemon.run(&["queues"]).await.out;
    assert!(stopping.starts_with("new messages are refused: it is stopping\n"), "{stopping}");
    let unknown = daemon.run(&["queues"]).await;
    assert!(unknown.out.starts_with("QUEUE  "), "{}", unknown.out);
    let said = "it is unknown whether new messages are taken: the token lacks the scope read";
    assert!(unknown.err.contains(said), "{}", unknown.err);
    let json = daemon.run(&["queues", "--output", "json"]).await;
    assert_eq!(json.out, format!("{}\n", json!({"queues": [queue()]})), "the API's own answer");
}

#[tokio::test]
async fn doctor_ends_with_0_where_all_is_well() {
    let well = json!({"queue": "sms", "counts": {"ready": 1}, "oldest_ready_age_ms": 20});
    let daemon = Daemon::with([
        reply(200, json!({"status": "ready", "node": "A"})),
        reply(200, "tidegate_store_up 1\ntidegate_durability_achieved{level=\"disk\"} 1\n"),
        reply(200, json!({"nodes": []})),
        reply(200, json!({"queues": [well]})),
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
        reply(200, json!({"nodes": []})),
        reply(200, json!({"queues": [queue()]})),
    ])
    .await;
    let done = daemon.run(&["doctor", "--quick"]).await;
    assert_eq!(done.exit, Exit::Failure);
    for words in [
        "problem  sms: its gate is shut: the downstream refuses our credentials or our address (status 401: bad token)",
        "problem  sms: it is paused by ann (deploy), and 3 messages wait",
        "note     sms: its window is closed and opens in 1h",
        "problem  sms: 3 dead messages",
        "→ `tidegate resume sms`",
        "3 problems found",
    ] {
        assert!(done.out.contains(words), "{words}: {}", done.out);
    }
}

#[tokio::test]
async fn doctor_repairs_when_told_and_says_what_was_mended() {
    let daemon = Daemon::with([
        reply(200, READY),
        reply(200, METRICS),
        reply(200, json!({"nodes": []})),
        reply(200, json!({"queues": [{"queue": "sms"}]})),
        reply(
            200,
            "{\"fault\":\"unplaced\",\"member\":\"01J\",\"repaired\":true}\n\
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
    let old = |age_ms: u64| json!({"queues": [{"queue": "sms", "oldest_ready_age_ms": age_ms}]});
    let daemon = Daemon::with([
        reply(200, READY),
        reply(200, METRICS),
        reply(200, json!({"nodes": []})),
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
        reply(200, json!({"nodes": []})),
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
    let daemon =
        Daemon::with([reply(200, json!({"status": "ready", "node": "A"})), reply(503, full)]).await;
    let ready = daemon.run(&["health"]).await;
    assert_eq!((ready.exit, ready.out.as_str()), (Exit::Ok, "ready\n"));
    let full = daemon.run(&["health"]).await;
    assert_ne!(full.exit, Exit::Ok);
    assert!(full.err.contains("the disk has 10 MiB left"), "{}", full.err);
    assert_eq!(daemon.lines(), ["GET /readyz", "GET /readyz"]);
}

#[tokio::test]
async fn doctor_looks_on_where_the_daemon_is_stopping() {
    let daemon = Daemon::with([
        reply(503, json!({"code": "draining", "detail": "it stops"})),
        reply(200, "tidegate_store_up 0\n"),
        reply(200, json!({"nodes": []})),
        reply(200, json!({"queues": []})),
    ])
    .await;
    let done = daemon.run(&["doctor"]).await;
    assert_eq!(done.exit, Exit::Failure);
    assert!(done.out.contains("new messages are refused: it is stopping"), "{}", done.out);
    assert!(done.out.contains("2 problems found"), "{}", done.out);
}
