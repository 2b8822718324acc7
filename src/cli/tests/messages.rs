//! Commands on messages: get, list, export, cancel, run, requeue, reschedule, edit, try.

use serde_json::{Value, json};

use super::super::exit::Exit;
use super::answers;
use super::kit::{Daemon, reply};

fn message(id: &str, state: &str) -> Value {
    answers::message(&json!({"id": id, "state": state, "due_at": "2026-11-21T12:12:00.000Z",
        "held_by": ["due"], "payload": {"a": 1}}))
}

#[tokio::test]
async fn get_says_what_holds_the_message() {
    let due = gate("due", Some("2026-11-21T12:12:00.000Z"), "It is due at noon.");
    let explained = explanation("It is due at noon.", "2026-11-21T12:12:00.000Z", &[due]);
    let daemon =
        Daemon::with([reply(200, message("sms_01", "scheduled")), reply(200, explained)]).await;
    let done = daemon.run(&["get", "sms_01"]).await;
    assert_eq!(done.exit, Exit::Ok);
    let mut lines = done.out.lines();
    assert_eq!(lines.next(), Some("Waiting: due in 3h 12m (2026-11-21 12:12:00 UTC)"));
    assert_eq!(lines.next(), Some(""), "that it is due is said once: {}", done.out);
    assert!(done.out.contains("payload       {\"a\":1}"), "{}", done.out);
    let asked = ["GET /v1/messages/sms_01?view=full", "GET /v1/messages/sms_01/explain"];
    assert_eq!(daemon.lines(), asked);
}

#[tokio::test]
async fn get_says_the_sentence_of_explain() {
    let at = "2026-11-21T16:45:00.000Z";
    let held = |state: &str, held_by: Value| {
        let mut message = message("sms_01", state);
        message["held_by"] = held_by;
        reply(200, message)
    };
    let closed = gate("window", Some(at), "The window is closed.");
    let due = gate("due", Some("2026-11-21T12:12:00.000Z"), "It is due at noon.");
    let forbidden = json!({"code": "forbidden", "detail": "the token lacks the scope read"});
    let daemon = Daemon::with([
        held("ready", json!(["window"])),
        reply(200, explanation("The window is closed and opens at dusk.", at, &[closed])),
        held("scheduled", json!(["due"])),
        reply(200, explanation("It is due at noon. By then the window is closed.", at, &[due])),
        held("ready", json!(["window"])),
        reply(403, forbidden),
        held("leased", json!([])),
    ])
    .await;
    for said in [
        "Waiting for its window\nThe window is closed and opens at dusk.\n\n",
        "\nIt is due at noon. By then the window is closed.\n\n",
        "Waiting for its window\n\n",
        "Being sent: attempt 1\n\n",
    ] {
        let done = daemon.run(&["get", "sms_01"]).await;
        assert!(done.out.contains(said), "{said}: {}", done.out);
        assert_eq!((done.exit, done.err.as_str()), (Exit::Ok, ""));
    }
    assert_eq!(daemon.lines().len(), 7);
}

#[tokio::test]
async fn explain_shows_every_gate_with_its_setting_and_who_blocks() {
    let mut busy = gate("concurrency", None, "As many calls as may be (16) are in flight.");
    busy["setting"] = json!("/etc/tidegate/tidegate.toml:12");
    busy["blocked_by"] = json!([{"id": "sms_02"}, {"id": "sms_03"}]);
    busy["blocked_by_total"] = json!(16);
    let mut open = gate("pause", None, "The queue is not paused.");
    open["passes"] = json!(true);
    let mut explained = explanation("3 messages stand before it.", "", &[open, busy]);
    explained["position"] = json!({"ahead": 3, "of": "queue", "at_least": true});
    let body = explained.to_string();
    let daemon = Daemon::with([reply(200, explained), reply(200, body.as_str())]).await;
    let done = daemon.run(&["explain", "sms_01"]).await;
    assert_eq!(done.exit, Exit::Ok, "{}", done.err);
    for said in [
        "3 messages stand before it.\n\n",
        "position  more than 3 messages before it, in the line of its queue\n",
        "earliest  nobody can know\n",
        "pause        yes     The queue is not paused.",
        "sms_02, sms_03 and 14 more",
        "[/etc/tidegate/tidegate.toml:12]",
    ] {
        let whole = done.out.split_whitespace().collect::<Vec<_>>().join(" ");
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(whole.contains(&said), "{said}: {}", done.out);
    }
    let json = daemon.run(&["explain", "sms_01", "--output", "json"]).await;
    assert_eq!(json.out.trim_end(), body);
    assert_eq!(daemon.lines()[0], "GET /v1/messages/sms_01/explain");
}

fn gate(gate: &str, opens_at: Option<&str>, detail: &str) -> Value {
    json!({"gate": gate, "passes": false, "opens_at": opens_at, "detail": detail, "setting": null,
        "blocked_by": [], "blocked_by_total": 0})
}

/// What `explain` answers; `earliest`: a moment, or nothing.
fn explanation(sentence: &str, earliest: &str, gates: &[Value]) -> Value {
    let earliest = (!earliest.is_empty()).then_some(earliest);
    json!({"state": "ready", "sentence": sentence, "position": null, "earliest_at": earliest,
        "expected_at": null, "gates": gates})
}

#[tokio::test]
async fn get_shows_the_payload_as_it_was_sent() {
    let answer = answers::message(&json!({"state": "delivered", "payload": 0})).to_string();
    let answer = answer.replace("\"payload\":0", r#""payload":{"to": "x", "b": 1.50, "a": 2}"#);
    let daemon = Daemon::with([reply(200, answer.as_str())]).await;
    let done = daemon.run(&["get", "sms_01"]).await;
    assert!(
        done.out.contains("payload       {\"to\": \"x\", \"b\": 1.50, \"a\": 2}"),
        "{}",
        done.out
    );
}

#[tokio::test]
async fn a_failure_among_many_does_not_stop_the_others() {
    let gone = json!({"code": "not-found", "detail": "no such message"});
    let leased = json!({"code": "wrong-state", "detail": "it is leased", "state": "leased"});
    let daemon = Daemon::with([
        reply(200, message("sms_01", "cancelled")),
        reply(404, gone),
        reply(409, leased),
        reply(200, message("sms_04", "cancelled")),
    ])
    .await;
    let done = daemon.run_with_input(&["cancel", "sms_01", "-"], "sms_02\n\n sms_03\nsms_04").await;
    assert_eq!(done.exit, Exit::NotFound);
    assert_eq!(done.out, "sms_01 cancelled\nsms_04 cancelled\n");
    assert!(done.err.contains("error: sms_02: no such message (not-found)"), "{}", done.err);
    assert!(done.err.contains("error: sms_03: it is leased (wrong-state)"), "{}", done.err);
    assert_eq!(daemon.lines()[3], "DELETE /v1/messages/sms_04");
}

#[tokio::test]
async fn verbs_are_posted_below_the_message() {
    for (verb, out) in [("run", "sms_01 due now\n"), ("requeue", "sms_01 requeued\n")] {
        let daemon = Daemon::with([reply(200, message("sms_01", "ready"))]).await;
        let done = daemon.run(&[verb, "sms_01"]).await;
        assert_eq!((done.exit, done.out.as_str()), (Exit::Ok, out));
        let seen = &daemon.seen()[0];
        assert_eq!(seen.line, format!("POST /v1/messages/sms_01/{verb}"));
        assert_eq!(seen.json(), json!({}));
    }
}

#[tokio::test]
async fn resolve_posts_the_decision_and_its_reason() {
    let daemon = Daemon::with([reply(200, message("sms_01", "delivered"))]).await;
    let words = ["resolve", "sms_01", "--as", "delivered", "--reason", "seen in their log"];
    let done = daemon.run(&words).await;
    assert_eq!((done.exit, done.out.as_str()), (Exit::Ok, "sms_01 resolved as delivered\n"));
    let seen = &daemon.seen()[0];
    assert_eq!(seen.line, "POST /v1/messages/sms_01/resolve");
    assert_eq!(seen.json(), json!({"as": "delivered", "reason": "seen in their log"}));
}

#[tokio::test]
async fn reschedule_patches_the_due_time() {
    let daemon = Daemon::with([
        reply(200, message("sms_01", "scheduled")),
        reply(200, message("sms_01", "scheduled")),
        reply(200, message("sms_01", "scheduled")),
        reply(200, message("sms_01", "scheduled")),
    ])
    .await;
    let done = daemon.run(&["reschedule", "sms_01", "--delay", "1h30m"]).await;
    assert_eq!(done.out, "sms_01 due 2026-11-21 12:12:00 UTC\n");
    daemon.run(&["reschedule", "sms_01", "--due", "2026-11-21T12:12:00Z"]).await;
    let expires = "2026-11-22T00:00:00Z";
    daemon.run(&["reschedule", "sms_01", "--priority", "9", "--expires", expires]).await;
    daemon.run(&["reschedule", "sms_01", "--expires", "never"]).await;
    let seen = daemon.seen();
    assert_eq!(seen[0].line, "PATCH /v1/messages/sms_01");
    assert_eq!(seen[0].json(), json!({"delay": "1h30m"}));
    assert_eq!(seen[1].json(), json!({"due_at": "2026-11-21T12:12:00.000Z"}));
    assert_eq!(seen[2].json(), json!({"priority": 9, "expires_at": "2026-11-22T00:00:00.000Z"}));
    assert_eq!(seen[3].json(), json!({"expires_at": null}));
}

#[tokio::test]
async fn edit_patches_the_payload() {
    let before = answers::message(&json!({"state": "dead", "payload": {"a": 1}}));
    let daemon = Daemon::with([reply(200, before), reply(200, message("sms_01", "dead"))]).await;
    let done = daemon.run(&["edit", "sms_01", "-d", "{\"a\": 2}"]).await;
    let still = "sms_01 edited; it is still dead: `tidegate requeue sms_01` sends it\n";
    assert_eq!((done.exit, done.out.as_str()), (Exit::Ok, still));
    assert_eq!(daemon.lines()[0], "GET /v1/messages/sms_01?view=full");
    assert_eq!(daemon.seen()[1].body, "{\"payload\":{\"a\": 2}}");
    for (state, out) in [
        (
            "uncertain",
            "sms_01 edited; it is still uncertain: `tidegate resolve sms_01 --as resend` sends it\n",
        ),
        ("scheduled", "sms_01 edited\n"),
    ] {
        let script = [message("sms_01", state), message("sms_01", state)];
        let daemon = Daemon::with(script.map(|message| reply(200, message))).await;
        assert_eq!(daemon.run(&["edit", "sms_01", "-d", "{}"]).await.out, out);
    }
}

#[tokio::test]
async fn what_is_to_be_sent_now_says_what_holds_its_queue() {
    let mut held = message("sms_01", "ready");
    held["held_by"] = json!(["pause", "limit"]);
    let daemon = Daemon::with([reply(200, held.clone()), reply(200, held)]).await;
    let waits = "; it waits for its queue to be resumed\n";
    assert_eq!(daemon.run(&["requeue", "sms_01"]).await.out, format!("sms_01 requeued{waits}"));
    assert_eq!(daemon.run(&["run", "sms_01"]).await.out, format!("sms_01 due now{waits}"));
}

#[tokio::test]
async fn list_follows_pages_up_to_its_limit() {
    let page = |ids: [&str; 2], next: Value| {
        let messages = ids.map(|id| message(id, "dead"));
        reply(200, answers::messages(&messages, &next))
    };
    let script =
        [page(["sms_01", "sms_02"], "c 1".into()), page(["sms_03", "sms_04"], "c2".into())];
    let daemon = Daemon::with(script.clone()).await;
    let done = daemon.run(&["list", "sms", "--state", "dead", "--limit", "4"]).await;
    assert_eq!(done.exit, Exit::Ok);
    assert_eq!(done.out.lines().count(), 5, "{}", done.out);
    assert!(done.err.contains("there are more"), "{}", done.err);
    assert_eq!(
        daemon.lines(),
        [
            "GET /v1/queues/sms/messages?limit=4&state=dead",
            "GET /v1/queues/sms/messages?limit=2&state=dead&cursor=c+1"
        ]
    );
    let daemon = Daemon::with(script).await;
    let done = daemon.run(&["--output", "json", "list", "sms", "--limit", "4"]).await;
    let document: Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(document["messages"].as_array().unwrap().len(), 4);
    assert_eq!(document["next_cursor"], "c2");
}

#[tokio::test]
async fn export_writes_rows_that_can_be_sent_again() {
    let first = answers::message(&json!({"state": "dead", "payload": {"a": 1},
        "idempotency_key": "old", "due_at": "2026-11-21T08:00:00.000Z"}));
    let second = answers::message(&json!({"id": "sms_02", "state": "dead",
        "payload_base64": "/w==", "content_type": "application/octet-stream"}));
    let daemon = Daemon::with([
        reply(200, answers::messages(&[first], &json!("c"))),
        reply(200, answers::messages(&[second], &Value::Null)),
    ])
    .await;
    let done = daemon.run(&["export", "sms", "--state", "dead"]).await;
    assert_eq!(done.exit, Exit::Ok);
    assert_eq!(
        done.out,
        "{\"id\":\"sms_01\",\"payload\":{\"a\":1},\"content_type\":\"application/json\",\"priority\":0}\n\
         {\"id\":\"sms_02\",\"payload_base64\":\"/w==\",\"content_type\":\"application/octet-stream\",\"priority\":0}\n"
    );
    assert_eq!(
        daemon.lines(),
        [
            "GET /v1/queues/sms/messages?state=dead&view=full&limit=100",
            "GET /v1/queues/sms/messages?state=dead&view=full&limit=100&cursor=c"
        ]
    );
}

#[tokio::test]
async fn try_shows_the_exchange_and_ends_by_its_outcome() {
    let exchange = |outcome: &str, status: u16| {
        answers::exchange(
            outcome,
            &json!({"status_code": status, "content_type": "text/plain", "body": "line 1\nline 2", "error": null}),
        )
    };
    let daemon =
        Daemon::with([reply(200, exchange("delivered", 200)), reply(200, exchange("retry", 500))])
            .await;
    let done = daemon.run(&["try", "sms"]).await;
    assert_eq!(
        (done.exit, done.out.as_str()),
        (
            Exit::Ok,
            "POST http://d/x\nwebhook-id: test\n\n{}\n\nanswer 200 after 132ms\n\
             content-type: text/plain\n\nline 1\nline 2\n\noutcome: delivered\n\
             decided by: the table of outcomes\n"
        )
    );
    assert_eq!(daemon.run(&["try", "sms", "-d", "{\"a\":1}"]).await.exit, Exit::Failure);
    let seen = daemon.seen();
    assert_eq!(seen[0].line, "POST /v1/queues/sms/try");
    assert_eq!(seen[0].json(), json!({"payload": {"tidegate": "test call"}}));
    assert_eq!(seen[1].json(), json!({"payload": {"a": 1}}));
}
