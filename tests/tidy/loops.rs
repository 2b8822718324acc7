//! Every loop runs on one skeleton, `engine/cadence.rs`, and waits are spread at random by one formula.
//!
//! Owns the list of other waits in the rooms of the loops, each with what it waits for. A new one is made here on
//! purpose.

use super::files::{File, files_below, no_faults};

const SKELETON: &str = "src/engine/cadence.rs";
const SPREAD: &str = "src/domain/spread.rs";

/// Files of `engine` and `workers` that may wait by themselves. None of them is a loop that looks now and then.
/// (The janitor goes by a calendar, whose waits a scheduler of its own keeps.)
const WAITS: [(&str, &str); 10] = [
    ("src/engine/precise_sleep.rs", "the sleep of the skeleton"),
    ("src/engine/pacer.rs", "the slot of a call"),
    ("src/engine/permits.rs", "a permit of the limit, and its slot"),
    ("src/engine/host_call.rs", "the end of a host's pause"),
    ("src/engine/settle.rs", "another try to write outcomes; nothing else may come before them"),
    ("src/engine/runners.rs", "the end of tasks that nobody calls; there is one while some wait"),
    ("src/engine/pull/claim.rs", "a worker's own request, which ends with it"),
    ("src/workers/heartbeat.rs", "the least time between two beats that are asked for"),
    ("src/workers/inbox.rs", "more entries, soon after some were found"),
    ("src/workers/operation.rs", "the pace of one operation, which ends with it"),
];

#[test]
fn every_loop_runs_on_the_skeleton() {
    let files = files_below(&["src/engine", "src/workers"], "rs");
    assert!(files.iter().filter(|file| runs_passes(file)).count() >= 10, "the loops are not found");
    no_faults(files.iter().flat_map(loop_faults));
    let waits = |name: &str| {
        let mut found = files.iter().filter(|file| file.name == name);
        found.any(|file| shipped(&file.text).lines().any(waits_by_itself))
    };
    let idle = WAITS.iter().filter(|(name, _)| !waits(name));
    no_faults(idle.map(|(name, what)| format!("{name} does not wait for {what} any more")));
}

#[test]
fn waits_are_spread_by_one_formula() {
    no_faults(files_below(&["src"], "rs").iter().flat_map(formula_faults));
}

#[test]
fn a_loop_or_a_formula_of_its_own_is_seen() {
    let file = |name: &str, text: &str| File { name: name.to_owned(), text: text.to_owned() };
    let faults = |name: &str, text: &str| loop_faults(&file(name, text)).len();
    let passes =
        "impl Pass for Rounds {}\nasync fn run() { cadence::run(&stop, pulse, self).await; }";
    assert_eq!(faults("src/workers/new.rs", passes), 0);
    assert_eq!(faults("src/workers/new.rs", "impl Pass for Rounds {}"), 1);
    assert_eq!(faults("src/workers/new.rs", "loop { tokio::time::sleep(EVERY).await; }"), 1);
    assert_eq!(faults("src/workers/new.rs", "let mut ticks = tokio::time::interval(EVERY);"), 1);
    assert_eq!(faults("src/engine/precise_sleep.rs", "tokio::time::sleep(coarse).await;"), 0);
    let in_test = "#[cfg(test)]\nmod tests {\n    tokio::time::sleep(EVERY).await;\n}";
    assert_eq!(faults("src/workers/new.rs", in_test), 0);
    let spreads = |text: &str| formula_faults(&file("src/workers/new.rs", text)).len();
    assert_eq!(spreads("spread(EVERY, 0.25, rand::random())"), 0);
    assert_eq!(spreads("let later = wait_ms as f64 * 0.2 * random;"), 1);
    assert_eq!(spreads("EVERY.mul_f64(1.0 + rand::random::<f64>() * 0.2)"), 1);
}

fn runs_passes(file: &File) -> bool {
    shipped(&file.text).contains("impl Pass for ")
}

/// A pass that something else runs, and a wait beside the skeleton.
fn loop_faults(file: &File) -> Vec<String> {
    let (name, text) = (file.name.as_str(), shipped(&file.text));
    let mut faults = Vec::new();
    if runs_passes(file) && !text.contains("cadence::run(") {
        faults.push(format!("{name}: its pass does not run on {SKELETON}"));
    }
    let may_wait = name == SKELETON || WAITS.iter().any(|(known, _)| *known == name);
    if !may_wait {
        let lines = text.lines().filter(|line| waits_by_itself(line));
        faults
            .extend(lines.map(|line| format!("{name}: `{}` waits beside {SKELETON}", line.trim())));
    }
    faults
}

fn waits_by_itself(line: &str) -> bool {
    let waits = ["sleep(", "sleep_until(", "interval(", "interval_at("];
    waits.iter().any(|wait| calls(line, wait))
}

/// Whether a line calls this function, and not one whose name ends like it.
fn calls(line: &str, function: &str) -> bool {
    let is_name = |before: char| before.is_ascii_alphanumeric() || before == '_';
    line.match_indices(function).any(|(at, _)| !line[..at].ends_with(is_name))
}

/// Where something is multiplied by a random number.
fn formula_faults(file: &File) -> Vec<String> {
    if file.name == SPREAD {
        return Vec::new();
    }
    let lines = shipped(&file.text).lines().filter(|line| {
        let line = line.split("//").next().unwrap_or_default();
        ["* random", "random *", "random() *", "random::<f64>() *", "* rand::random"]
            .iter()
            .any(|product| line.contains(product))
    });
    lines.map(|line| format!("{}: `{}` belongs to {SPREAD}", file.name, line.trim())).collect()
}

/// The text without the tests at its end.
fn shipped(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(text)
}
