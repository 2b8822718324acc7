//! What Redis holds of the lanes of a queue, and how much Redis works for them.
//!
//! Owns the names of the structures. Refuses to know what is in them.

use std::collections::BTreeMap;

use crate::support::{QUEUE, RedisServer};

/// The structures that have members for keys; those of turns have a number behind the name.
const NAMES: [&str; 12] = [
    "heads", "rest", "open", "parked", "waits", "lent", "turns", "tags", "arrivals", "used",
    "flight", "held",
];

/// How many members each structure of the lanes has; one that is empty is not there.
pub(super) async fn sizes(redis: &RedisServer) -> BTreeMap<String, u64> {
    let shard = format!("{{tidegate:{QUEUE}.0}}:");
    let keys: Vec<String> = redis.cli(&["KEYS", &format!("*{shard}*")]).await;
    let mut sizes = BTreeMap::new();
    for key in keys {
        let (_, name) = key.split_once(&shard).expect("as it was asked for");
        let stem = name.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
        if !NAMES.contains(&stem) {
            continue;
        }
        let kind: String = redis.cli(&["TYPE", &key]).await;
        let count = match kind.as_str() {
            "hash" => "HLEN",
            "zset" => "ZCARD",
            // It went meanwhile.
            "none" => continue,
            other => panic!("{key} is a {other}"),
        };
        sizes.insert(name.to_owned(), redis.cli(&[count, &key]).await);
    }
    sizes
}

/// What Redis has done by a moment, by its own count.
#[derive(Debug, Clone, Copy)]
pub(super) struct Work {
    pub(super) commands: u64,
    pub(super) scripts: u64,
    /// In scripts, and so in what they call.
    pub(super) busy_us: u64,
}

impl Work {
    pub(super) async fn by_now(redis: &RedisServer) -> Self {
        let info: String = redis.cli(&["INFO", "commandstats"]).await;
        let mut work = Self { commands: 0, scripts: 0, busy_us: 0 };
        for line in info.lines() {
            let Some((name, fields)) = line.split_once(':') else { continue };
            let field = |field: &str| -> Option<u64> {
                let value = fields.split(',').find_map(|it| it.strip_prefix(field))?;
                value.strip_prefix('=')?.trim().parse().ok()
            };
            let Some(calls) = field("calls") else { continue };
            work.commands += calls;
            if name.starts_with("cmdstat_eval") {
                work.scripts += calls;
                work.busy_us += field("usec").unwrap_or_default();
            }
        }
        work
    }

    pub(super) fn since(self, before: Self) -> Self {
        Self {
            commands: self.commands - before.commands,
            scripts: self.scripts - before.scripts,
            busy_us: self.busy_us - before.busy_us,
        }
    }
}
