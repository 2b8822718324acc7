//! A slow SMS gateway: bears 20 calls a second, answers 429 beyond, sometimes breaks with 500, and
//! refuses numbers that do not exist.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use tidegate::shutdown::Tasks;

use super::gateway::{Call, Record, serve};
use super::hours::now_us;

/// What its contract allows.
pub(crate) const RATE_PER_S: usize = 20;
/// What it bears in any one second: the rate, 2 % for the jitter of a network, and a burst of 1.
pub(crate) const CALLS_PER_S_MAX: usize = RATE_PER_S + RATE_PER_S / 50 + 1;
/// Numbers that begin like this do not exist.
const UNKNOWN_PREFIX: &str = "+49000";

/// The gateway.
pub(crate) struct Gateway {
    /// Where it listens.
    pub(crate) url: String,
    record: Record,
}

impl Gateway {
    /// Opens it.
    pub(crate) async fn start(tasks: &Tasks) -> anyhow::Result<Self> {
        let record = Record::default();
        let app = Router::new().route("/send", post(take)).with_state(record.clone());
        Ok(Self { url: serve(app, tasks).await?, record })
    }

    /// What it saw.
    pub(crate) fn seen(&self) -> Vec<Call> {
        self.record.calls()
    }

    /// What it saw, in a few words.
    pub(crate) fn brief(&self) -> String {
        let calls = self.seen();
        let now_us = now_us();
        let recent = calls.iter().filter(|call| now_us - call.at_us < 1_000_000).count();
        let count = |status: u16| calls.iter().filter(|call| call.status == status).count();
        format!("{recent:>2}/s now, {} × 500, {} × 429", count(500), count(429))
    }
}

async fn take(State(record): State<Record>, Json(sms): Json<Value>) -> (StatusCode, Json<Value>) {
    let at_us = now_us();
    let number = sms["ref"].as_str().unwrap_or_default().to_owned();
    let is_unknown = sms["to"].as_str().unwrap_or_default().starts_with(UNKNOWN_PREFIX);
    let status = record.keep(|before| {
        let status = match () {
            () if recent(before, at_us) >= CALLS_PER_S_MAX => 429,
            () if is_unknown => 422,
            () if breaks(&number, tries(before, &number)) => 500,
            () => 200,
        };
        Call { at_us, status, items: vec![number.clone()] }
    });
    // Slow, and not evenly so.
    tokio::time::sleep(Duration::from_millis(60 + 20 * last_digit(&number))).await;
    let answer = match status {
        200 => json!({ "accepted": number }),
        422 => json!({ "error": "the number does not exist" }),
        429 => json!({ "error": "more than 20 calls a second" }),
        _ => json!({ "error": "internal error" }),
    };
    (StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), Json(answer))
}

/// Calls within the last second.
fn recent(before: &[Call], at_us: i64) -> usize {
    before.iter().rev().take_while(|call| at_us - call.at_us <= 1_000_000).count()
}

fn tries(before: &[Call], number: &str) -> usize {
    before.iter().filter(|call| call.items[0] == number && call.status != 429).count()
}

/// Every tenth SMS fails at the first try, every fiftieth at the second too.
fn breaks(number: &str, tries: usize) -> bool {
    let n: usize = number.trim_start_matches("S-").parse().unwrap_or(0);
    (n % 10 == 7 && tries == 0) || (n % 50 == 7 && tries == 1)
}

fn last_digit(number: &str) -> u64 {
    number.chars().last().and_then(|c| c.to_digit(10)).unwrap_or(0).into()
}
