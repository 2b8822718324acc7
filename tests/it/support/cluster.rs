//! A Redis Cluster of three masters on loopback.
//!
//! Owns its servers and their meeting. One cluster serves a whole test binary, because it takes a
//! second to form: a test keeps to a namespace of its own and never flushes. Refuses to know keys.

use redis::Value;
use tokio::sync::OnceCell;

use super::ports::free_port;
use super::redis::{RedisOptions, RedisServer};
use super::wait::eventually;

/// The slots of each master.
const SLOTS: [(&str, &str); 3] = [("0", "5460"), ("5461", "10922"), ("10923", "16383")];

/// Three masters that share all slots.
#[derive(Debug)]
pub(crate) struct Cluster {
    nodes: Vec<RedisServer>,
}

impl Cluster {
    /// The cluster of this test binary, started by the first test that asks. Statics are never
    /// dropped: its servers end with the process (see `guarded`).
    pub(crate) async fn shared() -> &'static Self {
        static SHARED: OnceCell<Cluster> = OnceCell::const_new();
        SHARED.get_or_init(Self::start).await
    }

    /// A cluster of the test's own, for tests that harm it.
    pub(crate) async fn start() -> Self {
        let mut nodes = Vec::new();
        for (from, to) in SLOTS {
            let node = RedisOptions::default()
                .on_tcp()
                .set("cluster-enabled", "yes")
                .set("cluster-port", &free_port().to_string())
                .set("cluster-node-timeout", "2000")
                .start()
                .await;
            node.cli::<()>(&["CLUSTER", "ADDSLOTSRANGE", from, to]).await;
            // Distinct from the start, or the masters would first have to settle who yields.
            let epoch = (nodes.len() + 1).to_string();
            node.cli::<()>(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch]).await;
            nodes.push(node);
        }
        for node in &nodes[1..] {
            let (port, bus) = (node.port().to_string(), node.option("cluster-port"));
            nodes[0].cli::<()>(&["CLUSTER", "MEET", "127.0.0.1", &port, bus]).await;
        }
        for node in &nodes {
            eventually("every master sees all slots and all masters", async || {
                let info: String = node.cli(&["CLUSTER", "INFO"]).await;
                let slots: Vec<Value> = node.cli(&["CLUSTER", "SLOTS"]).await;
                info.contains("cluster_state:ok") && slots.len() == SLOTS.len()
            })
            .await;
        }
        Self { nodes }
    }

    /// What `[redis] cluster` takes.
    pub(crate) fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(RedisServer::url).collect()
    }

    /// The masters themselves.
    pub(crate) fn nodes(&self) -> &[RedisServer] {
        &self.nodes
    }
}
