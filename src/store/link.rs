//! One supervised connection, the same for a single server, Sentinel and Cluster.
//!
//! Owns connecting, noticing that a connection is dead or leads to the wrong server, and connecting
//! again (single flight, never faster than [`RECONNECT_MS_MIN`]). Refuses to know what the commands
//! mean. The client's own defaults are not used: they answer "timed out" for commands that ran.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use redis::aio::MultiplexedConnection;
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{
    MultipleNodeRoutingInfo, Route, RoutingInfo, SingleNodeRoutingInfo, SlotAddr,
};
use redis::sentinel::Sentinel;
use redis::{AsyncConnectionConfig, Client, Cmd, RedisError, RedisResult, Script, Value};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::error::ends_connection;
use crate::config::RedisTarget;
use crate::domain::policy::Secret;

/// Longest wait for a connection to stand.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest wait for a script's reply: far above the slowest script, below a lease.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);
/// Shortest time between two attempts to connect, so that an outage is no busy loop.
const RECONNECT_MS_MIN: u64 = 100;
/// Commands that may be under way at once: above it callers wait at our door, not in Redis.
const CONCURRENCY_MAX: usize = 512;

/// Where to connect.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    /// One server.
    Single(Secret),
    /// The master that sentinels name.
    Sentinel { master: String, urls: Vec<Secret> },
    /// A cluster.
    Cluster(Vec<Secret>),
}

impl Target {
    /// The target of a configuration; a managed Redis is reached by `managed_url`.
    pub(crate) fn new(target: &RedisTarget, managed_url: Option<String>) -> Self {
        match target {
            RedisTarget::Managed => Self::Single(Secret::new(managed_url.unwrap_or_default())),
            RedisTarget::Url(url) => Self::Single(url.clone()),
            RedisTarget::Sentinel { master, urls } => {
                Self::Sentinel { master: master.clone(), urls: urls.clone() }
            }
            RedisTarget::Cluster(urls) => Self::Cluster(urls.clone()),
        }
    }
}

#[derive(Clone)]
enum Connection {
    Single(MultiplexedConnection),
    Cluster(ClusterConnection),
}

struct Standing {
    connection: Connection,
    generation: u64,
}

/// A connection that is made when first used and made again when it broke.
pub(crate) struct Link {
    target: Target,
    standing: ArcSwapOption<Standing>,
    connecting: Mutex<Option<Instant>>,
    generations: AtomicU64,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("target", &self.target).finish_non_exhaustive()
    }
}

impl Link {
    pub(crate) fn new(target: Target) -> Self {
        Self {
            target,
            standing: ArcSwapOption::empty(),
            connecting: Mutex::new(None),
            generations: AtomicU64::new(0),
        }
    }

    /// How often a connection has been made: a change means that Redis may be another one now.
    pub(crate) fn generation(&self) -> u64 {
        self.generations.load(Ordering::Acquire)
    }

    /// Runs a script; loads it first where Redis does not have it. Tells which connection wrote (see
    /// [`Self::wait`]).
    pub(crate) async fn script(
        &self,
        script: &Script,
        keys: &[String],
        args: &[Vec<u8>],
    ) -> RedisResult<(Value, u64)> {
        let standing = self.stand().await?;
        let mut call = script.prepare_invoke();
        for key in keys {
            call.key(key);
        }
        for arg in args {
            call.arg(arg.as_slice());
        }
        let reply = match standing.connection.clone() {
            Connection::Single(mut connection) => call.invoke_async(&mut connection).await,
            Connection::Cluster(mut connection) => call.invoke_async(&mut connection).await,
        };
        Ok((self.judge(&standing, reply)?, standing.generation))
    }

    /// Runs WAIT or WAITAOF on the connection to the server that holds `key`; on another one it
    /// would prove nothing. A connection made anew since the write fails the wait.
    pub(crate) async fn wait(&self, command: &Cmd, key: &str, since: u64) -> RedisResult<Value> {
        let standing = self.stand().await?;
        if standing.generation != since {
            return Err(dropped());
        }
        let reply = match standing.connection.clone() {
            Connection::Single(mut connection) => command.query_async(&mut connection).await,
            Connection::Cluster(mut connection) => {
                let node =
                    SingleNodeRoutingInfo::SpecificNode(Route::new(slot(key), SlotAddr::Master));
                connection.route_command(command.clone(), RoutingInfo::SingleNode(node)).await
            }
        };
        self.judge(&standing, reply)
    }

    /// Runs a command on every master, and returns each one's reply.
    pub(crate) async fn everywhere(&self, command: &Cmd) -> RedisResult<Vec<Value>> {
        let standing = self.stand().await?;
        let reply = match standing.connection.clone() {
            Connection::Single(mut connection) => {
                command.query_async(&mut connection).await.map(|value| vec![value])
            }
            Connection::Cluster(mut connection) => {
                let masters = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, None));
                connection.route_command(command.clone(), masters).await.map(|value| match value {
                    Value::Map(nodes) => nodes.into_iter().map(|(_, value)| value).collect(),
                    Value::Array(values) => values,
                    value => vec![value],
                })
            }
        };
        if let Err(error) = &reply {
            self.give_up(&standing, error);
        }
        reply
    }

    /// Runs one plain command; every one we use is safe to repeat.
    ///
    /// A connection that Redis left behind shows only when it is used, so a second one decides
    /// whether Redis is away.
    pub(crate) async fn command(&self, command: &Cmd) -> RedisResult<Value> {
        match self.command_once(command).await {
            Err(error) if ends_connection(&error) && !error.is_timeout() => {
                self.command_once(command).await
            }
            reply => reply,
        }
    }

    async fn command_once(&self, command: &Cmd) -> RedisResult<Value> {
        let standing = self.stand().await?;
        let reply = match standing.connection.clone() {
            Connection::Single(mut connection) => command.query_async(&mut connection).await,
            Connection::Cluster(mut connection) => command.query_async(&mut connection).await,
        };
        self.judge(&standing, reply)
    }

    /// Gives a broken connection up, so that the next call makes a new one.
    fn judge(&self, used: &Arc<Standing>, reply: RedisResult<Value>) -> RedisResult<Value> {
        if let Err(error) = &reply {
            self.give_up(used, error);
        }
        reply
    }

    fn give_up(&self, used: &Standing, error: &RedisError) {
        let current = self.standing.load();
        let is_current = current.as_ref().is_some_and(|c| c.generation == used.generation);
        if ends_connection(error) && is_current {
            self.standing.store(None);
        }
    }

    async fn stand(&self) -> RedisResult<Arc<Standing>> {
        if let Some(standing) = self.standing.load_full() {
            return Ok(standing);
        }
        let mut last_try = self.connecting.lock().await;
        if let Some(standing) = self.standing.load_full() {
            return Ok(standing);
        }
        if let Some(at) = *last_try {
            tokio::time::sleep_until(at + Duration::from_millis(RECONNECT_MS_MIN)).await;
        }
        *last_try = Some(Instant::now());
        let connection = tokio::time::timeout(CONNECT_TIMEOUT, connect(&self.target))
            .await
            .unwrap_or_else(|_| Err(timed_out()))?;
        let generation = self.generations.fetch_add(1, Ordering::AcqRel) + 1;
        let standing = Arc::new(Standing { connection, generation });
        self.standing.store(Some(Arc::clone(&standing)));
        Ok(standing)
    }
}

/// The cluster slot of a key with a hash tag (Redis Cluster specification, "Hash tags").
fn slot(key: &str) -> u16 {
    let tag =
        key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map_or(key, |(tag, _)| tag);
    crc16::State::<crc16::XMODEM>::calculate(tag.as_bytes()) % 16384
}

fn dropped() -> RedisError {
    std::io::Error::new(std::io::ErrorKind::ConnectionReset, "the connection that wrote is gone")
        .into()
}

fn timed_out() -> RedisError {
    std::io::Error::new(std::io::ErrorKind::TimedOut, "connecting to Redis took too long").into()
}

async fn connect(target: &Target) -> RedisResult<Connection> {
    match target {
        Target::Single(url) => {
            let client = Client::open(url.expose())?;
            Ok(Connection::Single(
                client.get_multiplexed_async_connection_with_config(&tuning()).await?,
            ))
        }
        Target::Sentinel { master, urls } => {
            let mut sentinel = Sentinel::build(urls.iter().map(Secret::expose).collect())?;
            let client = sentinel.async_master_for(master, None).await?;
            Ok(Connection::Single(
                client.get_multiplexed_async_connection_with_config(&tuning()).await?,
            ))
        }
        Target::Cluster(urls) => {
            let client = ClusterClient::builder(urls.iter().map(Secret::expose))
                // The defaults hang for minutes on a lost shard.
                .retries(3)
                .max_retry_wait(500)
                .connection_timeout(CONNECT_TIMEOUT)
                .response_timeout(RESPONSE_TIMEOUT)
                .overall_response_timeout(Some(2 * RESPONSE_TIMEOUT))
                .build()?;
            Ok(Connection::Cluster(client.get_async_connection().await?))
        }
    }
}

fn tuning() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(Some(RESPONSE_TIMEOUT))
        .set_pipeline_buffer_size(1024)
        .set_concurrency_limit(CONCURRENCY_MAX)
}

/// A connection for pub/sub: any node of a cluster will do, since it passes publications on.
pub(crate) async fn subscribe(
    target: &Target,
    channels: &[String],
) -> RedisResult<redis::aio::PubSub> {
    let client = match target {
        Target::Single(url) => Client::open(url.expose())?,
        Target::Sentinel { master, urls } => {
            let mut sentinel = Sentinel::build(urls.iter().map(Secret::expose).collect())?;
            sentinel.async_master_for(master, None).await?
        }
        Target::Cluster(urls) => {
            let mut last = timed_out();
            for url in urls {
                match pubsub(&Client::open(url.expose())?, channels).await {
                    Ok(pubsub) => return Ok(pubsub),
                    Err(error) => last = error,
                }
            }
            return Err(last);
        }
    };
    pubsub(&client, channels).await
}

async fn pubsub(client: &Client, channels: &[String]) -> RedisResult<redis::aio::PubSub> {
    let connecting = async {
        let mut pubsub = client.get_async_pubsub().await?;
        for channel in channels {
            pubsub.subscribe(channel).await?;
        }
        Ok(pubsub)
    };
    tokio::time::timeout(CONNECT_TIMEOUT, connecting).await.unwrap_or_else(|_| Err(timed_out()))
}

#[cfg(test)]
mod tests {
    use super::slot;

    #[test]
    fn slots_are_those_of_the_cluster_specification() {
        // CLUSTER KEYSLOT of a real server.
        assert_eq!(slot("foo"), 12182);
        assert_eq!(slot("{foo}:bar"), 12182);
        assert_eq!(slot("123456789"), 12739);
    }
}
