//! What a campaign has come to, scenario by scenario.
//!
//! Owns the sums, the table and the file for `docs/reliability.md`. Refuses to know what is good.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::checker::Report;
use super::history::{FaultKind, History, Verdict};
use super::recovery::Recovery;

/// The sums of one scenario.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) runs: u64,
    pub(crate) failed: Vec<u64>,
    seconds: f64,
    messages: u64,
    arrivals: u64,
    faults: BTreeMap<FaultKind, u64>,
    lost: usize,
    unexpected: usize,
    duplicated: usize,
    sending_at_kills: usize,
    recovered: usize,
    states: BTreeMap<String, u64>,
    recovery: Recovery,
}

impl Tally {
    pub(crate) fn add(&mut self, seed: u64, took: Duration, history: &History, report: &Report) {
        self.runs += 1;
        if !report.breaches.is_empty() {
            self.failed.push(seed);
        }
        self.seconds += took.as_secs_f64();
        let accepted = |verdict: &Verdict| matches!(verdict, Verdict::Accepted { .. });
        let messages = history.sent.iter().filter(|sent| accepted(&sent.verdict)).count();
        self.messages += messages as u64;
        self.arrivals += history.arrivals.len() as u64;
        for fault in &history.faults {
            *self.faults.entry(fault.kind).or_default() += 1;
        }
        for record in &history.finals {
            *self.states.entry(record.state.clone()).or_default() += 1;
        }
        self.lost += report.lost.len();
        self.unexpected += report.unexpected.len();
        self.duplicated += report.duplicated.len();
        self.sending_at_kills += report.sending_at_kills;
        self.recovered += report.recovered.len();
        let mut recovery = Recovery::default();
        recovery.measure(history);
        self.recovery.add(recovery);
    }

    /// A run that did not come to its end.
    pub(crate) fn broke(&mut self, seed: u64) {
        self.runs += 1;
        self.failed.push(seed);
    }

    fn summary(&self) -> Value {
        let faults: BTreeMap<_, _> =
            self.faults.iter().map(|(kind, count)| (format!("{kind:?}"), count)).collect();
        json!({
            "runs": self.runs, "failed_seeds": self.failed, "minutes": self.seconds / 60.0,
            "messages": self.messages, "arrivals": self.arrivals, "faults": faults,
            "lost": self.lost, "unexpected": self.unexpected, "duplicated": self.duplicated,
            "being_sent_at_kills": self.sending_at_kills, "recovered": self.recovered,
            "finals": self.states, "recovery": self.recovery.summary(),
        })
    }
}

/// All scenarios.
#[derive(Debug, Default)]
pub(crate) struct Tallies(pub(crate) BTreeMap<&'static str, Tally>);

impl Tallies {
    /// Writes the sums where `docs/reliability.md` takes them from; returns where.
    pub(crate) fn write(&self, seed: u64) -> PathBuf {
        let scenarios: BTreeMap<_, _> =
            self.0.iter().map(|(name, tally)| (name, tally.summary())).collect();
        let all = json!({ "seed": seed, "scenarios": scenarios });
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("rig");
        std::fs::create_dir_all(&folder).expect("the target folder is ours");
        let file = folder.join(format!("torture-{seed}.json"));
        let text = serde_json::to_string_pretty(&all).expect("plain data");
        std::fs::write(&file, text).expect("the target folder is ours");
        file
    }
}

impl fmt::Display for Tallies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<18} {:>5} {:>8} {:>9} {:>6} {:>10} {:>10} {:>9} {:>9}  faults",
            "scenario",
            "runs",
            "minutes",
            "messages",
            "lost",
            "unexpected",
            "duplicated",
            "of at most",
            "recovered"
        )?;
        for (name, tally) in &self.0 {
            let mut faults = String::new();
            for (kind, count) in &tally.faults {
                write!(faults, " {kind:?} {count}")?;
            }
            writeln!(
                f,
                "{name:<18} {:>5} {:>8.1} {:>9} {:>6} {:>10} {:>10} {:>9} {:>9} {faults}",
                tally.runs,
                tally.seconds / 60.0,
                tally.messages,
                tally.lost,
                tally.unexpected,
                tally.duplicated,
                tally.sending_at_kills,
                tally.recovered,
            )?;
        }
        writeln!(
            f,
            "\nuntil the next delivery (ms)        count      p50      p90      p99      max"
        )?;
        for (name, tally) in &self.0 {
            for (kind, times) in tally.recovery.summary().as_object().into_iter().flatten() {
                let number = |name: &str| times[name].as_f64().unwrap_or_default();
                writeln!(
                    f,
                    "{:<32} {:>8} {:>8.0} {:>8.0} {:>8.0} {:>8.0}",
                    format!("{name} {kind}"),
                    number("count"),
                    number("p50_ms"),
                    number("p90_ms"),
                    number("p99_ms"),
                    number("max_ms"),
                )?;
            }
        }
        Ok(())
    }
}
