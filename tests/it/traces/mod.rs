//! Traces: from a producer's `traceparent` to the downstream's, and to a collector.
//!
//! Owns a scene with a collector. What arrives there is read as OTLP (see `support::collector`).

mod batches;
mod chain;
mod passing;
mod picture;
mod trouble;
mod ways_in;

use http::Method;
use serde_json::{Value, json};

use crate::support::{Collector, Daemon, Downstream, QUEUE, RedisServer, SeenSpan, queue_toml};

/// The trace of a producer, and its span.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

/// A producer's header; `flags`: 01 is recorded, 00 is not.
fn parent(flags: &str) -> String {
    format!("00-{TRACE}-{SPAN}-{flags}")
}

/// A scene whose daemon makes traces.
struct Traced {
    daemon: Daemon,
    downstream: Downstream,
    collector: Collector,
    _redis: RedisServer,
}

impl Traced {
    async fn start(lines: &str, sample: f64) -> Self {
        let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
        let collector = Collector::start().await;
        let config = queue_toml(QUEUE, &downstream, lines) + &collector.toml(sample);
        let daemon = Daemon::start(&redis, config).await;
        Self { daemon, downstream, collector, _redis: redis }
    }
}

/// Sends one message with these headers of the request; returns its id.
async fn send(daemon: &Daemon, message: &Value, headers: &[(&str, &str)]) -> String {
    let path = format!("/v1/queues/{QUEUE}/messages");
    post(daemon, &path, message, headers).await["id"].as_str().expect("it has an id").to_owned()
}

/// A request with JSON and these headers; returns what was answered.
async fn post(daemon: &Daemon, path: &str, body: &Value, headers: &[(&str, &str)]) -> Value {
    let json = [("content-type", "application/json")];
    let headers = [&json[..], headers].concat();
    let reply = daemon.http().send(Method::POST, path, &headers, body.to_string()).await;
    assert!((200..300).contains(&reply.status), "{}", reply.text());
    reply.json()
}

/// The one span of this name; of several the first.
fn named<'a>(spans: &'a [SeenSpan], name: &str) -> &'a SeenSpan {
    let found = spans.iter().find(|span| span.name == name);
    found.unwrap_or_else(|| panic!("no span {name} in {spans:#?}"))
}

/// A message with this payload.
fn message(payload: &str) -> Value {
    json!({ "payload": payload })
}
