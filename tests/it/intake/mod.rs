//! What a queue takes in: keys that it requires, how long messages are of use by default, and how many may wait.

mod backlog;
mod counted;
mod required_keys;
mod ttl;

use http::Method;
use serde_json::{Value, json};

use crate::support::http::Reply;
use crate::support::{Daemon, Downstream, QUEUE, RedisServer, queue_toml};

const MESSAGES: &str = "/v1/queues/jobs/messages";

/// A daemon whose queue has every way in: the inbox, the topic `paid`, and a schedule that is run by hand.
struct WaysIn {
    daemon: Daemon,
    downstream: Downstream,
    redis: RedisServer,
}

impl WaysIn {
    /// `lines` are those of the queue, `schedule` those of the schedule's message.
    async fn start(lines: &str, schedule: &str) -> Self {
        let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
        let config = queue_toml(QUEUE, &downstream, lines)
            + &queue_toml("other", &downstream, "")
            + "[inbox]\nenabled = true\n[topics.paid]\nqueues = [\"jobs\"]\n"
            + &format!("[schedules.yearly]\nqueue = \"jobs\"\ncron = \"0 0 1 1 *\"\n{schedule}\n");
        let daemon = Daemon::start(&redis, config).await;
        for queue in [QUEUE, "other"] {
            let path = format!("/v1/queues/{queue}/pause");
            daemon.post(&path, &json!({ "reason": "hold" })).await.expect(200);
        }
        Self { daemon, downstream, redis }
    }

    async fn send(&self, message: &Value) -> Reply {
        self.daemon.post(MESSAGES, message).await
    }

    /// The results of a batch.
    async fn send_rows(&self, rows: &[Value]) -> Vec<Value> {
        let reply = self.daemon.post(&format!("{MESSAGES}/batch"), &json!(rows)).await;
        reply.expect(200).json()["results"].as_array().expect("results").clone()
    }

    async fn publish(&self, message: &Value) -> Reply {
        self.daemon.post("/v1/topics/paid/messages", message).await
    }

    async fn run_schedule(&self) -> Reply {
        self.daemon.http().send(Method::POST, "/v1/schedules/yearly/run", &[], "").await
    }

    async fn add_entry(&self, fields: &[&str]) {
        let stream = ["XADD", "tidegate:inbox:jobs", "*"];
        let _entry: String = self.redis.cli(&[&stream, fields].concat()).await;
    }

    async fn length(&self, stream: &str) -> u64 {
        self.redis.cli(&["XLEN", &format!("tidegate:inbox:{stream}")]).await
    }

    /// The messages that wait in a queue.
    async fn waiting(&self, queue: &str) -> Vec<Value> {
        let path = format!("/v1/queues/{queue}/messages?state=scheduled,ready&limit=500");
        let reply = self.daemon.get(&path).await.expect(200).json();
        reply["messages"].as_array().expect("messages").clone()
    }
}
