//! Commands on queues and the daemon: queues, queue, pause, resume, purge, requeue-all, windows,
//! nodes.

use serde_json::{Value, json};

use super::super::exit::Exit;
use super::answers;
use super::kit::{Daemon, Reply, reply};

/// That new messages are refused, as the daemon says it.
fn refusal(code: &str, why: &str, remedy: &str) -> Reply {
    let detail = format!("new messages are refused: {why}");
    let given = json!({"code": code, "detail": detail, "remedy": remedy});
    reply(200, answers::doctor(&[answers::finding(&given)]))
}

/// A queue that is paused, whose window is closed, and whose gate is shut.
pub(super) fn queue() -> Value {
    answers::queue(&json!({"counts": {"scheduled": 1, "ready": 2, "delivered": 40, "dead": 3},
        "oldest_ready_age_ms": 5000, "paused": {"until": null, "reason": "deploy", "by": "ann"},
        "window": {"open": false, "closes_at": null, "opens_at": "2026-11-21T10:00:00.000Z"},
        "rate": {"configured": "20/s", "observed_1m": 19.5},
        "gate": {"open": false, "kind": "alarm", "reason": "status 401: bad token", "until": null},
        "sending": {"state": "paused", "reason": "It was paused by ann (deploy).", "since": null, "until": null},
        "policy": {"concurrency": 16, "retry": {"initial": "5s"}}}))
}

#[tokio::test]
async fn queues_shows_counts_and_whether_each_sends() {
    let daemon =
        Daemon::with([reply(200, answers::queues(&[queue()])), reply(200, answers::doctor(&[]))])
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
    assert_eq!(daemon.lines(), ["GET /v1/queues", "GET /v1/doctor?about=intake"]);
}

#[tokio::test]
async fn queue_shows_its_policy() {
    let daemon = Daemon::with([
        reply(200, queue()),
        reply(200, answers::doctor(&[])),
        reply(200, queue()),
        refusal("store-full", "the disk has 10 MiB left", "free space"),
    ])
    .await;
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
    assert!(!done.out.contains("refused"), "{}", done.out);
    let refused = daemon.run(&["queue", "sms"]).await.out;
    let begins = "new messages are refused: the disk has 10 MiB left\n  next: free space\n";
    assert!(refused.starts_with(begins) && refused.contains("policy.concurrency"), "{refused}");
    assert_eq!(daemon.lines()[..2], ["GET /v1/queues/sms", "GET /v1/doctor?about=intake"]);
}

#[tokio::test]
async fn resume_says_whether_there_was_anything_to_resume_and_what_still_holds() {
    let of = |sending: Value, resumed: Option<bool>| {
        let failing =
            json!({"since": "2026-11-21T08:58:00.000Z", "attempts": 4, "last_error": "timed out"});
        let mut given = json!({"sending": sending, "failing": failing});
        if let Some(resumed) = resumed {
            given["resumed"] = resumed.into();
        }
        reply(200, answers::queue(&given))
    };
    let open = || json!({"state": "open"});
    let failing = json!({"state": "failing"});
    let daemon = Daemon::with([
        of(open(), Some(true)),
        of(open(), None),
        of(open(), Some(false)),
        of(failing, Some(true)),
    ])
    .await;
    for out in [
        "sms is resumed\n",
        "sms is resumed\n",
        "sms was neither paused nor shut: nothing was changed\n",
        "sms is resumed\nsending: failing for 2m: timed out\n",
    ] {
        assert_eq!(daemon.run(&["resume", "sms"]).await.out, out);
    }
}

#[tokio::test]
async fn pause_and_resume() {
    let resumed = answers::queue(&json!({}));
    let script =
        [reply(200, queue()), reply(200, queue()), reply(200, queue()), reply(200, resumed)];
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
    let windows = json!([
        {"opens_at": "2026-11-21T08:00:00.000Z", "closes_at": "2026-11-21T11:00:00.000Z"},
        {"opens_at": "2026-11-22T08:00:00.000Z", "closes_at": "2026-11-22T08:30:00.000Z"}]);
    let daemon = Daemon::with([reply(200, answers::windows("UTC", &windows))]).await;
    let done = daemon.run(&["windows", "erp", "--days", "2"]).await;
    assert_eq!(
        done.out,
        "OPENS                    CLOSES                   LENGTH\n\
         2026-11-21 08:00:00 UTC  2026-11-21 11:00:00 UTC  3h      open now\n\
         2026-11-22 08:00:00 UTC  2026-11-22 08:30:00 UTC  30m     in 23h\n"
    );
    assert_eq!(daemon.lines(), ["GET /v1/queues/erp/windows?days=2"]);
    let mut marked = answers::windows("Europe/Berlin", &json!([]));
    marked["dates"] = json!([
        {"date": "2026-12-24", "closed": true, "calendar": null},
        {"date": "2026-10-26", "closed": false, "calendar": "de"}]);
    marked["clock_changes"] =
        json!([{"at": "2026-10-25T01:00:00.000Z", "before_s": 7200, "after_s": 3600}]);
    let daemon = Daemon::with([reply(200, marked)]).await;
    assert_eq!(
        daemon.run(&["windows", "erp"]).await.out,
        "no window opens within 14 days\n\n\
         DATE        WHAT HOLDS\n\
         2026-10-25  clocks go back by 1h, to 2026-10-25 02:00:00 +01:00\n\
         2026-10-26  hours of its own, by the calendar de\n\
         2026-12-24  closed, by the queue\n"
    );
    let always = json!([{"opens_at": null, "closes_at": null}]);
    let daemon = Daemon::with([reply(200, answers::windows("UTC", &always))]).await;
    let row = daemon.run(&["windows", "sms"]).await.out;
    let words: Vec<&str> = row.lines().nth(1).unwrap_or_default().split_whitespace().collect();
    assert_eq!(words, ["always", "never", "open", "now"], "{row}");
}

#[tokio::test]
async fn nodes_say_which_one_answers_what_it_does_and_what_it_means_that_one_is_missing() {
    let node = |id: &str, hash: &str, version: u8| {
        answers::node(&json!({"id": id, "config_hash": hash, "record_version": version}))
    };
    let answer = |hash: &str, version: u8| {
        let nodes = [node("AAAAAAAAAAAA", "x", 3), node("BBBBBBBBBBBB", hash, version)];
        reply(200, answers::nodes(&nodes))
    };
    let daemon = Daemon::with([answer("x", 3), answer("y", 3), answer("x", 2)]).await;
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
    let reads = daemon.run(&["nodes"]).await;
    let lines: Vec<&str> = reads.out.lines().collect();
    assert!(lines[0].ends_with("  RECORD VERSION"), "{}", reads.out);
    assert!(lines[1].ends_with(" 3") && lines[2].ends_with(" 2"), "{}", reads.out);
    assert!(reads.err.contains("not all nodes read the newest version"), "{}", reads.err);
}

#[tokio::test]
async fn queues_say_that_new_messages_are_refused_and_why() {
    let why = "the disk has 10 MiB left, less than the 32 MiB that intake needs";
    let queues = || reply(200, answers::queues(&[queue()]));
    let daemon = Daemon::with([
        queues(),
        refusal("store-full", why, "free space on the disk"),
        queues(),
        refusal("draining", "it is stopping", "start it again"),
        queues(),
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
    assert_eq!(json.out, format!("{}\n", answers::queues(&[queue()])), "the API's own answer");
}

#[tokio::test]
async fn topics_show_what_their_queues_lack() {
    let waits = answers::topic(&json!({"queues": ["sms", "erp"], "pending": 3,
        "oldest_pending_age_ms": 90_000, "waits_for": ["erp"]}));
    let retired = answers::topic(&json!({"topic": "gone", "retired": true}));
    let topics = json!({"topics": [waits, retired]});
    let daemon = Daemon::with([reply(200, topics), reply(200, json!({"topics": []}))]).await;
    let done = daemon.run(&["topics"]).await;
    let lines: Vec<&str> = done.out.lines().map(str::trim_end).collect();
    assert_eq!(
        lines,
        [
            "TOPIC  QUEUES         PENDING  OLDEST  WAITS FOR",
            "paid   sms, erp       3        1m 30s  erp",
            "gone   sms (retired)  0",
        ],
        "{}",
        done.out
    );
    assert!(daemon.run(&["topics"]).await.out.starts_with("no topics; add [topics.NAME]"));
}

#[tokio::test]
async fn publish_prints_the_ids_and_says_which_queue_gets_its_message_later() {
    let event = answers::event(&json!([{"queue": "sms", "id": "sms_01"},
        {"queue": "erp", "id": "erp_01", "pending": true}]));
    let daemon = Daemon::with([reply(201, event)]).await;
    let done = daemon.run(&["publish", "paid", "-d", "{}"]).await;
    assert_eq!((done.exit, done.out.as_str()), (Exit::Ok, "sms_01\nerp_01\n"));
    assert!(done.err.contains("the event is kept; erp will get it later"), "{}", done.err);
}
