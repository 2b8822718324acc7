//! How a connection comes about: to a single server, to the master that sentinels name, to a cluster.
//!
//! Owns the client's settings (its own defaults answer "timed out" for commands that ran, and hang
//! for minutes on a lost shard). Refuses to know when one connects (see `link`).

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::{AsyncConnectionConfig, Client, RedisError, RedisResult, cmd};

use super::sentinels::{self, Named};
use super::survey::Server;
use crate::config::RedisTarget;
use crate::domain::endpoint::Secret;

/// Longest wait for a connection to stand.
pub(in crate::store) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest wait for a reply: far above the slowest script and the waits for durability, and short
/// enough that a connection that fell silent holds the loops up for less than five seconds.
pub(in crate::store) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(3);
/// The same for readings, which may stand in line behind much larger ones; nobody's health hangs on it.
pub(in crate::store) const READING_TIMEOUT: Duration = Duration::from_secs(20);
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

    pub(in crate::store) const fn is_cluster(&self) -> bool {
        matches!(self, Self::Cluster(_))
    }
}

/// A connection to one server, or one to each master of a cluster.
#[derive(Clone)]
pub(in crate::store) enum Connection {
    Single(MultiplexedConnection),
    Cluster(ClusterConnection),
}

/// Where a connection leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct Whereto {
    /// Which run of which server; 0 in a cluster, whose masters come and go behind the client.
    pub(in crate::store) run: u64,
    /// Its address, as the sentinels give it; "" without them.
    pub(in crate::store) address: String,
}

/// `patience` bounds the wait for each reply.
pub(in crate::store) async fn connect(
    target: &Target,
    patience: Duration,
) -> RedisResult<(Connection, Whereto)> {
    let (client, address) = match target {
        Target::Single(url) => (Client::open(url.expose())?, String::new()),
        Target::Sentinel { master, urls } => {
            let address = sentinels::ask(master, urls).await?.address;
            (Client::open(format!("redis://{address}"))?, address)
        }
        Target::Cluster(urls) => {
            let client = ClusterClient::builder(urls.iter().map(Secret::expose))
                .retries(3)
                .max_retry_wait(500)
                .connection_timeout(CONNECT_TIMEOUT)
                .response_timeout(patience)
                .overall_response_timeout(Some(2 * patience))
                .build()?;
            let whereto = Whereto { run: 0, address: String::new() };
            return Ok((Connection::Cluster(client.get_async_connection().await?), whereto));
        }
    };
    let mut connection =
        client.get_multiplexed_async_connection_with_config(&tuning(patience)).await?;
    let info = cmd("INFO").query_async(&mut connection).await?;
    let server = Server::read(info);
    if matches!(target, Target::Sentinel { .. }) && !server.is_master {
        return Err(dropped("the sentinels name a server that is not a master"));
    }
    Ok((Connection::Single(connection), Whereto { run: server.run, address }))
}

/// The master that the sentinels name now; `None` without sentinels, or when none answers.
pub(in crate::store) async fn named_master(target: &Target) -> Option<Named> {
    let Target::Sentinel { master, urls } = target else { return None };
    sentinels::ask(master, urls).await.ok()
}

fn tuning(patience: Duration) -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(Some(patience))
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
            let address = sentinels::ask(master, urls).await?.address;
            Client::open(format!("redis://{address}"))?
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

pub(in crate::store) fn dropped(why: &'static str) -> RedisError {
    std::io::Error::new(std::io::ErrorKind::ConnectionReset, why).into()
}

pub(in crate::store) fn timed_out() -> RedisError {
    std::io::Error::new(std::io::ErrorKind::TimedOut, "connecting to Redis took too long").into()
}
