//! Two configurations side by side: what a reload cannot change, and whether nodes agree.

use sha2::{Digest as _, Sha256};

use super::effective::{
    render_calendar, render_limit, render_queue, render_schedule, render_topic,
};
use super::sections::{redis, server, telemetry};
use super::settings::{RedisTarget, Settings};

/// Length of a digest in text: enough to tell a few configurations apart at a glance.
const DIGEST_CHARS: usize = 12;

/// The settings of `[server]` that a reload changes.
const RELOADED: [&str; 3] = ["tokens", "callback_hosts", "egress_allow"];
/// The settings of `[redis]` that say which Redis is meant.
const OF_TARGET: [&str; 3] = ["url", "sentinel", "cluster"];

/// A short hash of queues, shared limits, calendars, topics, schedules and inbox, for nodes to compare. Secrets are left out of
/// it, so that it can be shown.
#[must_use]
pub fn digest(settings: &Settings) -> String {
    let mut hash = Sha256::new();
    for policy in settings.queues.values() {
        hash.update(render_queue(policy));
    }
    for limit in settings.limits.values() {
        hash.update(render_limit(limit));
    }
    for calendar in settings.calendars.values() {
        hash.update(render_calendar(calendar));
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
    let server = |settings: &Settings| server::Server::shown(&settings.server);
    let differing = server(old).differing(&server(new));
    let of_server = differing.into_iter().filter(|key| !RELOADED.contains(key));
    let mut keys: Vec<_> = of_server.map(|key| format!("server.{key}")).collect();
    // Compared as a whole: passwords, which are not shown, may differ too.
    if old.redis.target != new.redis.target {
        keys.push(target_key(&new.redis.target, &old.redis.target).to_owned());
    }
    let redis = |settings: &Settings| redis::Redis::shown(&settings.redis);
    let differing = redis(old).differing(&redis(new));
    let of_redis = differing.into_iter().filter(|key| !OF_TARGET.contains(key));
    keys.extend(of_redis.map(|key| format!("redis.{key}")));
    let telemetry = |settings: &Settings| telemetry::Telemetry::shown(&settings.telemetry);
    let differing = telemetry(old).differing(&telemetry(new));
    keys.extend(differing.into_iter().map(|key| format!("telemetry.{key}")));
    keys
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
