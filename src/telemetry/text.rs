//! The metrics as text, in the two formats that scrapers read.

use std::collections::HashSet;

use super::Metrics;

impl Metrics {
    /// `OpenMetrics` 1.0, for who asks for it.
    #[must_use]
    pub fn render_open_metrics(&self) -> String {
        let mut text = String::new();
        if let Err(error) = prometheus_client::encoding::text::encode(&mut text, &self.registry) {
            tracing::error!(%error, "metrics could not be written");
        }
        text
    }

    /// The text format of Prometheus, which every scraper reads.
    ///
    /// It differs from `OpenMetrics` in two things: a counter is announced by the name of its
    /// samples, and there is no end mark.
    #[must_use]
    pub fn render(&self) -> String {
        let open_metrics = self.render_open_metrics();
        let counters: HashSet<&str> = open_metrics
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"))
            .collect();
        let mut text = String::with_capacity(open_metrics.len());
        for line in open_metrics.lines().filter(|line| *line != "# EOF") {
            let comment = line.strip_prefix("# ").and_then(|rest| rest.split_once(' '));
            match comment.and_then(|(word, rest)| Some((word, rest.split_once(' ')?))) {
                Some((word, (name, rest))) if counters.contains(name) => {
                    text.extend(["# ", word, " ", name, "_total ", rest]);
                }
                _ => text.push_str(line),
            }
            text.push('\n');
        }
        text
    }
}
