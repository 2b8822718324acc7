//! The limit of dispatch over HTTP: a bare pooled hyper client with the same posts in flight.
//!
//! `URL IN_FLIGHT CALLS`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::json;

use super::word;
use crate::kit::figures::float;
use crate::kit::payload;

#[expect(clippy::print_stdout, reason = "the owner reads the figure there")]
pub(super) async fn run(words: &[String]) -> Result<()> {
    let url: String = word(words, 0)?;
    let (in_flight, calls): (u64, u64) = (word(words, 1)?, word(words, 2)?);
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let left = Arc::new(AtomicU64::new(calls));
    let body = Bytes::from(payload());
    let headers = headers();
    let started = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..in_flight {
        let (client, url, body, left) =
            (client.clone(), url.clone(), body.clone(), Arc::clone(&left));
        let headers = headers.clone();
        tasks.spawn(async move {
            while left
                .fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1))
                .is_ok()
            {
                let mut request = Request::post(&url).body(Full::new(body.clone()))?;
                request.headers_mut().extend(headers.clone());
                let response = client.request(request).await?;
                ensure!(response.status().is_success(), "status {}", response.status());
                drop(response.into_body().collect().await?);
            }
            Ok::<(), anyhow::Error>(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    println!("{}", json!({ "rate": float(calls) / started.elapsed().as_secs_f64() }));
    Ok(())
}

/// Those that a message has on its way: what the sink reads is the same.
fn headers() -> HeaderMap {
    let headers = [
        ("accept", "*/*"),
        ("user-agent", "tidegate/0.1.0"),
        ("tidegate-queue", "bench"),
        ("tidegate-attempt", "1"),
        ("tidegate-due-at", "2026-11-22T01:02:03.456Z"),
        ("content-type", "application/json"),
        ("idempotency-key", "bench_01KAK6Q3Z8H5T9X2C4V7B1N0M6"),
        ("webhook-id", "bench_01KAK6Q3Z8H5T9X2C4V7B1N0M6"),
        ("webhook-timestamp", "1795309323"),
    ];
    let headers = headers
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
    headers.into_iter().collect()
}
