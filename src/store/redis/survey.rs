//! What a server says of itself, and which durability level that allows.
//!
//! Owns the reading of INFO and the rules: who is refused (evicting, too old) and how each level is
//! met, always with the remedy. Pure; refuses to know connections.

use redis::{Cmd, Value, cmd};
use sha2::{Digest as _, Sha256};

use crate::config::Durability;
use crate::failpoint::planted;
use crate::store::StoreError;

/// The oldest Redis that runs our scripts (flags in the first line).
const VERSION_MIN: (u32, u32) = (7, 0);
/// The oldest Redis whose WAITAOF can be relied on. Before (and in Valkey up to 9.1 at least), with
/// `appendfsync everysec` it says yes to what was written within a second of the last flush, before
/// the next one; `tests/it/cluster/valkey.rs` shows it.
const VERSION_WAITAOF: (u32, u32) = (8, 0);
/// How long a write may take to reach the replicas, before a producer is told 503.
const WAIT_MS: u64 = 1000;
/// How long a write may take to reach the disk: with `appendfsync everysec` the next flush is up to
/// a second away, and takes its time.
const WAITAOF_MS: u64 = 2500;

/// What is waited for after a write, on the connection that wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::store) struct Wait {
    /// WAITAOF: flushed here. Where Redis flushes before it answers, nothing is to be waited for.
    pub(in crate::store) disk: bool,
    /// WAIT: at so many replicas.
    pub(in crate::store) replicas: u64,
}

impl Wait {
    pub(in crate::store) fn commands(self) -> Vec<Cmd> {
        let mut commands = Vec::new();
        if self.disk {
            commands.push(cmd("WAITAOF").arg(1).arg(0).arg(WAITAOF_MS).to_owned());
        }
        if self.replicas > 0 {
            commands.push(cmd("WAIT").arg(self.replicas).arg(WAIT_MS).to_owned());
        }
        commands
    }

    /// Whether the replies to these commands mean that the write is safe.
    pub(in crate::store) fn met(self, replies: Vec<Value>) -> Result<(), StoreError> {
        let mut replies = replies.into_iter();
        if self.disk && reached(replies.next()) < 1 {
            return Err(unmet(format!("not flushed to disk within {WAITAOF_MS} ms")));
        }
        if self.replicas > 0 {
            let (wanted, reached) = (self.replicas, reached(replies.next()));
            if reached < wanted {
                return Err(unmet(format!(
                    "{reached} of {wanted} replicas confirmed within {WAIT_MS} ms"
                )));
            }
        }
        Ok(())
    }
}

fn unmet(why: String) -> StoreError {
    StoreError::NotDurable(why)
}

/// WAIT answers a number, WAITAOF two: here, at replicas.
fn reached(reply: Option<Value>) -> u64 {
    let count = match reply {
        Some(Value::Array(counts)) => counts.into_iter().next(),
        other => other,
    };
    redis::from_redis_value(count.unwrap_or(Value::Nil)).unwrap_or(0)
}

/// What one server says of itself.
#[derive(Debug, Default, Clone)]
pub(in crate::store) struct Server {
    /// In a cluster: its address and its slots.
    pub(in crate::store) address: String,
    pub(in crate::store) slots: Vec<(u16, u16)>,
    /// Which run of which server: another one after every restart and failover.
    pub(in crate::store) run: u64,
    pub(in crate::store) is_master: bool,
    pub(in crate::store) is_replica: bool,
    pub(in crate::store) uptime_ms: u64,
    pub(in crate::store) memory_bytes: u64,
    /// 0: no limit.
    pub(in crate::store) memory_bytes_max: u64,
    /// It refuses writes, as it cannot write its append-only file.
    pub(in crate::store) does_aof_fail: bool,
    pub(in crate::store) fsync: Option<String>,
    /// How much of its data it has loaded, while it does: until then it takes no writes, and what it
    /// says of its durability does not hold yet.
    pub(in crate::store) loading: Option<String>,
    version: (u32, u32),
    version_text: String,
    is_valkey: bool,
    policy: String,
    aof: bool,
    /// Replicas that are connected, and those of them that are in step: the others still copy.
    replicas: u64,
    pub(in crate::store) online: u64,
}

impl Server {
    pub(in crate::store) fn read(info: Value) -> Self {
        let text: String = redis::from_redis_value(info).unwrap_or_default();
        let field = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .map(|value| value.trim().to_owned())
                .unwrap_or_default()
        };
        let redis_version = field("redis_version");
        let mut parts = redis_version.split('.').map(|part| part.parse().unwrap_or(0));
        // Valkey goes on saying which Redis it is like.
        let valkey_version = field("valkey_version");
        let is_valkey = !valkey_version.is_empty();
        let version_text = if is_valkey {
            format!("Valkey {valkey_version}")
        } else {
            format!("Redis {redis_version}")
        };
        let is_replica = |line: &&str| line.starts_with("slave") && line.contains("state=online");
        Self {
            run: run_of(&field("run_id")),
            is_master: field("role") == "master",
            is_replica: field("role") == "slave",
            version: (parts.next().unwrap_or(0), parts.next().unwrap_or(0)),
            version_text,
            is_valkey,
            uptime_ms: uptime_ms(&field("uptime_in_seconds")),
            memory_bytes: field("used_memory").parse().unwrap_or(0),
            memory_bytes_max: field("maxmemory").parse().unwrap_or(0),
            does_aof_fail: field("aof_last_write_status") == "err",
            policy: field("maxmemory_policy"),
            loading: (field("loading") == "1").then(|| {
                let (done, left) = (field("loading_loaded_perc"), field("loading_eta_seconds"));
                format!("{done} % loaded, about {left} s to go")
            }),
            aof: field("aof_enabled") == "1",
            replicas: field("connected_slaves").parse().unwrap_or(0),
            online: text.lines().filter(is_replica).count() as u64,
            ..Self::default()
        }
    }
}

/// Gives each server its slots, from the reply to CLUSTER SLOTS: per range its ends, its master as
/// host and port, its replicas.
pub(in crate::store) fn share_slots(servers: &mut [Server], reply: Value) {
    for range in redis::from_redis_value::<Vec<Vec<Value>>>(reply).unwrap_or_default() {
        let Ok([from, to, master]) =
            <[Value; 3]>::try_from(range.into_iter().take(3).collect::<Vec<_>>())
        else {
            continue;
        };
        let ends =
            redis::from_redis_value(from).and_then(|from| Ok((from, redis::from_redis_value(to)?)));
        let mut master =
            redis::from_redis_value::<Vec<Value>>(master).unwrap_or_default().into_iter();
        let mut part =
            || redis::from_redis_value::<String>(master.next().unwrap_or(Value::Nil)).ok();
        if let (Ok(ends), Some(host), Some(port)) = (ends, part(), part()) {
            let address = format!("{host}:{port}");
            let owner = servers.iter_mut().find(|server| server.address == address);
            if let Some(owner) = owner {
                owner.slots.push(ends);
            }
        }
    }
}

/// Redis counts its uptime by its wall clock: below zero that was set back, and says nothing.
fn uptime_ms(seconds: &str) -> u64 {
    match seconds.parse::<i64>() {
        Ok(seconds) => u64::try_from(seconds).map_or(u64::MAX, |seconds| seconds * 1000),
        Err(_) => 0,
    }
}

/// 0 is left for "not known".
fn run_of(run_id: &str) -> u64 {
    if run_id.is_empty() {
        return 0;
    }
    let digest = Sha256::digest(run_id.as_bytes());
    digest[..8].iter().fold(0, |run, byte| run << 8 | u64::from(*byte)).max(1)
}

pub(in crate::store) fn fitness(server: &Server) -> Result<(), String> {
    if server.version < VERSION_MIN {
        return Err(format!(
            "{} is too old; tidegate needs Redis 7.0 or newer, or Valkey",
            server.version_text
        ));
    }
    if server.policy != "noeviction" {
        return Err(format!(
            "this Redis evicts (maxmemory-policy {}), so messages could vanish; \
             set maxmemory-policy noeviction",
            server.policy
        ));
    }
    Ok(())
}

/// What a server offers against what is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct Level {
    /// The best level that it meets, up to the one wanted.
    pub(in crate::store) holds: Durability,
    /// How the one wanted is met, or why it is not.
    pub(in crate::store) wait: Result<Wait, Unmet>,
}

/// Why a level is not met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct Unmet {
    pub(in crate::store) why: String,
    /// It may come by itself: a replica still copies.
    pub(in crate::store) is_passing: bool,
}

/// How many replicas must confirm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Needs {
    /// So many, as `redis.replicas` says.
    Exactly(u64),
    /// All that are in step, and so many at least.
    AllAndAtLeast(u64),
}

/// How this server meets the level, or why it does not and which level it could meet.
pub(in crate::store) fn level(server: &Server, wanted: Durability, needs: Needs) -> Level {
    let fsync = server.fsync.as_deref();
    let disk = match (server.aof, fsync) {
        (true, Some("always")) => Some(false),
        (true, _) if planted!("everysec-as-disk") => Some(false),
        (true, _) if server.version >= VERSION_WAITAOF && !server.is_valkey => Some(true),
        _ => None,
    };
    let is_everysec = server.aof && fsync != Some("no");
    let could = match (disk, is_everysec) {
        (Some(_), _) => Durability::Disk,
        (None, true) => Durability::Everysec,
        (None, false) => Durability::Memory,
    };
    let refuse = |needs: String, is_passing| {
        let why = format!(
            "redis.durability = \"{}\" cannot be met by this Redis: {needs}; \
             change that, or set redis.durability = \"{}\"",
            wanted.as_str(),
            could.as_str()
        );
        Err(Unmet { why, is_passing })
    };
    let aof =
        |fsync: &str| refuse(format!("it needs appendonly yes and appendfsync {fsync}"), false);
    let wait = match (wanted, disk) {
        (Durability::Memory, _) => Ok(Wait::default()),
        (Durability::Everysec, _) if is_everysec => Ok(Wait::default()),
        (Durability::Everysec, _) => aof("everysec"),
        (Durability::Disk | Durability::Replicas, None) => aof("always"),
        (Durability::Disk, Some(disk)) => Ok(Wait { disk, replicas: 0 }),
        (Durability::Replicas, Some(disk)) => {
            let (needed, replicas) = match needs {
                Needs::Exactly(count) => (count, count),
                Needs::AllAndAtLeast(count) => (count.max(1), server.online.max(1)),
            };
            if server.online >= needed {
                Ok(Wait { disk, replicas })
            } else {
                let (online, copying) =
                    (server.online, server.replicas.saturating_sub(server.online));
                refuse(
                    format!(
                        "it needs {needed} or more replicas in step, {online} are and {copying} still copy"
                    ),
                    server.replicas >= needed,
                )
            }
        }
    };
    let holds = if wait.is_ok() { wanted } else { could.min(wanted) };
    Level { holds, wait }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(aof: bool, fsync: Option<&str>, version: (u32, u32), online: u64) -> Server {
        Server {
            aof,
            fsync: fsync.map(str::to_owned),
            version,
            replicas: online,
            online,
            policy: "noeviction".into(),
            ..Server::default()
        }
    }

    const ANY: Needs = Needs::AllAndAtLeast(1);
    fn wait(disk: bool, replicas: u64) -> Result<Wait, Unmet> {
        Ok(Wait { disk, replicas })
    }

    #[test]
    fn levels_are_met_or_refused_with_the_level_that_could_be() {
        let always = server(true, Some("always"), (7, 0), 0);
        let everysec = server(true, Some("everysec"), (7, 0), 0);
        let none = server(false, Some("always"), (7, 0), 2);
        let why = |server: &Server, wanted| {
            let level = level(server, wanted, ANY);
            (level.wait.unwrap_err().why, level.holds)
        };
        assert_eq!(level(&always, Durability::Disk, ANY).wait, wait(false, 0));
        let waitaof = server(true, Some("everysec"), (8, 0), 0);
        assert_eq!(level(&waitaof, Durability::Disk, ANY).wait, wait(true, 0));
        for liar in [
            server(true, Some("everysec"), (7, 4), 0),
            Server { is_valkey: true, ..server(true, Some("everysec"), (8, 0), 0) },
        ] {
            let (text, holds) = why(&liar, Durability::Disk);
            assert!(text.contains("appendfsync always"), "{text}");
            assert_eq!(holds, Durability::Everysec);
        }
        assert_eq!(level(&everysec, Durability::Everysec, ANY).wait, wait(false, 0));
        let (text, holds) = why(&everysec, Durability::Disk);
        assert!(text.contains("durability = \"everysec\""), "{text}");
        assert_eq!(holds, Durability::Everysec);
        let (text, holds) = why(&none, Durability::Everysec);
        assert!(text.contains("durability = \"memory\""), "{text}");
        assert_eq!(holds, Durability::Memory);
        let (text, holds) = why(&always, Durability::Replicas);
        assert!(text.contains("replicas in step"), "{text}");
        assert_eq!(holds, Durability::Disk);
        assert_eq!(level(&none, Durability::Memory, ANY).wait, wait(false, 0));
    }

    #[test]
    fn replicas_are_those_in_step_or_as_many_as_are_configured() {
        let two = server(true, Some("always"), (7, 0), 2);
        let three = server(true, Some("everysec"), (8, 0), 3);
        assert_eq!(level(&two, Durability::Replicas, ANY).wait, wait(false, 2));
        assert_eq!(level(&two, Durability::Replicas, Needs::Exactly(1)).wait, wait(false, 1));
        assert_eq!(level(&three, Durability::Replicas, Needs::Exactly(3)).wait, wait(true, 3));
        let unmet = level(&two, Durability::Replicas, Needs::Exactly(3)).wait.unwrap_err();
        assert!(!unmet.is_passing && unmet.why.contains("needs 3 or more"), "{unmet:?}");
        // One that was there a moment ago may just become the master.
        let unmet = level(&two, Durability::Replicas, Needs::AllAndAtLeast(3)).wait.unwrap_err();
        assert!(unmet.why.contains("needs 3 or more"), "{unmet:?}");
        assert_eq!(
            level(&three, Durability::Replicas, Needs::AllAndAtLeast(2)).wait,
            wait(true, 3)
        );
        let copying = Server { replicas: 3, online: 2, ..two };
        assert!(
            level(&copying, Durability::Replicas, Needs::Exactly(3)).wait.unwrap_err().is_passing
        );
    }

    #[test]
    fn a_wait_is_met_by_all_it_waits_for() {
        let both = Wait { disk: true, replicas: 2 };
        assert_eq!(both.commands().len(), 2);
        let flushed = |count| Value::Array(vec![Value::Int(count), Value::Int(0)]);
        assert!(both.met(vec![flushed(1), Value::Int(2)]).is_ok());
        let error = both.met(vec![flushed(0), Value::Int(2)]).unwrap_err().to_string();
        assert!(error.contains("flushed"), "{error}");
        let error = both.met(vec![flushed(1), Value::Int(1)]).unwrap_err().to_string();
        assert!(error.contains("1 of 2"), "{error}");
        assert!(both.met(vec![]).is_err());
        assert!(Wait::default().commands().is_empty() && Wait::default().met(vec![]).is_ok());
    }

    #[test]
    fn a_server_says_which_run_it_is_and_who_is_in_step() {
        assert_eq!(Server::read(Value::Nil).run, 0);
        let info = "run_id:abc\r\nrole:master\r\nredis_version:7.2.4\r\nvalkey_version:9.1.2\r\n\
                    connected_slaves:2\r\nslave0:ip=1,port=2,state=online,offset=0,lag=0\r\n\
                    slave1:ip=1,port=3,state=wait_bgsave,offset=0,lag=0\r\n";
        let server = Server::read(Value::BulkString(info.into()));
        assert!(server.run != 0 && server.is_master);
        assert_eq!((server.replicas, server.online), (2, 1));
        assert_eq!((server.version, server.version_text.as_str()), ((7, 2), "Valkey 9.1.2"));
    }

    #[test]
    fn an_evicting_or_old_redis_is_refused() {
        let mut evicting = server(true, Some("always"), (7, 0), 0);
        evicting.policy = "allkeys-lru".into();
        assert!(fitness(&evicting).unwrap_err().contains("noeviction"));
        assert!(fitness(&server(true, None, (6, 2), 0)).unwrap_err().contains("7.0"));
    }
}
