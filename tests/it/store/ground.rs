//! The ground a store scenario stands on: one server or the cluster, a namespace of its own, and
//! nodes on it, each a `Store` of its own.
//!
//! Owns the way from a few lines of TOML to a store and its queue, and the look past the store at
//! the bare keys. Refuses to know any verb.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::cluster_async::ClusterConnection;
use redis::{Cmd, FromRedisValue, Value};
use tidegate::config::{Settings, Sources, load};
use tidegate::domain::policy::QueuePolicy;
use tidegate::shutdown::Tasks;
use tidegate::store::Store;
use tidegate::telemetry::Metrics;

use super::node::Node;
use crate::support::Wire;
use crate::support::redis::RedisOptions;
use crate::support::wait::DEADLINE;
use crate::support::{Cluster, RedisServer, within};

/// The queue of every scenario.
pub(super) const QUEUE: &str = "tide";

enum Raw {
    Single(MultiplexedConnection),
    Cluster(ClusterConnection),
}

/// A Redis, and a namespace in it that nobody else uses.
pub(super) struct Ground {
    redis: String,
    namespace: String,
    raw: Raw,
    // Ends with the scenario; the cluster is everybody's.
    server: Option<RedisServer>,
}

impl Ground {
    /// A server of the scenario's own, with every write on disk.
    pub(super) async fn single() -> Self {
        Self::on(RedisServer::start().await, "disk").await
    }

    /// A server that keeps nothing: for scenarios of many calls.
    pub(super) async fn in_memory() -> Self {
        let server = RedisOptions::default().set("appendonly", "no").start().await;
        Self::on(server, "memory").await
    }

    /// A Valkey of its own.
    pub(super) async fn valkey() -> Self {
        Self::on(RedisOptions::valkey().start().await, "disk").await
    }

    /// This server, at this durability level.
    pub(super) async fn on(server: RedisServer, durability: &str) -> Self {
        let raw = server.connect().await.expect("the server answers");
        Self {
            redis: format!("url = \"{}\"\ndurability = \"{durability}\"\n", server.url()),
            namespace: fresh_namespace(),
            raw: Raw::Single(raw),
            server: Some(server),
        }
    }

    /// The cluster of this test binary.
    pub(super) async fn cluster() -> Self {
        let urls = Cluster::shared().await.urls();
        let client = redis::cluster::ClusterClient::builder(urls.clone())
            .response_timeout(DEADLINE)
            .overall_response_timeout(Some(DEADLINE))
            .build()
            .expect("urls");
        let raw = client.get_async_connection().await.expect("the cluster answers");
        Self {
            redis: format!("cluster = {urls:?}\ndurability = \"disk\"\n"),
            namespace: fresh_namespace(),
            raw: Raw::Cluster(raw),
            server: None,
        }
    }

    /// The same ground, where records of no newer version than this may stand (until somebody raises it).
    pub(super) async fn of_version(self, version: u8) -> Self {
        self.raise_to(version).await;
        self
    }

    /// From now on nodes that start write records of this version.
    pub(super) async fn raise_to(&self, version: u8) {
        let schema = format!("{{{}}}:schema", self.namespace);
        self.raw::<()>(redis::cmd("SET").arg(schema).arg(version)).await;
    }

    /// The same ground, reached over a wire.
    pub(super) fn over(self, wire: &Wire) -> Self {
        let redis = self.redis.replace(&self.server().url(), &wire.url());
        Self { redis, ..self }
    }

    /// The scenario's own server.
    pub(super) fn server(&self) -> &RedisServer {
        self.server.as_ref().expect("a scenario on a single server")
    }

    /// Whether other scenarios use the same servers.
    pub(super) fn is_shared(&self) -> bool {
        self.server.is_none()
    }

    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The settings of a queue with these lines of TOML; `shape` changes what no configuration would
    /// allow, such as a lease of a millisecond.
    pub(super) fn settings(&self, queue: &str, shape: impl FnOnce(&mut QueuePolicy)) -> Settings {
        let mut text = format!("[redis]\nnamespace = \"{}\"\n{}", self.namespace, self.redis);
        write!(text, "[queues.{QUEUE}]\n{queue}\n").expect("a string takes all");
        if !queue.contains("downstream") {
            write!(text, "[queues.{QUEUE}.downstream]\ntype = \"null\"\n").expect("as above");
        }
        let dir = tempfile::tempdir().expect("temp dir");
        let file = dir.path().join("tidegate.toml");
        std::fs::write(&file, text).expect("the folder is writable");
        let sources =
            Sources { file: Some(file), overrides: Vec::new(), environment: BTreeMap::new() };
        let mut settings = load(&sources).unwrap_or_else(|errors| panic!("{errors}"));
        shape(Arc::make_mut(settings.queues.values_mut().next().expect("one queue")));
        settings
    }

    /// A node whose queue has these lines of TOML.
    pub(super) async fn node(&self, queue: &str) -> Node {
        self.node_shaped(queue, |_| ()).await
    }

    pub(super) async fn node_shaped(
        &self,
        queue: &str,
        shape: impl FnOnce(&mut QueuePolicy),
    ) -> Node {
        let store = self.store(queue, shape);
        store.servers.check().await.expect("this Redis is fit");
        Node::new(store)
    }

    /// A store that has not looked at its Redis yet.
    pub(super) fn store(&self, queue: &str, shape: impl FnOnce(&mut QueuePolicy)) -> Store {
        Self::store_of(&self.settings(queue, shape))
    }

    /// A store on these settings.
    pub(super) fn store_of(settings: &Settings) -> Store {
        Store::new(settings, None, Metrics::new(), Tasks::new())
    }

    /// A command past the store.
    pub(super) async fn raw<T: FromRedisValue>(&self, command: &Cmd) -> T {
        let reply: redis::RedisResult<Value> = match &self.raw {
            Raw::Single(connection) => command.query_async(&mut connection.clone()).await,
            Raw::Cluster(connection) => command.query_async(&mut connection.clone()).await,
        };
        let value = reply.expect("a plain command succeeds");
        redis::from_redis_value(value).expect("a reply of the expected type")
    }

    /// The bare name of a key of the queue's first shard.
    pub(super) fn key(&self, name: &str) -> String {
        self.key_of(0, name)
    }

    pub(super) fn key_of(&self, shard: u16, name: &str) -> String {
        format!("{{{}:{QUEUE}.{shard}}}:{name}", self.namespace)
    }

    /// A field of the first shard's meta.
    pub(super) async fn meta(&self, field: &str) -> Option<String> {
        self.raw(redis::cmd("HGET").arg(self.key("meta")).arg(field)).await
    }

    /// Milliseconds by Redis TIME.
    pub(super) async fn now_ms(&self) -> u64 {
        let (seconds, micros): (u64, u64) = match &self.raw {
            Raw::Single(_) => self.raw(&redis::cmd("TIME")).await,
            // All servers of the cluster live on this machine and so by one clock.
            Raw::Cluster(_) => Cluster::shared().await.nodes()[0].cli(&["TIME"]).await,
        };
        seconds * 1000 + micros / 1000
    }

    /// How many connections listen to a channel, on the servers that a node may listen on.
    pub(super) async fn subscribers(&self, channel: &str) -> usize {
        let mut all = 0;
        let servers = match &self.raw {
            Raw::Single(_) => std::slice::from_ref(self.server()),
            Raw::Cluster(_) => Cluster::shared().await.nodes(),
        };
        for server in servers {
            let (_, count): (String, usize) = server.cli(&["PUBSUB", "NUMSUB", channel]).await;
            all += count;
        }
        all
    }

    /// Waits until Redis TIME is past this moment.
    pub(super) async fn passes(&self, moment_ms: u64) {
        let passing = async {
            loop {
                let now_ms = self.now_ms().await;
                if now_ms > moment_ms {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(moment_ms + 1 - now_ms)).await;
            }
        };
        within("Redis TIME passes", passing).await;
    }
}

fn fresh_namespace() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Runs each scenario on a single server, on Valkey and on the cluster.
macro_rules! on_each {
    ($($scenario:ident),+ $(,)?) => {
        mod single {
            $(#[tokio::test] async fn $scenario() {
                super::$scenario($crate::store::ground::Ground::single().await).await;
            })+
        }
        mod valkey {
            $(#[tokio::test]
            #[ignore = "needs Valkey: make test-all runs it"]
            async fn $scenario() {
                super::$scenario($crate::store::ground::Ground::valkey().await).await;
            })+
        }
        mod cluster {
            $(#[tokio::test] async fn $scenario() {
                super::$scenario($crate::store::ground::Ground::cluster().await).await;
            })+
        }
    };
}
pub(super) use on_each;
