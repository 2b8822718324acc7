//! The table at the end, and the JSON beside it.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use comfy_table::{CellAlignment, Table};
use serde::Serialize;

use super::figures::{Figures, Pair};
use super::redis::Server;
use crate::plan::Plan;

/// One line of the table.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    pub(crate) goal: u32,
    pub(crate) what: String,
    pub(crate) limit: Option<f64>,
    pub(crate) ours: f64,
    pub(crate) unit: &'static str,
    /// What is held against the goal: the ratio to the limit, or the figure itself. The median.
    pub(crate) value: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
    /// The same of each round, the least first.
    rounds: Vec<f64>,
    wanted: String,
    met: Option<bool>,
}

/// Which side of a bound is good.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wanted {
    AtLeast(f64),
    AtMost(f64),
    /// Told, not judged.
    Told,
}

impl Wanted {
    fn met(self, value: f64) -> Option<bool> {
        match self {
            Self::AtLeast(bound) => Some(value >= bound),
            Self::AtMost(bound) => Some(value <= bound),
            Self::Told => None,
        }
    }

    fn text(self) -> String {
        match self {
            Self::AtLeast(bound) => format!("≥ {bound}"),
            Self::AtMost(bound) => format!("≤ {bound}"),
            Self::Told => String::new(),
        }
    }
}

/// What it was measured on.
#[derive(Debug, Clone, Serialize)]
struct Machine {
    processor: String,
    cores: usize,
    kernel: String,
    redis: String,
    tidegate: &'static str,
    is_debug_build: bool,
}

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    machine: Machine,
    rounds: usize,
    payload_bytes: usize,
    /// Of the messages of a whole measurement, one in so many.
    share: usize,
    seconds: f64,
    rows: Vec<Row>,
    /// What could not be measured, and why.
    failed: Vec<String>,
    #[serde(skip)]
    plan: Plan,
}

impl Report {
    pub(crate) async fn new(plan: &Plan) -> Result<Self> {
        Ok(Self {
            machine: Machine::this().await?,
            rounds: plan.rounds,
            payload_bytes: super::PAYLOAD_BYTES,
            share: plan.share,
            seconds: 0.0,
            rows: Vec::new(),
            failed: Vec::new(),
            plan: plan.clone(),
        })
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter()
    }

    /// Ours as a share of the limit.
    pub(crate) fn pair(
        &mut self,
        goal: u32,
        what: &str,
        unit: &'static str,
        pair: &Pair,
        wanted: Wanted,
    ) {
        let limit = Some(pair.limit.median());
        self.add(goal, what, unit, limit, pair.ours.median(), &pair.ratio, wanted);
    }

    /// A figure of its own.
    pub(crate) fn figure(
        &mut self,
        goal: u32,
        what: &str,
        unit: &'static str,
        figures: impl Into<Figures>,
        wanted: Wanted,
    ) {
        let figures = figures.into();
        self.add(goal, what, unit, None, figures.median(), &figures, wanted);
    }

    #[expect(clippy::too_many_arguments, reason = "the columns of the table")]
    fn add(
        &mut self,
        goal: u32,
        what: &str,
        unit: &'static str,
        limit: Option<f64>,
        ours: f64,
        figures: &Figures,
        wanted: Wanted,
    ) {
        let (value, least, most) = (figures.median(), figures.least(), figures.most());
        let met = wanted.met(value);
        let missed = if met == Some(false) { "  missed" } else { "" };
        if self.plan.is_loud {
            let spread = format!("{} – {}", short(least), short(most));
            eprintln!("      {what}: {} ({spread}){missed}", short(value));
        }
        let (what, wanted) = (what.to_owned(), wanted.text());
        let rounds = figures.all().to_vec();
        self.rows.push(Row {
            goal,
            what,
            limit,
            ours,
            unit,
            value,
            least,
            most,
            rounds,
            wanted,
            met,
        });
    }

    /// Something could not be measured; the rest can.
    pub(crate) fn failed(&mut self, what: &str, why: &anyhow::Error) {
        if self.plan.is_loud {
            eprintln!("      {what} could not be measured: {why:#}");
        }
        self.failed.push(format!("{what}: {why:#}"));
    }

    /// Whether everything was measured.
    pub(crate) fn whole(&self) -> Result<()> {
        ensure!(self.failed.is_empty(), "not everything was measured\n{}", self.failed.join("\n"));
        Ok(())
    }

    pub(crate) fn table(&self) -> String {
        let mut table = Table::new();
        table.load_preset(comfy_table::presets::NOTHING);
        table.set_header(["#", "measured", "limit", "ours", "unit", "value", "spread", "goal", ""]);
        for row in &self.rows {
            table.add_row([
                row.goal.to_string(),
                row.what.clone(),
                row.limit.map(short).unwrap_or_default(),
                short(row.ours),
                row.unit.to_owned(),
                short(row.value),
                format!("{} – {}", short(row.least), short(row.most)),
                row.wanted.clone(),
                match row.met {
                    Some(true) => "met".to_owned(),
                    Some(false) => "missed".to_owned(),
                    None => String::new(),
                },
            ]);
        }
        for column in [0, 2, 3, 5] {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let Machine { processor, cores, kernel, redis, tidegate, is_debug_build } = &self.machine;
        let debug = if *is_debug_build { ", a debug build" } else { "" };
        let part = match self.share {
            1 => String::new(),
            share => format!(", one message in {share}"),
        };
        format!(
            "tidegate {tidegate}{debug}, redis-server {redis}, {cores} cores of {processor}, Linux {kernel}\n\
             payloads of {} bytes{part}, median and spread of {} round(s), {:.0} s in all\n{table}",
            self.payload_bytes, self.rounds, self.seconds
        )
    }

    /// Writes the JSON.
    pub(crate) fn save(&self) -> Result<PathBuf> {
        let beside = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench.json");
        let file = self.plan.json.clone().unwrap_or(beside);
        std::fs::write(&file, serde_json::to_string_pretty(self)?)?;
        Ok(file)
    }

    /// Everything has been tried.
    pub(crate) fn end(&mut self) {
        self.seconds = self.plan.elapsed_s();
    }
}

impl Machine {
    async fn this() -> Result<Self> {
        let processors = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model =
            processors.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Ok(Self {
            processor: model.unwrap_or("an unknown processor").to_owned(),
            cores: std::thread::available_parallelism()?.get(),
            kernel: kernel.trim().to_owned(),
            redis: Server::start(false).await?.text("redis_version").await?,
            tidegate: env!("CARGO_PKG_VERSION"),
            is_debug_build: cfg!(debug_assertions),
        })
    }
}

/// Three figures that matter.
fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 1000.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}
