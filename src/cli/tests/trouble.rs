//! What goes wrong on the way: nobody there, no answer, a reader that leaves.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::super::exit::Exit;
use super::answers;
use super::kit::{Daemon, reply, run_at, run_into};

/// A port of loopback on which nobody listens.
async fn nobody() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[tokio::test]
async fn nobody_there_is_5_with_the_next_step() {
    let url = nobody().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rows.ndjson");
    std::fs::write(&file, "{\"payload\":1}\n").unwrap();
    for words in [
        &["queues"][..],
        &["doctor"],
        &["get", "a_1", "a_2"],
        &["send", "q", "-d", "1"],
        &["send-batch", "q", file.to_str().unwrap()],
    ] {
        let done = run_at(&url, words, "").await;
        assert_eq!(done.exit, Exit::Unreachable, "{words:?}");
        assert!(done.err.contains("is the daemon running? `tidegate serve`"), "{}", done.err);
        assert_eq!(done.err.matches("error:").count(), 1, "{}", done.err);
    }
}

#[tokio::test]
async fn a_connection_that_breaks_is_5() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let hang_up = async {
        for _ in 0..2 {
            drop(listener.accept().await);
        }
    };
    let done = tokio::select! {
        done = run_at(&url, &["queues"], "") => done,
        () = async { hang_up.await; std::future::pending().await } => unreachable!(),
    };
    assert_eq!(done.exit, Exit::Unreachable);
    assert!(done.err.contains("before the answer"), "{}", done.err);
}

#[tokio::test]
async fn problems_end_with_the_code_of_their_status() {
    for (status, code, exit) in [
        (400, "invalid-request", Exit::Usage),
        (401, "unauthorized", Exit::Refused),
        (403, "forbidden", Exit::Refused),
        (404, "not-found", Exit::NotFound),
        (422, "idempotency-mismatch", Exit::Refused),
        (422, "cost-too-large", Exit::Refused),
        (503, "store-unavailable", Exit::Unreachable),
    ] {
        let daemon = Daemon::with([reply(status, json!({"code": code, "detail": "why"}))]).await;
        let done = daemon.run(&["pause", "q"]).await;
        assert_eq!((done.exit, done.out.as_str()), (exit, ""), "{status}");
        assert!(done.err.starts_with(&format!("error: why ({code})\n")), "{}", done.err);
    }
}

#[tokio::test]
async fn an_answer_that_is_no_daemons_is_1() {
    let daemon = Daemon::with([reply(200, "<html>")]).await;
    let done = daemon.run(&["queues"]).await;
    assert_eq!(done.exit, Exit::Failure);
    assert!(done.err.contains("not what was expected"), "{}", done.err);
}

/// One line for each command that talks to a daemon.
const EVERY_COMMAND: [&str; 49] = [
    "actions",
    "cancel sms_1",
    "clock",
    "clock resume",
    "doctor",
    "edit sms_1 -d 1",
    "events",
    "explain sms_1",
    "export sms --state dead",
    "forecast sms",
    "get sms_1",
    "health",
    "key sms",
    "key sms acme",
    "key sms acme put --weight 5",
    "key sms acme put --limit per_to=2/min",
    "key sms acme delete",
    "limit brand",
    "limit brand charge 5",
    "limits",
    "override sms",
    "list sms",
    "nodes",
    "operation follow op_1",
    "operation list",
    "operation show op_1",
    "operation start cancel sms --state ready --all --reason x",
    "operation stop op_1",
    "pause sms",
    "publish paid -d 1",
    "purge sms --state dead --yes",
    "queue sms",
    "queues",
    "receipt sms --id sms_1 --as dead",
    "requeue sms_1",
    "requeue-all sms --state dead --yes",
    "reschedule sms_1 --delay 1h",
    "resolve sms_1 --as dead",
    "resume sms",
    "retry sms",
    "run sms_1",
    "schedule n",
    "schedule n run",
    "schedule n delete",
    "schedules",
    "send sms -d 1",
    "send sms -d 1 --wait 5s",
    "topics",
    "try sms",
];

#[tokio::test]
async fn the_answer_of_another_server_is_an_error_for_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rows.ndjson");
    std::fs::write(&file, "{\"payload\":1}\n").unwrap();
    let batch = format!("send-batch sms {}", file.display());
    let config = folder.path().join("new.toml");
    std::fs::write(&config, "[queues.sms]\ndownstream.type = \"null\"\n").unwrap();
    let simulate = format!("simulate --config {} --backlog", config.display());
    let more = [batch.as_str(), simulate.as_str(), "windows sms"];
    let lines = EVERY_COMMAND.iter().copied().chain(more);
    let lines: Vec<&str> = lines.collect();
    for (status, body) in [(200, json!({"received": true, "status": "ready"})), (201, json!([]))] {
        for line in &lines {
            for format in ["table", "json"] {
                let daemon = Daemon::with(vec![reply(status, body.clone()); 3]).await;
                let words: Vec<&str> = line.split(' ').chain(["--output", format]).collect();
                let done = run_at(daemon.url(), &words, "").await;
                assert_eq!((done.exit, done.out.as_str()), (Exit::Failure, ""), "{line}");
                assert!(done.err.contains("check that --url names a tidegate"), "{}", done.err);
            }
        }
    }
    let cli = <super::super::Cli as clap::CommandFactory>::command();
    // What talks to nobody; and `top`, which asks nobody without a terminal (tests/it/cli/top).
    let here = ["serve", "sink", "check", "token", "completion", "man", "top"];
    for command in cli.get_subcommands().map(clap::Command::get_name) {
        let is_tried = lines.iter().any(|line| line.split(' ').next() == Some(command));
        assert!(is_tried || here.contains(&command), "{command} is not tried");
    }
}

/// Standard output whose reader has gone.
struct Gone;

impl Write for Gone {
    fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Standard error that must stay empty.
struct Silent;

impl Write for Silent {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        panic!("said {:?}", String::from_utf8_lossy(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_reader_that_leaves_ends_the_command_without_a_word() {
    let message = answers::message(&json!({"id": "q_1", "state": "dead", "payload": 1}));
    let page = answers::messages(&[message], &json!("more"));
    let daemon = Daemon::with([reply(200, page)]).await;
    let words = ["export", "q", "--state", "dead"];
    let exit = run_into(daemon.url(), &words, "", Box::new(Gone), Box::new(Silent)).await;
    assert_eq!(exit, Exit::Ok);
    assert_eq!(daemon.lines().len(), 1);
}

#[tokio::test]
async fn what_is_not_there_names_the_list_to_look_in() {
    for (words, list) in [
        (&["queue", "nope"][..], "`tidegate queues`"),
        (&["send", "nope", "-d", "1"], "`tidegate queues`"),
        (&["list", "nope"], "`tidegate queues`"),
        (&["pause", "nope"], "`tidegate queues`"),
        (&["get", "nope"], "`tidegate list QUEUE`"),
        (&["run", "nope"], "`tidegate list QUEUE`"),
        (&["publish", "nope", "-d", "1"], "`tidegate topics`"),
        (&["schedule", "nope"], "`tidegate schedules`"),
        (&["schedule", "nope", "run"], "`tidegate schedules`"),
        (&["operation", "show", "op_x"], "`tidegate operation list`"),
        (&["operation", "follow", "op_x"], "`tidegate operation list`"),
        (&["operation", "stop", "op_x"], "`tidegate operation list`"),
    ] {
        let problem = json!({"status": 404, "code": "not-found", "detail": "there is none"});
        let daemon = Daemon::with([reply(404, problem)]).await;
        let done = daemon.run(words).await;
        assert_eq!(done.exit, Exit::NotFound, "{words:?}: {}", done.err);
        assert!(done.err.contains(&format!("next: {list}")), "{words:?}: {}", done.err);
    }
}

#[tokio::test]
async fn under_json_a_failure_is_json_with_its_exit_code_and_the_next_step() {
    let problem = json!({"status": 404, "code": "not-found", "detail": "there is no queue \"x\""});
    let daemon = Daemon::with([reply(404, problem)]).await;
    let done = daemon.run(&["--output", "json", "queue", "x"]).await;
    let told: Value = serde_json::from_str(done.err.lines().last().unwrap()).unwrap();
    assert_eq!((&told["code"], &told["exit_code"]), (&json!("not-found"), &json!(3)));
    assert!(told["next"].as_str().unwrap().contains("tidegate queues"), "{told}");
    assert_eq!(done.out, "");

    let nobody = run_at("http://127.0.0.1:1", &["--output", "json", "queues"], "").await;
    let told: Value = serde_json::from_str(nobody.err.trim()).unwrap();
    assert_eq!((&told["code"], &told["exit_code"]), (&json!("unreachable"), &json!(5)));

    let check = ["--output", "json", "check", "no/such.toml"];
    let done = run_at("http://127.0.0.1:1", &check, "").await;
    let told: Value = serde_json::from_str(done.err.trim()).unwrap();
    assert_eq!((&told["code"], &told["exit_code"]), (&json!("usage"), &json!(2)));
    assert!(told["errors"][0]["detail"].as_str().unwrap().contains("no/such.toml"), "{told}");
}

#[tokio::test]
async fn an_operation_that_does_not_say_what_it_means_names_the_flags() {
    let daemon = Daemon::with([]).await;
    for (line, what, flag) in [
        ("operation start requeue sms --state dead", "which messages are meant", "--all takes"),
        (
            "operation start cancel sms --state dead --reason x",
            "which messages",
            "--label NAME=VALUE",
        ),
        ("operation start cancel sms --state ready --all", "why the messages", "--reason TEXT"),
    ] {
        let done = daemon.run(&line.split(' ').collect::<Vec<_>>()).await;
        assert_eq!((done.exit, done.out.as_str()), (Exit::Usage, ""), "{line}");
        assert!(done.err.contains(what) && done.err.contains(flag), "{line}: {}", done.err);
        assert!(!done.err.contains('"'), "no JSON: {}", done.err);
    }
    assert!(daemon.seen().is_empty());
}

#[tokio::test]
async fn an_operation_on_several_states_is_one_for_each() {
    let running = || reply(201, answers::operation(&json!({"state": "running"})));
    let script = [running(), running()];
    let daemon = Daemon::with(script).await;
    let line =
        "operation start cancel sms --state ready,scheduled --label shop=us --reason x --no-follow";
    let done = daemon.run(&line.split(' ').collect::<Vec<_>>()).await;
    assert_eq!((done.exit, done.out.as_str()), (Exit::Ok, "op_1\nop_1\n"), "{}", done.err);
    let states: Vec<_> = daemon.seen().iter().map(|seen| seen.json()["state"].clone()).collect();
    assert_eq!(states, ["scheduled", "ready"], "in the order of a message's life");
}

#[tokio::test]
async fn a_queue_and_a_file_in_the_wrong_order_are_named_in_the_right_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("flood.ndjson");
    std::fs::write(&file, "{\"payload\":1}\n").unwrap();
    let daemon = Daemon::with([]).await;
    let done = daemon.run(&["send-batch", file.to_str().unwrap(), "sms-nope"]).await;
    assert_eq!(done.exit, Exit::Usage);
    let right = format!("`tidegate send-batch sms-nope {}`", file.display());
    assert!(done.err.contains(&right), "{}", done.err);
}

#[test]
fn a_payload_that_the_shell_has_cut_says_how_to_quote_it() {
    let words = ["tidegate", "send", "sms", "-d", "{to:", "x}"];
    let error = <super::super::Cli as clap::Parser>::try_parse_from(words).unwrap_err();
    assert!(error.to_string().contains("put the whole JSON in single quotes"), "{error}");
}

#[tokio::test]
async fn https_to_a_daemon_without_it_is_said() {
    let daemon = Daemon::with([]).await;
    let url = daemon.url().replace("http://", "https://");
    let done = run_at(&url, &["queues"], "").await;
    assert_eq!(done.exit, Exit::Unreachable, "{}", done.err);
    assert!(done.err.contains("does not speak https"), "{}", done.err);
    assert!(done.err.contains(&format!("next: write {}", daemon.url())), "{}", done.err);
}

#[tokio::test]
async fn a_length_without_a_unit_says_what_was_understood() {
    let daemon = Daemon::with([reply(201, answers::message(&json!({"state": "scheduled"})))]).await;
    let done = daemon.run(&["send", "sms", "-d", "1", "--delay", "3600000"]).await;
    assert!(done.err.contains("taken as seconds: 41d16h"), "{}", done.err);
    assert!(done.err.contains("3600000ms"), "{}", done.err);
}

#[tokio::test]
async fn a_screen_without_a_terminal_is_refused_before_anything_is_asked() {
    let daemon = Daemon::with([]).await;
    for (words, what, next) in [
        (&["top"][..], "needs a terminal", "`tidegate queues` prints the queues once"),
        (&["top", "--output", "json"], "has no JSON", "`tidegate queues --output json`"),
    ] {
        let done = daemon.run(words).await;
        assert_eq!((done.exit, done.out.as_str()), (Exit::Usage, ""), "{words:?}");
        assert!(done.err.contains(what) && done.err.contains(next), "{}", done.err);
    }
    assert!(daemon.lines().is_empty());
}
