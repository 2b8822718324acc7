//! The configuration in force, as it is shown: TOML for people, a tree that becomes JSON for the API.
//!
//! What TOML is shown reads back as the same configuration, but for the secrets, which are masked.

use std::fmt::Display;

use super::sections::{calendar, inbox, limits, queue, redis, schedule, server, telemetry, topic};
use super::setting::{Table, write_section};
use super::settings::Settings;
use crate::domain::limit::LimitRule;
use crate::domain::policy::QueuePolicy;
use crate::domain::schedule::Schedule;
use crate::domain::topic::TopicPolicy;
use crate::domain::window::Calendar;

/// The effective configuration as TOML, secrets masked.
#[must_use]
pub fn render(settings: &Settings) -> String {
    let mut out = String::new();
    write_section(&mut out, "server", &server::Server::shown(&settings.server));
    write_section(&mut out, "redis", &redis::Redis::shown(&settings.redis));
    for policy in settings.queues.values() {
        named(&mut out, "queues", &policy.name, &effective(policy));
    }
    for limit in settings.limits.values() {
        out.push_str(&render_limit(limit));
    }
    for calendar in settings.calendars.values() {
        out.push_str(&render_calendar(calendar));
    }
    for policy in settings.topics.values() {
        named(&mut out, "topics", &policy.name, &topic::Topic::shown(policy));
    }
    for it in settings.schedules.values() {
        named(&mut out, "schedules", &it.name, &schedule::Recurring::shown(it));
    }
    write_section(&mut out, "inbox", &inbox::Inbox::shown(&settings.inbox));
    write_section(&mut out, "telemetry", &telemetry::Telemetry::shown(&settings.telemetry));
    out
}

/// The settings of a queue that are in force, without its secrets.
#[must_use]
pub fn effective(policy: &QueuePolicy) -> Table {
    queue::Own::shown(policy)
}

/// One queue's part of the configuration.
pub(super) fn render_queue(policy: &QueuePolicy) -> String {
    let mut out = String::new();
    named(&mut out, "queues", &policy.name, &effective(policy));
    out
}

/// One shared limit's part of it.
pub(super) fn render_limit(limit: &LimitRule) -> String {
    let mut out = String::new();
    named(&mut out, "limits", &limit.name, &limits::shared::AccountSettings::shown(limit));
    out
}

/// One calendar's part of it.
pub(super) fn render_calendar(it: &Calendar) -> String {
    let mut out = String::new();
    named(&mut out, "calendars", &it.name, &calendar::Shared::shown(it));
    out
}

/// One topic's part of it.
pub(super) fn render_topic(policy: &TopicPolicy) -> String {
    let mut out = String::new();
    named(&mut out, "topics", &policy.name, &topic::Topic::shown(policy));
    out
}

/// One schedule's part of it.
pub(super) fn render_schedule(it: &Schedule) -> String {
    let mut out = String::new();
    named(&mut out, "schedules", &it.name, &schedule::Recurring::shown(it));
    out
}

fn named(out: &mut String, kind: &str, name: &impl Display, table: &Table) {
    write_section(out, &format!("{kind}.{name}"), table);
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
        dates = [{ date = "2026-12-31", open = [{ from = "01:00", to = "06:00" }] }]
        calendar = "cn"
        [calendars.cn]
        closed_dates = ["2026-10-01"]
        dates = [{ date = "2026-10-02", open = [{ from = "22:00", to = "02:00" }] }]
        [limits.brand]
        quota = "10000/day"
        time_zone = "America/Los_Angeles"
        [limits.line]
        rate = "5/s"
        burst = 3
        unit = "messages"
        [queues.b]
        limits = ["brand", { rate = "3/s" }, "line"]
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
    fn the_api_shows_every_setting_of_a_queue() {
        let settings = settings_of(RICH);
        let shown = |name: &str| {
            serde_json::to_value(effective(&settings.queues[&name.parse().unwrap()])).unwrap()
        };
        let a = shown("a");
        assert_eq!(a["retention"]["delivered_max_bytes"], "1MiB");
        assert_eq!(a["retention"]["dead_max_bytes"], serde_json::Value::Null);
        assert_eq!(a["downstream"], serde_json::json!({ "type": "null" }));
        for key in ["probe", "window", "batch"] {
            assert_eq!(a.get(key), Some(&serde_json::Value::Null), "{key}");
        }
        // Delays that a list of delays replaces are not shown as if they held.
        assert_eq!(a["retry"]["schedule"], serde_json::json!(["5s", "1m"]));
        assert_eq!(a["retry"]["initial"], serde_json::Value::Null);
        let b = shown("b");
        assert_eq!(
            (&b["batch"]["max_bytes"], &b["window"]["open"][0]["to"]),
            (&"1500B".into(), &"02:00:30".into())
        );
        assert_eq!(b["callback"]["signed"], false);
        assert_eq!(b["retry"]["factor"], 1.5);
        assert_eq!(shown("c")["probe"]["signed"], false);
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
