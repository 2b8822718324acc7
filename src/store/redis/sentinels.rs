//! What the sentinels say: who is master, and how many of its replicas they see.
//!
//! Owns the question to all of them at once. They come to agree only in time, so the one with the
//! newest configuration counts: during a failover the others still name a master that goes on taking
//! writes which nobody will ever see. Refuses to know the servers themselves.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::future::join_all;
use redis::{Client, RedisError, RedisResult, cmd};

use crate::domain::endpoint::Secret;

/// Longest wait for a sentinel: the others answer meanwhile.
const ASK_TIMEOUT: Duration = Duration::from_secs(1);

/// The master as the sentinels see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct Named {
    /// `host:port`.
    pub(in crate::store) address: String,
    /// Counts the failovers.
    epoch: u64,
    /// Replicas that are not down: in a failover, any of them may become the master.
    pub(in crate::store) replicas_up: u64,
}

/// Asks all sentinels; the newest configuration counts.
pub(in crate::store) async fn ask(master: &str, urls: &[Secret]) -> RedisResult<Named> {
    let asked = urls.iter().map(|url| async {
        tokio::time::timeout(ASK_TIMEOUT, ask_one(master, url.expose())).await
    });
    let mut newest: Option<Named> = None;
    let mut failed = None;
    for answer in join_all(asked).await {
        match answer {
            Ok(Ok(named)) if newest.as_ref().is_none_or(|newest| named.epoch > newest.epoch) => {
                newest = Some(named);
            }
            Ok(Ok(_)) => {}
            Ok(Err(error)) => failed = Some(error),
            Err(_) => failed = failed.or_else(|| Some(no_answer("no sentinel answers in time"))),
        }
    }
    newest.ok_or_else(|| failed.unwrap_or_else(|| no_answer("there is no sentinel")))
}

async fn ask_one(master: &str, url: &str) -> RedisResult<Named> {
    let mut sentinel = Client::open(url)?.get_multiplexed_async_connection().await?;
    let mut ask = async |what: &str| -> RedisResult<redis::Value> {
        cmd("SENTINEL").arg(what).arg(master).query_async(&mut sentinel).await
    };
    // From the promotion on, this names the promoted one; the other two follow a moment later.
    let address = ask("GET-MASTER-ADDR-BY-NAME").await?;
    let (host, port) =
        redis::from_redis_value::<Option<(String, u16)>>(address)?.ok_or_else(|| {
            no_answer("the sentinels know no master of the name in redis.sentinel.master")
        })?;
    let about: HashMap<String, String> = redis::from_redis_value(ask("MASTER").await?)?;
    let replicas: Vec<HashMap<String, String>> = redis::from_redis_value(ask("REPLICAS").await?)?;
    let is_up = |flags: &&String| {
        !flags.split(',').any(|flag| matches!(flag, "s_down" | "o_down" | "disconnected"))
    };
    let up = replicas.iter().filter_map(|replica| replica.get("flags")).filter(is_up).count();
    Ok(Named {
        address: format!("{host}:{port}"),
        epoch: about.get("config-epoch").and_then(|epoch| epoch.parse().ok()).unwrap_or(0),
        replicas_up: up as u64,
    })
}

fn no_answer(why: &'static str) -> RedisError {
    std::io::Error::new(std::io::ErrorKind::NotConnected, why).into()
}
