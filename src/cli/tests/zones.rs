//! The zone in which moments are shown: `--tz` and `--local`, for every command alike.

use clap::Parser as _;
use serde_json::{Value, json};

use super::super::args::Cli;
use super::super::exit::Exit;
use super::super::times::zone_asked;
use super::answers;
use super::kit::{Daemon, Reply, reply};

const AT: &str = "2026-11-21T09:00:00.000Z";

/// Each command that shows moments, and what it is answered.
fn commands() -> Vec<(&'static str, Vec<Reply>)> {
    let message = answers::message(
        &json!({"id": "sms_1", "state": "uncertain", "due_at": AT, "created_at": AT,
        "attempts": 1, "probe": {"attempts": 1, "next_at": AT},
        "last_attempt": {"started_at": AT, "ended_at": AT}}),
    );
    let queue = answers::queue(&json!({"paused": {"until": AT},
        "sending": {"state": "paused", "until": AT, "reason": "It is paused."}}));
    let closed = answers::queue(&json!({"sending": {"state": "closed", "until": AT,
        "reason": format!("Its window is closed and opens at {AT}.")}}));
    let failing = answers::queue(&json!({"sending": {"state": "failing"},
        "failing": {"since": AT, "attempts": 3, "last_error": "timeout"}}));
    let schedule =
        answers::schedule(&json!({"cron": "0 9 * * *", "time_zone": "UTC", "next": [AT],
        "last": {"nominal_at": AT, "fired_at": AT, "message_id": "sms_1"}}));
    let operation = answers::operation(&json!({"started_at": AT, "ended_at": AT,
        "filter": {"created_before": AT}}));
    let queues = |queue: &Value| reply(200, answers::queues(std::slice::from_ref(queue)));
    let ready = || reply(200, json!({"status": "ready", "node": "A"}));
    let nodes = answers::nodes(&[answers::node(&json!({"started_at": AT}))]);
    let event = format!(
        "id: 1\nevent: message\ndata: {{\"at\":\"{AT}\",\"id\":\"sms_1\",\"queue\":\"sms\",\"state\":\"dead\"}}\n\n"
    );
    vec![
        ("get sms_1", vec![reply(200, message.clone())]),
        ("list sms", vec![reply(200, answers::messages(&[message], &Value::Null))]),
        (
            "reschedule sms_1 --delay 1h",
            vec![reply(200, answers::message(&json!({"state": "scheduled", "due_at": AT})))],
        ),
        ("queues", vec![queues(&queue), ready(), reply(200, "tidegate_store_up 1\n")]),
        ("queue sms", vec![reply(200, closed)]),
        ("pause sms --until 2026-11-21T09:00:00Z", vec![reply(200, queue)]),
        (
            "windows sms",
            vec![reply(
                200,
                answers::windows("Europe/Berlin", &json!([{"opens_at": AT, "closes_at": AT}])),
            )],
        ),
        ("schedule n", vec![reply(200, schedule)]),
        ("operation show op_1", vec![reply(200, operation)]),
        ("actions", vec![reply(200, answers::actions(&json!({"at": AT})))]),
        ("nodes", vec![reply(200, nodes)]),
        ("clock", vec![reply(200, json!({"now": AT, "alarm": null}))]),
        ("events --limit 1", vec![reply(200, event.as_str())]),
        (
            "doctor --quick",
            vec![
                ready(),
                reply(200, "tidegate_store_up 1\n"),
                reply(200, answers::nodes(&[])),
                queues(&failing),
            ],
        ),
    ]
}

#[tokio::test]
async fn every_moment_is_shown_in_the_zone_that_was_asked_for() {
    for (line, script) in commands() {
        let daemon = Daemon::with(script).await;
        let words: Vec<&str> = line.split(' ').chain(["--tz", "Asia/Shanghai"]).collect();
        let out = daemon.run(&words).await.out;
        assert!(out.contains("17:00:00"), "{line}: {out}");
        assert!(out.contains("+08:00"), "{line}: {out}");
        assert!(!out.contains("09:00:00"), "{line} shows a moment in UTC: {out}");
        assert_eq!(daemon.lines().len(), daemon.seen().len());
    }
}

#[tokio::test]
async fn without_a_zone_moments_stay_in_utc_and_windows_in_their_own() {
    for (line, script) in commands() {
        let daemon = Daemon::with(script).await;
        let out = daemon.run(&line.split(' ').collect::<Vec<_>>()).await.out;
        let shown = if line.starts_with("windows") { "10:00:00 +01:00" } else { "09:00:00" };
        assert!(out.contains(shown), "{line}: {out}");
    }
}

#[tokio::test]
async fn json_is_the_same_in_every_zone() {
    for (line, script) in commands() {
        let words: Vec<&str> = line.split(' ').chain(["--output", "json"]).collect();
        let plain = Daemon::with(script.clone()).await.run(&words).await.out;
        let zoned = [&words[..], &["--tz", "Asia/Shanghai"]].concat();
        let daemon = Daemon::with(script).await;
        assert_eq!(daemon.run(&zoned).await.out, plain, "{line}");
        assert!(!plain.contains("+08:00"), "{line}: {plain}");
    }
}

#[tokio::test]
async fn a_local_time_without_a_zone_says_which_one_was_taken() {
    let message = || reply(200, answers::message(&json!({"state": "scheduled"})));
    let daemon = Daemon::with([message(), message()]).await;
    let done = daemon.run(&["reschedule", "sms_1", "--due", "2026-11-29 9:00"]).await;
    assert_eq!(done.exit, Exit::Ok);
    let said = "note: 2026-11-29 09:00:00 is read in this machine's time zone, ";
    assert!(done.err.starts_with(said), "{}", done.err);
    assert!(done.err.contains("UTC; --tz names another zone\n"), "{}", done.err);
    let named = ["reschedule", "sms_1", "--due", "2026-11-29 9:00", "--tz", "Asia/Shanghai"];
    assert_eq!(daemon.run(&named).await.err, "", "the zone is in the command");
    assert_eq!(daemon.seen()[1].json(), json!({"due_at": "2026-11-29T01:00:00.000Z"}));
}

#[test]
fn an_unknown_zone_is_refused_with_a_remedy_and_two_zones_are_too_many() {
    for words in ["queues --tz Mars/Base", "--tz +8 list sms", "windows erp --tz=CST8"] {
        let line = ["tidegate"].into_iter().chain(words.split(' '));
        let error = Cli::try_parse_from(line).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{words}");
        let text = error.to_string();
        assert!(text.contains("is not a valid time zone"), "{text}");
        assert!(text.contains("for example Asia/Shanghai"), "{text}");
    }
    let both = Cli::try_parse_from(["tidegate", "--local", "queues", "--tz", "UTC"]).unwrap();
    let failure = zone_asked(&both.globals).unwrap_err();
    assert_eq!(failure.exit, Exit::Usage);
    assert!(failure.next.unwrap().contains("--local for this machine's zone"));
}
