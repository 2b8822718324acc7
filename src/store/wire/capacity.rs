//! Whether there is room for more messages: in Redis' memory, and on the managed Redis' disk.
//!
//! Owns the marks, below what is really there, at which intake is refused, and lower ones at which it
//! goes on, so that it does not flicker. Draining goes on above the marks: it makes room. A master
//! that is over its mark refuses the messages of the shards that it serves. Refuses to know what room
//! is needed for.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::Wire;
use crate::config::RedisTarget;
use crate::domain::doctor::store::Resource;
use crate::domain::human::size;
use crate::store::StoreError;
use crate::store::redis::link::slot;
use crate::store::redis::survey::Server;
use crate::telemetry::{Metrics, ResourceLabel};

/// Shares of `maxmemory`, in hundredths: intake stops at the first, and goes on below the second.
const MEMORY_STOP: u64 = 90;
const MEMORY_GO: u64 = 85;
/// Above the reserve by a quarter of it, intake goes on; on a disk that has hardly more than the reserve in
/// all, above the reserve by a quarter of what is beyond.
const DISK_GO: u64 = 4;

/// Why a master takes no more messages.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ServerSpace {
    address: String,
    /// Empty: it serves everything.
    slots: Vec<(u16, u16)>,
    memory: Option<String>,
    disk: Option<String>,
}

/// What was there when last looked.
#[derive(Debug, Default)]
pub(in crate::store) struct Capacity {
    places: ArcSwap<Vec<ServerSpace>>,
    /// Since when every server takes writes again, after one did not.
    writable_since: Mutex<Option<Instant>>,
}

impl ServerSpace {
    fn serves(&self, key: &str) -> bool {
        let slot = slot(key);
        self.slots.is_empty() || self.slots.iter().any(|(from, to)| (*from..=*to).contains(&slot))
    }

    fn why(&self) -> Option<&String> {
        self.memory.as_ref().or(self.disk.as_ref())
    }

    /// The address for the log; a managed Redis has none.
    fn shown_address(&self) -> Option<&str> {
        Some(self.address.as_str()).filter(|address| !address.is_empty())
    }

    /// What makes room for what [`Self::why`] names.
    fn remedy(&self) -> &'static str {
        match &self.memory {
            Some(_) => {
                "raise maxmemory, shorten retention.delivered, or delete finished messages with `tidegate purge`; `tidegate doctor --quick` shows the state"
            }
            None => {
                "free space on the disk that holds the data of Redis, or make it larger; `tidegate doctor --quick` shows the state"
            }
        }
    }
}

impl Capacity {
    /// Whether the server of this key takes a message.
    pub(in crate::store) fn check(&self, key: &str) -> Result<(), StoreError> {
        let places = self.places.load();
        let full = places.iter().find(|place| place.why().is_some() && place.serves(key));
        match full.and_then(ServerSpace::why) {
            Some(why) => Err(StoreError::Full(why.clone())),
            None => Ok(()),
        }
    }

    /// What any server has too little of.
    pub(in crate::store) fn short_of(&self) -> Vec<Resource> {
        let places = self.places.load();
        let memory = places.iter().any(|place| place.memory.is_some());
        let disk = places.iter().any(|place| place.disk.is_some());
        let found = [(memory, Resource::Memory), (disk, Resource::Disk)];
        found.into_iter().filter_map(|(is_short, of)| is_short.then_some(of)).collect()
    }

    /// Looks at what the servers say, and at the disk of a managed one.
    fn look(&self, metrics: &Metrics, servers: &[Server], disk: Option<Disk>) {
        let before = self.places.load();
        let places: Vec<ServerSpace> = servers
            .iter()
            .map(|server| {
                let known = before.iter().find(|place| place.address == server.address);
                let was = |of: fn(&ServerSpace) -> bool| known.is_some_and(of);
                ServerSpace {
                    address: server.address.clone(),
                    slots: server.slots.clone(),
                    memory: memory_mark(
                        server.memory_bytes,
                        server.memory_bytes_max,
                        was(|place| place.memory.is_some()),
                    ),
                    disk: writes_mark(server.does_aof_fail).or_else(|| {
                        disk.and_then(|disk| disk.mark(was(|place| place.disk.is_some())))
                    }),
                }
            })
            .collect();
        say(&before, &places);
        for (resource, is_full) in [
            ("memory", places.iter().any(|place| place.memory.is_some())),
            ("disk", places.iter().any(|place| place.disk.is_some())),
        ] {
            metrics
                .store
                .store_full
                .get_or_create(&ResourceLabel { resource })
                .set(i64::from(is_full));
        }
        self.places.store(Arc::new(places));
        if servers.iter().any(|server| server.does_aof_fail) {
            let mut since = self.writable_since.lock();
            *since = Some(Instant::now());
        }
    }

    /// How long ago a server that refused writes took them again; `None`: none ever did.
    pub(in crate::store) fn writable_for(&self) -> Option<Duration> {
        let since = *self.writable_since.lock();
        since.map(|since| since.elapsed())
    }
}

impl Wire {
    /// Whether the server of this key takes a message; see [`Capacity`].
    pub(in crate::store) fn check_capacity(&self, key: &str) -> Result<(), StoreError> {
        self.capacity.check(key)
    }

    /// Looks how much room there is; asked with every look at the servers.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where no server writes its append-only file: nothing goes on there.
    pub(in crate::store) fn look_at_capacity(&self, servers: &[Server]) -> Result<(), StoreError> {
        let settings = &self.settings;
        let disk = match settings.target {
            RedisTarget::Managed => Disk::of(&settings.data_dir, settings.disk_reserve_bytes),
            RedisTarget::Url(_) | RedisTarget::Sentinel { .. } | RedisTarget::Cluster(_) => None,
        };
        self.capacity.look(self.metrics(), servers, disk);
        if !servers.is_empty() && servers.iter().all(|server| server.does_aof_fail) {
            return Err(StoreError::Unavailable(AOF_FAILS.to_owned()));
        }
        Ok(())
    }
}

const AOF_FAILS: &str =
    "Redis cannot write its append-only file, and refuses every write; free space on its disk";

fn writes_mark(does_aof_fail: bool) -> Option<String> {
    does_aof_fail.then(|| AOF_FAILS.to_owned())
}

/// What a managed Redis' disk has left, and what must stay.
#[derive(Debug, Clone, Copy)]
struct Disk {
    free_bytes: u64,
    /// All of it, as far as an ordinary user may ever write there.
    size_bytes: u64,
    reserve_bytes: u64,
}

impl Disk {
    fn of(dir: &Path, reserve_bytes: u64) -> Option<Self> {
        let about = rustix::fs::statvfs(dir).ok()?;
        // What is kept back for the system's administrator is never free for us.
        let kept_back = about.f_bfree.saturating_sub(about.f_bavail);
        let bytes = |blocks: u64| blocks.saturating_mul(about.f_frsize);
        Some(Self {
            free_bytes: bytes(about.f_bavail),
            size_bytes: bytes(about.f_blocks.saturating_sub(kept_back)),
            reserve_bytes,
        })
    }

    /// From so much on intake goes on.
    fn go_bytes(self) -> u64 {
        let beyond = self.size_bytes.saturating_sub(self.reserve_bytes);
        self.reserve_bytes.saturating_add(self.reserve_bytes.min(beyond) / DISK_GO)
    }

    fn mark(self, was_full: bool) -> Option<String> {
        let Self { free_bytes, size_bytes, reserve_bytes } = self;
        let go_bytes = self.go_bytes();
        if free_bytes >= if was_full { go_bytes } else { reserve_bytes } {
            return None;
        }
        Some(if size_bytes <= reserve_bytes {
            format!(
                "the disk of redis.data_dir has {} in all, and redis.disk_reserve keeps {} of it free: set redis.disk_reserve lower",
                size(size_bytes),
                size(reserve_bytes)
            )
        } else {
            format!(
                "the disk of redis.data_dir has {} left; intake stops below {} (redis.disk_reserve) and goes on from {}",
                size(free_bytes),
                size(reserve_bytes),
                size(go_bytes)
            )
        })
    }
}

/// What an ordinary user may still write there; `None`: it cannot be told.
pub(in crate::store) fn free_bytes(dir: &Path) -> Option<u64> {
    let about = rustix::fs::statvfs(dir).ok()?;
    Some(about.f_bavail.saturating_mul(about.f_frsize))
}

fn memory_mark(bytes: u64, bytes_max: u64, was_full: bool) -> Option<String> {
    let share = if was_full { MEMORY_GO } else { MEMORY_STOP };
    let is_full = bytes_max > 0 && bytes >= bytes_max / 100 * share;
    is_full.then(|| {
        format!(
            "Redis uses {} of the {} of its maxmemory; intake goes on below {MEMORY_GO} %",
            size(bytes),
            size(bytes_max)
        )
    })
}

/// Once per change.
fn say(before: &[ServerSpace], now: &[ServerSpace]) {
    for place in now {
        let known = before.iter().find(|known| known.address == place.address);
        let was_full = known.is_some_and(|known| known.why().is_some());
        match place.why() {
            Some(why) if !was_full => {
                tracing::error!(
                    why,
                    server = place.shown_address(),
                    next = place.remedy(),
                    "new messages are refused: too little space is left"
                );
            }
            None if was_full => {
                tracing::info!(
                    server = place.shown_address(),
                    "there is enough space again; new messages are accepted"
                );
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn server(address: &str, slots: (u16, u16), memory_bytes: u64) -> Server {
        let info = format!("used_memory:{memory_bytes}\r\nmaxmemory:{GIB}\r\n");
        let mut server = Server::read(redis::Value::BulkString(info.into_bytes()));
        (server.address, server.slots) = (address.to_owned(), vec![slots]);
        server
    }

    #[test]
    fn intake_stops_at_nine_tenths_of_the_memory_and_goes_on_well_below() {
        let full = |share: u64, was_full| memory_mark(GIB / 100 * share, GIB, was_full).is_some();
        assert!(!full(89, false));
        assert!(full(90, false) && full(86, true) && full(100, false));
        assert!(!full(84, true));
        assert!(memory_mark(GIB, 0, false).is_none(), "without a limit there is no mark");
    }

    #[test]
    fn intake_stops_at_the_reserve_of_the_disk_and_goes_on_above_it() {
        let mib = |mib: u64| mib << 20;
        let disk = |free: u64, size: u64| Disk {
            free_bytes: mib(free),
            size_bytes: mib(size),
            reserve_bytes: mib(256),
        };
        let is_full = |free, was_full| disk(free, 4096).mark(was_full).is_some();
        assert!(!is_full(256, false) && !is_full(320, true));
        assert!(is_full(255, false) && is_full(319, true));
        let why = disk(319, 4096).mark(true).unwrap();
        assert!(why.contains("has 319 MiB left; intake stops below 256 MiB"), "{why}");
        assert!(why.contains("goes on from 320 MiB"), "{why}");
        let none = Disk { free_bytes: 0, size_bytes: mib(4096), reserve_bytes: 0 };
        assert!(none.mark(false).is_none(), "switched off");
    }

    #[test]
    fn a_small_disk_opens_again_and_one_that_never_can_says_so() {
        let disk = |free_mib: u64, size_mib: u64| Disk {
            free_bytes: free_mib << 20,
            size_bytes: size_mib << 20,
            reserve_bytes: 256 << 20,
        };
        assert!(disk(266, 300).mark(true).is_some());
        assert!(disk(267, 300).mark(true).is_none(), "it could never have 320 MiB");
        let why = disk(200, 200).mark(false).unwrap();
        assert!(why.contains("has 200 MiB in all"), "{why}");
        assert!(why.contains("set redis.disk_reserve lower"), "{why}");
    }

    #[test]
    fn a_server_that_cannot_write_its_file_takes_nothing_and_then_is_watched_for_a_lease() {
        let (capacity, metrics) = (Capacity::default(), Metrics::new());
        let info = redis::Value::BulkString(b"aof_last_write_status:err\r\n".to_vec());
        capacity.look(&metrics, &[Server::read(info)], None);
        assert!(matches!(capacity.check("foo"), Err(StoreError::Full(_))));
        assert!(metrics.render().contains("tidegate_store_full{resource=\"disk\"} 1"));
        assert!(capacity.writable_for().is_some());
    }

    #[test]
    fn a_full_master_refuses_what_it_serves_and_no_more() {
        let (capacity, metrics) = (Capacity::default(), Metrics::new());
        // Slots 12182 and 12739, see the cluster specification.
        let servers = [server("one", (0, 12_400), GIB), server("two", (12_401, 16_383), 0)];
        assert!(capacity.check("foo").is_ok(), "before the first look");
        capacity.look(&metrics, &servers, None);
        assert!(matches!(capacity.check("foo"), Err(StoreError::Full(_))));
        assert!(capacity.check("123456789").is_ok());
        assert!(metrics.render().contains("tidegate_store_full{resource=\"memory\"} 1"));
        capacity.look(&metrics, &[server("one", (0, 12_400), 0), servers[1].clone()], None);
        assert!(capacity.check("foo").is_ok());
    }
}
