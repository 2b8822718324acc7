//! Two configurations side by side: what a reload cannot change, and whether nodes agree.

use sha2::{Digest as _, Sha256};

use super::render::{render_queue, render_schedule, render_topic};
use super::settings::{RedisTarget, Settings};

/// Length of a digest in text: enough to tell a few configurations apart at a glance.
const DIGEST_CHARS: usize = 12;

/// A short hash of queues, topics, schedules and inbox, for nodes to compare. Secrets are left out of
/// it, so that it can be shown.
#[must_use]
pub fn digest(settings: &Settings) -> String {
    let mut hash = Sha256::new();
    for policy in settings.queues.values() {
        hash.update(render_queue(policy));
    }
    for policy in settings.topics.values() {
        hash.update(render_topic(policy));
    }
    for schedule in settings.schedules.values() {
        hash.update(render_schedule(schedule));
    }
    hash.update([u8::from(settings.inbox.enabled)]);
    let mut text: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    text.truncate(DIGEST_CHARS);
    text
}

/// The keys that differ and that a reload does not change, as a reload is of queues, topics, schedules,
/// inbox and tokens: the caller says that they wait for a restart.
#[must_use]
pub fn restart_needed(old: &Settings, new: &Settings) -> Vec<String> {
    let (server, redis) = ((&old.server, &new.server), (&old.redis, &new.redis));
    let differs = [
        ("server.listen", server.0.listen != server.1.listen),
        ("server.body_limit", server.0.body_limit_bytes != server.1.body_limit_bytes),
        (
            "server.batch_body_limit",
            server.0.batch_body_limit_bytes != server.1.batch_body_limit_bytes,
        ),
        ("server.drain_timeout", server.0.drain_timeout_ms != server.1.drain_timeout_ms),
        (target_key(&redis.1.target, &redis.0.target), redis.0.target != redis.1.target),
        ("redis.namespace", redis.0.namespace != redis.1.namespace),
        ("redis.durability", redis.0.durability != redis.1.durability),
        ("redis.replicas", redis.0.replicas != redis.1.replicas),
        ("redis.data_dir", redis.0.data_dir != redis.1.data_dir),
        ("redis.disk_reserve", redis.0.disk_reserve_bytes != redis.1.disk_reserve_bytes),
        ("redis.clock_settle", redis.0.clock_settle_ms != redis.1.clock_settle_ms),
    ];
    let keys = differs.into_iter().filter(|(_, differs)| *differs);
    keys.map(|(key, _)| key.to_owned()).collect()
}

/// The key that names the new way to Redis; on the way back to a managed one, the key that went.
const fn target_key(new: &RedisTarget, old: &RedisTarget) -> &'static str {
    match (new, old) {
        (RedisTarget::Url(_), _) | (RedisTarget::Managed, RedisTarget::Url(_)) => "redis.url",
        (RedisTarget::Sentinel { .. }, _)
        | (RedisTarget::Managed, RedisTarget::Sentinel { .. }) => "redis.sentinel",
        (RedisTarget::Cluster(_), _) | (RedisTarget::Managed, RedisTarget::Cluster(_)) => {
            "redis.cluster"
        }
        (RedisTarget::Managed, RedisTarget::Managed) => "redis",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::settings_of;

    const QUEUE: &str = "[queues.q]\ndownstream.type = \"null\"\n";

    #[test]
    fn nodes_agree_when_their_queues_do() {
        let one = digest(&settings_of(QUEUE));
        assert_eq!(one.len(), DIGEST_CHARS);
        let elsewhere = format!("{QUEUE}concurrency = 16\n[server]\nlisten = \"127.0.0.1:9\"");
        assert_eq!(digest(&settings_of(&elsewhere)), one);
        assert_ne!(digest(&settings_of(&format!("{QUEUE}concurrency = 17"))), one);
        assert_ne!(digest(&settings_of("")), one);
    }

    #[test]
    fn what_a_reload_cannot_change_is_named() {
        let old = settings_of(QUEUE);
        assert!(restart_needed(&old, &settings_of("")).is_empty());
        for (text, keys) in [
            (
                "[server]\nlisten = \"127.0.0.1:9\"\nbody_limit = \"1KiB\"",
                &["server.listen", "server.body_limit"][..],
            ),
            (
                "[redis]\nurl = \"redis://h\"\ndurability = \"memory\"",
                &["redis.url", "redis.durability"],
            ),
            ("[redis]\ncluster = [\"redis://h\"]", &["redis.cluster"]),
            ("[redis]\nsentinel = { master = \"m\", urls = [\"redis://h\"] }", &["redis.sentinel"]),
        ] {
            let new = settings_of(text);
            assert_eq!(restart_needed(&old, &new), keys, "{text}");
            assert_eq!(restart_needed(&new, &old), keys, "{text}, back");
        }
    }
}
