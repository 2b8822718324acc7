//! Collapse keys: a newer message takes the place of the one that waits, and no old payload comes after a newer one.
//!
//! Judged at the receiver and by what the API shows.

mod intake;
mod nodes;
mod on_its_way;
mod operations;
mod stock;
mod waits;

use serde_json::{Value, json};

use crate::support::http::Reply;
use crate::support::{Answer, Daemon, Gate, QUEUE, RedisServer, Scene};

/// The one collapse key of most scenarios.
const KEY: &str = "article-7";

/// What makes a failed attempt come again soon, and always after the same time.
const QUICK_RETRY: &str = "downstream.timeout = \"500ms\"\nlease = \"5500ms\"\nretry = { initial = \"300ms\", factor = 1.0, jitter = 0.0 }";

/// A message with the collapse key and a number as its payload.
fn level(number: usize) -> Value {
    json!({ "payload": { "n": number }, "collapse_key": KEY })
}

/// The same with further fields.
fn with(number: usize, fields: &Value) -> Value {
    let mut message = level(number);
    for (name, value) in fields.as_object().expect("fields are an object") {
        message[name] = value.clone();
    }
    message
}

async fn post(daemon: &Daemon, message: &Value) -> Reply {
    daemon.post(&format!("/v1/queues/{QUEUE}/messages"), message).await
}

/// Takes a message in as one of its own; returns its id.
async fn fresh(scene: &Scene, message: &Value) -> String {
    id_of(&post(&scene.daemon, message).await.expect(201).json())
}

/// A message in its call, and a newer one that waits until that is decided.
struct Pair {
    first: String,
    second: String,
    /// What the call of the first one waits for.
    gate: Gate,
}

impl Pair {
    async fn begin(scene: &Scene, answer: Answer) -> Self {
        let gate = Gate::new();
        scene.downstream.once(answer.held_by(&gate));
        let first = fresh(scene, &level(1)).await;
        scene.downstream.wait_for(1).await;
        let second = fresh(scene, &level(2)).await;
        Self { first, second, gate }
    }
}

/// Takes a message in that takes the place of another one; returns that one's view.
async fn collapsed(scene: &Scene, message: &Value) -> Value {
    let view = post(&scene.daemon, message).await.expect(200).json();
    assert_eq!(view["collapsed"], true, "{view}");
    assert_eq!(view["duplicate"], Value::Null, "{view}");
    view
}

/// A message with its payload and headers.
async fn whole(daemon: &Daemon, id: &str) -> Value {
    daemon.get(&format!("/v1/messages/{id}?view=full")).await.expect(200).json()
}

fn id_of(view: &Value) -> String {
    view["id"].as_str().expect("a message has an id").to_owned()
}

/// The numbers that came downstream, in their order.
fn numbers(scene: &Scene) -> Vec<u64> {
    let requests = scene.downstream.requests();
    requests.iter().map(|request| request.json()["n"].as_u64().expect("a number")).collect()
}

/// How many keys the index knows.
async fn keys_known(redis: &RedisServer) -> u64 {
    redis.cli(&["HLEN", "{tidegate:jobs.0}:collapse"]).await
}

async fn superseded_total(daemon: &Daemon) -> u64 {
    let metrics = daemon.get("/metrics").await.expect(200);
    let line = "tidegate_superseded_total{queue=\"jobs\"} ";
    let text = metrics.text();
    let found = text.lines().find_map(|shown| shown.strip_prefix(line));
    found.expect("it is shown from the start").parse().expect("a count")
}

/// Nothing is left of any key, and records and indexes agree.
async fn assert_nothing_left(scene: &Scene) {
    assert_eq!(keys_known(&scene.redis).await, 0, "idle keys leave nothing");
    assert_sound(&scene.daemon).await;
}

/// The audit of the queue finds nothing wrong with records and indexes.
async fn assert_sound(daemon: &Daemon) {
    let lines = daemon.get(&format!("/v1/queues/{QUEUE}/audit")).await.expect(200);
    let last = lines.text().lines().last().expect("a summary").to_owned();
    let end: Value = serde_json::from_str(&last).expect("a summary is JSON");
    assert_eq!((&end["faults"], &end["complete"]), (&json!({}), &json!(true)), "{end}");
}
