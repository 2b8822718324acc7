//! A real Prometheus that scrapes daemons and evaluates the shipped alerting rules.
//!
//! Owns its process, its configuration and a copy of the rules in which time is short: it scrapes and
//! evaluates every second, and what the rules wait for is counted in seconds instead of minutes.
//! Refuses to know what the alerts are about.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde_json::Value;
use tempfile::TempDir;

use super::daemon::Daemon;
use super::guarded::{AtEnd, Guarded};
use super::http::Http;
use super::ports::free_port;
use super::wait::{poll_until, poll_until_within};

/// The rules as they are shipped.
pub(crate) const RULES: &str = "deploy/prometheus/tidegate.rules.yml";
/// A start, several scrapes and several evaluations, on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running Prometheus; ended and swept away when dropped.
#[derive(Debug)]
pub(crate) struct Prometheus {
    // Ends before the folder below goes.
    _process: Guarded,
    http: Http,
    _dir: TempDir,
}

impl Prometheus {
    /// One that scrapes this daemon, and has scraped it once.
    pub(crate) async fn watching(daemon: &Daemon) -> Self {
        let dir = tempfile::Builder::new().prefix("tidegate-prom-").tempdir().expect("temp dir");
        let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join(RULES);
        let rules = std::fs::read_to_string(rules).expect("the rules are there");
        std::fs::write(dir.path().join("rules.yml"), hurried(&rules)).expect("temp dir is ours");
        let config = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\n\
             rule_files: [rules.yml]\n\
             scrape_configs:\n\
             \x20 - job_name: tidegate\n\
             \x20   static_configs: [{{ targets: [\"127.0.0.1:{}\"] }}]\n",
            daemon.port()
        );
        std::fs::write(dir.path().join("prometheus.yml"), config).expect("temp dir is ours");
        let address = format!("127.0.0.1:{}", free_port());
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", dir.path().join("prometheus.yml").display()));
        command.arg(format!("--storage.tsdb.path={}", dir.path().join("data").display()));
        command.arg(format!("--web.listen-address={address}"));
        let log = dir.path().join("prometheus.log");
        let process = Guarded::start(&command, &log, AtEnd::Kill, dir.path());
        let prometheus =
            Self { _process: process, http: Http::new(&format!("http://{address}")), _dir: dir };
        poll_until_within(PATIENCE, "Prometheus has scraped the daemon", async || {
            let found = prometheus.try_get("/api/v1/query?query=tidegate_build_info").await?;
            found["data"]["result"].as_array().is_some_and(|list| !list.is_empty()).then_some(())
        })
        .await;
        prometheus
    }

    /// Waits until this alert fires; returns its labels and annotations.
    pub(crate) async fn fires(&self, alert: &str) -> Value {
        poll_until_within(PATIENCE, &format!("{alert} fires"), async || {
            let alerts = self.firing().await;
            alerts.into_iter().find(|firing| firing["labels"]["alertname"] == alert)
        })
        .await
    }

    /// Waits until this alert has stopped firing.
    pub(crate) async fn ends(&self, alert: &str) {
        poll_until_within(PATIENCE, &format!("{alert} ends"), async || {
            (!self.names().await.contains(alert)).then_some(())
        })
        .await;
    }

    /// The names of the alerts that fire after so many more evaluations of every group.
    pub(crate) async fn firing_after(&self, evaluations: usize) -> BTreeSet<String> {
        for _ in 0..evaluations {
            let before = self.evaluated().await;
            poll_until("every group is evaluated once more", async || {
                let now = self.evaluated().await;
                let all_newer = now.iter().zip(&before).all(|(now, before)| now > before);
                (now.len() == before.len() && all_newer).then_some(())
            })
            .await;
        }
        self.names().await
    }

    /// When each group of rules was evaluated last.
    async fn evaluated(&self) -> Vec<String> {
        let rules = self.try_get("/api/v1/rules").await.expect("Prometheus answers");
        let groups = rules["data"]["groups"].as_array().expect("groups of rules");
        groups.iter().map(|group| group["lastEvaluation"].to_string()).collect()
    }

    async fn names(&self) -> BTreeSet<String> {
        let name = |alert: &Value| alert["labels"]["alertname"].as_str().map(str::to_owned);
        self.firing().await.iter().filter_map(name).collect()
    }

    async fn firing(&self) -> Vec<Value> {
        let alerts = self.try_get("/api/v1/alerts").await.expect("Prometheus answers");
        let alerts = alerts["data"]["alerts"].as_array().expect("a list of alerts").clone();
        alerts.into_iter().filter(|alert| alert["state"] == "firing").collect()
    }

    async fn try_get(&self, path: &str) -> Option<Value> {
        let reply = self.http.try_send(Method::GET, path, &[], Bytes::new()).await.ok()?;
        (reply.status == 200).then(|| reply.json())
    }
}

/// The same rules where time is short. An alert waits for a second, looks back for half a minute, and
/// an age of more than a second is old.
fn hurried(rules: &str) -> String {
    let mut hurried = String::new();
    for line in rules.lines() {
        let mut line = line.to_owned();
        if line.trim_start().starts_with("for: ") {
            line = "        for: 1s".to_owned();
        }
        for range in ["[5m]", "[15m]", "[1h]"] {
            line = line.replace(range, "[30s]");
        }
        for age in ["_seconds) > 60", "_seconds) > 900"] {
            line = line.replace(age, "_seconds) > 1");
        }
        hurried.push_str(&line);
        hurried.push('\n');
    }
    hurried
}
