//! A Redis Cluster on loopback: three masters, with or without a replica each.
//!
//! Owns its servers, their meeting, and what may happen to them later (failover, a slot that moves).
//! One cluster without replicas serves a whole test binary, because it takes a second to form: a
//! test keeps to a namespace of its own and never flushes. Refuses to know keys.

use redis::Value;
use tokio::sync::OnceCell;

use super::ports::free_port;
use super::redis::{RedisOptions, RedisServer};
use super::wait::{eventually, poll_until};

/// The slots of each master.
const SLOTS: [(&str, &str); 3] = [("0", "5460"), ("5461", "10922"), ("10923", "16383")];
/// Keys that move in one MIGRATE.
const MOVED_AT_ONCE: &str = "10";
const MIGRATE_TIMEOUT_MS: &str = "5000";

/// Three masters that share all slots; with replicas, server `n + 3` starts as the replica of
/// server `n`. A server keeps its number whatever its role.
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
        Self::form(&options("2000"), 0).await
    }

    /// Three masters with a replica each, quick to find out that one is gone.
    pub(crate) async fn with_replicas() -> Self {
        Self::form(&options("1000"), SLOTS.len()).await
    }

    async fn form(options: &RedisOptions, replicas: usize) -> Self {
        let mut nodes = Vec::new();
        for epoch in 1..=SLOTS.len() + replicas {
            let port = free_port().to_string();
            let node = options.clone().on_tcp().set("cluster-port", &port).start().await;
            if let Some((from, to)) = SLOTS.get(epoch - 1) {
                node.cli::<()>(&["CLUSTER", "ADDSLOTSRANGE", from, to]).await;
            }
            // Distinct from the start, or the masters would first have to settle who yields.
            node.cli::<()>(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch.to_string()]).await;
            nodes.push(node);
        }
        for node in &nodes[1..] {
            let (port, bus) = (node.port().to_string(), node.option("cluster-port"));
            nodes[0].cli::<()>(&["CLUSTER", "MEET", "127.0.0.1", &port, bus]).await;
        }
        let cluster = Self { nodes };
        for number in 0..replicas {
            let master: String = cluster.nodes[number].cli(&["CLUSTER", "MYID"]).await;
            let replica = &cluster.nodes[number + SLOTS.len()];
            // Refused until it has heard of its master.
            eventually("a node becomes a replica", async || {
                replica.try_cli::<()>(&["CLUSTER", "REPLICATE", &master]).await.is_ok()
            })
            .await;
        }
        cluster.wait_whole().await;
        for master in &cluster.nodes[..replicas] {
            master.wait_replicas(1).await;
        }
        cluster
    }

    /// Waits until every running node sees all slots served and, where there are replicas, who
    /// they are.
    pub(crate) async fn wait_whole(&self) {
        let copies = self.nodes.len() / SLOTS.len();
        for node in &self.nodes {
            eventually("every node sees all slots, masters and replicas", async || {
                // One that was started again may still be loading.
                let info = node.try_cli::<String>(&["CLUSTER", "INFO"]).await.unwrap_or_default();
                let slots = node.try_cli::<Vec<Vec<Value>>>(&["CLUSTER", "SLOTS"]).await;
                let slots = slots.unwrap_or_default();
                // From, to, then the servers.
                let whole = slots.iter().all(|range| range.len() == 2 + copies);
                info.contains("cluster_state:ok") && slots.len() >= SLOTS.len() && whole
            })
            .await;
        }
    }

    /// What `[redis] cluster` takes.
    pub(crate) fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(RedisServer::url).collect()
    }

    /// The servers, in the order of their numbers: at first the masters, then their replicas.
    pub(crate) fn nodes(&self) -> &[RedisServer] {
        &self.nodes
    }

    /// One of them, to kill or restart it.
    pub(crate) fn node_mut(&mut self, number: usize) -> &mut RedisServer {
        &mut self.nodes[number]
    }

    /// The slot of a key.
    pub(crate) async fn slot(&self, key: &str) -> u16 {
        self.nodes[0].cli(&["CLUSTER", "KEYSLOT", key]).await
    }

    /// The number of the master that serves this slot, as the server `witness` sees it.
    pub(crate) async fn owner(&self, slot: u16, witness: usize) -> usize {
        let ranges: Vec<(u16, u16, (String, u16))> =
            poll_until("a node tells the slots", async || {
                let slots =
                    self.nodes[witness].try_cli::<Vec<Vec<Value>>>(&["CLUSTER", "SLOTS"]).await;
                slots.ok()?.into_iter().map(range).collect()
            })
            .await;
        let owner = ranges.iter().find(|(from, to, _)| (*from..=*to).contains(&slot));
        let port = owner.expect("every slot has an owner").2.1;
        self.nodes.iter().position(|node| node.port() == port).expect("one of ours")
    }

    /// Makes this replica the master by agreement with its master, and waits until it is.
    pub(crate) async fn failover_to(&self, replica: usize) {
        let node = &self.nodes[replica];
        eventually("the replica begins the failover", async || {
            node.try_cli::<()>(&["CLUSTER", "FAILOVER"]).await.is_ok()
        })
        .await;
        self.wait_master(replica).await;
    }

    /// Waits until this server is a master that takes writes.
    pub(crate) async fn wait_master(&self, number: usize) {
        let node = &self.nodes[number];
        eventually("the replica is the master", async || {
            let info = node.try_cli::<String>(&["INFO", "replication"]).await;
            let cluster = node.try_cli::<String>(&["CLUSTER", "INFO"]).await;
            info.is_ok_and(|info| info.contains("role:master"))
                && cluster.is_ok_and(|info| info.contains("cluster_state:ok"))
        })
        .await;
    }

    /// Moves a slot with its keys to another master, as `redis-cli --cluster reshard` does.
    pub(crate) async fn move_slot(&self, slot: u16, to: usize) {
        let from = self.owner(slot, to).await;
        let (source, target) = (&self.nodes[from], &self.nodes[to]);
        let source_id: String = source.cli(&["CLUSTER", "MYID"]).await;
        let target_id: String = target.cli(&["CLUSTER", "MYID"]).await;
        let (slot, port) = (slot.to_string(), target.port().to_string());
        target.cli::<()>(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &source_id]).await;
        source.cli::<()>(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &target_id]).await;
        loop {
            let words = ["CLUSTER", "GETKEYSINSLOT", &slot, MOVED_AT_ONCE];
            let keys: Vec<String> = source.cli(&words).await;
            if keys.is_empty() {
                break;
            }
            let mut words =
                vec!["MIGRATE", "127.0.0.1", &port, "", "0", MIGRATE_TIMEOUT_MS, "KEYS"];
            words.extend(keys.iter().map(String::as_str));
            source.cli::<Value>(&words).await;
        }
        // The target first, then the source: at no moment may nobody own the slot.
        let others = (0..self.nodes.len()).filter(|number| ![to, from].contains(number));
        for number in [to, from].into_iter().chain(others) {
            let words = ["CLUSTER", "SETSLOT", &slot, "NODE", &target_id];
            // A replica refuses: it hears it from its master.
            let told = self.nodes[number].try_cli::<()>(&words).await;
            assert!(told.is_ok() || ![to, from].contains(&number), "{told:?}");
        }
    }
}

fn options(node_timeout_ms: &str) -> RedisOptions {
    RedisOptions::default()
        .set("cluster-enabled", "yes")
        .set("cluster-node-timeout", node_timeout_ms)
}

/// From, to and the master of one entry of CLUSTER SLOTS.
fn range(entry: Vec<Value>) -> Option<(u16, u16, (String, u16))> {
    let mut entry = entry.into_iter();
    let from = redis::from_redis_value(entry.next()?).ok()?;
    let to = redis::from_redis_value(entry.next()?).ok()?;
    let master: Vec<Value> = redis::from_redis_value(entry.next()?).ok()?;
    let mut master = master.into_iter();
    let host = redis::from_redis_value(master.next()?).ok()?;
    let port = redis::from_redis_value(master.next()?).ok()?;
    Some((from, to, (host, port)))
}
