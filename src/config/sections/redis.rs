//! `[redis]`: where messages are kept.
//!
//! Owns the default place of a managed Redis' data; which of the ways to a Redis is meant, says `redis_target`.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use super::redis_target::target;
use crate::config::load::reader::{Context, Field, Read};
use crate::config::redis_address::masked_url;
use crate::config::setting::{
    Beside, Kind, Shown, Table, custom, duration, settings, size, text, whole, word,
};
use crate::config::settings::{Durability, RedisSettings, RedisTarget, SettleAt};
use crate::domain::endpoint::Secret;

/// The longest path of a Unix socket, in bytes: 108 with the closing zero on Linux.
const SOCKET_BYTES_MAX: usize = 107;
/// The longest namespace, in bytes: it stands in every key.
const NAMESPACE_BYTES_MAX: usize = 31;
/// 0 switches it off.
const DISK_RESERVE_BYTES: RangeInclusive<u64> = 0..=1 << 50;
/// Steady for less than a second would be no sign; for more than a day nobody waits.
const CLOCK_SETTLE_MS: RangeInclusive<u64> = 1000..=24 * 3600 * 1000;
/// Where data goes when nobody has a home: a system service without a state directory.
const DATA_DIR_OF_NOBODY: &str = "/var/lib/tidegate";

/// The socket's file name within the data directory.
pub const MANAGED_SOCKET: &str = "redis.sock";

/// More replicas than anybody has.
const REPLICAS_MAX: u64 = 1000;

settings! {
    struct Redis in "redis" of RedisSettings {
        /// The address of one server.
        _url as "url": Shown = URL, |it| match &it.target {
            RedisTarget::Url(url) => masked_url(url).into(),
            _ => Shown::Unset,
        };
        /// The servers of Sentinel, and the name that they have for the master.
        _sentinel as "sentinel": Shown = SENTINEL, |it| match &it.target {
            RedisTarget::Sentinel { master, urls } => Shown::Table(Table::from([
                ("master", master.as_str().into()),
                ("urls", masked(urls)),
            ])),
            _ => Shown::Unset,
        };
        /// Seed nodes of a Redis Cluster.
        _cluster as "cluster": Shown = CLUSTER, |it| match &it.target {
            RedisTarget::Cluster(urls) => masked(urls),
            _ => Shown::Unset,
        };
        /// First part of every key in Redis: `[a-z0-9][a-z0-9_-]{0,30}`. With different namespaces, several Tidegates can
        /// share one Redis; several daemons of one namespace are one Tidegate.
        namespace: String = namespace().or("tidegate".to_owned()), |it| it.namespace.clone();
        /// How safe a message must be before its producer gets 201: `memory` (in the memory of Redis), `everysec` (in the log
        /// of Redis, which is flushed every second: a crash may lose the last second or two), `disk` (on disk) or `replicas`
        /// (on disk, and at all configured replicas), see [guarantees](guarantees.md). If Redis cannot do this, the daemon
        /// does not start.
        durability: Durability =
            word(&LEVELS.map(|level| (level.as_str(), level)), &[]).or(Durability::Disk),
            |it| it.durability;
        /// At `durability = "replicas"`: how many replicas must confirm a message (in a cluster: replicas of each master), see
        /// [guarantees](guarantees.md).
        replicas: Option<u64> =
            whole(1..=REPLICAS_MAX).unset_means("those in step, at least one").example("2"),
            |it| it.replicas;
        /// When the slot of a call that has ended comes free: with `level` when Redis has the outcome; with `replicas` when the
        /// replicas have it too, so that a failover repeats at most what was in flight. That needs
        /// `durability = "replicas"`, and costs each call a wait for them, see [guarantees](guarantees.md).
        settle: SettleAt = word(&SETTLE.map(|at| (at.as_str(), at)), &[]).or(SettleAt::Level), |it| it.settle;
        /// Where the managed Redis keeps its data. Without a home, the default is `/var/lib/tidegate`. Two daemons cannot
        /// share it, and other users cannot read it (mode `0700`, files `0600`, whatever the umask).
        data_dir: Option<PathBuf> =
            data_dir()
                .unset_means("`$STATE_DIRECTORY`, else `$XDG_STATE_HOME/tidegate`, else `~/.local/state/tidegate`")
                .example("\"/var/lib/tidegate\""),
            |it| Some(it.data_dir.clone());
        /// How much must stay free on the disk of the managed Redis. With less free space, intake answers 503 `store-full`;
        /// stored messages are still sent. `0B`: free space is not checked.
        disk_reserve: u64 = size(DISK_RESERVE_BYTES).or(256 << 20), |it| it.disk_reserve_bytes;
        /// After a step of the clock of Redis of more than a second: how long the clock must be steady until due times, the
        /// end of leases, expiry and retention apply again, see [operations](operations.md#redis-clock).
        clock_settle: u64 = duration(CLOCK_SETTLE_MS).or(60_000), |it| it.clock_settle_ms;
    }
}

const URL: Beside = Beside::manual(
    "`redis://`, `rediss://`, `unix://`",
    "",
    "\"redis://:${REDIS_PASSWORD}@cache:6379/0\"",
);
const SENTINEL: Beside = Beside::manual(
    "a table with `master` and `urls`",
    "",
    "{ master = \"mymaster\", urls = [\"redis://sentinel-1:26379\", \"redis://sentinel-2:26379\"] }",
);
const CLUSTER: Beside =
    Beside::manual("a list of addresses", "", "[\"redis://node-1:6379\", \"redis://node-2:6379\"]");
const SETTLE: [SettleAt; 2] = [SettleAt::Level, SettleAt::Replicas];
const LEVELS: [Durability; 4] =
    [Durability::Memory, Durability::Everysec, Durability::Disk, Durability::Replicas];

fn masked(urls: &[Secret]) -> Shown {
    Shown::List(urls.iter().map(|url| masked_url(url).into()).collect())
}

pub(in crate::config) fn read(field: &Field<'_>) -> Read<RedisSettings> {
    field.section(&[], |section| {
        let target = target(section);
        let it = Redis::of(section);
        let data_dir =
            it.data_dir.map(|dir| dir.unwrap_or_else(|| default_data_dir(section.context())));
        if let (Ok(RedisTarget::Managed), Ok(data_dir)) = (&target, &data_dir) {
            let socket = data_dir.join(MANAGED_SOCKET);
            if socket.as_os_str().len() > SOCKET_BYTES_MAX {
                return Err(section.wrong(
                    "data_dir",
                    format!(
                        "the managed Redis' socket {} is longer than {SOCKET_BYTES_MAX} bytes, which no Unix socket may be; choose a shorter directory",
                        socket.display()
                    ),
                ));
            }
        }
        if let (Ok(SettleAt::Replicas), Ok(level)) = (&it.settle, &it.durability)
            && *level != Durability::Replicas
        {
            return Err(section.wrong(
                "settle",
                format!(
                    "\"replicas\" has no effect at durability = \"{}\", where nobody waits for replicas; set durability = \"replicas\", or remove settle",
                    level.as_str()
                ),
            ));
        }
        Ok(RedisSettings {
            target: target?,
            namespace: it.namespace?,
            durability: it.durability?,
            replicas: it.replicas?,
            settle: it.settle?,
            data_dir: data_dir?,
            disk_reserve_bytes: it.disk_reserve?,
            clock_settle_ms: it.clock_settle?,
        })
    })
}

fn namespace() -> impl Kind<Value = String> {
    custom("a name", read_namespace, |name: &String| name.as_str().into())
}

fn read_namespace(field: &Field<'_>) -> Read<String> {
    field.parse(|text| {
        let lower = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let good = text.bytes().next().is_some_and(lower)
            && text.bytes().all(|b| lower(b) || b == b'_' || b == b'-')
            && text.len() <= NAMESPACE_BYTES_MAX;
        if good {
            return Ok(text.to_owned());
        }
        Err(format!(
            "{text:?} is not a valid namespace; expected 1 to {NAMESPACE_BYTES_MAX} of a-z, 0-9, _ and -, starting with a letter or digit"
        ))
    })
}

fn data_dir() -> impl Kind<Value = PathBuf> {
    custom("a directory", read_data_dir, |dir: &PathBuf| dir.to_string_lossy().into_owned().into())
}

fn read_data_dir(field: &Field<'_>) -> Read<PathBuf> {
    let path = text("a directory").read(field)?;
    match (path.strip_prefix("~/"), field.context().variable("HOME")) {
        (Some(rest), Some(home)) => Ok(PathBuf::from(home).join(rest)),
        (Some(_), None) => {
            Err(field.wrong("~ is not known, as HOME is not set; write the whole path"))
        }
        (None, _) => Ok(PathBuf::from(path)),
    }
}

/// What systemd gives the service, or the user's directory for state (XDG base directories).
fn default_data_dir(context: &Context<'_>) -> PathBuf {
    if let Some(first) = context.variable("STATE_DIRECTORY").and_then(|dirs| dirs.split(':').next())
        && !first.is_empty()
    {
        return PathBuf::from(first);
    }
    // A relative XDG directory is to be ignored, by its specification.
    let xdg = context.variable("XDG_STATE_HOME").filter(|dir| dir.starts_with('/'));
    let home = context.variable("HOME");
    match (xdg, home) {
        (Some(state), _) => PathBuf::from(state).join("tidegate"),
        (None, Some(home)) => PathBuf::from(home).join(".local/state/tidegate"),
        (None, None) => PathBuf::from(DATA_DIR_OF_NOBODY),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::testing::{errors_of, load_with, settings_of};
    use crate::config::{Durability, RedisSettings, RedisTarget};
    use crate::domain::endpoint::Secret;

    fn redis(text: &str) -> RedisSettings {
        settings_of(&format!("[redis]\n{text}")).redis
    }

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned())
    }

    #[test]
    fn nothing_means_a_managed_redis_on_disk() {
        let redis = redis("");
        assert_eq!(redis.target, RedisTarget::Managed);
        assert_eq!(redis.namespace, "tidegate");
        assert_eq!(redis.durability, Durability::Disk);
    }

    #[test]
    fn the_three_ways_to_a_redis() {
        for url in [
            "redis://h",
            "redis://h/",
            "rediss://:p%40ss@h:1/2",
            "unix:///run/redis.sock",
            "unix:///run/redis.sock?db=3",
        ] {
            let RedisTarget::Url(found) = redis(&format!("url = {url:?}")).target else { panic!() };
            assert_eq!(found.expose(), url);
        }
        assert_eq!(
            redis("sentinel = { master = \"m\", urls = [\"redis://a\", \"redis://b\"] }").target,
            RedisTarget::Sentinel {
                master: "m".to_owned(),
                urls: vec![secret("redis://a"), secret("redis://b")]
            }
        );
        assert_eq!(
            redis("cluster = [\"redis://a:1\"]").target,
            RedisTarget::Cluster(vec![secret("redis://a:1")])
        );
    }

    #[test]
    fn a_higher_layer_chooses_another_way() {
        let file = "[redis]\ncluster = [\"redis://a\"]";
        let flag = ("redis.url".to_owned(), "redis://flag".to_owned(), "--redis");
        let settings = load_with(file, &[("TIDEGATE__REDIS__URL", "redis://env")], &[]).unwrap();
        assert_eq!(settings.redis.target, RedisTarget::Url(secret("redis://env")));
        let settings =
            load_with(file, &[("TIDEGATE__REDIS__URL", "redis://env")], &[flag]).unwrap();
        assert_eq!(settings.redis.target, RedisTarget::Url(secret("redis://flag")));
        let servers = [("TIDEGATE__REDIS__CLUSTER", "[\"redis://x\", \"redis://y\"]")];
        let settings = load_with("[redis]\nurl = \"redis://a\"", &servers, &[]).unwrap();
        assert_eq!(
            settings.redis.target,
            RedisTarget::Cluster(vec![secret("redis://x"), secret("redis://y")])
        );
    }

    #[test]
    fn bad_values_are_refused() {
        for (text, part) in [
            ("url = \"http://h\"", "redis.url: has the scheme \"http\"; expected redis://"),
            ("url = \"localhost\"", "it has no scheme; write redis://localhost"),
            ("url = \"localhost:6379\"", "it has no scheme; write redis://localhost:6379"),
            ("cluster = [\"one:6379\"]", "redis.cluster[0]: is not a valid url"),
            ("url = \"host name\"", "is not a valid url"),
            ("url = \"redis://\"", "names no server"),
            ("url = \"unix://\"", "names no server"),
            ("url = \"redis://h/abc\"", "redis.url: names \"abc\" as its database; expected"),
            ("url = \"redis://h/1/2\"", "names \"1/2\" as its database"),
            ("url = \"redis://h/-1\"", "names \"-1\" as its database"),
            ("url = \"unix:///x?db=one\"", "names \"one\" as its database"),
            ("cluster = [\"redis://a/1\"]", "redis.cluster[0]: names the database 1"),
            (
                "sentinel = { master = \"m\", urls = [\"redis://a/2\"] }",
                "redis.sentinel.urls[0]: names the database 2",
            ),
            ("url = \"redis://a\"\ncluster = [\"redis://b\"]", "expected only one of url"),
            ("cluster = []", "redis.cluster: found an empty list"),
            ("cluster = [\"unix:///x\"]", "redis.cluster[0]: has the scheme \"unix\""),
            ("sentinel = { urls = [\"redis://a\"] }", "redis.sentinel.master: is missing"),
            ("sentinel = { master = \"m\" }", "redis.sentinel.urls: is missing"),
            ("namespace = \"Tide\"", "\"Tide\" is not a valid namespace"),
            ("namespace = \"a234567890123456789012345678901x\"", "is not a valid namespace"),
            ("durability = \"dsik\"", "found \"dsik\", expected \"memory\" or \"everysec\""),
        ] {
            let error = errors_of(&format!("[redis]\n{text}"));
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn replicas_are_a_number_as_the_manual_writes_it() {
        let text = |value: &str| format!("durability = \"replicas\"\nreplicas = {value}");
        assert_eq!(redis(&text("2")).replicas, Some(2));
        assert_eq!(redis(&text("\"2\"")).replicas, Some(2));
        let error = errors_of(&format!("[redis]\n{}", text("0")));
        assert!(
            error.contains("redis.replicas: found 0, expected a whole number from 1"),
            "{error}"
        );
    }

    #[test]
    fn passwords_are_not_shown() {
        for url in ["redis://:hunter2@", "http://:hunter2@h", "redis://:hunter2@h:port"] {
            let error = errors_of(&format!("[redis]\nurl = {url:?}"));
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn data_goes_where_the_system_says() {
        let dir =
            |environment: &[(&str, &str)]| load_with("", environment, &[]).unwrap().redis.data_dir;
        assert_eq!(
            dir(&[("STATE_DIRECTORY", "/var/lib/a:/b"), ("HOME", "/h")]),
            Path::new("/var/lib/a")
        );
        assert_eq!(dir(&[("XDG_STATE_HOME", "/s"), ("HOME", "/h")]), Path::new("/s/tidegate"));
        assert_eq!(
            dir(&[("XDG_STATE_HOME", "s"), ("HOME", "/h")]),
            Path::new("/h/.local/state/tidegate")
        );
        assert_eq!(dir(&[]), Path::new("/var/lib/tidegate"));
        let home = load_with("[redis]\ndata_dir = \"~/d\"", &[("HOME", "/h")], &[]).unwrap();
        assert_eq!(home.redis.data_dir, Path::new("/h/d"));
    }

    #[test]
    fn a_managed_socket_must_fit_its_address() {
        let dir = format!("/{}", "d".repeat(SOCKET_DIR_BYTES));
        let settings = settings_of(&format!("[redis]\ndata_dir = {dir:?}"));
        assert_eq!(settings.redis.data_dir, Path::new(&dir));
        let error = errors_of(&format!("[redis]\ndata_dir = \"{dir}d\""));
        assert!(error.contains("redis.data_dir: ") && error.contains("107 bytes"), "{error}");
        let elsewhere = format!("[redis]\nurl = \"redis://h\"\ndata_dir = \"{dir}d\"");
        let _settings = settings_of(&elsewhere);
    }

    /// 107, less the leading and the inner slash and the socket's name.
    const SOCKET_DIR_BYTES: usize = 107 - 2 - "redis.sock".len();
}
