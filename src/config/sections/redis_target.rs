//! `redis.url`, `redis.sentinel` and `redis.cluster`: which Redis is meant.
//!
//! Owns what an address may look like, and which layer decides where several name one.

use std::borrow::Cow;

use crate::config::load::reader::{Field, Read, Section};
use crate::config::load::sources::Layer;
use crate::config::setting::{Kind as _, text};
use crate::config::settings::RedisTarget;
use crate::domain::endpoint::Secret;

/// At most one of `url`, `sentinel`, `cluster`. A flag or a variable that names one takes the place
/// of what lower layers name.
pub(in crate::config) fn target(section: &Section<'_>) -> Read<RedisTarget> {
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
        let master =
            section.required("master", "master = \"mymaster\"", |field| text("a name").read(field));
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
