//! Producers: single messages over many connections, and NDJSON of many rows.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Result, ensure};
use bytes::Bytes;
use serde_json::json;

use super::word;
use crate::kit::figures::float;
use crate::kit::http::Client;
use crate::kit::payload;

/// `ADDRESS PATH CONNECTIONS MESSAGES`: each connection sends one message after the other.
pub(super) async fn single(words: &[String]) -> Result<()> {
    let (address, path): (String, String) = (word(words, 0)?, word(words, 1)?);
    let (connections, messages): (u64, u64) = (word(words, 2)?, word(words, 3)?);
    let body = Bytes::from(format!("{{\"payload\":{}}}", payload()));
    let left = Arc::new(AtomicU64::new(messages));
    let started = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..connections {
        let (mut client, path) = (Client::connect(&address).await?, path.clone());
        let (body, left) = (body.clone(), Arc::clone(&left));
        tasks.spawn(async move {
            while take(&left) {
                let (status, _) = client.post(&path, "application/json", body.clone()).await?;
                ensure!(matches!(status, 200 | 201), "status {status}");
            }
            Ok(())
        });
    }
    finish(tasks, messages, started).await
}

/// `ADDRESS PATH CONNECTIONS CALLS ROWS DUE_MS SPREAD_MS KEYS FIRST`: each row due at `DUE_MS` (0: at once) and so
/// much later at most, by turns; with a label `k` of so many values by turns, from `FIRST` on (0 `KEYS`: without it).
pub(super) async fn lines(words: &[String]) -> Result<()> {
    let (address, path): (String, String) =
        (word(words, 0)?, format!("{}/batch", word::<String>(words, 1)?));
    let (connections, calls, rows): (u64, u64, u64) =
        (word(words, 2)?, word(words, 3)?, word(words, 4)?);
    let (due_ms, spread_ms): (i64, i64) = (word(words, 5)?, word(words, 6)?);
    let keys: (i64, i64) = (word(words, 7)?, word(words, 8)?);
    let left = Arc::new(AtomicU64::new(calls));
    let started = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..connections {
        let (mut client, path, left) =
            (Client::connect(&address).await?, path.clone(), Arc::clone(&left));
        tasks.spawn(async move {
            // Made once: the load generator is not what is measured.
            let same = Bytes::from(text(rows, (due_ms, 0), 0, keys));
            let is_same = spread_ms == 0 && keys.0 <= i64::try_from(rows)?;
            while let Some(number) = take_number(&left) {
                let first = i64::try_from(number * rows)?;
                let body = match is_same {
                    true => same.clone(),
                    false => Bytes::from(text(rows, (due_ms, spread_ms), first, keys)),
                };
                let (status, reply) = client.post(&path, "application/x-ndjson", body).await?;
                let wanted = format!("\"accepted\":{rows}");
                let said = String::from_utf8_lossy(&reply[..reply.len().min(200)]).into_owned();
                ensure!(status == 200, "status {status}: {said}");
                let whole = String::from_utf8_lossy(&reply);
                ensure!(whole.contains(&wanted), "not all of {rows} rows were accepted: {said}");
            }
            Ok(())
        });
    }
    finish(tasks, calls * rows, started).await
}

fn text(rows: u64, (due_ms, spread_ms): (i64, i64), first: i64, keys: (i64, i64)) -> String {
    let mut text = String::new();
    for row in 0..i64::try_from(rows).unwrap_or(0) {
        let due = match due_ms {
            0 => String::new(),
            // A large odd step visits the whole spread without order.
            _ => {
                let at_ms =
                    due_ms + if spread_ms > 0 { (first + row) * 7_919 % spread_ms } else { 0 };
                let at = jiff::Timestamp::from_millisecond(at_ms).map(|at| format!("{at:.3}"));
                format!(",\"due_at\":\"{}\"", at.unwrap_or_default())
            }
        };
        text.push_str("{\"payload\":");
        text.push_str(&payload());
        text.push_str(&due);
        if keys.0 > 0 {
            let key = keys.1 + (first + row) % keys.0;
            text.extend([",\"labels\":{\"k\":\"", &key.to_string(), "\"}"]);
        }
        text.push_str("}\n");
    }
    text
}

fn take(left: &AtomicU64) -> bool {
    take_number(left).is_some()
}

fn take_number(left: &AtomicU64) -> Option<u64> {
    let taken = left.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1));
    taken.ok().map(|before| before - 1)
}

/// Waits for all, and says how fast it went.
#[expect(clippy::print_stdout, reason = "the owner reads the figure there")]
async fn finish(
    mut tasks: tokio::task::JoinSet<Result<()>>,
    messages: u64,
    started: Instant,
) -> Result<()> {
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    let seconds = started.elapsed().as_secs_f64();
    println!("{}", json!({ "rate": float(messages) / seconds, "seconds": seconds }));
    Ok(())
}
