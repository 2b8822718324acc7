//! What the schedule of a run owed: a message every so often, from its first tick on.
//!
//! Owns the pause at the end, without which no run would drain, and the list of what had to come. Refuses to
//! judge what came.

use std::collections::BTreeSet;
use std::time::Duration;

use http::Method;
use serde_json::Value;
use tidegate::domain::time::parse_rfc3339;
use tokio::time::Instant;

use super::history::{Arrival, Queue, Sent, Verdict, body_hash};
use super::queues::{SCHEDULE, TICK};
use crate::support::clocks::wall_us;
use crate::support::http::Http;

/// What is behind by then has been caught up, or never will be.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(60);

/// Waits until the schedule has ticked for every moment until now, and pauses it; returns that moment.
pub(super) async fn end(nodes: &[Http]) -> u64 {
    let now_us = wall_us();
    let path = format!("/v1/schedules/{SCHEDULE}");
    let began = Instant::now();
    for node in nodes.iter().cycle() {
        let shown = ask(node, Method::GET, &path).await;
        let last = shown.as_ref().and_then(|schedule| schedule["last"]["nominal_at"].as_str());
        let last_ms = last.and_then(|moment| parse_rfc3339(moment).ok()).unwrap_or(0);
        if last_ms * 1000 >= now_us || began.elapsed() > CAUGHT_UP_WITHIN {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for node in nodes.iter().cycle() {
        if ask(node, Method::POST, &format!("{path}/pause")).await.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    now_us
}

/// The schedule, if this node could do it.
async fn ask(node: &Http, method: Method, path: &str) -> Option<Value> {
    let headers = [("Content-Type", "application/json")];
    let asked = node.try_send(method, path, &headers, "{}");
    let reply = tokio::time::timeout(Duration::from_secs(2), asked).await.ok()?.ok()?;
    (reply.status == 200).then(|| reply.json())
}

/// Every nominal time from the first that came until this moment, and what came later.
pub(super) fn owed(queues: &[Queue], arrivals: &[Arrival], until_us: u64) -> Vec<Sent> {
    let mut owed = Vec::new();
    for (queue, Queue { every_ms, .. }) in queues.iter().enumerate().filter(|(_, q)| q.every_ms > 0)
    {
        let arrivals = arrivals.iter().filter(|arrival| arrival.queue == queue);
        let came: BTreeSet<u64> = arrivals.filter_map(|arrival| arrival.key).collect();
        let last_ms = until_us / 1000 / every_ms * every_ms;
        let from_ms = came.first().copied().unwrap_or(last_ms);
        let until_ms = came.last().copied().unwrap_or(0).max(last_ms);
        let every = usize::try_from(*every_ms).expect("short");
        owed.extend((from_ms..=until_ms).step_by(every).map(|nominal_ms| Sent {
            key: nominal_ms,
            queue,
            body_hash: body_hash(TICK.as_bytes()),
            due_ms: nominal_ms,
            expires_ms: 0,
            group: None,
            customer: None,
            collapse_key: None,
            is_collapsed: false,
            cost: 1,
            request: None,
            first_try_us: nominal_ms * 1000,
            verdict: Verdict::Unknown,
        }));
    }
    owed
}
