//! Shared limits: accounts that several queues use, over nodes, shards and the slots of a cluster.

mod accounts;
mod killed;
mod periods;
mod quotas;
mod rates;
mod twin;
mod views;

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::support::wait::poll_until_within;
use crate::support::{Daemon, Downstream, RedisServer, queue_toml};

const PATIENCE: Duration = Duration::from_secs(60);

/// Several queues with a downstream of their own each, and accounts that they share.
pub(crate) struct Shared {
    pub(crate) redis: RedisServer,
    pub(crate) queues: Vec<(String, Downstream)>,
    accounts: String,
}

impl Shared {
    /// `accounts`: the sections of the shared limits.
    pub(crate) async fn new(queues: &[&str], accounts: &str) -> Self {
        let mut with_downstreams = Vec::new();
        for name in queues {
            with_downstreams.push(((*name).to_owned(), Downstream::start().await));
        }
        let accounts = format!("{accounts}\n");
        Self { redis: RedisServer::start().await, queues: with_downstreams, accounts }
    }

    /// A configuration in which each queue has these lines.
    pub(crate) fn config(&self, lines: &str) -> String {
        self.queues.iter().fold(self.accounts.clone(), |mut config, (name, downstream)| {
            config.push_str(&queue_toml(name, downstream, lines));
            config
        })
    }

    pub(crate) async fn node(&self, lines: &str) -> Daemon {
        Daemon::start(&self.redis, self.config(lines)).await
    }

    /// So many messages into each queue, each with this cost.
    pub(crate) async fn fill(&self, daemon: &Daemon, count: usize, cost: u64) {
        for (name, _) in &self.queues {
            fill(daemon, name, count, cost).await;
        }
    }

    /// The same into paused queues, which then all begin at once: a node that is armed to die may not live to answer.
    pub(crate) async fn pause_and_fill(&self, daemon: &Daemon, count: usize) {
        self.each_queue(daemon, "pause").await;
        self.fill(daemon, count, 1).await;
        self.each_queue(daemon, "resume").await;
    }

    /// `pause` or `resume` of each queue by a node that may not live to answer.
    pub(crate) async fn each_queue(&self, daemon: &Daemon, step: &str) {
        for (name, _) in &self.queues {
            let path = format!("/v1/queues/{name}/{step}");
            let headers = [("Content-Type", "application/json")];
            drop(daemon.http().try_send(Method::POST, &path, &headers, "{}").await);
        }
    }

    /// How many calls came to all downstreams together, each with a message of its own.
    pub(crate) fn calls(&self) -> usize {
        let calls = self.queues.iter().map(|(_, downstream)| downstream.requests().len());
        calls.sum()
    }

    /// Waits until all queues together have delivered so many, and nothing is on its way.
    pub(crate) async fn wait_delivered(&self, daemon: &Daemon, count: u64) {
        // A busy machine loses permits, and each account is asked in steps.
        poll_until_within(PATIENCE, "the account lets so many through", async || {
            let (mut delivered, mut leased) = (0, 0);
            for (name, _) in &self.queues {
                let counts = daemon.counts(name).await;
                delivered += counts["delivered"].as_u64().expect("a count");
                leased += counts["leased"].as_u64().expect("a count");
            }
            (delivered == count && leased == 0).then_some(())
        })
        .await;
    }
}

pub(crate) async fn fill(daemon: &Daemon, queue: &str, count: usize, cost: u64) {
    let path = format!("/v1/queues/{queue}/messages/batch");
    let messages: Vec<Value> =
        (0..count).map(|number| json!({ "payload": number, "cost": cost })).collect();
    let reply = daemon.post(&path, &json!(messages)).await.expect(200).json();
    assert_eq!(reply["accepted"], count, "{reply}");
}

/// How a queue shows a limit.
pub(crate) async fn shown(daemon: &Daemon, queue: &str, limit: &str) -> Value {
    let view = daemon.get(&format!("/v1/queues/{queue}")).await.expect(200).json();
    let limits = view["limits"].as_array().expect("a list").clone();
    limits.into_iter().find(|it| it["name"] == limit).expect("the queue has it")
}
