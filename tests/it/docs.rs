//! The documentation works: every `sh` block of docs/ runs, as it stands (`readme` plays README.md).
//!
//! The blocks of one page run in order as one script, against a fresh daemon with the queues the
//! pages speak of: `sms` and `erp`, with a downstream behind them, and `print`, which workers pull from. Blocks fenced as `text`, `console`,
//! `toml` or anything else are not run.

use std::path::Path;

use serde_json::json;

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

        [topics.order_paid]
        queues = ["erp", "sms"]

        [queues.print.downstream]
        type = "pull"
        "#,
        downstream.url("/send"),
        downstream.url("/orders"),
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
