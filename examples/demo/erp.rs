//! An ERP link that is open for a few seconds at a time and takes batches. One bad order spoils its
//! batch: the link refuses the whole until the guilty one comes alone.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use tidegate::shutdown::Tasks;

use super::gateway::{Call, Record, serve};
use super::hours::{Hours, now_us};

/// What a call out of hours is answered.
pub(crate) const OUT_OF_HOURS: u16 = 503;

/// The link.
pub(crate) struct Link {
    /// Where it listens.
    pub(crate) url: String,
    record: Record,
    hours: Hours,
}

impl Link {
    /// Opens it; it will answer during `hours` only.
    pub(crate) async fn start(hours: Hours, tasks: &Tasks) -> anyhow::Result<Self> {
        let record = Record::default();
        let app = Router::new().route("/orders", post(take)).with_state((record.clone(), hours));
        Ok(Self { url: serve(app, tasks).await?, record, hours })
    }

    /// What it saw.
    pub(crate) fn seen(&self) -> Vec<Call> {
        self.record.calls()
    }

    /// What it saw, in a few words.
    pub(crate) fn brief(&self) -> String {
        let door = if self.hours.are_open(now_us()) { "open  " } else { "closed" };
        let calls = self.seen();
        let refused = calls.iter().filter(|call| call.status == 422).count();
        format!("{door}, {} calls, {refused} refused", calls.len())
    }
}

async fn take(
    State((record, hours)): State<(Record, Hours)>,
    Json(batch): Json<Vec<Value>>,
) -> (StatusCode, Json<Value>) {
    let at_us = now_us();
    let orders: Vec<&Value> = batch.iter().map(|item| &item["payload"]).collect();
    let items = orders.iter().map(|o| o["order"].as_str().unwrap_or_default().to_owned()).collect();
    let bad = orders.iter().find(|order| is_bad(order));
    let status = record.keep(|_| {
        let status = match bad {
            _ if !hours.are_open(at_us) => OUT_OF_HOURS,
            Some(_) => 422,
            None => 200,
        };
        Call { at_us, status, items }
    });
    let effort_ms = if status == 200 { 250 + 4 * orders.len() as u64 } else { 250 };
    tokio::time::sleep(Duration::from_millis(effort_ms)).await;
    let answer = match (status, bad) {
        (200, _) => json!({ "booked": orders.len() }),
        (422, Some(order)) => {
            let number = order["order"].as_str().unwrap_or_default();
            json!({ "error": format!("order {number}: a quantity must be above zero") })
        }
        _ => json!({ "error": "the link is closed" }),
    };
    (StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), Json(answer))
}

fn is_bad(order: &Value) -> bool {
    let lines = order["lines"].as_array().map(Vec::as_slice).unwrap_or_default();
    lines.iter().any(|line| line["quantity"].as_i64().unwrap_or(0) <= 0)
}
