//! What is to be measured, and how much of it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Parser;

use crate::kit::figures::float;

/// Tidegate beside the physical limit of this machine, goal by goal.
#[derive(Debug, Clone, Parser)]
#[command(name = "make bench ARGS=...", disable_version_flag = true)]
struct Arguments {
    /// The goals to measure, as in docs/measurements.md; all if not given
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=14))]
    only: Vec<u32>,
    /// Rounds of each figure
    #[arg(long)]
    rounds: Option<usize>,
    /// A tenth of the messages and of the time, one round: shows the order of things
    #[arg(long, conflicts_with = "full")]
    quick: bool,
    /// Goal 12 with ten million messages instead of one; wants 5 GiB and some minutes
    #[arg(long)]
    full: bool,
    /// Where the JSON goes; bench.json in cargo's target folder if not given
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Cargo says that it wants benchmarks
    #[arg(long, hide = true)]
    bench: bool,
}

/// What is to be measured.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Rounds of each pair.
    pub(crate) rounds: usize,
    /// The goals to run; empty: all.
    only: Vec<u32>,
    /// With the ten million of goal 12.
    pub(crate) full: bool,
    /// One message of so many that a whole measurement takes.
    pub(crate) share: usize,
    pub(crate) json: Option<PathBuf>,
    /// Whether anybody wants to see progress.
    pub(crate) is_loud: bool,
    started: Instant,
}

/// Rows of one call of NDJSON.
pub(crate) const ROWS: usize = 1000;

impl Plan {
    /// As the command line says; ends the program if it says it badly.
    pub(crate) fn of_arguments() -> Self {
        let arguments = Arguments::parse();
        Self {
            rounds: arguments.rounds.unwrap_or(if arguments.quick { 1 } else { 3 }).max(1),
            only: arguments.only,
            full: arguments.full,
            share: if arguments.quick { 10 } else { 1 },
            json: arguments.json,
            is_loud: true,
            started: Instant::now(),
        }
    }

    /// As little as shows that everything still works.
    pub(crate) fn tiny(is_loud: bool) -> Self {
        let started = Instant::now();
        Self { rounds: 1, only: Vec::new(), full: false, share: 1000, json: None, is_loud, started }
    }

    /// Whether a goal is to be run.
    pub(crate) fn wants(&self, goal: u32) -> bool {
        self.only.is_empty() || self.only.contains(&goal)
    }

    /// How many messages are sent where a whole measurement takes so many: whole calls of 1,000 rows, or
    /// one call of less.
    pub(crate) fn count(&self, whole: usize) -> usize {
        match whole / self.share {
            few if few < ROWS => few.max(1),
            many => many / ROWS * ROWS,
        }
    }

    /// How many of something, where a whole measurement has so many and a small one still needs several.
    pub(crate) fn several(&self, whole: usize) -> usize {
        whole / self.share.min(10)
    }

    /// How long before its due time a message is sent, where a whole measurement takes so long.
    pub(crate) fn lead_ms(&self, whole: u64) -> u64 {
        whole / self.share.min(5) as u64
    }

    /// How long is waited where a whole measurement waits so long.
    pub(crate) fn time(&self, whole: Duration) -> Duration {
        whole.div_f64(float(self.share))
    }

    /// Progress, for whoever waits.
    pub(crate) fn tell(&self, goal: u32, round: usize, what: &str) {
        if !self.is_loud {
            return;
        }
        let seconds = self.started.elapsed().as_secs();
        let (minutes, seconds, round) = (seconds / 60, seconds % 60, round + 1);
        eprintln!("[{minutes}:{seconds:02}] goal {goal}, round {round} of {}: {what}", self.rounds);
    }

    /// How long it has taken so far, in seconds.
    pub(crate) fn elapsed_s(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }
}
