//! The alerting rules, the dashboard and the runbook agree with each other and with what the daemon
//! shows.
//!
//! Owns the list of alerts, and by what each is proven: `live` provokes it on a real daemon under a
//! real Prometheus, or `promtool` alone (deploy/prometheus/tidegate.test.yml).

mod live;

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::prometheus::RULES;
use crate::support::redis::RedisOptions;
use crate::support::{Answer, Daemon, Downstream, queue_toml};

/// Provoked in `live`.
const PROVOKED: [&str; 27] = [
    "TidegateBacklogFull",
    "TidegateCallbacksFail",
    "TidegateClockAlarm",
    "TidegateDeadPruned",
    "TidegateDown",
    "TidegateDownstreamFailing",
    "TidegateGateShut",
    "TidegateHostsFail",
    "TidegateInboxLate",
    "TidegateInboxRejected",
    "TidegateInboxStray",
    "TidegateIndexFaults",
    "TidegateLate",
    "TidegateMessagesDie",
    "TidegateNotDurable",
    "TidegatePausedLong",
    "TidegateQueueStuck",
    "TidegateReloadFailed",
    "TidegateRollback",
    "TidegateScheduleLate",
    "TidegateStoreDown",
    "TidegateStoreErased",
    "TidegateStoreFull",
    "TidegateStoreUnfit",
    "TidegateTopicIncomplete",
    "TidegateTracesLost",
    "TidegateUncertain",
];

/// Not provoked, with the reason.
const NOT_PROVOKED: [(&str, &str); 1] =
    [("TidegateOperationFailed", "it takes a Redis that answers what no Redis answers")];

fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name))
        .unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The text of each rule, by its name.
fn rules() -> Vec<(String, String)> {
    let text = read(RULES);
    let rules: Vec<_> = text
        .split("- alert: ")
        .skip(1)
        .map(|rule| (rule.lines().next().unwrap_or_default().trim().to_owned(), rule.to_owned()))
        .collect();
    assert!(rules.len() > 15, "only {} rules", rules.len());
    rules
}

/// Every word of a text that is a metric's name.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
    let names = text.match_indices("tidegate_").map(|(at, _)| {
        let rest = &text[at..];
        rest[..rest.find(|c| !is_name(c)).unwrap_or(rest.len())].to_owned()
    });
    names.collect()
}

#[test]
fn every_rule_is_whole_proven_and_has_its_section_in_the_runbook() {
    let runbook = read("docs/runbook.md");
    let rules = rules();
    for (name, rule) in &rules {
        for part in ["expr: ", "severity: ", "summary: ", "description: "] {
            assert!(rule.contains(part), "{name} has no {part}");
        }
        let link = format!("runbook_url: \"docs/runbook.md#{}\"", name.to_lowercase());
        assert!(rule.contains(&link), "{name} does not link to its section");
        assert!(runbook.contains(&format!("\n## {name}\n")), "the runbook has no section {name}");
    }
    let named: BTreeSet<_> = rules.iter().map(|(name, _)| name.as_str()).collect();
    let proven = PROVOKED.into_iter().chain(NOT_PROVOKED.map(|(name, _)| name));
    assert_eq!(named, proven.collect(), "each rule is provoked, or says why not");
    let sections = runbook.lines().filter_map(|line| line.strip_prefix("## Tidegate"));
    let sections: BTreeSet<_> = sections.map(|rest| format!("Tidegate{rest}")).collect();
    assert_eq!(sections, named.iter().map(|name| (*name).to_owned()).collect());
    let units = read("deploy/prometheus/tidegate.test.yml");
    for (name, why) in NOT_PROVOKED {
        assert!(
            units.contains(&format!("alertname: {name}\n")),
            "{name} ({why}) is proven nowhere"
        );
    }
}

/// A daemon in which something of everything happened.
async fn busy_daemon() -> (Daemon, Downstream, crate::support::RedisServer) {
    let (redis, downstream) = tokio::join!(RedisOptions::default().start(), Downstream::start());
    let config = queue_toml("jobs", &downstream, "retention.dead_max_messages = 1000")
        + &queue_toml(
            "told",
            &downstream,
            &format!("callback.url = {:?}", downstream.url("/hook")),
        )
        + &format!(
            "[queues.hooks.downstream]\nurl = \"message\"\nhosts = [{:?}]\n",
            downstream.url("").trim_start_matches("http://").trim_end_matches('/')
        )
        + "[topics.paid]\nqueues = [\"jobs\"]\n[inbox]\nenabled = true\n\
           [schedules.tick]\nqueue = \"jobs\"\nevery = \"1s\"\npayload = 1\n";
    downstream.once(Answer::status(422));
    let daemon = Daemon::start(&redis, config).await;
    let dead = daemon.send("jobs", &json!({ "payload": 1 })).await;
    daemon.wait_final(&dead).await;
    let hooked = json!({ "payload": 1, "url": downstream.url("/own") });
    let hooked = daemon.send("hooks", &hooked).await;
    daemon.wait_final(&hooked).await;
    let told = daemon.send("told", &json!({ "payload": 1 })).await;
    daemon.wait_final(&told).await;
    (daemon, downstream, redis)
}

#[tokio::test]
async fn rules_and_dashboard_name_metrics_that_the_daemon_shows() {
    let (daemon, downstream, _redis) = busy_daemon().await;
    // The messages of three queues and a callback: the gauge of callback hosts is there by then.
    downstream.wait_for(4).await;
    let dashboard = read("deploy/grafana/tidegate.json");
    let expressions: Vec<String> = rules().into_iter().map(|(_, rule)| rule).collect();
    let mut named = metrics_in(&expressions.join("\n"));
    named.extend(metrics_in(&dashboard));
    // Waits for the metric that is written last.
    let shown = crate::support::wait::poll_until("callbacks show their gauge", async || {
        let text = daemon.get("/metrics").await.expect(200).text().to_owned();
        text.contains("tidegate_callback_hosts_left_alone{").then_some(text)
    })
    .await;
    let shown: BTreeSet<_> = metrics_in(&shown);

    let missing: Vec<_> = named.difference(&shown).collect();

    assert!(missing.is_empty(), "{missing:?} are not shown by a daemon that has work");
    assert!(named.len() > 25, "{named:?}");
}

#[test]
fn every_panel_of_the_dashboard_has_a_title_a_unit_and_an_expression() {
    let dashboard: Value = serde_json::from_str(&read("deploy/grafana/tidegate.json")).unwrap();
    let panels = dashboard["panels"].as_array().expect("a dashboard has panels");
    let shown: Vec<_> = panels.iter().filter(|panel| panel["type"] != "row").collect();
    assert!(shown.len() > 10, "only {} panels", shown.len());
    let mut ids = BTreeSet::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64()), "two panels with the id {}", panel["id"]);
    }
    for panel in shown {
        let title = panel["title"].as_str().unwrap_or_default();
        assert!(!title.is_empty(), "a panel without a title: {panel}");
        assert!(panel["description"].is_string(), "{title}: no description");
        assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{title}: no unit");
        for target in panel["targets"].as_array().expect("a panel has targets") {
            assert!(!metrics_in(target["expr"].as_str().unwrap_or_default()).is_empty(), "{title}");
        }
    }
}
