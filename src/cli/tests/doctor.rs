//! What is wrong with the daemon: doctor, health.

use serde_json::{Value, json};

use super::super::exit::Exit;
use super::answers;
use super::kit::{Daemon, reply};

const AT: &str = "2026-11-21T10:00:00.000Z";

/// What a daemon says that finds nothing in the stored messages.
const WELL: &str = "{\"looked\":5,\"of\":9}\n{\"faults\":{},\"findings\":[],\"complete\":true}\n";

fn one_queue() -> Value {
    answers::queues(&[answers::queue(&json!({}))])
}

#[tokio::test]
async fn doctor_ends_with_0_where_all_is_well() {
    let daemon =
        Daemon::with([reply(200, answers::doctor(&[])), reply(200, one_queue()), reply(200, WELL)])
            .await;
    let done = daemon.run(&["doctor"]).await;
    assert_eq!((done.exit, done.out.as_str()), (Exit::Ok, "no problems found\n"));
    let asked = ["v1/doctor", "v1/queues", "v1/queues/sms/audit"];
    assert_eq!(daemon.lines(), asked.map(|path| format!("GET /{path}")));
}

#[tokio::test]
async fn doctor_shows_what_the_daemon_found_and_ends_with_1() {
    let findings = [
        answers::finding(&json!({"code": "gate-shut", "queue": "sms", "about": "sms",
            "detail": format!("its gate is shut until {AT}: status 401"), "at": AT,
            "remedy": "`tidegate resume sms` opens the gate", "runbook": "docs/runbook.md#tidegategateshut"})),
        answers::finding(&json!({"code": "window-closed", "queue": "sms", "weight": "note",
            "about": "sms", "detail": "its window is closed and opens in 1h", "at": AT,
            "remedy": "nothing to do"})),
        answers::finding(&json!({"code": "of-a-newer-daemon", "weight": "problem"})),
    ];
    let mut answer = answers::doctor(&findings);
    answer["store"] = json!("Redis at redis://cache-1");
    let daemon = Daemon::with([reply(200, answer.clone()), reply(200, answer)]).await;
    let done = daemon.run(&["doctor", "--quick"]).await;
    assert_eq!(done.exit, Exit::Failure);
    assert_eq!(
        done.out,
        "messages are kept in: Redis at redis://cache-1\n\
         problem  sms: its gate is shut until 2026-11-21 10:00:00 UTC: status 401\n         \
         → `tidegate resume sms` opens the gate\n           \
         more: docs/runbook.md#tidegategateshut\n\
         note     sms: its window is closed and opens in 1h\n         \
         → nothing to do\n\
         problem  store: it is wrong\n         \
         → mend it\n\
         2 problems found\n"
    );
    let as_json = daemon.run(&["doctor", "--quick", "--output", "json"]).await;
    let document: Value = serde_json::from_str(&as_json.out).unwrap();
    assert_eq!(
        (&document["problems"], &document["store"]),
        (&json!(2), &json!("Redis at redis://cache-1"))
    );
    assert_eq!(
        document["findings"][0],
        json!({"weight": "problem", "about": "sms",
            "what": "its gate is shut until 2026-11-21 10:00:00 UTC: status 401",
            "remedy": "`tidegate resume sms` opens the gate",
            "runbook": "docs/runbook.md#tidegategateshut"})
    );
}

#[tokio::test]
async fn doctor_repairs_when_told_and_says_what_was_mended() {
    let mended = answers::finding(&json!({"code": "index-fault", "queue": "sms", "weight": "note",
        "about": "sms", "detail": "unplaced: 1 message that would never be sent (01J); repaired"}));
    let end = json!({"looked": 1, "of": 1, "faults": {"unplaced": {"found": 1, "repaired": 1}},
        "findings": [mended], "complete": true});
    let fault =
        json!({"fault": "unplaced", "shard": 0, "id": null, "member": "01J", "repaired": true});
    let daemon = Daemon::with([
        reply(200, answers::doctor(&[])),
        reply(200, one_queue()),
        reply(200, format!("{fault}\n{end}\n").as_str()),
    ])
    .await;
    let done = daemon.run(&["doctor", "--repair"]).await;
    assert_eq!(done.exit, Exit::Ok, "nobody has to act");
    assert!(done.out.contains("would never be sent (01J); repaired"), "{}", done.out);
    assert_eq!(daemon.lines()[2], "POST /v1/queues/sms/audit");
}

#[tokio::test]
async fn an_audit_that_breaks_off_is_a_problem() {
    let daemon = Daemon::with([
        reply(200, answers::doctor(&[])),
        reply(200, one_queue()),
        reply(200, "{\"looked\":5,\"of\":9}\n"),
    ])
    .await;
    let done = daemon.run(&["doctor"]).await;
    assert_eq!(done.exit, Exit::Failure);
    let what = "problem  sms: it could not be checked completely: the answer broke off\n";
    assert!(done.out.contains(what), "{}", done.out);
}

#[tokio::test]
async fn doctor_ends_with_the_reason_where_it_is_refused() {
    let refused = json!({"code": "forbidden", "detail": "the token lacks the scope read"});
    let daemon = Daemon::with([reply(403, refused)]).await;
    let done = daemon.run(&["doctor", "--quick"]).await;
    assert_eq!(done.exit, Exit::Refused);
    assert!(done.err.contains("the token lacks the scope read"), "{}", done.err);
}

#[tokio::test]
async fn a_daemon_without_findings_is_older_and_that_is_said() {
    let none = json!({"code": "not-found", "detail": "there is nothing at /v1/doctor"});
    let daemon = Daemon::with([
        reply(404, none.clone()),
        reply(404, "<html>"),
        reply(200, one_queue()),
        reply(404, none),
    ])
    .await;
    let done = daemon.run(&["doctor"]).await;
    assert_eq!((done.exit, done.out.as_str()), (Exit::Failure, ""));
    assert!(done.err.contains("this daemon is older than this command"), "{}", done.err);
    assert!(done.err.contains("next: upgrade the daemon"), "{}", done.err);
    let proxy = daemon.run(&["doctor"]).await;
    assert!(proxy.err.contains("names a tidegate daemon"), "{}", proxy.err);
    let queues = daemon.run(&["queues"]).await;
    assert_eq!(queues.exit, Exit::Ok, "{}", queues.err);
    assert!(queues.err.contains("unknown whether new messages are taken"), "{}", queues.err);
}

#[tokio::test]
async fn doctor_finds_a_store_that_is_away_and_asks_no_further() {
    let away = answers::finding(&json!({"code": "store-away",
        "detail": "the daemon is not ready: connection refused"}));
    let daemon = Daemon::with([reply(200, answers::doctor(&[away]))]).await;
    let done = daemon.run(&["doctor"]).await;
    assert_eq!(done.exit, Exit::Unreachable);
    assert!(done.out.contains("the daemon is not ready: connection refused"), "{}", done.out);
    assert!(done.out.contains("1 problem found"), "{}", done.out);
    assert_eq!(daemon.lines(), ["GET /v1/doctor"], "what asks the store would only time out");
}

#[tokio::test]
async fn doctor_looks_on_where_the_daemon_is_stopping() {
    let stops = answers::finding(&json!({"code": "draining", "about": "daemon"}));
    let away = answers::finding(&json!({"code": "store-away"}));
    let daemon = Daemon::with([
        reply(200, answers::doctor(&[stops, away])),
        reply(503, json!({"code": "store-unavailable", "detail": "connection refused"})),
    ])
    .await;
    let done = daemon.run(&["doctor"]).await;
    assert_eq!(done.exit, Exit::Failure);
    assert!(done.out.contains("it could not be checked: connection refused"), "{}", done.out);
    assert!(done.out.contains("3 problems found"), "{}", done.out);
}

#[tokio::test]
async fn health_says_whether_messages_are_taken() {
    let full = json!({"code": "store-full", "detail": "the disk has 10 MiB left"});
    let daemon =
        Daemon::with([reply(200, r#"{"status": "ready", "node": "A"}"#), reply(503, full)]).await;
    let ready = daemon.run(&["health"]).await;
    assert_eq!((ready.exit, ready.out.as_str()), (Exit::Ok, "ready\n"));
    let full = daemon.run(&["health"]).await;
    assert_ne!(full.exit, Exit::Ok);
    assert!(full.err.contains("the disk has 10 MiB left"), "{}", full.err);
    assert!(full.err.contains("`tidegate doctor --quick`"), "{}", full.err);
    assert_eq!(daemon.lines(), ["GET /readyz", "GET /readyz"]);
}
