//! `tidegate sink` behind a real daemon: it prints what it gets, and answers as it was told to.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};

use crate::support::daemon::PROGRAM;
use crate::support::{Daemon, RedisServer};

/// A running sink; it ends when dropped.
struct Sink {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
    url: String,
    /// Open until the end, so that the sink can write its counts.
    _stderr: Lines<BufReader<ChildStderr>>,
}

impl Sink {
    async fn start(flags: &[&str]) -> Self {
        let mut process = Command::new(PROGRAM)
            .args(["sink", "--port", "0"])
            .args(flags)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the program starts");
        let mut stderr = BufReader::new(process.stderr.take().expect("it is piped")).lines();
        let first = stderr.next_line().await.expect("stderr is text").expect("it says where it is");
        let url = first.split(' ').find(|word| word.starts_with("http://")).expect("its address");
        let lines = BufReader::new(process.stdout.take().expect("it is piped")).lines();
        let url = url.trim_end_matches(',').to_owned();
        Self { process, lines, url, _stderr: stderr }
    }

    async fn line(&mut self) -> String {
        let line = tokio::time::timeout(std::time::Duration::from_secs(30), self.lines.next_line());
        line.await.expect("a call comes").expect("stdout is text").expect("the sink runs")
    }
}

fn queue(name: &str, sink: &Sink, lines: &str) -> String {
    format!(
        "[queues.{name}]\n{lines}\n[queues.{name}.downstream]\ntype = \"http\"\nurl = \"{}/{name}\"\n",
        sink.url
    )
}

#[tokio::test]
async fn it_prints_calls_and_batches_and_settles_both() {
    let mut sink = Sink::start(&[]).await;
    let redis = RedisServer::start().await;
    let batch = "batch = { max_items = 3, max_bytes = \"1MiB\", max_wait = \"5s\" }";
    let config = queue("sms", &sink, "") + &queue("erp", &sink, batch);
    let daemon = Daemon::start(&redis, config).await;

    let id = daemon.send("sms", &json!({ "payload": { "to": "+49" } })).await;
    let line = sink.line().await;
    assert!(line.ends_with(r#"POST /sms  sms  attempt 1  {"to":"+49"}  -> 200"#), "{line}");
    assert_eq!(daemon.wait_final(&id).await["state"], "delivered");

    let rows: Vec<_> = (1..=3).map(|n| json!({ "payload": n })).collect();
    let sent = daemon.post("/v1/queues/erp/messages/batch", &json!(rows)).await.expect(200).json();
    let line = sink.line().await;
    assert!(line.ends_with("POST /erp  erp  batch of 3  [1,2,3]  -> 200"), "{line}");
    for result in sent["results"].as_array().unwrap() {
        let id = result["id"].as_str().unwrap();
        assert_eq!(daemon.wait_final(id).await["state"], "delivered");
    }
}

#[tokio::test]
async fn it_refuses_throttles_and_promises_a_receipt() {
    let mut refusing = Sink::start(&["--status", "422"]).await;
    let mut slow = Sink::start(&["--rate", "1/s", "--output", "json"]).await;
    let mut pending = Sink::start(&["--pending", "--quiet"]).await;
    let redis = RedisServer::start().await;
    let config = queue("letters", &refusing, "")
        + &queue("slow", &slow, "concurrency = 1")
        + &queue("sms", &pending, "");
    let daemon = Daemon::start(&redis, config).await;

    let dead = daemon.send("letters", &json!({ "payload": 1 })).await;
    assert!(refusing.line().await.ends_with("-> 422"));
    assert_eq!(daemon.wait_final(&dead).await["state"], "dead");

    for n in 0..2 {
        daemon.send("slow", &json!({ "payload": n })).await;
    }
    let mut statuses = Vec::new();
    for _ in 0..3 {
        let call: Value = serde_json::from_str(&slow.line().await).unwrap();
        statuses.push(call["status"].as_u64().unwrap());
    }
    assert_eq!(statuses, [200, 429, 200]);

    let id = daemon.send("sms", &json!({ "payload": 1 })).await;
    crate::support::eventually("it is accepted", async || {
        daemon.message(&id).await["state"] == "accepted"
    })
    .await;
    pending.process.kill().await.expect("it runs");
    assert_eq!(pending.lines.next_line().await.unwrap(), None, "quiet");
}

#[tokio::test]
async fn a_port_that_is_taken_is_said_with_the_remedy() {
    let sink = Sink::start(&[]).await;
    let port = sink.url.rsplit(':').next().unwrap();
    let output = Command::new(PROGRAM).args(["sink", "--port", port]).output().await.unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains(&format!("cannot listen on 127.0.0.1:{port}")), "{error}");
    assert!(error.contains("--port"), "{error}");
}

#[tokio::test]
async fn it_is_not_taken_for_a_daemon() {
    let (sink, silent) = (Sink::start(&[]).await, Sink::start(&["--status", "204"]).await);
    for (url, line) in [
        "send sms -d 1",
        "send sms -d 1 --wait 2s",
        "health",
        "health --wait 30s",
        "doctor",
        "pause sms",
        "cancel sms_01JD8Q2W6R9T4Y7B1N0C5V8K3M",
        "get sms_01JD8Q2W6R9T4Y7B1N0C5V8K3M",
        "queues",
        "queue sms",
        "events --limit 1",
    ]
    .map(|line| (&sink.url, line))
    .into_iter()
    .chain([(&silent.url, "cancel sms_01JD8Q2W6R9T4Y7B1N0C5V8K3M"), (&silent.url, "health")])
    {
        let mut command = Command::new(PROGRAM);
        command.args(line.split(' ')).env("TIDEGATE_URL", url).env_remove("TIDEGATE_TOKEN");
        let output = command.output().await.expect("the program runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{line}: {said}");
        assert!(output.stdout.is_empty(), "{line}");
        assert!(said.contains("next: check that --url names a tidegate daemon"), "{line}: {said}");
    }
}
