//! Tidegate beside the physical limit: `make bench`.
//!
//! Owns what this program is: the measurement itself, one of its helpers (`roles`), or, under `cargo test`,
//! the tiny form that shows that it still works (`rehearsal`). Every figure is a ratio taken side by side in
//! one run: the raw limit and Tidegate in turns on the same server, three rounds, median and spread. Load,
//! sinks and echoes are processes of their own, so that the daemon's own CPU can be told. A table at the
//! end, JSON beside it.
//!
//! `make bench ARGS="--only 3,10 --rounds 1"`; `--help` tells the rest.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a benchmark reports on its terminal, and stands outside of the daemon"
)]

mod goals;
mod kit;
mod plan;
mod rehearsal;
mod roles;

use std::process::ExitCode;

use anyhow::Result;

use kit::report::Report;
use plan::Plan;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let Some(role) = words.first().and_then(|word| word.strip_prefix("role:")) {
        return roles::run(role, &words[1..]);
    }
    // Cargo says so when it is asked for benchmarks; without it this is a test among others.
    if !words.iter().any(|word| word == "--bench" || word == "--help") {
        return rehearsal::run(&words);
    }
    let report = measure(&Plan::of_arguments())?;
    println!("{}", report.table());
    println!("also as JSON: {}", report.save()?.display());
    report.whole()
}

/// Runs what is planned; Ctrl-C ends it with everything it started.
fn measure(plan: &Plan) -> Result<Report> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut ended = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        let mut report = Report::new(plan).await?;
        tokio::select! {
            () = goals::run(plan, &mut report) => {}
            _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
            _ = ended.recv() => anyhow::bail!("told to stop"),
        }
        report.end();
        Ok(report)
    })
}
