//! Keys: limits for each value of a key, order within a key, fair shares between keys, and levels with aging.
//!
//! Judged at the receiver: when each call arrived, whose it was, and what was in flight beside it.

mod calls;
mod crowd;
mod fairness;
mod held;
mod idle;
mod lanes;
mod levels;
mod limits;
mod nodes;
mod operations;
mod order;
mod places;
mod rates;
mod reads;
mod run_time;
mod run_time_asked;
mod run_time_kept;
mod shards;
mod shown;
mod switch;
mod workers;

use http::Method;
use serde_json::{Value, json};

use crate::support::http::Reply;
use crate::support::wait::poll_until;
use crate::support::{Daemon, QUEUE, Scene};

/// What makes a failed attempt come again soon, and always after the same time.
const QUICK_RETRY: &str = "downstream.timeout = \"500ms\"\nlease = \"5500ms\"\nretry = { initial = \"100ms\", factor = 1.0, jitter = 0.0 }";

/// So many more daemons on the Redis of a scene, with the same queue.
async fn others(scene: &Scene, lines: &str, count: usize) -> Vec<Daemon> {
    futures_util::future::join_all((0..count).map(|_| scene.another_daemon(lines))).await
}

/// Plays a scenario again in which a permit came too late: a rate takes no unit back, and a slow one has the next one after seconds or
/// a minute. That happens where the machine stalls.
async fn unless_void(scenario: impl AsyncFn() -> bool) {
    for _ in 0..10 {
        if scenario().await {
            return;
        }
    }
    panic!("a permit came too late each time");
}

/// Waits until it is so. False: a permit came too late, and it may never be so.
async fn is_so_unless_void(scene: &Scene, what: &str, is_so: impl AsyncFn() -> bool) -> bool {
    poll_until(what, async || {
        if is_so().await {
            return Some(true);
        }
        let metrics = scene.daemon.get("/metrics").await.expect(200);
        let unused = format!("tidegate_permits_unused_total{{queue=\"{QUEUE}\"}} ");
        let count =
            metrics.text().lines().find_map(|line| line.strip_prefix(&unused)?.parse().ok());
        // Before the first one there is no such line.
        let count: f64 = count.unwrap_or_default();
        (count > 0.0).then_some(false)
    })
    .await
}

/// A hundred thousand lanes are looked at, each in each of its structures.
const AUDITED_WITHIN: std::time::Duration = std::time::Duration::from_secs(180);

/// The audit of the queue finds nothing wrong with records and indexes.
pub(crate) async fn assert_sound(daemon: &Daemon) {
    let path = format!("/v1/queues/{QUEUE}/audit");
    let audit = daemon.http().try_send(Method::GET, &path, &[], "");
    let lines = tokio::time::timeout(AUDITED_WITHIN, audit).await.expect("the audit ends");
    let lines = lines.expect("the daemon answers").expect(200);
    let last = lines.text().lines().last().expect("a summary").to_owned();
    let end: Value = serde_json::from_str(&last).expect("a summary is JSON");
    assert_eq!((&end["faults"], &end["complete"]), (&json!({}), &json!(true)), "{end}");
}

/// Asks to give a key something at run time; the key as it stands in a query.
async fn try_put_key(daemon: &Daemon, key: &str, body: &Value) -> Reply {
    let path = format!("/v1/queues/{QUEUE}/keys?key={key}");
    let json = [("Content-Type", "application/json")];
    daemon.http().send(Method::PUT, &path, &json, body.to_string()).await
}

/// Gives a key something at run time; the answer.
pub(crate) async fn put_key(daemon: &Daemon, key: &str, body: &Value, status: u16) -> Value {
    try_put_key(daemon, key, body).await.expect(status).json()
}
