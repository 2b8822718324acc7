//! Settings as the TOML that would yield them, for `tidegate check`.
//!
//! Every key with its effective value, defaults filled in. Owns what is masked: nothing secret is
//! ever written here, so the text may go into a log or a ticket.

use http::HeaderName;

use super::redis_address::{MASK, masked_url};
use super::settings::{RedisSettings, RedisTarget, ServerSettings, Settings, Token};
use super::toml_text::{Toml, quoted};
use crate::domain::callback::CallbackPolicy;
use crate::domain::endpoint::{HttpDownstream, Secret};
use crate::domain::id::QueueName;
use crate::domain::message::{PayloadKind, RetryOverride};
use crate::domain::payload::to_base64;
use crate::domain::policy::{BatchPolicy, Downstream, QueuePolicy};
use crate::domain::probe::ProbePolicy;
use crate::domain::retention::Retention;
use crate::domain::retry::RetryPolicy;
use crate::domain::schedule::{Cadence, Schedule};
use crate::domain::time::rfc3339;
use crate::domain::topic::TopicPolicy;
use crate::domain::units::{format_duration, format_size};
use crate::domain::window::Window;

/// The effective configuration as TOML, secrets masked.
#[must_use]
pub fn render(settings: &Settings) -> String {
    let mut out = Toml::default();
    server(&mut out, &settings.server);
    redis(&mut out, &settings.redis);
    for policy in settings.queues.values() {
        queue(&mut out, policy);
    }
    for policy in settings.topics.values() {
        topic(&mut out, policy);
    }
    for it in settings.schedules.values() {
        schedule(&mut out, it);
    }
    out.section("inbox");
    out.line("enabled", settings.inbox.enabled);
    out.text
}

/// One schedule's part of it.
pub(super) fn render_schedule(it: &Schedule) -> String {
    let mut out = Toml::default();
    schedule(&mut out, it);
    out.text
}

/// One topic's part of it.
pub(super) fn render_topic(policy: &TopicPolicy) -> String {
    let mut out = Toml::default();
    topic(&mut out, policy);
    out.text
}

fn topic(out: &mut Toml, topic: &TopicPolicy) {
    out.section(&format!("topics.{}", topic.name));
    out.list("queues", topic.queues.iter().map(|queue| quoted(queue.as_str())));
}

/// One queue's part of it.
pub(super) fn render_queue(policy: &QueuePolicy) -> String {
    let mut out = Toml::default();
    queue(&mut out, policy);
    out.text
}

fn server(out: &mut Toml, server: &ServerSettings) {
    out.section("server");
    out.text("listen", &server.listen.to_string());
    out.list("tokens", server.tokens.iter().map(token));
    out.text("body_limit", &size(server.body_limit_bytes));
    out.text("batch_body_limit", &size(server.batch_body_limit_bytes));
    out.text("drain_timeout", &format_duration(server.drain_timeout_ms));
    out.list("callback_hosts", server.callback_hosts.iter().map(|host| quoted(&host.to_string())));
}

fn token(token: &Token) -> String {
    let scopes: Vec<_> = token.scopes.iter().map(|scope| quoted(scope.as_str())).collect();
    let (name, scopes) = (quoted(&token.name), scopes.join(", "));
    let expires = token.expires_ms.map(|at_ms| format!(", expires = {}", quoted(&rfc3339(at_ms))));
    let queues = token.queues.as_ref().map(|queues| {
        let names: Vec<_> = queues.iter().map(|queue| quoted(queue.as_str())).collect();
        format!(", queues = [{}]", names.join(", "))
    });
    let more = [expires, queues].into_iter().flatten().collect::<String>();
    format!("{{ name = {name}, sha256 = \"{MASK}\", scopes = [{scopes}]{more} }}")
}

fn redis(out: &mut Toml, redis: &RedisSettings) {
    out.section("redis");
    match &redis.target {
        RedisTarget::Managed => {}
        RedisTarget::Url(url) => out.text("url", &masked_url(url)),
        RedisTarget::Sentinel { master, urls } => {
            let urls: Vec<_> = urls.iter().map(|url| quoted(&masked_url(url))).collect();
            let (master, urls) = (quoted(master), urls.join(", "));
            out.line("sentinel", format_args!("{{ master = {master}, urls = [{urls}] }}"));
        }
        RedisTarget::Cluster(urls) => {
            out.list("cluster", urls.iter().map(|url| quoted(&masked_url(url))));
        }
    }
    out.text("namespace", &redis.namespace);
    out.text("durability", redis.durability.as_str());
    if let Some(replicas) = redis.replicas {
        out.line("replicas", format_args!("{replicas}"));
    }
    out.text("data_dir", &redis.data_dir.to_string_lossy());
    out.text("disk_reserve", &format_size(redis.disk_reserve_bytes));
    out.text("clock_settle", &format_duration(redis.clock_settle_ms));
}

fn retention(kept: &Retention) -> String {
    let [delivered, dead] = [kept.delivered_ms, kept.dead_ms].map(format_duration);
    let mut keys = vec![format!("delivered = {delivered:?}"), format!("dead = {dead:?}")];
    for (name, limits) in [("delivered", kept.delivered), ("dead", kept.dead)] {
        keys.extend(limits.messages_max.map(|most| format!("{name}_max_messages = {most}")));
        let bytes = limits.bytes_max.map(format_size);
        keys.extend(bytes.map(|most| format!("{name}_max_bytes = {most:?}")));
    }
    keys.join(", ")
}

fn queue(out: &mut Toml, queue: &QueuePolicy) {
    let name = &queue.name;
    out.section(&format!("queues.{name}"));
    if let Some(rate) = queue.rate {
        out.text("rate", &rate.to_string());
    }
    out.line("burst", queue.burst);
    out.text("lease", &format_duration(queue.lease_ms));
    out.text("keep_response", &size(queue.keep_response_bytes));
    out.line("concurrency", queue.concurrency);
    out.line("priority_levels", queue.priority_levels);
    out.text("ordering", "none");
    out.line("retention", format_args!("{{ {} }}", retention(&queue.retention)));
    out.text("idempotency_window", &format_duration(queue.idempotency_window_ms));
    out.text("on_uncertain", queue.on_uncertain.as_str());
    let timeout = format_duration(queue.receipts.timeout_ms);
    let on_timeout = queue.receipts.on_timeout.as_str();
    out.line("receipts", format_args!("{{ timeout = {timeout:?}, on_timeout = {on_timeout:?} }}"));
    out.line("shards", queue.shards);
    out.section(&format!("queues.{name}.downstream"));
    match &queue.downstream {
        Downstream::Http(target) => http(out, target),
        // A queue of callbacks is in no configuration; what it follows stands with its queue.
        Downstream::Null | Downstream::Callbacks(_) => out.text("type", "null"),
        Downstream::Pull => out.text("type", "pull"),
    }
    if let Some(asks) = &queue.probe {
        out.section(&format!("queues.{name}.probe"));
        probe(out, asks);
    }
    out.section(&format!("queues.{name}.retry"));
    retry(out, &queue.retry);
    if let Some(hours) = &queue.window {
        out.section(&format!("queues.{name}.window"));
        window(out, hours);
    }
    if let Some(together) = &queue.batch {
        out.section(&format!("queues.{name}.batch"));
        batch(out, together);
    }
    if let Some(told) = &queue.callback {
        callback(out, name, told);
    }
}

fn callback(out: &mut Toml, queue: &QueueName, callback: &CallbackPolicy) {
    out.section(&format!("queues.{queue}.callback"));
    if let Some((_, shown)) = &callback.url {
        out.text("url", shown);
    }
    out.list("on", callback.on.words().into_iter().map(quoted));
    if let Some(rate) = callback.rate {
        out.text("rate", &rate.to_string());
    }
    out.text("timeout", &format_duration(callback.timeout_ms));
    credentials(out, &callback.headers, callback.signing_secret.is_some());
    out.section(&format!("queues.{queue}.callback.retry"));
    retry(out, &callback.retry);
}

fn http(out: &mut Toml, http: &HttpDownstream) {
    out.text("type", "http");
    out.text("url", &http.url_shown);
    out.text("method", http.method.as_str());
    out.text("timeout", &format_duration(http.timeout_ms));
    credentials(out, &http.headers, http.signing_secret.is_some());
}

fn credentials(out: &mut Toml, values: &[(HeaderName, Secret)], is_signed: bool) {
    if !values.is_empty() {
        headers(out, values);
    }
    if is_signed {
        out.text("signing_secret", MASK);
    }
}

fn headers(out: &mut Toml, headers: &[(HeaderName, Secret)]) {
    let headers: Vec<_> = headers.iter().map(|(name, _)| format!("{name} = \"{MASK}\"")).collect();
    out.line("headers", format_args!("{{ {} }}", headers.join(", ")));
}

fn probe(out: &mut Toml, probe: &ProbePolicy) {
    out.text("url", &probe.url_shown);
    out.text("method", probe.method.as_str());
    out.list("delivered", probe.delivered.iter());
    out.list("absent", probe.absent.iter());
    out.text("after", &format_duration(probe.after_ms));
    out.line("max_attempts", probe.max_attempts);
    out.text("timeout", &format_duration(probe.timeout_ms));
    // Those of the downstream are the default: none is said too.
    headers(out, &probe.headers);
}

fn retry(out: &mut Toml, retry: &RetryPolicy) {
    if let Some(most) = retry.max_attempts {
        out.line("max_attempts", most);
    }
    match &retry.schedule_ms {
        Some(delays) => {
            out.list("schedule", delays.iter().map(|delay_ms| quoted(&format_duration(*delay_ms))));
        }
        None => {
            out.text("initial", &format_duration(retry.initial_ms));
            out.line("factor", format_args!("{:?}", retry.factor));
        }
    }
    out.text("max", &format_duration(retry.max_ms));
    out.text("throttle_max", &format_duration(retry.throttle_max_ms));
    out.line("jitter", format_args!("{:?}", retry.jitter));
    out.text("max_age", &format_duration(retry.max_age_ms));
    out.list("safe_statuses", retry.safe_statuses.iter());
    out.list("retry_statuses", retry.retry_statuses.iter());
    out.list("dead_statuses", retry.dead_statuses.iter());
}

fn window(out: &mut Toml, window: &Window) {
    out.text("time_zone", window.time_zone());
    let rules = window.rules().iter().map(|rule| {
        let (days, from, to) = (rule.days(), rule.from(), rule.to());
        format!("{{ days = \"{days}\", from = \"{from}\", to = \"{to}\" }}")
    });
    out.list("open", rules);
    out.list("closed_dates", window.closed_dates().iter().map(|date| quoted(&date.to_string())));
    out.text("min_remaining", &format_duration(window.min_remaining_ms()));
}

fn batch(out: &mut Toml, batch: &BatchPolicy) {
    out.line("max_items", batch.max_items);
    out.text("max_bytes", &format_size(batch.max_bytes));
    out.text("max_wait", &format_duration(batch.max_wait_ms));
}

fn schedule(out: &mut Toml, it: &Schedule) {
    out.section(&format!("schedules.{}", it.name));
    out.text("queue", it.queue.as_str());
    match &it.cadence {
        Cadence::Cron(cron) => {
            out.text("cron", cron.pattern());
            out.text("time_zone", cron.time_zone());
        }
        Cadence::Every(ms) => out.text("every", &format_duration(*ms)),
    }
    out.text("catch_up", it.catch_up.as_str());
    if let Some(content_type) = &it.details.content_type {
        out.text("content_type", content_type);
    }
    match it.details.kind {
        PayloadKind::Text => out.text("payload", &String::from_utf8_lossy(&it.payload)),
        PayloadKind::Raw => out.text("payload_base64", &to_base64(&it.payload)),
        PayloadKind::Json => {
            let payload: serde_json::Value =
                serde_json::from_slice(&it.payload).unwrap_or_default();
            // TOML has no null, and a configuration could not say it either.
            let payload = toml::Value::try_from(payload).unwrap_or(toml::Value::Boolean(false));
            out.line("payload", payload);
        }
    }
    let pairs = |pairs: Vec<(&String, &String)>| {
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(name, value)| format!("{} = {}", quoted(name), quoted(value)))
            .collect();
        format!("{{ {} }}", pairs.join(", "))
    };
    if !it.details.headers.is_empty() {
        out.line("headers", pairs(it.details.headers.iter().map(|(n, v)| (n, v)).collect()));
    }
    if !it.details.labels.is_empty() {
        out.line("labels", pairs(it.details.labels.iter().collect()));
    }
    if let Some(group) = &it.details.group {
        out.text("group", group);
    }
    out.line("priority", it.priority);
    if let Some(ttl_ms) = it.ttl_ms {
        out.text("ttl", &format_duration(ttl_ms));
    }
    if let Some(retry) = &it.details.retry {
        out.section(&format!("schedules.{}.retry", it.name));
        retry_override(out, retry);
    }
}

fn retry_override(out: &mut Toml, retry: &RetryOverride) {
    if let Some(most) = retry.max_attempts {
        out.line("max_attempts", most);
    }
    let spans =
        [("initial", retry.initial_ms), ("max", retry.max_ms), ("max_age", retry.max_age_ms)];
    for (name, ms) in spans {
        if let Some(ms) = ms {
            out.text(name, &format_duration(ms));
        }
    }
    for (name, number) in [("factor", retry.factor), ("jitter", retry.jitter)] {
        if let Some(number) = number {
            out.line(name, format_args!("{number:?}"));
        }
    }
    if let Some(delays) = &retry.schedule_ms {
        out.list("schedule", delays.iter().map(|delay_ms| quoted(&format_duration(*delay_ms))));
    }
}

fn size(bytes: usize) -> String {
    format_size(u64::try_from(bytes).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::{load_with, settings_of};

    /// Everything that has a key and is no secret.
    const RICH: &str = r#"
        [server]
        listen = "127.0.0.1:9"
        callback_hosts = ["shop.example", "[::1]:80"]
        [redis]
        sentinel = { master = "m\"m", urls = ["redis://a:1", "rediss://b"] }
        data_dir = "/d"
        [queues.a]
        rate = "600/min"
        burst = 9
        retention = { delivered = "36h", dead_max_messages = 9, delivered_max_bytes = "1MiB" }
        on_uncertain = "park"
        downstream.type = "null"
        retry.schedule = ["5s", "1m"]
        [queues.b.downstream]
        url = "https://h.example/p"
        timeout = "250ms"
        [queues.b.retry]
        factor = 1.5
        safe_statuses = [503]
        retry_statuses = [409, 423]
        dead_statuses = [501]
        throttle_max = "3h"
        max_attempts = 12
        [queues.c]
        receipts = { timeout = "90m", on_timeout = "delivered" }
        on_uncertain = "probe"
        probe = { url = "https://h.example/o/{id}", absent = [404, 410], after = "2m" }
        downstream.type = "null"
        [queues.b.window]
        time_zone = "Europe/Berlin"
        open = [{ days = "mon,wed", from = "22:00", to = "02:00:30" }, { from = "03:00", to = "24:00" }]
        closed_dates = ["2026-12-25"]
        [queues.b.batch]
        max_bytes = "1500B"
        [queues.b.callback]
        url = "https://shop.example/hooks"
        on = ["dead", "expired"]
        rate = "50/s"
        retry = { max_attempts = 7 }
    "#;

    #[test]
    fn what_is_rendered_reads_back_as_the_same() {
        for text in [RICH, "", include_str!("../../config/example.toml")] {
            let settings = settings_of(text);
            assert_eq!(settings_of(&render(&settings)), settings);
        }
    }

    #[test]
    fn secrets_are_masked() {
        let text = "[server]\ntokens = [{ name = \"shop\", sha256 = \"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\", scopes = [\"send\"] }]\n[redis]\nurl = \"redis://u:hunter2@h:6379/3?key=hunter2\"\n[queues.q.downstream]\nurl = \"http://h/${S}?key=hunter2\"\nsigning_secret = \"hunter2\"\nheaders = { X-Key = \"hunter2\" }";
        let shown = render(&load_with(text, &[("S", "hunter2")], &[]).unwrap());
        assert!(!shown.contains("hunter2") && !shown.contains("9f86"), "{shown}");
        for part in [
            "url = \"redis://***@h:6379/3?***\"",
            "url = \"http://h/${S}?***\"",
            "headers = { x-key = \"***\" }",
            "signing_secret = \"***\"",
            "tokens = [{ name = \"shop\", sha256 = \"***\", scopes = [\"send\"] }]",
        ] {
            assert!(shown.contains(part), "{part} not in\n{shown}");
        }
    }
}
