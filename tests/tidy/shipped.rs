//! What is shipped: nothing that is there for tests only.

use super::files::{files_below, no_faults, read};

/// The only file that says what is compiled in instead.
const FAILPOINTS: &str = "src/failpoint.rs";
/// How every other file leaves something out of what is shipped.
const SWITCH: &str = "#[cfg(feature = \"failpoints\")]";

#[test]
fn failpoints_are_compiled_for_tests_only() {
    let cargo = read("Cargo.toml");
    assert!(cargo.contains("fail = { version = \"0.5\", optional = true }"), "a plain dependency");
    assert!(!cargo.lines().any(|line| line.starts_with("default = ")), "a default feature");
    let makefile = read("Makefile");
    let targets = targets_with(&makefile, "--features failpoints");
    assert_eq!(targets, ["test", "torture", "lint"], "only these may enable the feature");
    no_faults(
        files_below(&["src"], "rs").iter().flat_map(|file| feature_faults(&file.name, &file.text)),
    );
}

#[test]
fn a_failpoint_that_would_be_shipped_is_seen() {
    let faults = |name: &str, text: &str| feature_faults(name, text).len();
    assert_eq!(faults("src/store/mod.rs", "    #[cfg(feature = \"failpoints\")]\n"), 0);
    assert_eq!(faults("src/store/mod.rs", "#[cfg(not(feature = \"failpoints\"))]\n"), 1);
    assert_eq!(faults("src/store/mod.rs", "if cfg!(feature = \"failpoints\") {\n"), 1);
    let open =
        "#[cfg(feature = \"failpoints\")]\n#[must_use]\nfn shut() {}\n\n/// Text.\nfn open() {}\n";
    assert_eq!(faults("src/failpoint.rs", open), 1);
    assert_eq!(
        targets_with("a:\n\tone\nb: c\n\tcargo --x y\n\ntest:\n\tz --x\n", "--x"),
        ["b", "test"]
    );
}

/// What could be shipped though it is meant for tests: a switch that is more than left out, and, where
/// the failpoints themselves are, an item without a switch.
fn feature_faults(name: &str, text: &str) -> Vec<String> {
    let lines: Vec<_> = text.lines().collect();
    if name != FAILPOINTS {
        let named = lines.iter().map(|line| line.trim()).filter(|l| l.contains("\"failpoints\""));
        let bad = named.filter(|line| *line != SWITCH);
        return bad.map(|line| format!("{name}: `{line}` is not {SWITCH}")).collect();
    }
    let begins =
        ["pub", "fn", "const", "static", "use", "mod", "macro_rules", "pub(crate)", "async"];
    let mut faults = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let is_item = begins.contains(&line.split([' ', '!']).next().unwrap_or_default());
        let mut above = lines[..at].iter().rev().take_while(|line| line.starts_with("#["));
        let is_switched = above.any(|line| line.contains("feature = \"failpoints\""));
        if is_item && !is_switched && !line.starts_with("pub(crate) use ") {
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
