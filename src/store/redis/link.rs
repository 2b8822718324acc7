//! One supervised connection, the same for a single server, Sentinel and Cluster.
//!
//! Owns noticing that a connection is dead or leads to the wrong server, and connecting again (single
//! flight, after a pause that grows while it fails). Refuses to know what the commands mean.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use redis::aio::ConnectionLike as _;
use redis::cluster_routing::{
    MultipleNodeRoutingInfo, Route, RoutingInfo, SingleNodeRoutingInfo, SlotAddr,
};
use redis::{Cmd, ErrorKind, Pipeline, RedisError, RedisResult, ServerErrorKind, Value};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::connect::{
    CONNECT_TIMEOUT, Connection, READING_TIMEOUT, RESPONSE_TIMEOUT, Target, Whereto, connect,
    dropped, timed_out,
};
use super::error::ends_connection;
use super::script::Script;
use crate::domain::spread::shortened;

/// Shortest time between two attempts to connect, so that an outage is no busy loop.
const RECONNECT_MS_MIN: u64 = 100;
/// Longest: what comes back is noticed within a second.
const RECONNECT_MS_MAX: u64 = 1000;

/// A connection as it stands: calls that belong together are made on the same one.
pub(crate) struct Standing {
    connection: Connection,
    generation: u64,
    whereto: Whereto,
    /// Whether another server is meant now: what this one still says of calls that lay in its sockets is of no account, since
    /// the other one does not know of them.
    is_left: AtomicBool,
}

impl Standing {
    /// Which run of which server this is; 0: a cluster, where that is to be asked for each master.
    pub(crate) fn run(&self) -> u64 {
        self.whereto.run
    }

    /// The address, as the sentinels give it; "" without them.
    pub(crate) fn address(&self) -> &str {
        &self.whereto.address
    }
}

/// When the last attempt to connect was, how many have failed since the last good one, and when and how the last of these
/// failed.
#[derive(Default)]
struct Tries {
    last: Option<Instant>,
    failed: u32,
    failure: Option<(Instant, RedisError)>,
}

/// A connection that is made when first used and made again when it broke.
pub(crate) struct Link {
    target: Target,
    /// How long a reply is waited for.
    patience: Duration,
    standing: ArcSwapOption<Standing>,
    connecting: Mutex<Tries>,
    generations: AtomicU64,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("target", &self.target).finish_non_exhaustive()
    }
}

impl Link {
    pub(crate) fn new(target: Target) -> Self {
        Self::with(target, RESPONSE_TIMEOUT)
    }

    /// One for large readings, which take their time.
    pub(crate) fn for_readings(target: Target) -> Self {
        Self::with(target, READING_TIMEOUT)
    }

    fn with(target: Target, patience: Duration) -> Self {
        Self {
            target,
            patience,
            standing: ArcSwapOption::empty(),
            connecting: Mutex::default(),
            generations: AtomicU64::new(0),
        }
    }

    /// The connection, made now if there is none.
    ///
    /// # Errors
    ///
    /// Redis cannot be reached. What fails for one caller fails for all that waited behind it, or each of them would wait for
    /// an attempt of its own, one after the other.
    pub(crate) async fn stand(&self) -> RedisResult<Arc<Standing>> {
        if let Some(standing) = self.standing.load_full() {
            return Ok(standing);
        }
        let came = Instant::now();
        let mut tries = self.connecting.lock().await;
        if let Some(standing) = self.standing.load_full() {
            return Ok(standing);
        }
        if let Some((failed_at, error)) = &tries.failure
            && *failed_at > came
        {
            return Err(error.clone());
        }
        if let Some(at) = tries.last {
            tokio::time::sleep_until(at + pause(tries.failed)).await;
        }
        tries.last = Some(Instant::now());
        tries.failed = tries.failed.saturating_add(1);
        // Boxed: it is rare, and everybody who speaks to Redis would carry its room.
        let connecting = Box::pin(connect(&self.target, self.patience));
        let (connection, whereto) = tokio::time::timeout(CONNECT_TIMEOUT, connecting)
            .await
            .unwrap_or_else(|_| Err(timed_out()))
            .inspect_err(|error| tries.failure = Some((Instant::now(), error.clone())))?;
        tries.failed = 0;
        tries.failure = None;
        let generation = self.generations.fetch_add(1, Ordering::AcqRel) + 1;
        let is_left = AtomicBool::new(false);
        let standing = Arc::new(Standing { connection, generation, whereto, is_left });
        self.standing.store(Some(Arc::clone(&standing)));
        Ok(standing)
    }

    /// Runs a script, then `waits` (WAIT, WAITAOF) right behind it on the same connection to the same
    /// server: on any other they would prove nothing. A repeat runs all of it again.
    pub(crate) async fn script(
        &self,
        standing: &Arc<Standing>,
        script: &Script,
        keys: &[String],
        args: &[Vec<u8>],
        waits: &[Cmd],
    ) -> RedisResult<(Value, Vec<Value>)> {
        let key = keys.first().map_or("", String::as_str);
        let by_hash = script.by_hash(keys, args);
        let reply = match standing.together(by_hash, waits, key).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                standing.together(script.by_text(keys, args), waits, key).await
            }
            reply => reply,
        };
        self.judge(standing, reply)
    }

    /// Runs a plain write on the server that holds `key`, then `waits` right behind it.
    pub(crate) async fn write(
        &self,
        write: Cmd,
        waits: &[Cmd],
        key: &str,
    ) -> RedisResult<Vec<Value>> {
        let standing = self.stand().await?;
        let reply = standing.together(write, waits, key).await;
        Ok(self.judge(&standing, reply)?.1)
    }

    /// Reads: these commands in one round trip, on the server that holds `key`, and a reply for each of
    /// them, be it an error.
    pub(crate) async fn read(&self, commands: &[Cmd], key: &str) -> RedisResult<Vec<Value>> {
        match self.read_once(commands, key).await {
            Err(error) if ends_connection(&error) && !error.is_timeout() => {
                self.read_once(commands, key).await
            }
            replies => replies,
        }
    }

    async fn read_once(&self, commands: &[Cmd], key: &str) -> RedisResult<Vec<Value>> {
        let standing = self.stand().await?;
        let mut pipeline = Pipeline::with_capacity(commands.len());
        for command in commands {
            pipeline.add_command(command.clone());
        }
        let reply = standing.replies(pipeline, commands.len(), key).await;
        self.judge(&standing, reply)
    }

    /// Runs a command on every master: each one's address (in a cluster) and reply.
    pub(crate) async fn everywhere(&self, command: &Cmd) -> RedisResult<Vec<(String, Value)>> {
        let standing = self.stand().await?;
        let reply = match standing.connection.clone() {
            Connection::Single(mut connection) => {
                let reply = command.query_async(&mut connection).await;
                reply.map(|value| vec![(String::new(), value)])
            }
            Connection::Cluster(mut connection) => {
                let masters = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, None));
                let routed = Box::pin(connection.route_command(command.clone(), masters));
                routed.await.map(|value| match value {
                    Value::Map(nodes) => nodes
                        .into_iter()
                        .map(|(address, value)| {
                            (redis::from_redis_value(address).unwrap_or_default(), value)
                        })
                        .collect(),
                    value => vec![(String::new(), value)],
                })
            }
        };
        self.judge(&standing, reply)
    }

    /// Runs one plain command; every one we use is safe to repeat.
    ///
    /// A connection that Redis left behind shows only when it is used, so a second one decides
    /// whether Redis is away.
    pub(crate) async fn command(&self, command: &Cmd) -> RedisResult<Value> {
        self.command_on(command, None).await
    }

    /// Runs one plain command on the server that holds `key`.
    pub(crate) async fn command_at(&self, command: &Cmd, key: &str) -> RedisResult<Value> {
        self.command_on(command, Some(key)).await
    }

    async fn command_on(&self, command: &Cmd, key: Option<&str>) -> RedisResult<Value> {
        match self.command_once(command, key).await {
            Err(error) if ends_connection(&error) && !error.is_timeout() => {
                self.command_once(command, key).await
            }
            reply => reply,
        }
    }

    async fn command_once(&self, command: &Cmd, key: Option<&str>) -> RedisResult<Value> {
        let standing = self.stand().await?;
        let reply = match (standing.connection.clone(), key) {
            (Connection::Single(mut connection), _) => command.query_async(&mut connection).await,
            (Connection::Cluster(mut connection), None) => {
                command.query_async(&mut connection).await
            }
            (Connection::Cluster(mut connection), Some(key)) => {
                let node = RoutingInfo::SingleNode(master_of(key));
                Box::pin(connection.route_command(command.clone(), node)).await
            }
        };
        self.judge(&standing, reply)
    }

    /// The address this link stands at, if it stands.
    pub(crate) fn address(&self) -> Option<String> {
        Some(self.standing.load().as_ref()?.address().to_owned())
    }

    /// Gives the connection up, whatever its state: another server is meant now.
    pub(crate) fn leave(&self) {
        if let Some(left) = self.standing.swap(None) {
            left.is_left.store(true, Ordering::Release);
        }
    }

    /// Gives a broken connection up, so that the next call makes a new one, and takes the reply of a server that was left for
    /// none: a master that stood still and was replaced may wake up and answer.
    fn judge<T>(&self, used: &Standing, reply: RedisResult<T>) -> RedisResult<T> {
        let current = self.standing.load();
        if let Err(error) = &reply {
            let is_current = current.as_ref().is_some_and(|c| c.generation == used.generation);
            if ends_connection(error) && is_current {
                self.standing.store(None);
            }
        }
        let is_elsewhere = current.as_ref().is_some_and(|c| c.address() != used.address());
        if is_elsewhere || used.is_left.load(Ordering::Acquire) {
            return Err(dropped("another server took over before this one answered"));
        }
        reply
    }
}

impl Standing {
    /// One command and what is to follow it at once, as one pipeline to the server that holds `key`.
    async fn together(
        &self,
        first: Cmd,
        rest: &[Cmd],
        key: &str,
    ) -> RedisResult<(Value, Vec<Value>)> {
        let count = 1 + rest.len();
        let mut pipeline = Pipeline::with_capacity(count);
        pipeline.add_command(first);
        for command in rest {
            pipeline.add_command(command.clone());
        }
        let replies = self.replies(pipeline, count, key).await?;
        let mut replies = replies.into_iter().map(|reply| match reply {
            Value::ServerError(error) => Err(RedisError::from(error)),
            reply => Ok(reply),
        });
        let first = replies.next().unwrap_or(Ok(Value::Nil))?;
        Ok((first, replies.collect::<RedisResult<_>>()?))
    }

    async fn replies(
        &self,
        pipeline: Pipeline,
        count: usize,
        key: &str,
    ) -> RedisResult<Vec<Value>> {
        match self.connection.clone() {
            Connection::Single(mut connection) => {
                connection.req_packed_commands(&pipeline, 0, count).await
            }
            Connection::Cluster(mut connection) => {
                Box::pin(connection.route_pipeline(pipeline, 0, count, master_of(key))).await
            }
        }
    }
}

/// How long to let it be after so many failures in a row; spread, so that nodes do not come in step.
fn pause(failed: u32) -> Duration {
    let ms = (RECONNECT_MS_MIN << failed.saturating_sub(1).min(10)).min(RECONNECT_MS_MAX);
    shortened(Duration::from_millis(ms), 0.25, rand::random())
}

fn master_of(key: &str) -> SingleNodeRoutingInfo {
    SingleNodeRoutingInfo::SpecificNode(Route::new(slot(key), SlotAddr::Master))
}

/// The cluster slot of a key with a hash tag (Redis Cluster specification, "Hash tags").
pub(in crate::store) fn slot(key: &str) -> u16 {
    let tag =
        key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map_or(key, |(tag, _)| tag);
    crc16::State::<crc16::XMODEM>::calculate(tag.as_bytes()) % 16384
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::endpoint::Secret;

    #[test]
    fn slots_are_those_of_the_cluster_specification() {
        // CLUSTER KEYSLOT of a real server.
        assert_eq!(slot("foo"), 12182);
        assert_eq!(slot("{foo}:bar"), 12182);
        assert_eq!(slot("123456789"), 12739);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_hangs_is_waited_for_once_by_all() {
        // It takes connections and answers nothing.
        let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("redis://{}", server.local_addr().unwrap());
        let link = Link::new(Target::Single(Secret::new(url)));
        let began = Instant::now();
        let all: Vec<_> = (0..20).map(|_| link.stand()).collect();
        let replies = futures_util::future::join_all(all).await;
        assert!(replies.iter().all(|reply| reply.as_ref().is_err_and(RedisError::is_timeout)));
        assert!(began.elapsed() < 2 * CONNECT_TIMEOUT, "{:?}", began.elapsed());
    }

    #[test]
    fn the_pause_before_a_reconnect_grows_to_a_second() {
        for (failed, at_most_ms) in [(0, 100), (1, 100), (2, 200), (4, 800), (5, 1000), (99, 1000)]
        {
            let pause = pause(failed);
            let at_most = Duration::from_millis(at_most_ms);
            assert!(pause <= at_most && pause >= at_most.mul_f64(0.74), "{failed}: {pause:?}");
        }
    }
}
