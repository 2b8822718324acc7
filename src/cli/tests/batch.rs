//! `send-batch`: chunks, rejects, waiting, going on after an interruption.

use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::super::exit::Exit;
use super::answers;
use super::kit::{Daemon, Reply, Seen, reply};

struct Folder {
    _folder: TempDir,
    file: PathBuf,
}

impl Folder {
    fn with(rows: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("orders.ndjson");
        std::fs::write(&file, rows).unwrap();
        Self { _folder: folder, file }
    }

    fn words(&self) -> [&str; 3] {
        ["send-batch", "erp", self.file.to_str().unwrap()]
    }

    fn rejects(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.file.with_file_name("orders.rejects.ndjson"));
        text.unwrap_or_default().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn rows(n: usize) -> String {
    (0..n).map(|i| format!("{{\"payload\":{i}}}\n")).collect::<Vec<_>>().concat()
}

/// An answer that accepts `n` rows.
fn accepts(n: usize) -> Reply {
    let results: Vec<_> = (0..n).map(|i| json!({"index": i, "id": format!("erp_{i}")})).collect();
    reply(200, answers::batch(&json!(results)))
}

/// The problem of a row.
fn problem(code: &str, detail: &str) -> Value {
    answers::problem(400, &json!({"code": code, "detail": detail}))
}

fn keys(seen: &Seen) -> Vec<String> {
    seen.rows().iter().map(|row| row["idempotency_key"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_file_goes_in_chunks_of_a_thousand_rows() {
    let folder = Folder::with(&rows(2500));
    let daemon = Daemon::with([accepts(1000), accepts(1000), accepts(500)]).await;
    let done = daemon.run(&folder.words()).await;
    assert_eq!(done.exit, Exit::Ok, "{}", done.err);
    assert_eq!(done.out, "accepted    2500\nduplicates  0\nrejected    0\n");
    let seen = daemon.seen();
    assert_eq!(seen[0].line, "POST /v1/queues/erp/messages/batch");
    assert_eq!(seen[0].headers["content-type"], "application/x-ndjson");
    let payloads: Vec<_> =
        seen.iter().flat_map(Seen::rows).map(|row| row["payload"].clone()).collect();
    assert_eq!(payloads, (0..2500).map(Value::from).collect::<Vec<_>>());
    assert!(!folder.file.with_file_name("orders.rejects.ndjson").exists());
}

#[tokio::test]
async fn large_rows_make_smaller_chunks() {
    let row = format!("{{\"payload\":\"{}\"}}\n", "x".repeat(3 << 20));
    let folder = Folder::with(&row.repeat(4));
    let daemon = Daemon::with([accepts(3), accepts(1)]).await;
    assert_eq!(daemon.run(&folder.words()).await.exit, Exit::Ok);
    assert_eq!(daemon.seen().iter().map(|seen| seen.rows().len()).collect::<Vec<_>>(), [3, 1]);
}

#[tokio::test]
async fn rejected_rows_are_kept_with_line_and_problem() {
    let folder = Folder::with("{\"payload\":1}\n\nnope\n{\"a\": 2}\n[3]\n");
    let problem = problem("invalid-request", "payload is missing");
    let results = json!([{"index": 0, "id": "erp_1"}, {"index": 1, "problem": problem}]);
    let daemon = Daemon::with([reply(200, answers::batch(&results))]).await;
    let done = daemon.run(&folder.words()).await;
    assert_eq!(done.exit, Exit::Failure);
    assert!(done.out.contains("rejected    3\n") && done.out.contains("orders.rejects.ndjson"));
    assert!(done.out.contains("reason      2 rows, the first in line 3: "), "{}", done.out);
    assert!(done.out.contains("            line 4: payload is missing\n"), "{}", done.out);
    let rejects = folder.rejects();
    let brief: Vec<_> = rejects.iter().map(|r| (r["line"].clone(), r["row"].clone())).collect();
    assert_eq!(
        brief,
        [(3.into(), "nope".into()), (5.into(), json!([3])), (4.into(), json!({"a": 2}))]
    );
    assert_eq!(rejects[2]["problem"], problem);
    assert_eq!(rejects[0]["problem"]["code"], "invalid-request");
}

#[tokio::test]
async fn a_second_run_sends_the_same_keys_and_forgets_old_rejects() {
    let folder = Folder::with("{\"payload\":1}\n{\"payload\":1,\"idempotency_key\":\"mine\"}\n");
    std::fs::write(folder.file.with_file_name("orders.rejects.ndjson"), "{}\n").unwrap();
    let twice = json!([{"index": 0, "id": "a", "duplicate": true}, {"index": 1, "id": "b", "duplicate": true}]);
    let daemon = Daemon::with([accepts(2), reply(200, answers::batch(&twice))]).await;
    daemon.run(&folder.words()).await;
    let done = daemon.run(&[&folder.words()[..], &["--output", "json"]].concat()).await;
    let summary: Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(
        (done.exit, summary),
        (
            Exit::Ok,
            json!({"accepted": 0, "collapsed": 0, "duplicates": 2, "rejected": 0, "rejects_file": null})
        )
    );
    let seen = daemon.seen();
    assert_eq!(keys(&seen[0]), keys(&seen[1]));
    assert_eq!(keys(&seen[0])[1], "mine");
    assert!(folder.rejects().is_empty());
}

#[tokio::test]
async fn a_busy_daemon_is_waited_for_and_only_open_rows_are_repeated() {
    let folder = Folder::with(&rows(3));
    let full = problem("store-full", "no room");
    let partly = json!([{"index": 0, "id": "a"}, {"index": 1, "problem": full}]);
    let daemon = Daemon::with([
        reply(503, json!({"code": "draining", "detail": "stopping"})).retry_after("0"),
        reply(503, json!({"code": "store-unavailable", "detail": "away"})).retry_after("0"),
        reply(200, answers::batch(&partly)).retry_after("0"),
        accepts(2),
    ])
    .await;
    let done = daemon.run(&folder.words()).await;
    assert_eq!(done.exit, Exit::Ok, "{}", done.err);
    assert!(done.out.starts_with("accepted    3\n"), "{}", done.out);
    for words in ["stopping (draining)", "away (store-unavailable)", "no room (store-full)"] {
        assert!(done.err.contains(words), "{words}: {}", done.err);
    }
    let seen = daemon.seen();
    assert_eq!(keys(&seen[0]), keys(&seen[2]));
    assert_eq!(keys(&seen[3]), keys(&seen[0])[1..]);
}

#[tokio::test]
async fn what_is_waited_for_is_said_once() {
    let folder = Folder::with(&rows(3));
    let full = || {
        let problem = problem("store-full", "the disk has 10 MiB left");
        let results: Vec<_> = (0..3).map(|n| json!({"index": n, "problem": problem})).collect();
        reply(200, answers::batch(&json!(results))).retry_after("0")
    };
    let daemon = Daemon::with([full(), full(), full(), full(), accepts(3)]).await;
    let done = daemon.run(&folder.words()).await;
    assert_eq!(done.exit, Exit::Ok, "{}", done.err);
    assert_eq!(
        done.err,
        "waiting, and trying again for up to 5m: the disk has 10 MiB left (store-full)\n"
    );
}

#[tokio::test]
async fn a_reason_that_many_rows_share_is_shown_once() {
    let folder = Folder::with(&rows(4));
    let problem = problem("invalid-request", "unknown field \"prio\"");
    let results: Vec<_> = (0..4)
        .map(|n| {
            if n == 2 {
                json!({"index": n, "id": "a"})
            } else {
                json!({"index": n, "problem": problem})
            }
        })
        .collect();
    let daemon = Daemon::with([reply(200, answers::batch(&json!(results)))]).await;
    let done = daemon.run(&folder.words()).await;
    let said = "reason      3 rows, the first in line 1: unknown field \"prio\"\n";
    assert!(done.out.contains(said), "{}", done.out);
    assert_eq!(done.out.matches("unknown field").count(), 1, "{}", done.out);
    assert_eq!(folder.rejects().len(), 3);
}

#[tokio::test]
async fn a_request_too_large_is_split_until_the_row_is_alone() {
    let folder = Folder::with(&rows(3));
    let large = || reply(413, json!({"code": "too-large", "detail": "too large"}));
    let daemon = Daemon::with([large(), large(), accepts(2)]).await;
    let done = daemon.run(&folder.words()).await;
    assert_eq!(done.exit, Exit::Failure);
    assert!(done.out.starts_with("accepted    2\nduplicates  0\nrejected    1\n"), "{}", done.out);
    assert_eq!(folder.rejects()[0]["row"], json!({"payload": 0}));
    assert_eq!(folder.rejects()[0]["problem"]["code"], "too-large");
}

#[tokio::test]
async fn a_refusal_of_the_whole_ends_at_once() {
    let folder = Folder::with(&rows(3));
    let daemon =
        Daemon::with([reply(404, json!({"code": "not-found", "detail": "no queue erp"}))]).await;
    let done = daemon.run(&folder.words()).await;
    assert_eq!(done.exit, Exit::NotFound);
    assert!(
        done.err.contains("no queue erp") && done.err.contains("0 rows are settled"),
        "{}",
        done.err
    );
    let missing = daemon.run(&["send-batch", "erp", "no/such/file.ndjson"]).await;
    assert_eq!(missing.exit, Exit::Usage);
}
