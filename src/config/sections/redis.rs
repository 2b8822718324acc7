//! `[redis]`: where messages are kept.
//!
//! Owns which of the ways to a Redis is meant, and the default place of a managed one's data.

use std::borrow::Cow;
use std::num::NonZeroU64;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use crate::config::kinds::{duration, parsed, size, text, word};
use crate::config::load::reader::{Context, Field, Read, Section};
use crate::config::load::sources::Layer;
use crate::config::settings::{Durability, RedisSettings, RedisTarget};
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

pub(in crate::config) fn read(field: &Field<'_>) -> Read<RedisSettings> {
    field.section(&[], |section| {
        let target = target(section);
        let namespace = section.required("namespace", "\"tidegate\"", namespace);
        let durability = section.required("durability", "\"disk\"", durability);
        let replicas = section.read("replicas", parsed::<NonZeroU64>);
        let data_dir = match section.read("data_dir", data_dir) {
            Ok(None) => Ok(default_data_dir(section.context())),
            Ok(Some(dir)) => Ok(dir),
            Err(reported) => Err(reported),
        };
        let disk_reserve = section.required("disk_reserve", "\"256MiB\"", size(DISK_RESERVE_BYTES));
        let clock_settle =
            section.required("clock_settle", "\"1m\"", duration(CLOCK_SETTLE_MS));
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
        Ok(RedisSettings {
            target: target?,
            namespace: namespace?,
            durability: durability?,
            replicas: replicas?.map(NonZeroU64::get),
            data_dir: data_dir?,
            disk_reserve_bytes: disk_reserve?,
            clock_settle_ms: clock_settle?,
        })
    })
}

/// At most one of `url`, `sentinel`, `cluster`. A flag or a variable that names one takes the place
/// of what lower layers name.
fn target(section: &Section<'_>) -> Read<RedisTarget> {
    let fields = ["url", "sentinel", "cluster"].map(|key| (key, section.field(key)));
    let set = || fields.iter().filter_map(|(key, field)| Some((*key, field.as_ref()?)));
    let Some(top) = set().map(|(_, field)| Layer::of(&field.origin())).max() else {
        return Ok(RedisTarget::Managed);
    };
    let mut meant = set().filter(|(_, field)| Layer::of(&field.origin()) == top);
    let Some((key, field)) = meant.next() else { return Ok(RedisTarget::Managed) };
    if let Some((other, _)) = meant.next() {
        return Err(section.wrong(
            other,
            format!("{key} is set too; expected only one of url, sentinel and cluster"),
        ));
    }
    match key {
        "url" => Ok(RedisTarget::Url(url(field, &["redis", "rediss", "unix"], true)?)),
        "sentinel" => sentinel(field),
        _ => Ok(RedisTarget::Cluster(servers(field)?)),
    }
}

fn sentinel<'a>(field: &Field<'a>) -> Read<RedisTarget> {
    field.section(&[], |section: &Section<'a>| {
        let master = section.required("master", "master = \"mymaster\"", text);
        let urls = section.required("urls", "urls = [\"redis://sentinel-1:26379\"]", servers);
        Ok(RedisTarget::Sentinel { master: master?, urls: urls? })
    })
}

fn servers(field: &Field<'_>) -> Read<Vec<Secret>> {
    let urls = field.list(|field| url(field, &["redis", "rediss"], false))?;
    if urls.is_empty() {
        return Err(field
            .wrong("found an empty list, expected servers, for example [\"redis://one:6379\"]"));
    }
    Ok(urls)
}

/// A server's url. It is never shown, as it may hold a password. Sentinels and the servers of a cluster have
/// one database each, 0.
fn url(field: &Field<'_>, schemes: &[&str], has_databases: bool) -> Read<Secret> {
    let example = format!("expected {}://host:port", schemes.join("://..., "));
    field.parse(|text| {
        if is_bare_address(text) {
            return Err(format!(
                "is not a valid url: it has no scheme; write {}://{text}",
                schemes[0]
            ));
        }
        let url = url::Url::parse(text).map_err(|e| {
            format!("is not a valid url ({e}); {example} (special characters of a password as %XX)")
        })?;
        if !schemes.contains(&url.scheme()) {
            return Err(format!("has the scheme {:?}; {example}", url.scheme()));
        }
        let named = if url.scheme() == "unix" {
            url.path().len() > 1
        } else {
            url.host_str().is_some_and(|host| !host.is_empty())
        };
        if !named {
            return Err(format!("names no server; {example}"));
        }
        let database = database(&url)?;
        if database != 0 && !has_databases {
            return Err(format!(
                "names the database {database}; sentinels and clusters have only 0, leave it out"
            ));
        }
        Ok(Secret::new(text.to_owned()))
    })
}

/// The number of the database: the path of a url, or `db=` of a socket's.
fn database(url: &url::Url) -> Result<u32, String> {
    let found = match url.scheme() {
        "unix" => url.query_pairs().find(|(name, _)| name == "db").map(|(_, value)| value),
        _ => Some(url.path().trim_start_matches('/').into())
            .filter(|path: &Cow<'_, str>| !path.is_empty()),
    };
    let Some(found) = found else { return Ok(0) };
    let is_plain = found.bytes().all(|byte| byte.is_ascii_digit());
    found.parse().ok().filter(|_| is_plain).ok_or_else(|| {
        let shown: String = found.chars().take(40).collect();
        format!(
            "names {shown:?} as its database; expected a number, for example redis://host:6379/0"
        )
    })
}

/// `localhost:6379` and the like, which has no place for a password and may be shown.
fn is_bare_address(text: &str) -> bool {
    let (host, port) = text.split_once(':').unwrap_or((text, "6379"));
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    !host.is_empty() && host.chars().all(is_plain) && port.parse::<u16>().is_ok()
}

fn namespace(field: &Field<'_>) -> Read<String> {
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

fn durability(field: &Field<'_>) -> Read<Durability> {
    let words = [Durability::Memory, Durability::Everysec, Durability::Disk, Durability::Replicas];
    word(&words.map(|level| (level.as_str(), level)), &[])(field)
}

fn data_dir(field: &Field<'_>) -> Read<PathBuf> {
    let path = text(field)?;
    match (path.strip_prefix("~/"), field.context().variable("HOME")) {
        (Some(rest), Some(home)) => Ok(PathBuf::from(home).join(rest)),
        (Some(_), None) => {
            Err(field.wrong("~ is not known, as HOME is not set; write the whole path"))
        }
        (None, _) => parsed(field),
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
