//! The documentation works: every `sh` block of docs/ runs, as it stands (`readme` plays README.md).
//!
//! The blocks of one page run in order as one script, against a fresh daemon with the queues the
//! pages speak of: `sms`, `erp` and `mails`, with a downstream behind them, and `print`, which workers pull from. Blocks fenced as `text`, `console`,
//! `toml` or anything else are not run.

use std::path::Path;

use serde_json::json;

use crate::support::daemon::PROGRAM;
use crate::support::{Answer, Daemon, Downstream, Page, RedisServer};

/// What the pages take for granted; docs/README.md says so to their readers.
fn config(downstream: &Downstream) -> String {
    format!(
        r#"
        [queues.sms.downstream]
        type = "http"
        url = "{}"

        [queues.sms.retry]
        initial = "1h"

        [queues.erp]
        concurrency = 1
        batch = {{ max_items = 500, max_bytes = "1MiB", max_wait = "100ms" }}

        [queues.erp.window]
        time_zone = "Asia/Shanghai"
        open = [{{ days = "mon-sun", from = "00:00", to = "24:00" }}]

        [queues.erp.downstream]
        type = "http"
        url = "{}"

        [inbox]
        enabled = true

        [limits.brand]
        quota = "10000/day"
        time_zone = "America/Los_Angeles"

        [topics.order_paid]
        queues = ["erp", "sms"]

        [queues.print.downstream]
        type = "pull"

        [queues.hooks]
        fairness = "host"
        downstream = {{ url = "message", hosts = ["hooks.example.com"] }}

        [queues.mails]
        fairness = "labels.tenant"
        limits = [
          {{ rate = "10/s", per = "labels.tenant" }},
          {{ concurrency = 2, per = "labels.tenant" }},
        ]
        downstream.url = "{}"
        "#,
        downstream.url("/send"),
        downstream.url("/orders"),
        downstream.url("/mails"),
    )
}

/// A receiver like any other: it takes what it can read and refuses a number that is none.
async fn receiver() -> Downstream {
    let downstream = Downstream::start().await;
    downstream.answer_with(|request| {
        if String::from_utf8_lossy(&request.body).contains("no number") {
            Answer::status(422).json(&json!({ "error": "to: not a telephone number" }))
        } else {
            Answer::status(202).json(&json!({ "taken": true }))
        }
    });
    downstream
}

/// Runs a page, if it has anything to run; says whether it had.
async fn page_works(path: impl AsRef<Path>) -> bool {
    let page = Page::read(path);
    if !page.has_commands() {
        return false;
    }
    let redis = RedisServer::start().await;
    let downstream = receiver().await;
    let daemon = Daemon::start(&redis, config(&downstream)).await;
    page.run(&daemon).await;
    true
}

#[tokio::test]
async fn every_page_of_the_docs_works() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let mut run = 0;
    for entry in std::fs::read_dir(docs).expect("docs/ is there") {
        let page = entry.expect("docs/ is readable").path();
        // Examples bring a configuration and a downstream of their own, see `examples`.
        if page.is_file() {
            run += usize::from(page_works(page).await);
        }
    }
    assert!(run >= 3, "only {run} pages of docs/ have commands that run: are the fences right?");
}

/// What a page shows of a configuration can be copied as it stands: each block by itself is a whole file.
#[tokio::test]
async fn every_configuration_of_the_docs_is_whole() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let mut checked = 0;
    for entry in std::fs::read_dir(docs).expect("docs/ is there") {
        let path = entry.expect("docs/ is readable").path();
        if path.extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        for block in Page::read(&path).configurations() {
            let (dir, file) = in_a_file(&block);
            let check = tokio::process::Command::new(PROGRAM).arg("check").arg(&file).output();
            let output = check.await.expect("the program runs");
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{}:\n{block}\n{said}", path.display());
            drop(dir);
            checked += 1;
        }
    }
    assert!(checked > 15, "only {checked} blocks were found");
}

/// A configuration whose secrets stand in files that are there, each one another, and with certificates beside it.
fn in_a_file(block: &str) -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().expect("temp dir");
    let file = dir.path().join("tidegate.toml");
    let certs = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/transport/http/tests/certs");
    for (name, of) in
        [("erp-ca.pem", "authority.pem"), ("me.pem", "client.pem"), ("me.key", "client.key")]
    {
        std::fs::copy(certs.join(of), dir.path().join(name)).expect("temp dir is ours");
    }
    let is_secret = |path: &str| format!("${{file:{path}}}");
    let mut text = block.to_owned();
    let mut count = 0;
    while let Some((before, rest)) = text.split_once("${file:/etc") {
        let (_, after) = rest.split_once('}').expect("it ends");
        let secret = dir.path().join(format!("secret{count}"));
        let key = format!("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS{count}\n");
        std::fs::write(&secret, key).expect("temp dir is ours");
        count += 1;
        text = format!("{before}{}{after}", is_secret(&secret.display().to_string()));
    }
    std::fs::write(&file, text).expect("temp dir is ours");
    (dir, file)
}

/// One wrong row, put right as the runbook says: only what is wrong is changed, and the message is delivered.
#[tokio::test]
async fn the_runbook_puts_a_single_wrong_message_right() {
    let page = Page::read("docs/runbook.md");
    let redis = RedisServer::start().await;
    let downstream = receiver().await;
    let daemon = Daemon::start(&redis, config(&downstream)).await;
    let wrong = json!({ "payload": { "to": "no number", "text": "hello" } });
    let id = daemon.send("sms", &wrong).await;
    assert_eq!(daemon.wait_final(&id).await["state"], "dead");

    let console = page.console();
    let from = console.iter().position(|line| line.contains("jq .payload")).expect("the steps");
    let steps = console[from..].iter().take_while(|line| !line.contains("requeue")).cloned();
    let steps: Vec<String> = steps.chain(["tidegate requeue ID".to_owned()]).collect();
    assert!(console.contains(&"tidegate requeue ID".to_owned()));
    let script = format!("set -euo pipefail; cd $(mktemp -d)\n{}", steps.join("\n"));
    let mut bash = tokio::process::Command::new("bash");
    bash.arg("-c").arg(script.replace("ID", &id));
    bash.env("EDITOR", "sed -i s/no.number/+4915112345678/");
    let shown = daemon.run(bash).await;

    assert_eq!(shown.code, 0, "{shown:?}");
    assert!(shown.stdout.contains("it is still dead"), "{shown:?}");
    assert_eq!(daemon.wait_final(&id).await["state"], "delivered", "{shown:?}");
    let requests = downstream.requests();
    let taken = requests.last().expect("a request");
    let payload: serde_json::Value = serde_json::from_slice(&taken.body).expect("JSON");
    assert_eq!(payload, json!({ "to": "+4915112345678", "text": "hello" }));
}
