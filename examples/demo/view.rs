//! The live view: bars on a terminal, a line now and then elsewhere.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::Value;
use tokio::time::Instant;

/// The time between two plain lines.
const LINE_EVERY: Duration = Duration::from_secs(2);

/// Counts of one queue.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    waiting: u64,
    delivered: u64,
    dead: u64,
}

/// Counts of both queues.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Queues {
    sms: Counts,
    erp: Counts,
}

impl Queues {
    /// Whether every row has reached its end.
    pub(crate) fn are_settled(&self, sms_rows: u64, order_rows: u64) -> bool {
        self.sms.delivered + self.sms.dead == sms_rows
            && self.erp.delivered + self.erp.dead == order_rows
    }
}

/// The counts in the answer to `tidegate queues`.
pub(crate) fn counts(document: &Value) -> anyhow::Result<Queues> {
    let queues = document["queues"].as_array().context("no queues in the answer")?;
    let of = |name: &str| {
        let queue = queues.iter().find(|q| q["queue"] == name || q["name"] == name);
        let counts = &queue.with_context(|| format!("no queue {name} in the answer"))?["counts"];
        let count = |state: &str| counts[state].as_u64().unwrap_or(0);
        let waiting = count("scheduled") + count("ready") + count("leased");
        anyhow::Ok(Counts { waiting, delivered: count("delivered"), dead: count("dead") })
    };
    Ok(Queues { sms: of("sms")?, erp: of("erp")? })
}

/// How many rows a file has.
pub(crate) fn rows_of(path: &str) -> anyhow::Result<u64> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    Ok(text.lines().count() as u64)
}

/// A path for people: relative to where we are, where that is shorter.
pub(crate) fn shown(path: &str) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    let path = Path::new(path);
    path.strip_prefix(&here).unwrap_or(path).display().to_string()
}

/// What is shown while the rows flow.
pub(crate) struct View {
    bars: Option<[ProgressBar; 2]>,
    line_at: Instant,
    began: Instant,
}

impl View {
    /// A view of so many rows.
    pub(crate) fn new(sms_rows: u64, order_rows: u64) -> Self {
        let bars = std::io::stderr().is_terminal().then(|| {
            let all = MultiProgress::new();
            [("sms", sms_rows), ("erp", order_rows)].map(|(name, rows)| {
                all.add(ProgressBar::new(rows).with_style(style()).with_prefix(name))
            })
        });
        Self { bars, line_at: Instant::now(), began: Instant::now() }
    }

    /// Shows how far it is.
    pub(crate) fn show(&mut self, queues: &Queues, sms: &str, erp: &str) -> std::io::Result<()> {
        let lines = [(queues.sms, sms), (queues.erp, erp)].map(|(counts, brief)| {
            let Counts { waiting, delivered, dead } = counts;
            (
                delivered + dead,
                format!("{waiting:>3} wait, {delivered:>3} delivered, {dead} dead │ {brief}"),
            )
        });
        if let Some(bars) = &self.bars {
            for (bar, (done, text)) in bars.iter().zip(lines) {
                bar.set_position(done);
                bar.set_message(text);
            }
            return Ok(());
        }
        if Instant::now() < self.line_at {
            return Ok(());
        }
        self.line_at = Instant::now() + LINE_EVERY;
        let seconds = self.began.elapsed().as_secs();
        let [(_, sms), (_, erp)] = lines;
        writeln!(std::io::stdout(), "{seconds:>3} s  sms {sms}\n       erp {erp}")
    }

    /// Takes the bars away.
    pub(crate) fn clear(&self) {
        for bar in self.bars.iter().flatten() {
            bar.finish_and_clear();
        }
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{prefix:4} {bar:24} {pos:>3}/{len}  {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}
