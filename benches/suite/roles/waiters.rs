//! Many who wait for a result: `ADDRESS QUEUE WAITERS`. Each sends a message and waits for it.

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use serde_json::{Value, json};

use super::word;
use crate::kit::http::Client;
use crate::kit::{open_files_most, payload};

#[expect(clippy::print_stdout, reason = "the owner reads the figures there")]
pub(super) async fn run(words: &[String]) -> Result<()> {
    let (address, queue): (String, String) = (word(words, 0)?, word(words, 1)?);
    let waiters: usize = word(words, 2)?;
    let open_files = open_files_most()?;
    ensure!(open_files > waiters as u64 + 100, "no more than {open_files} open files are allowed");
    let body = Bytes::from(format!("{{\"payload\":{}}}", payload()));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..waiters {
        let mut client = Client::connect(&address).await?;
        let path = format!("/v1/queues/{queue}/messages");
        let (_, reply) = client.post(&path, "application/json", body.clone()).await?;
        let message: Value = serde_json::from_slice(&reply)?;
        let id = message["id"].as_str().context("an id")?.to_owned();
        tasks.spawn(async move {
            let (status, reply) = client.get(&format!("/v1/messages/{id}?wait=60s")).await?;
            ensure!(status == 200, "status {status}");
            let message: Value = serde_json::from_slice(&reply)?;
            Ok::<bool, anyhow::Error>(message["state"] == "delivered")
        });
    }
    let mut answered = 0;
    while let Some(ended) = tasks.join_next().await {
        answered += usize::from(ended??);
    }
    println!("{}", json!({ "answered": answered }));
    Ok(())
}
