//! Tables on a terminal of 80 columns, with rows as a busy installation has them: long names, long ids, long errors.
//!
//! Owns the terminal: `script` gives the command a real one. What the cells say is the matter of others.

use serde_json::json;

use crate::support::downstream::Downstream;
use crate::support::vocabulary::Output;
use crate::support::{Answer, Daemon, RedisServer, eventually, queue_toml};

/// 50 signs: an id in it has 77.
const LONG: &str = "order-confirmations-of-the-northern-region-by-mail";
const SHORT: &str = "sms";
const COLUMNS: usize = 80;
const WHY: &str = "the recipient +4915112345678 is on the list of https://gateway.example/refused/recipients/of/this/month";
const GROUP: &str = "customer-0000000042-of-the-northern-region";

/// What a command shows on a terminal of 80 columns.
async fn on_a_terminal(daemon: &Daemon, line: &str) -> String {
    let mut command = tokio::process::Command::new("script");
    let line = format!("stty cols {COLUMNS} rows 50; NO_COLOR=1 tidegate {line}");
    command.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    let Output { code, stdout, stderr } = daemon.run(command).await;
    assert_eq!(code, 0, "{line}\n{stdout}\n{stderr}");
    stdout.replace('\r', "")
}

/// Shows that everything fits, and that each of these texts stands in one line.
async fn fits(daemon: &Daemon, line: &str, whole: &[&str]) -> String {
    let shown = on_a_terminal(daemon, line).await;
    for line in shown.lines() {
        assert!(
            line.chars().count() <= COLUMNS,
            "{} columns: {line}\n{shown}",
            line.chars().count()
        );
    }
    for text in whole {
        assert!(shown.lines().any(|line| line.contains(text)), "{line}: {text} is broken\n{shown}");
    }
    shown
}

fn config(downstream: &Downstream) -> String {
    let topic = format!("[topics.an-event-with-a-long-name]\nqueues = [{LONG:?}, {SHORT:?}]\n");
    let schedule = format!(
        "[schedules.close-the-day-of-the-northern-region]\nqueue = {LONG:?}\ncron = \"30 0 1,15 * 1-5\"\n\
         time_zone = \"America/Argentina/Buenos_Aires\"\npayload = {{ job = 1 }}\n"
    );
    [LONG, SHORT].map(|name| queue_toml(name, downstream, "")).concat() + &topic + &schedule
}

/// Dead, scheduled, paused: a row of each kind in both queues.
async fn fill(daemon: &Daemon, downstream: &Downstream) -> Vec<String> {
    downstream.always(Answer::status(422).body(format!("{{\"detail\": {WHY:?}}}")));
    let mut ids = Vec::new();
    for queue in [LONG, SHORT] {
        for priority in [0, 9] {
            let message = json!({ "payload": 1, "priority": priority, "group": GROUP });
            ids.push(daemon.send(queue, &message).await);
        }
        ids.push(daemon.send(queue, &json!({ "payload": 1, "delay": "90d" })).await);
    }
    eventually("four are dead", async || {
        daemon.counts(LONG).await["dead"] == 2 && daemon.counts(SHORT).await["dead"] == 2
    })
    .await;
    let pause = json!({ "reason": "the gateway of the northern region is being moved to another building", "for": "9h" });
    daemon.post(&format!("/v1/queues/{LONG}/pause"), &pause).await.expect(200);
    ids
}

#[tokio::test]
async fn tables_fit_eighty_columns_and_break_no_id_name_or_time() {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let daemon = Daemon::start(&redis, config(&downstream)).await;
    let ids = fill(&daemon, &downstream).await;
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let reason = "the campaign of the northern region was withdrawn by the marketing department";
    let start = json!({"action": "cancel", "queue": LONG, "state": "scheduled", "reason": reason,
        "filter": {"created_before": "2026-01-01T00:00:00Z"}});
    let operation = daemon.post("/v1/operations", &start).await.expect(202).json();
    let operation = operation["id"].as_str().expect("it has an id").to_owned();

    for zone in ["", " --tz Asia/Kolkata"] {
        let long =
            fits(&daemon, &format!("list {LONG}{zone}"), &[ids[0], ids[1], ids[2], GROUP]).await;
        let word = WHY.split(' ').next_back().unwrap();
        assert!(long.contains(word), "a long word of the error is whole\n{long}");
        fits(&daemon, &format!("list {SHORT}{zone}"), &[ids[3], ids[4], ids[5], GROUP]).await;
        fits(&daemon, &format!("get {}{zone}", ids[0]), &[ids[0], GROUP]).await;
        fits(&daemon, &format!("actions{zone}"), &[LONG, "pause", "done"]).await;
        fits(&daemon, &format!("operation show {operation}{zone}"), &[&operation, LONG]).await;
        fits(&daemon, &format!("windows {SHORT}{zone}"), &["open now"]).await;
    }
    let queues = fits(&daemon, "queues", &[LONG, SHORT, "paused until"]).await;
    assert!(queues.contains("open"), "{queues}");
    fits(&daemon, &format!("queue {LONG}"), &[LONG, "policy.downstream.url"]).await;
    fits(&daemon, "topics", &["an-event-with-a-long-name", LONG]).await;
    let schedule = "close-the-day-of-the-northern-region";
    fits(&daemon, "schedules", &[schedule, LONG, "America/Argentina/Buenos_Aires"]).await;
    fits(&daemon, &format!("schedule {schedule}"), &[schedule, LONG]).await;
    fits(&daemon, "operation list", &[&operation, LONG, "cancel"]).await;
    let nodes = daemon.get("/v1/nodes").await.expect(200).json();
    let node = nodes["answered_by"].as_str().expect("a node answers");
    let shown = fits(&daemon, "nodes", &[node, env!("CARGO_PKG_VERSION")]).await;
    assert!(shown.contains(&format!("1 node; this answer is from node {node}.")), "{shown}");
}

#[tokio::test]
async fn a_pipe_gets_one_line_for_each_row() {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let daemon = Daemon::start(&redis, config(&downstream)).await;
    let ids = fill(&daemon, &downstream).await;
    let shown = daemon.cli(&["list", LONG]).await.stdout;
    assert_eq!(shown.lines().count(), 4, "{shown}");
    for id in &ids[..3] {
        assert!(shown.lines().any(|line| line.starts_with(id.as_str())), "{id}\n{shown}");
    }
    assert!(shown.lines().any(|line| line.contains(WHY)), "{shown}");
}
