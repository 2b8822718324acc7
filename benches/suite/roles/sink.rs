//! A downstream that takes everything at once and remembers when it came.
//!
//! `ADDRESS`. POST anything but `/hang` is answered with 200; `/hang` never is, and not remembered. `GET /count` tells how many
//! came, `GET /report` tells all and forgets.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::word;
use crate::kit::figures::float;

#[derive(Debug, Default)]
struct Seen {
    /// Microseconds since the Unix epoch.
    arrivals_us: Vec<u64>,
    /// Microseconds after the due time.
    lateness_us: Vec<i64>,
}

pub(super) async fn run(words: &[String]) -> Result<()> {
    let listener = TcpListener::bind(word::<String>(words, 0)?).await?;
    let seen = Arc::new(Mutex::new(Seen::default()));
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let seen = Arc::clone(&seen);
        let service = service_fn(move |request| answer(request, Arc::clone(&seen)));
        tokio::spawn(
            hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service),
        );
    }
}

async fn answer(
    request: Request<Incoming>,
    seen: Arc<Mutex<Seen>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let now_us = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or(Duration::ZERO)
        .as_micros();
    let now_us = u64::try_from(now_us).unwrap_or(0);
    if request.uri().path() == "/report" {
        let seen = std::mem::take(&mut *seen.lock());
        return Ok(Response::new(Full::from(report(seen).to_string())));
    }
    if request.uri().path() == "/count" {
        let count = seen.lock().arrivals_us.len();
        return Ok(Response::new(Full::from(count.to_string())));
    }
    if request.uri().path() == "/hang" {
        std::future::pending::<()>().await;
    }
    let due: Option<jiff::Timestamp> = request
        .headers()
        .get("tidegate-due-at")
        .and_then(|value| value.to_str().ok()?.parse().ok());
    {
        let mut seen = seen.lock();
        seen.arrivals_us.push(now_us);
        if let Some(due) = due {
            seen.lateness_us.push(i64::try_from(now_us).unwrap_or(0) - due.as_microsecond());
        }
    }
    // Read to its end, or the connection could not be used again.
    drop(request.into_body().collect().await);
    Ok(Response::new(Full::default()))
}

fn report(mut seen: Seen) -> Value {
    seen.arrivals_us.sort_unstable();
    seen.lateness_us.sort_unstable();
    let late_ms = |hundredths: usize| {
        let at = seen.lateness_us.len().saturating_sub(1) * hundredths / 100;
        let late_us = seen.lateness_us.get(at).copied().unwrap_or(0);
        // The clocks are the same, yet read at two places: early is not late.
        float(late_us.max(0)) / 1000.0
    };
    let (first, last) = (seen.arrivals_us.first().copied(), seen.arrivals_us.last().copied());
    json!({
        "count": seen.arrivals_us.len(),
        "first_us": first.unwrap_or(0),
        "last_us": last.unwrap_or(0),
        "late_p50_ms": late_ms(50),
        "late_p99_ms": late_ms(99),
        "late_max_ms": late_ms(100),
        "worst_second": most_within(&seen.arrivals_us, 1_000_000),
        "worst_100_ms": most_within(&seen.arrivals_us, 100_000),
    })
}

/// The most arrivals in any window of this length.
fn most_within(arrivals_us: &[u64], window_us: u64) -> usize {
    let (mut most, mut from) = (0, 0);
    for (at, arrival) in arrivals_us.iter().enumerate() {
        while arrival - arrivals_us[from] >= window_us {
            from += 1;
        }
        most = most.max(at - from + 1);
    }
    most
}
