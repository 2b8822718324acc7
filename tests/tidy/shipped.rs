//! What is shipped: nothing that is there for tests only.

use super::files::{files_below, no_faults, read};

/// The only file that may hold what the feature `failpoints` compiles in, beside the guard in main.
const FAILPOINTS: [&str; 2] = ["src/failpoint.rs", "src/main.rs"];

#[test]
fn failpoints_are_compiled_for_tests_only() {
    let cargo = read("Cargo.toml");
    assert!(cargo.contains("fail = { version = \"0.5\", optional = true }"), "a plain dependency");
    assert!(!cargo.lines().any(|line| line.starts_with("default = ")), "a default feature");
    let makefile = read("Makefile");
    let targets = targets_with(&makefile, "--features failpoints");
    assert_eq!(targets, ["test", "lint"], "only these may enable the feature");
    no_faults(
        files_below(&["src"], "rs").iter().flat_map(|file| feature_faults(&file.name, &file.text)),
    );
}

#[test]
fn a_failpoint_that_would_be_shipped_is_seen() {
    let faults = |name: &str, text: &str| feature_faults(name, text).len();
    assert_eq!(faults("src/store/mod.rs", "    failpoint!(\"x\");\n"), 0);
    assert_eq!(faults("src/store/mod.rs", "#[cfg(feature = \"failpoints\")]\n"), 1);
    assert_eq!(faults("src/store/mod.rs", "crate::failpoint::strike(\"x\", &[]).await;\n"), 1);
    assert_eq!(faults("src/store/mod.rs", "fail::eval(\"x\", drop);\n"), 1);
    let open =
        "#[cfg(feature = \"failpoints\")]\n#[must_use]\nfn shut() {}\n\n/// Text.\nfn open() {}\n";
    assert_eq!(faults("src/failpoint.rs", open), 1);
    assert_eq!(
        targets_with("a:\n\tone\nb: c\n\tcargo --x y\n\ntest:\n\tz --x\n", "--x"),
        ["b", "test"]
    );
}

/// What would be compiled into a shipped binary: anything of failpoints outside their own file, and in
/// it every item that its feature does not switch.
fn feature_faults(name: &str, text: &str) -> Vec<String> {
    if !FAILPOINTS.contains(&name) {
        let found = ["\"failpoints\"", "failpoint::strike", "fail::"]
            .into_iter()
            .filter(|word| text.match_indices(word).any(|(at, _)| !text[..at].ends_with('_')));
        return found
            .map(|word| format!("{name}: {word}, which belongs into {FAILPOINTS:?}"))
            .collect();
    }
    let lines: Vec<_> = text.lines().collect();
    let starts_item = |line: &str| {
        let first = line.split([' ', '!']).next().unwrap_or_default();
        ["pub", "fn", "const", "static", "use", "mod", "macro_rules", "pub(crate)", "async"]
            .contains(&first)
    };
    let mut faults = Vec::new();
    for (at, line) in lines.iter().enumerate().filter(|_| name == FAILPOINTS[0]) {
        let attributes = lines[..at].iter().rev().take_while(|line| line.starts_with("#["));
        let is_switched =
            attributes.into_iter().any(|line| line.contains("feature = \"failpoints\""));
        if starts_item(line) && !is_switched && *line != "pub(crate) use failpoint;" {
            faults.push(format!("{name}: `{line}` is compiled without the feature too"));
        }
    }
    faults
}

/// The targets of a makefile whose commands contain `words`.
fn targets_with<'a>(makefile: &'a str, words: &str) -> Vec<&'a str> {
    let (mut target, mut found) = ("", Vec::new());
    for line in makefile.lines() {
        if line.starts_with(|c: char| c.is_ascii_alphabetic()) {
            target = line.split(':').next().unwrap_or_default();
        } else if line.starts_with('\t') && line.contains(words) && !found.contains(&target) {
            found.push(target);
        }
    }
    found
}
