//! What the daemon's metrics say about its health, and its answer to `/readyz`. Pure: texts in, findings out.
//!
//! Owns the names of the metrics that mean something is wrong, and the remedies. Refuses to ask anybody.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::finding::Finding;
use super::sending;
use super::times::span;

/// An event that a queue has lacked for so long is no matter of a moment any more.
const PENDING_MAX: Duration = Duration::from_secs(30);

/// An entry that has lain in its stream for so long is not just under way.
const LAG_MAX: Duration = Duration::from_secs(60);

/// Whether the daemon reaches Redis.
pub(crate) fn is_store_up(metrics: &str) -> bool {
    let mut samples = metrics.lines().filter_map(sample);
    samples.any(|(name, _, value)| name == "tidegate_store_up" && value > 0.0)
}

/// Which Redis the daemon uses, in its own words.
pub(crate) fn store_address(metrics: &str) -> Option<String> {
    let labels = metrics.lines().find_map(|line| line.strip_prefix("tidegate_store_info{"))?;
    let address = labels.strip_prefix("address=\"")?.rsplit_once("\"}")?.0;
    Some(address.replace("\\\"", "\"").replace("\\\\", "\\"))
}

/// How a finding begins that says why the daemon takes no new messages.
pub(crate) const REFUSED: &str = "new messages are refused";

/// Adds why `/readyz` answered no while the daemon reaches Redis, in place of what the metrics say of it:
/// they know no reason.
pub(crate) fn add_not_ready(findings: &mut Vec<Finding>, code: &str, why: &str) {
    let known = findings.iter().position(|finding| finding.what.starts_with(REFUSED));
    let known = known.filter(|_| code.starts_with("store-")).map(|at| findings.remove(at));
    let section = known.as_ref().and_then(|known| known.section);
    let refused = format!("{REFUSED}: {why}");
    let finding = match code {
        "store-full" => Finding::problem(
            "store",
            refused,
            known.map_or_else(
                || "make room for Redis, in memory or on its disk".to_owned(),
                |known| known.remedy,
            ),
        )
        .section("TidegateStoreFull"),
        "store-unavailable" => Finding::problem(
            "store",
            refused,
            "change that at Redis: messages are accepted again a second later; stored messages are still sent",
        )
        .section(section.unwrap_or("TidegateNotDurable")),
        "draining" => Finding::problem(
            "daemon",
            format!("{REFUSED}: it is stopping"),
            "start it again, or send to another node",
        ),
        _ => Finding::problem(
            "daemon",
            format!("{REFUSED}: {why}"),
            "look at the daemon's log",
        ),
    };
    findings.insert(0, finding);
}

/// Store and durability, from the metrics of the contract.
pub(crate) fn of_metrics(text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut levels = BTreeSet::new();
    for (name, labels, value) in text.lines().filter_map(sample) {
        let label = |key: &str| labels.get(key).copied().unwrap_or_default();
        match name {
            "tidegate_store_up" if value == 0.0 => findings.push(Finding::problem(
                "store",
                "Redis cannot be reached",
                "start Redis, or correct [redis] in the configuration; accepted messages are kept",
            ).section("TidegateStoreDown")),
            "tidegate_store_fit" if value == 0.0 => findings.push(Finding::problem(
                "store",
                format!("{REFUSED} by a Redis server that is not fit to hold them"),
                "the daemon's log names the server and what to change",
            ).section("TidegateStoreUnfit")),
            "tidegate_store_full" if value > 0.0 => findings.push(no_room(label("resource"))),
            "tidegate_clock_alarm" if value > 0.0 => findings.push(Finding::problem(
                "clock",
                "the clock of Redis stepped: due times, the end of leases, expiry and retention wait",
                "look at the time synchronisation of Redis' machine; `tidegate clock` says when they go on",
            ).section("TidegateClockAlarm")),
            "tidegate_durability_achieved" if value > 0.0 => {
                levels.insert(label("level"));
            }
            "tidegate_store_erased_total" if value > 0.0 => findings.push(Finding::problem(
                "store",
                "the data in Redis was deleted or replaced while Redis ran (FLUSHALL, FLUSHDB, SWAPDB, DEL or a restore)",
                "find out who did that; GET /v1/rollbacks of each node lists the ids that it knows to be missing; pause again what was paused",
            ).section("TidegateStoreErased")),
            "tidegate_rollback_lost_total" if value > 0.0 => {
                findings.push(rolled_back(label("queue"), value));
            }
            "tidegate_topic_oldest_pending_age_seconds" => {
                findings.extend(stuck_topic(label("topic"), value));
            }
            "tidegate_callback_hosts_left_alone" if value > 0.0 => {
                findings.push(sending::hosts_left_alone(label("queue"), value));
            }
            "tidegate_inbox_lag_seconds" => findings.extend(inbox_lag(label("queue"), value)),
            "tidegate_inbox_rejected_kept" if value > 0.0 => findings.push(Finding::problem(
                "inbox",
                format!("{} were rejected", entries(value)),
                "redis-cli XRANGE <namespace>:inbox:rejected - + shows them with the reasons; correct the producer, add them again, then XTRIM the stream",
            ).section("TidegateInboxRejected")),
            "tidegate_inbox_stray_streams" if value > 0.0 => findings.push(Finding::problem(
                "inbox",
                match value {
                    1.0 => "1 stream whose queue is not configured".to_owned(),
                    value => format!("{value} streams whose queues are not configured"),
                },
                "the daemon's log names them; add the queue to the configuration, or correct the producer and XDEL the entries",
            ).section("TidegateInboxStray")),
            _ => {}
        }
    }
    findings.extend(durability(&levels));
    findings
}

/// Redis has less than it had confirmed.
fn rolled_back(queue: &str, lost: f64) -> Finding {
    Finding::problem(
        queue,
        format!("messages that were accepted are lost: Redis does not have them any more ({lost})"),
        "let their producers send them again with the same idempotency keys; GET /v1/rollbacks lists the ids",
    )
    .section("TidegateRollback")
}

fn no_room(resource: &str) -> Finding {
    let what = format!("{REFUSED}, as Redis has too little {resource} left");
    let remedy = match resource {
        "disk" => {
            "free space on the disk that holds the data of Redis; stored messages are still sent while Redis can write"
        }
        _ => {
            "stored messages are still sent; raise maxmemory, shorten retention.delivered or limit it (delivered_max_bytes), or purge what nobody needs"
        }
    };
    Finding::problem("store", what, remedy).section("TidegateStoreFull")
}

fn durability(levels: &BTreeSet<&str>) -> Option<Finding> {
    if levels.is_empty() || levels.contains("disk") || levels.contains("replicas") {
        return None;
    }
    let level = levels.iter().next_back().copied().unwrap_or("memory");
    let what = format!("durability is \"{level}\": a crash of Redis may lose accepted messages");
    let remedy =
        "run Redis with appendonly yes and appendfsync always, and set redis.durability = \"disk\"";
    Some(Finding::note("store", what, remedy))
}

/// A line of the Prometheus text format: name, labels, value.
fn sample(line: &str) -> Option<(&str, BTreeMap<&str, &str>, f64)> {
    let line = line.trim();
    if line.starts_with('#') {
        return None;
    }
    let (head, value) = line.rsplit_once(' ')?;
    let (name, labels) = head.split_once('{').unwrap_or((head, ""));
    let labels = labels
        .trim_end_matches('}')
        .split(',')
        .filter_map(|label| label.split_once('='))
        .map(|(key, value)| (key.trim(), value.trim_matches('"')))
        .collect();
    Some((name, labels, value.parse().ok()?))
}

fn entries(value: f64) -> String {
    if value == 1.0 { "1 entry".to_owned() } else { format!("{value} entries") }
}

/// Entries that have lain in a stream for long.
fn inbox_lag(queue: &str, lag_seconds: f64) -> Option<Finding> {
    let lag = Duration::try_from_secs_f64(lag_seconds).ok()?;
    (lag >= LAG_MAX).then(|| {
        let lag_ms = u64::try_from(lag.as_millis()).unwrap_or(u64::MAX);
        Finding::problem(
            queue,
            format!("the oldest entry of its stream has waited for {}", span(lag_ms)),
            "the daemon's log says why (a full store, a Redis that is away); entries stay in their stream and are taken in later",
        )
        .section("TidegateInboxLate")
    })
}

/// Events that some queue has lacked for long.
fn stuck_topic(topic: &str, age_seconds: f64) -> Option<Finding> {
    let age = Duration::try_from_secs_f64(age_seconds).ok()?;
    (age >= PENDING_MAX).then(|| {
        let age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        Finding::problem(
            topic,
            format!("events could not be handed to all of its queues, the oldest for {}", span(age_ms)),
            "they are kept and completed later; `tidegate topics` names the queue: free space, bring its master back, or put it back into the configuration",
        )
        .section("TidegateTopicIncomplete")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(findings: &[Finding]) -> Vec<String> {
        findings.iter().map(|f| format!("{} {}: {}", f.weight.as_str(), f.about, f.what)).collect()
    }

    #[test]
    fn the_address_of_the_store_is_read_whole() {
        let text =
            "tidegate_store_up 1\ntidegate_store_info{address=\"Redis at redis://***@a:1\"} 1\n";
        assert_eq!(store_address(text).unwrap(), "Redis at redis://***@a:1");
        let odd = r#"tidegate_store_info{address="managed Redis, data in /a \"b\", c"} 1"#;
        assert_eq!(store_address(odd).unwrap(), "managed Redis, data in /a \"b\", c");
        assert_eq!(store_address("tidegate_store_up 1"), None);
    }

    #[test]
    fn metrics_tell_of_store_durability_and_gates() {
        let text = "# HELP tidegate_store_up x\ntidegate_store_up 0\n\
            tidegate_durability_achieved{level=\"everysec\"} 1\n\
            tidegate_durability_achieved{level=\"disk\"} 0\n\
            tidegate_clock_alarm 1\n\
            tidegate_rollback_lost_total{queue=\"sms\"} 3\n\
            tidegate_rollback_lost_total{queue=\"erp\"} 0\n\
            tidegate_store_full{resource=\"memory\"} 1\n\
            tidegate_store_full{resource=\"disk\"} 0\n\
            tidegate_topic_oldest_pending_age_seconds{topic=\"paid\"} 60.5\n\
            tidegate_topic_oldest_pending_age_seconds{topic=\"made\"} 1.5\n\
            tidegate_inbox_lag_seconds{queue=\"sms\"} 90\n\
            tidegate_inbox_rejected_kept 2\n\
            tidegate_inbox_stray_streams 1\n";
        assert_eq!(
            words(&of_metrics(text)),
            [
                "problem store: Redis cannot be reached",
                "problem clock: the clock of Redis stepped: due times, the end of leases, expiry and retention wait",
                "problem sms: messages that were accepted are lost: Redis does not have them any more (3)",
                "problem store: new messages are refused, as Redis has too little memory left",
                "problem paid: events could not be handed to all of its queues, the oldest for 1m",
                "problem sms: the oldest entry of its stream has waited for 1m 30s",
                "problem inbox: 2 entries were rejected",
                "problem inbox: 1 stream whose queue is not configured",
                "note store: durability is \"everysec\": a crash of Redis may lose accepted messages",
            ]
        );
        assert!(
            of_metrics("tidegate_store_up 1\ntidegate_durability_achieved{level=\"disk\"} 1")
                .is_empty()
        );
    }
}
