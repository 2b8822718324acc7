//! One queue, one downstream, one daemon: the stage of most scenarios.
//!
//! Owns the configuration of a queue that calls a scripted downstream, and the words for what happens
//! on that one queue. Refuses to know what a scenario is about.

use serde_json::{Value, json};

use super::daemon::Daemon;
use super::downstream::{Downstream, Request};
use super::redis::RedisServer;
use super::wait::poll_until;

/// The queue of a scene.
pub(crate) const QUEUE: &str = "jobs";

/// Lines of TOML for a queue that calls `downstream`; `lines` are further keys of the queue, dotted
/// where they lie deeper (`retry.max_attempts = 3`).
pub(crate) fn queue_toml(name: &str, downstream: &Downstream, lines: &str) -> String {
    let url = downstream.url(&format!("/{name}"));
    format!("[queues.{name}]\ndownstream.url = \"{url}\"\n{lines}\n")
}

/// A Redis, a downstream and a daemon with the queue [`QUEUE`] between them.
#[derive(Debug)]
pub(crate) struct Scene {
    // Ends before its Redis does.
    pub(crate) daemon: Daemon,
    pub(crate) downstream: Downstream,
    pub(crate) redis: RedisServer,
}

impl Scene {
    /// A scene whose queue has these further lines.
    pub(crate) async fn start(lines: &str) -> Self {
        let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
        let daemon = Daemon::start(&redis, queue_toml(QUEUE, &downstream, lines)).await;
        Self { daemon, downstream, redis }
    }

    /// One more daemon on the same Redis, with the same queue.
    pub(crate) async fn another_daemon(&self, lines: &str) -> Daemon {
        Daemon::start(&self.redis, queue_toml(QUEUE, &self.downstream, lines)).await
    }

    /// Sends one message with this payload; returns its id.
    pub(crate) async fn send(&self, payload: impl Into<Value>) -> String {
        self.daemon.send(QUEUE, &json!({ "payload": payload.into() })).await
    }

    /// Sends messages in one request; returns their ids in order (in which they need not become
    /// ready: intake writes with several calls at a time).
    pub(crate) async fn send_all(&self, messages: &[Value]) -> Vec<String> {
        let path = format!("/v1/queues/{QUEUE}/messages/batch");
        let reply = self.daemon.post(&path, &json!(messages)).await.expect(200).json();
        let results = reply["results"].as_array().expect("a batch has results");
        let id = |result: &Value| result["id"].as_str().expect("it was accepted").to_owned();
        results.iter().map(id).collect()
    }

    /// Sends `count` messages with the payloads 0, 1, 2 and so on.
    pub(crate) async fn send_numbers(&self, count: usize) -> Vec<String> {
        self.send_all(&(0..count).map(|n| json!({ "payload": n })).collect::<Vec<_>>()).await
    }

    /// Pauses the queue and sends the payloads 0, 1, 2 and so on, one request after the other, so that
    /// this is the order in which they are ready.
    pub(crate) async fn line_up(&self, count: usize) -> Vec<String> {
        self.queue_step("pause", &json!({ "reason": "line up" })).await;
        let mut ids = Vec::new();
        for number in 0..count {
            ids.push(self.send(number).await);
        }
        ids
    }

    /// A step on the queue: pause, resume.
    pub(crate) async fn queue_step(&self, step: &str, body: &Value) {
        self.daemon.post(&format!("/v1/queues/{QUEUE}/{step}"), body).await.expect(200);
    }

    /// A step on a message: run, requeue, resolve.
    pub(crate) async fn step(&self, id: &str, step: &str, body: &Value) {
        self.daemon.post(&format!("/v1/messages/{id}/{step}"), body).await.expect(200);
    }

    /// The message when it stands in this state; any final state ends the waiting.
    pub(crate) async fn wait_state(&self, id: &str, state: &str) -> Value {
        poll_until(&format!("{id} is {state}"), async || {
            let message = self.daemon.message(id).await;
            (message["state"] == state).then_some(message)
        })
        .await
    }

    /// The message when all of these members have these values.
    pub(crate) async fn wait_members(&self, id: &str, members: &Value) -> Value {
        poll_until(&format!("{id} shows {members}"), async || {
            let message = self.daemon.message(id).await;
            let mut wanted = members.as_object().expect("members are an object").iter();
            wanted.all(|(name, value)| message[name] == *value).then_some(message)
        })
        .await
    }

    /// Waits until so many messages of the queue stand in this state.
    pub(crate) async fn wait_count(&self, state: &str, count: usize) {
        poll_until(&format!("{count} are {state}"), async || {
            (self.daemon.counts(QUEUE).await[state] == count).then_some(())
        })
        .await;
    }
}

/// The bodies of requests, as JSON.
pub(crate) fn payloads(requests: &[Request]) -> Vec<Value> {
    requests.iter().map(Request::json).collect()
}
