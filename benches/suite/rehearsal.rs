//! The suite as a test: every goal once, tiny, so that it cannot rot unseen.
//!
//! Counts only. What a stopwatch says of a debug build on a busy machine means nothing and is not looked at.
//! Speaks as a test runner does to `cargo test`.

use anyhow::{Result, ensure};

use crate::kit::report::Report;
use crate::plan::Plan;

const NAME: &str = "every_goal_is_measured";

/// Runs the test if these words of a test runner's command line select it.
pub(crate) fn run(words: &[String]) -> Result<()> {
    if words.iter().any(|word| word == "--list") {
        println!("{NAME}: test");
        return Ok(());
    }
    let exact = words.iter().any(|word| word == "--exact");
    let mut filters = words.iter().filter(|word| !word.starts_with('-')).peekable();
    let selected = filters.peek().is_none()
        || filters
            .any(|filter| if exact { filter == NAME } else { NAME.contains(filter.as_str()) });
    let count = usize::from(selected && !words.iter().any(|word| word == "--ignored"));
    println!("\nrunning {count} test{}", if count == 1 { "" } else { "s" });
    if count == 1 {
        let started = std::time::Instant::now();
        let ended = every_goal_is_measured(words.iter().any(|word| word == "--nocapture"));
        let seconds = started.elapsed().as_secs_f64();
        let word = if ended.is_ok() { "ok" } else { "FAILED" };
        println!("test {NAME} ... {word}\n");
        let (passed, failed) = (usize::from(ended.is_ok()), usize::from(ended.is_err()));
        println!(
            "test result: {word}. {passed} passed; {failed} failed; 0 ignored; 0 measured; \
             0 filtered out; finished in {seconds:.2}s\n"
        );
        return ended;
    }
    println!(
        "\ntest result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 1 filtered out; finished in 0.00s\n"
    );
    Ok(())
}

fn every_goal_is_measured(is_loud: bool) -> Result<()> {
    let report = crate::measure(&Plan::tiny(is_loud))?;
    judge(&report)
}

/// Every goal has figures, and each of them is one.
fn judge(report: &Report) -> Result<()> {
    report.whole()?;
    for goal in 1..=14 {
        ensure!(report.rows().any(|row| row.goal == goal), "goal {goal} has no figure");
    }
    for row in report.rows() {
        let values = [Some(row.ours), row.limit, Some(row.value), Some(row.least), Some(row.most)];
        let sound = values.into_iter().flatten().all(|value| value.is_finite() && value >= 0.0);
        ensure!(sound, "goal {}, {}: {values:?}", row.goal, row.what);
    }
    Ok(())
}
