//! Which Redis is meant, in words that may be shown: no password, no user, no query.
//!
//! Owns what is left out of a url. Refuses to know how a Redis is reached.

use super::setting::MASK;
use super::settings::{RedisSettings, RedisTarget};
use crate::domain::endpoint::Secret;

impl RedisSettings {
    /// Which Redis keeps the messages, for example `Redis at redis://cache-1:6379`.
    #[must_use]
    pub fn address(&self) -> String {
        let all = |urls: &[Secret]| urls.iter().map(masked_url).collect::<Vec<_>>().join(" and ");
        match &self.target {
            RedisTarget::Managed => format!("managed Redis, data in {}", self.data_dir.display()),
            RedisTarget::Url(url) => format!("Redis at {}", masked_url(url)),
            RedisTarget::Sentinel { master, urls } => {
                format!("Redis {master} by the sentinels {}", all(urls))
            }
            RedisTarget::Cluster(urls) => format!("Redis Cluster at {}", all(urls)),
        }
    }
}

/// A server's url without user, password and query.
pub(super) fn masked_url(secret: &Secret) -> String {
    let Ok(mut url) = url::Url::parse(secret.expose()) else { return MASK.to_owned() };
    let named = !url.username().is_empty() || url.password().is_some();
    // Each refuses only urls that cannot hold what it removes.
    if named && (url.set_username(MASK).is_err() || url.set_password(None).is_err()) {
        return MASK.to_owned();
    }
    if url.query().is_some() {
        url.set_query(Some(MASK));
    }
    url.set_fragment(None);
    url.to_string()
}

#[cfg(test)]
mod tests {
    use crate::config::testing::settings_of;

    #[test]
    fn the_address_is_shown_without_user_and_password() {
        for (redis, text) in [
            ("data_dir = \"/d\"", "managed Redis, data in /d"),
            ("url = \"redis://cache-1:6379/2\"", "Redis at redis://cache-1:6379/2"),
            ("url = \"rediss://ann:hunter2@cache-1\"", "Redis at rediss://***@cache-1"),
            ("url = \"redis://:hunter2@cache-1:1\"", "Redis at redis://***@cache-1:1"),
            (
                "sentinel = { master = \"m\", urls = [\"redis://:hunter2@a:1\", \"redis://b\"] }",
                "Redis m by the sentinels redis://***@a:1 and redis://b",
            ),
            (
                "cluster = [\"redis://u:hunter2@a:1\", \"redis://b:2\"]",
                "Redis Cluster at redis://***@a:1 and redis://b:2",
            ),
        ] {
            let settings = settings_of(&format!("[redis]\n{redis}\n"));
            assert_eq!(settings.redis.address(), text);
        }
    }
}
