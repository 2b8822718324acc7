//! `send`, with and without waiting.

use serde_json::{Value, json};

use super::super::exit::Exit;
use super::answers;
use super::kit::{Daemon, Seen, reply};

fn stored() -> Value {
    answers::message(&json!({"state": "scheduled"}))
}

#[tokio::test]
async fn prints_the_id_alone() {
    let daemon = Daemon::with([reply(201, stored())]).await;
    let done = daemon.run(&["send", "sms", "-d", r#"{"to": "+49",  "n": 1.50}"#]).await;
    assert_eq!((done.exit, done.out.as_str(), done.err.as_str()), (Exit::Ok, "sms_01\n", ""));
    let seen = &daemon.seen()[0];
    assert_eq!(seen.line, "POST /v1/queues/sms/messages");
    assert!(seen.body.starts_with(r#"{"payload":{"to": "+49",  "n": 1.50},"#), "{}", seen.body);
    assert!(seen.json()["idempotency_key"].as_str().unwrap().starts_with("cli-"));
    assert_eq!(seen.headers["content-type"], "application/json");
    assert_eq!(seen.headers["authorization"], "Bearer secret");
}

#[tokio::test]
async fn every_flag_becomes_its_field() {
    let daemon = Daemon::with([reply(201, stored())]).await;
    let words = [
        "send",
        "sms",
        "-d",
        "hello",
        "--delay",
        "90s",
        "--ttl",
        "1h",
        "--key",
        "k",
        "--group",
        "g",
        "--priority",
        "9",
        "--timeout",
        "5s",
        "--cost",
        "3",
        "--collapse-key",
        "c",
        "--label",
        "shop=7",
        "--label",
        "eu=",
        "--header",
        "X-A: b: c",
    ];
    assert_eq!(daemon.run(&words).await.exit, Exit::Ok);
    assert_eq!(
        daemon.seen()[0].json(),
        json!({"payload": "hello", "content_type": "text/plain", "delay": "1m30s", "ttl": "1h",
            "idempotency_key": "k", "group": "g", "priority": 9, "timeout": "5s", "cost": 3, "collapse_key": "c",
            "labels": {"shop": "7", "eu": ""}, "headers": {"X-A": "b: c"}})
    );
}

#[tokio::test]
async fn a_local_time_is_sent_as_a_moment() {
    let daemon = Daemon::with([reply(201, stored()), reply(201, stored())]).await;
    let due = ["send", "sms", "-d", "1", "--due", "2026-11-22 09:00", "--tz", "Asia/Shanghai"];
    let done = daemon.run(&due).await;
    assert_eq!((done.exit, done.err.as_str()), (Exit::Ok, ""));
    let gap = ["send", "sms", "-d", "1", "--due", "2026-03-29 02:30", "--tz", "Europe/Berlin"];
    let done = daemon.run(&gap).await;
    assert!(
        done.err.contains("does not exist") && done.err.contains("01:00:00 UTC"),
        "{}",
        done.err
    );
    let due: Vec<_> = daemon.seen().iter().map(|seen| seen.json()["due_at"].clone()).collect();
    assert_eq!(due, ["2026-11-22T01:00:00.000Z", "2026-03-29T01:00:00.000Z"]);
}

#[tokio::test]
async fn a_due_time_in_the_past_is_said() {
    let operation = answers::operation(&json!({"action": "reschedule"}));
    let followed = reply(200, operation.clone());
    let daemon = Daemon::with([
        reply(201, stored()),
        reply(200, stored()),
        reply(201, operation),
        followed,
        reply(201, stored()),
        reply(200, answers::messages(&[], &Value::Null)),
    ])
    .await;
    let said =
        "note: this moment is past (2026-11-20 09:00:00 UTC, 1d ago): what gets it is due now\n";
    for line in [
        "send sms -d 1 --due 2026-11-20T09:00:00Z",
        "reschedule sms_01 --due 2026-11-20T09:00:00Z",
        "operation start reschedule sms --state scheduled --all --due 2026-11-20T09:00:00Z",
    ] {
        let done = daemon.run(&line.split(' ').collect::<Vec<_>>()).await;
        assert_eq!(done.exit, Exit::Ok, "{}", done.err);
        assert!(done.err.starts_with(said), "{line}: {}", done.err);
    }
    for line in ["send sms -d 1 --delay 0s", "list sms --due-after 2026-11-20T09:00:00Z"] {
        let done = daemon.run(&line.split(' ').collect::<Vec<_>>()).await;
        assert_eq!((done.exit, done.err.as_str()), (Exit::Ok, ""), "{line}");
    }
}

#[tokio::test]
async fn payloads_come_from_standard_input_and_files() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("raw.bin");
    std::fs::write(&file, [0xff, 0xfe]).unwrap();
    let daemon = Daemon::with([reply(201, stored()), reply(201, stored())]).await;
    assert_eq!(daemon.run_with_input(&["send", "sms", "-"], "{\"a\":1}\n").await.exit, Exit::Ok);
    let done = daemon.run(&["send", "sms", "-f", file.to_str().unwrap()]).await;
    assert_eq!(done.exit, Exit::Ok);
    let without_key = |seen: Seen| {
        seen.body.split(",\"idempotency_key\"").next().unwrap_or_default().to_owned() + "}"
    };
    let bodies: Vec<_> = daemon.seen().into_iter().map(without_key).collect();
    assert_eq!(
        bodies,
        [
            r#"{"payload":{"a":1}}"#,
            r#"{"payload_base64":"//4=","content_type":"application/octet-stream"}"#
        ]
    );
}

#[tokio::test]
async fn nothing_to_send_is_a_usage_error() {
    let daemon = Daemon::with([]).await;
    let done = daemon.run(&["send", "sms"]).await;
    assert_eq!((done.exit, done.out.as_str()), (Exit::Usage, ""));
    assert!(done.err.contains("give -d BODY"), "{}", done.err);
    assert!(daemon.seen().is_empty());
}

#[tokio::test]
async fn a_duplicate_is_said_beside_the_id() {
    let mut first = stored();
    first["duplicate"] = true.into();
    let daemon = Daemon::with([reply(200, first)]).await;
    let done = daemon.run(&["send", "sms", "-d", "1", "--key", "k"]).await;
    assert_eq!((done.exit, done.out.as_str()), (Exit::Ok, "sms_01\n"));
    assert!(done.err.contains("sent before"), "{}", done.err);
}

#[tokio::test]
async fn json_is_the_answer_as_it_came() {
    // As an other version may write it: in another order, and with a field that is not known here.
    let answer = stored().to_string().replacen('{', r#"{"z":1.50, "#, 1);
    let daemon = Daemon::with([reply(201, answer.as_str())]).await;
    let done = daemon.run(&["send", "sms", "-d", "1", "--output", "json"]).await;
    assert_eq!(done.out, format!("{answer}\n"));
}

#[tokio::test]
async fn waiting_repeats_until_the_message_is_final() {
    let waiting = answers::message(&json!({"held_by": ["limit"]}));
    let delivered = answers::message(&json!({"state": "delivered", "attempts": 1,
        "final_at": "2026-11-21T08:59:55.000Z"}));
    let daemon =
        Daemon::with([reply(201, stored()), reply(200, waiting), reply(200, delivered)]).await;
    let done = daemon.run(&["send", "sms", "-d", "1", "--wait", "90s"]).await;
    assert_eq!(done.exit, Exit::Ok);
    assert!(done.out.starts_with("Delivered 5s ago after 1 attempt\n"), "{}", done.out);
    assert!(done.out.contains("sms_01"), "{}", done.out);
    let lines = daemon.lines();
    assert_eq!(lines[1], "GET /v1/messages/sms_01?view=full&wait=1m");
    assert!(lines[2].starts_with("GET /v1/messages/sms_01?view=full&wait="), "{lines:?}");
}

#[tokio::test]
async fn another_final_state_ends_with_1() {
    let dead = answers::message(
        &json!({"state": "dead", "attempts": 1, "last_attempt": {"status_code": 422}}),
    );
    let daemon = Daemon::with([reply(201, stored()), reply(200, dead)]).await;
    let done = daemon.run(&["send", "sms", "-d", "1", "--wait", "5s"]).await;
    assert_eq!(done.exit, Exit::Failure);
    assert!(done.out.starts_with("Dead after 1 attempt: status 422\n"), "{}", done.out);
}

#[tokio::test]
async fn not_final_in_time_ends_with_6() {
    let ready = answers::message(&json!({"held_by": ["window"]}));
    let daemon = Daemon::with([reply(201, stored()), reply(200, ready)]).await;
    let done = daemon.run(&["send", "sms", "-d", "1", "--wait", "0s"]).await;
    assert_eq!(done.exit, Exit::TimedOut);
    assert!(done.out.starts_with("Waiting for its window\n"), "{}", done.out);
    assert!(done.err.contains("not final"), "{}", done.err);
}

#[tokio::test]
async fn a_daemon_lost_while_waiting_leaves_the_id() {
    let daemon = Daemon::with([
        reply(201, stored()),
        reply(503, json!({"code": "store-unavailable", "detail": "away"})),
    ])
    .await;
    let done = daemon.run(&["send", "sms", "-d", "1", "--wait", "5s"]).await;
    assert_eq!(done.exit, Exit::Unreachable);
    assert!(done.err.contains("tidegate get sms_01"), "{}", done.err);
}

#[tokio::test]
async fn while_the_store_is_away_the_same_message_is_sent_again() {
    let away = json!({"code": "store-unavailable", "detail": "Redis is away"});
    let again = answers::message(&json!({"duplicate": true}));
    let script = [reply(503, away.clone()), reply(503, away), reply(200, again)];
    let daemon = Daemon::with(script).await;
    let done = daemon.run(&["send", "sms", "-d", "1"]).await;
    assert_eq!((done.exit, done.out.as_str()), (Exit::Ok, "sms_01\n"));
    assert!(done.err.contains("trying again") && !done.err.contains("sent before"), "{}", done.err);
    let bodies: Vec<_> = daemon.seen().iter().map(|seen| seen.body.clone()).collect();
    assert_eq!(bodies.len(), 3);
    assert!(bodies.iter().all(|body| *body == bodies[0]), "one key: {bodies:?}");
}

#[tokio::test]
async fn what_is_refused_is_not_sent_again() {
    for (status, code) in
        [(503, "store-full"), (429, "too-many-listeners"), (400, "invalid-request")]
    {
        let refused = reply(status, json!({"code": code, "detail": "no"}));
        let daemon = Daemon::with([refused]).await;
        let done = daemon.run(&["send", "sms", "-d", "1"]).await;
        assert_ne!(done.exit, Exit::Ok, "{code}");
        assert_eq!(daemon.seen().len(), 1, "{code}");
    }
}
