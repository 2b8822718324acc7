//! Messages that fall due all the time, so that a pause in the sending shows.
//!
//! Owns one queue's stream of them and the two questions that an outage raises: does it go on in time,
//! and does everything arrive. Refuses to know what the outage is.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::daemon::Daemon;
use super::downstream::Downstream;
use super::scene::{QUEUE, queue_toml};
use super::wait::poll_until_within;

/// What the design promises after Redis takes writes again.
const RESUMES_WITHIN: Duration = Duration::from_secs(5);
/// How far apart messages fall due.
const EVERY_MS: usize = 50;
/// Long enough for what a node held to come back.
const PATIENCE: Duration = Duration::from_secs(40);

/// A downstream, and how many messages are on their way to it.
#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) downstream: Downstream,
    sent: usize,
}

impl Flow {
    pub(crate) async fn start() -> Self {
        Self { downstream: Downstream::start().await, sent: 0 }
    }

    /// The configuration of its queue: the shortest lease, and these further lines.
    pub(crate) fn config(&self, lines: &str) -> String {
        let lease = "lease = \"5500ms\"\ndownstream.timeout = \"500ms\"";
        queue_toml(QUEUE, &self.downstream, &format!("{lease}\n{lines}"))
    }

    /// Schedules messages that fall due one after the other for so long, and waits until they flow.
    pub(crate) async fn seed(&mut self, daemon: &Daemon, lasts: Duration) {
        let count = usize::try_from(lasts.as_millis()).expect("seconds") / EVERY_MS;
        let message = |n| {
            let payload = self.sent + n;
            json!({ "payload": payload, "delay": format!("{}ms", (n + 1) * EVERY_MS) })
        };
        let messages: Vec<_> = (0..count).map(message).collect();
        let path = format!("/v1/queues/{QUEUE}/messages/batch");
        let results = daemon.post(&path, &json!(messages)).await.expect(200).json();
        let results = results["results"].as_array().expect("a batch has results").clone();
        assert!(results.iter().all(|result| result["id"].is_string()), "{results:?}");
        let before = self.downstream.requests().len();
        self.sent += count;
        self.downstream.wait_for(before + 3).await;
    }

    /// Redis takes writes since then: sending goes on in time (or was done before we looked).
    pub(crate) async fn resumes(&self, since: Instant) {
        let at = poll_until_within(RESUMES_WITHIN * 2, "sending goes on", async || {
            let requests = self.downstream.requests();
            let is_done = self.payloads().len() == self.sent;
            let first = requests.iter().map(|request| request.arrived).find(|at| *at > since);
            first.or_else(|| is_done.then_some(since))
        })
        .await;
        assert!(at - since <= RESUMES_WITHIN, "sending went on after {:?}", at - since);
    }

    /// Everything was sent, and is delivered.
    pub(crate) async fn arrives(&self, daemon: &Daemon) {
        poll_until_within(PATIENCE, "everything is delivered", async || {
            let reply = daemon.get(&format!("/v1/queues/{QUEUE}")).await;
            (reply.status == 200 && reply.json()["counts"]["delivered"] == self.sent).then_some(())
        })
        .await;
        assert_eq!(self.payloads().len(), self.sent);
    }

    fn payloads(&self) -> BTreeSet<String> {
        self.downstream.requests().iter().map(|request| request.json().to_string()).collect()
    }
}
